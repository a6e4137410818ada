"""First crossings, and the rows that they become: a number, its standard error, and its goal."""

from __future__ import annotations

import math
import zlib
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from greenlight.core.stats.restarts import Bets

Array: TypeAlias = npt.NDArray[Any]

NEVER = math.inf
"""When something happened that did not happen."""


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One measured number, as the results hold it."""

    group: str
    scenario: str
    method: str
    measure: str
    value: float | None
    """None: more than a quantile allows never got there."""
    se: float | None = None
    """Standard error."""
    runs: int
    goal: float | None = None
    """The value may be this large; None: published, not judged."""
    met: bool | None = None


def rng_of(name: str) -> np.random.Generator:
    """A generator of its own for everything that has a name; the same one each time."""
    return np.random.default_rng(zlib.crc32(name.encode()))


class Crossings:
    """When each run's E first reached its threshold."""

    def __init__(self, runs: int, threshold: float) -> None:
        """`threshold`: E at which the test acts, 1/α."""
        self.at = np.full(runs, NEVER)
        self._threshold = threshold

    def look(self, test: Bets, now: float | Array) -> Array:
        """Look at E of every run; returns which runs crossed just now.

        E is at most the largest wealth of its bets plus 1, so where that is far from the threshold
        the sum needs no computing.
        """
        pending = self.at == NEVER
        near = np.maximum.reduce(test.log_wealth) >= math.log(self._threshold - 1)
        if not np.any(pending & near):
            return np.zeros_like(pending)
        return self.mark(np.asarray(test.log_e) >= math.log(self._threshold), now)

    def mark(self, crossed: Array, now: float | Array) -> Array:
        """Take note of who has crossed by some other rule; returns who did so just now."""
        new: Array = crossed & (self.at == NEVER)
        self.at = np.where(new, now, self.at)
        return new

    @property
    def happened(self) -> Array:
        """Which runs have crossed."""
        crossed: Array = self.at < NEVER
        return crossed

    @property
    def done(self) -> float:
        """Share of the runs that have crossed."""
        return float(np.mean(self.happened))


def reaches(test: Bets, log_threshold: float) -> Array:
    """In which runs log E is at least this much now."""
    high: Array = np.asarray(test.log_e) >= log_threshold
    return high


def share(
    group: str,
    scenario: str,
    method: str,
    happened: Array,
    *,
    alpha: float | None = None,
    measure: str = "false alarms",
) -> Row:
    """The share of runs in which something happened.

    Args:
        group: which part of the results the row belongs to.
        scenario: what the world was like.
        method: what looked at it.
        happened: a truth value per run.
        alpha: the share may be this large; judged as α + 3 standard errors (of α).
        measure: what happened.
    """
    runs = len(happened)
    value = float(np.mean(happened))
    goal = None if alpha is None else alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
    return Row(
        group=group,
        scenario=scenario,
        method=method,
        measure=measure,
        value=value,
        se=math.sqrt(value * (1 - value) / runs),
        runs=runs,
        goal=goal,
        met=None if goal is None else value <= goal,
    )


def quantile(
    group: str,
    scenario: str,
    method: str,
    times: Array,
    at: float,
    *,
    goal: float | None = None,
    measure: str = "",
) -> Row:
    """A quantile of crossing times; its standard error is half the width of its 68 % interval.

    Args:
        group: which part of the results the row belongs to.
        scenario: what the world was like.
        method: what looked at it.
        times: of each run; NEVER sorts last.
        at: which quantile, in (0, 1).
        goal: the quantile may be this large.
        measure: what is counted; the quantile's name is put before it.
    """
    ranked, runs = np.sort(times), len(times)
    spread = math.sqrt(at * (1 - at) / runs)
    low, value, high = (_ranked(ranked, place) for place in (at - spread, at, at + spread))
    finite = math.isfinite(value)
    return Row(
        group=group,
        scenario=scenario,
        method=method,
        measure=f"{'median' if at == 0.5 else f'q{at * 100:.0f}'} {measure}".strip(),
        value=value if finite else None,
        se=(high - low) / 2 if math.isfinite(high) else None,
        runs=runs,
        goal=goal,
        met=None if goal is None else finite and value <= goal,
    )


def _ranked(ranked: Array, place: float) -> float:
    return float(ranked[min(len(ranked) - 1, max(0, math.ceil(place * len(ranked)) - 1))])
