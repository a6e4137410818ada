"""Adding up what single minutes showed of the arms of a rollout, one row after the other."""

from __future__ import annotations

import math
from collections import Counter

from greenlight.core.answers import ArmMinute
from greenlight.core.metrics import BAD, GOOD
from greenlight.core.records import MINUTE, Inference
from greenlight.core.states import Status, Variant

FAILED = frozenset({Status.ERROR.value, Status.TIMEOUT.value, Status.SHORT_CIRCUIT.value})
TIMED = frozenset({Status.OK.value, Status.TIMEOUT.value})
COUNTED = FAILED | TIMED


def kept(inference: Inference) -> str:
    """The label that an inference counts as; empty where the assigned version gave none itself, or
    none was kept."""
    own = inference.served_version == inference.version
    return inference.output if own and inference.status == Status.OK else ""


class _Sum:
    """Of one minute and arm."""

    __slots__ = ("copies", "counts", "labels", "latencies")

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0]
        """Requests, failed, GOOD, BAD."""
        self.copies = [0, 0]
        """Compared, agreed."""
        self.latencies: list[float] = []
        self.labels: Counter[str] = Counter()


class Minutes:
    """The sums of the minutes from a moment on; plain values in, for there are many rows."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._sums: dict[tuple[int, str], _Sum] = {}

    def call(self, at: int, variant: str, status: str, latency_ms: float, label: str) -> None:
        """Count a request; without a label it counts as none."""
        if status not in COUNTED:
            return
        found = self._of(at, variant)
        found.counts[0] += 1
        if status in FAILED:
            found.counts[1] += 1
        if status in TIMED:
            found.latencies.append(latency_ms)
        if label:
            found.labels[label] += 1

    def word(self, at: int, variant: str, value: float) -> None:
        """Count a piece of quality feedback."""
        if value in (GOOD, BAD):
            self._of(at, variant).counts[2 if value == GOOD else 3] += 1

    def copy(self, at: int, agreed: bool) -> None:
        """Count a copy that both versions answered."""
        found = self._of(at, Variant.CANDIDATE.value)
        found.copies[0] += 1
        found.copies[1] += agreed

    def all(self) -> list[ArmMinute]:
        """Every minute and arm that had anything, in order."""
        return [
            _made(self._since + minute * MINUTE, variant, self._sums[minute, variant])
            for minute, variant in sorted(self._sums)
        ]

    def _of(self, at: int, variant: str) -> _Sum:
        key = ((at - self._since) // MINUTE, variant)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum()
        return found


def _made(at: int, variant: str, found: _Sum) -> ArmMinute:
    requests, failed, good, bad = found.counts
    compared, agreed = found.copies
    latencies = sorted(found.latencies)
    rank = math.ceil(0.95 * len(latencies))
    return ArmMinute(
        at=at,
        variant=Variant(variant),
        requests=requests,
        failed=failed,
        timed=len(latencies),
        p95_ms=latencies[rank - 1] if latencies else None,
        good=good,
        bad=bad,
        compared=compared,
        agreed=agreed,
        labels=dict(sorted(found.labels.items())),
    )
