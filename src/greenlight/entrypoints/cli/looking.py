"""Looking again and again: a live screen, lines of JSON, or text whenever something has changed."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import click
import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from greenlight.core.errors import GreenlightError
from greenlight.core.words import span
from greenlight.entrypoints.cli.watching import picture

PAUSE_S = 1.0
"""From the beginning of a look to that of the next one."""
DRAWN_PER_S = 4
"""How soon a window that has another size is filled."""
_LEAST_PAUSE_S = 0.1

Found = dict[str, Any]


class Looks:
    """What was seen last, and since when nothing can be seen."""

    def __init__(self, look: Callable[[], Found], now: Callable[[], int]) -> None:
        """Know how to look; `now` is microseconds since 1970-01-01 UTC."""
        self._look = look
        self._now = now
        self._found: Found | None = None
        self.error: str | None = None
        """Why the last look was in vain, if it was."""

    def again(self) -> None:
        """Look once more.

        Raises:
            GreenlightError: nothing has ever been seen.
        """
        try:
            self._found, self.error = self._look(), None
        except GreenlightError as error:
            if self._found is None:
                raise
            self.error = str(error)

    @property
    def seen(self) -> Found:
        """The last look that was not in vain."""
        assert self._found is not None, "the first look raises"
        return self._found

    @property
    def at(self) -> int:
        """When it was looked, even in vain."""
        return self._now()

    @property
    def trouble(self) -> str | None:
        """Why there is nothing newer to show, if so."""
        if self.error is None:
            return None
        old = span(self._now() - self.seen["at"])
        return f"cannot look, trying again: {self.error}; what follows is {old} old"


def follow(
    look: Callable[[], Found],
    now: Callable[[], int],
    *,
    as_json: bool = False,
    quiet: bool = False,
    until: Callable[[Found], bool] = lambda _: False,
) -> Found | None:
    """Show look after look until Ctrl-C, or until one of them is what was waited for.

    Args:
        look: gives what is to be shown.
        now: microseconds since 1970-01-01 UTC.
        as_json: one line of JSON per look.
        quiet: show nothing.
        until: whether a look is the last one.

    Returns:
        The look that was waited for; None where Ctrl-C came first.

    Raises:
        GreenlightError: nothing can be seen to begin with.
    """
    looks, ended = Looks(look, now), False
    try:
        looks.again()
        with nullcontext(_nothing) if quiet else _showing(looks, as_json) as show:
            while True:
                began = time.monotonic()
                show()
                ended = looks.error is None and until(looks.seen)
                if ended:
                    break
                left = PAUSE_S - (time.monotonic() - began)
                threading.Event().wait(max(_LEAST_PAUSE_S, left))
                looks.again()
    except KeyboardInterrupt:
        pass
    return looks.seen if ended else None


def _showing(looks: Looks, as_json: bool) -> AbstractContextManager[Callable[[], None]]:
    """How looks are shown: for programs, on a screen, or on what is none."""
    console = Console(highlight=False)
    if as_json:
        return _lines(looks)
    if can_be_drawn_over(console) and sys.stdout.isatty():
        return _screen(looks, console)
    return _changes(looks, console.width if console.is_terminal else None)


def can_be_drawn_over(console: Console) -> bool:
    """Whether it is a terminal that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


def _nothing() -> None:
    """What is shown to nobody."""


@contextmanager
def _lines(looks: Looks) -> Iterator[Callable[[], None]]:
    """One line of JSON per look, and one that says why where it was in vain."""

    def show() -> None:
        found = looks.seen if looks.error is None else {"at": looks.at, "error": looks.error}
        click.echo(msgspec.json.encode(found).decode())

    yield show


@contextmanager
def _changes(looks: Looks, width: int | None) -> Iterator[Callable[[], None]]:
    """Text, whenever more has changed than counts and E."""
    before: Any = None

    def show() -> None:
        nonlocal before
        marks = (looks.error, _marks(looks.seen))
        if marks == before:
            return
        if before is not None:
            click.echo()
        before = marks
        for line in picture(looks.seen, width, looks.trouble):
            click.echo(line.plain)

    yield show


def _marks(found: Mapping[str, Any]) -> Any:
    """What makes a change worth another text: not that one more request was counted."""
    tasks = {}
    for name, task in found["tasks"].items():
        rollout = task["rollout"] or {}
        ended = task["ended"] or {}
        tasks[name] = (
            [task[field] for field in ("live", "epoch", "gateways_reached", "waiting", "next")],
            task["kill"],
            [rollout.get(field) for field in ("id", "phase", "weight", "paused", "next_step")],
            (rollout.get("decision") or {}).get("id"),
            sorted({wait["code"] for wait in rollout.get("waits_for", ())}),
            [end["code"] for end in rollout.get("ends", ())],
            {name: alarm["judgement"] for name, alarm in (rollout.get("alarms") or {}).items()},
            (ended.get("id"), (ended.get("incident") or {}).get("closed_at")),
        )
    return found["gateways"], found["kill_faults"], tasks


class Window:
    """The picture, cut to the height of a terminal."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = picture(self._looks.seen, options.max_width, self._looks.trouble)
        room = options.height or console.height
        if len(lines) > room:
            more = len(lines) - room + 1
            hint = Text(f"… {more} lines more: make the window taller", "dim")
            hint.truncate(options.max_width)
            lines = [*lines[: room - 1], hint]
        yield Text("\n", end="").join(lines)


@contextmanager
def _screen(looks: Looks, console: Console) -> Iterator[Callable[[], None]]:
    """A screen of its own that is drawn over; its last picture stays when it is left."""
    before = signal.signal(signal.SIGTERM, _end)
    live = Live(Window(looks), console=console, screen=True, refresh_per_second=DRAWN_PER_S)
    try:
        with live:
            yield live.refresh
    finally:
        signal.signal(signal.SIGTERM, before)
        for line in picture(looks.seen, console.width, looks.trouble):
            console.print(line, soft_wrap=True)


def _end(number: int, _frame: object) -> None:
    """End as the signal would have it, once the screen is as it was."""
    raise SystemExit(128 + number)
