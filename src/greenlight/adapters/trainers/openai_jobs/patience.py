"""How long to wait before a provider is asked again, and that a wait can be ended.

Waits grow exponentially and are shortened by luck, so that processes that failed together do not
come back together (Brooker, "Exponential backoff and jitter", AWS architecture blog, 2015). What a
provider asks for by `Retry-After` is the least. Whoever waits says so every second: that is where a
run learns that its end was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from greenlight.core.errors import ModelFailed
from greenlight.ports import Progress

T = TypeVar("T")

FIRST, LONGEST = 1.0, 60.0
"""Seconds of the first wait, and of the longest."""
TRIES = 8
"""Of a call, where nothing says otherwise: some two minutes."""
GO_ON = "greenlight run TASK --from train"
"""How a job is found again: on the very rows that it was asked for with. A run from the beginning
collects what was said since, and its job is another one."""
SLICE = 1.0
"""Seconds between two signs of life while waiting."""


class Passing(Exception):
    """A call did not go well, and may the next time."""

    def __init__(self, message: str, *, after: float | None = None, odd: bool = False) -> None:
        """Say what happened.

        Args:
            message: for people.
            after: seconds that the provider asks to wait.
            odd: an answer that is not of this protocol: before anything went well it is rather the
                wrong address than a bad moment.
        """
        self.after = after
        self.odd = odd
        super().__init__(message)


class Waiting:
    """Pauses, told of as progress."""

    def __init__(
        self,
        progress: Progress,
        *,
        pause: Callable[[float], None],
        luck: Callable[[], float],
        tries: int = TRIES,
    ) -> None:
        """Begin.

        Args:
            progress: told of every pause; what it raises ends the pause.
            pause: sleeps for so many seconds.
            luck: draws from [0, 1).
            tries: of a call, at most.
        """
        self._progress = progress
        self._tries = tries
        self.pause = pause
        self.luck = luck
        self.share = 0.0

    def tell(self, share: float, words: str) -> None:
        """Say how far it is; the share never goes back."""
        self.share = max(self.share, min(share, 1.0))
        self._progress(self.share, words)

    def wait(self, seconds: float, words: str) -> None:
        """Wait that long, with a sign of life every second."""
        left = seconds
        while left > 0:
            self.tell(self.share, words)
            self.pause(min(left, SLICE))
            left -= SLICE
        self.tell(self.share, words)

    def jittered(self, seconds: float) -> float:
        """Between half of so many seconds and all of them."""
        return seconds * (0.5 + 0.5 * self.luck())

    def backoff(self, failures: int, after: float | None) -> float:
        """Seconds to wait after so many failures in a row, and no less than the provider asks."""
        doubled = FIRST * 2.0 ** min(failures - 1, 16)
        return max(self.jittered(min(doubled, LONGEST)), after or 0.0)

    def persist(self, call: Callable[[], T], what: str) -> T:
        """Call until it goes well.

        Args:
            call: what may raise `Passing`.
            what: is done, for people.

        Raises:
            ModelFailed: it did not.
        """
        for failures in range(1, self._tries + 1):
            try:
                return call()
            except Passing as passing:
                if passing.odd or failures == self._tries:
                    said = "" if passing.odd else f" after {failures} tries"
                    raise ModelFailed(
                        f"{what}: {passing}{said}; nothing is lost, go on with it: {GO_ON}"
                    ) from passing
                seconds = self.backoff(failures, passing.after)
                self.wait(seconds, f"{what}: {passing}; again in {seconds:.0f} s")
        raise AssertionError("unreachable: the last try returns or raises")
