"""Many independent runs of a test at once: the same arithmetic over arrays, for simulations.

A run that has nothing to say in a step takes part as a candidate with π = 0 (a share of 0): its
factor is 1. Nothing is learnt from it but the mean outcome of a margin test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from greenlight.core.stats.betting import MarginTest
from greenlight.core.stats.evalues import AssignmentTest, EventTest
from greenlight.core.stats.numbers import Numbers
from greenlight.core.stats.restarts import Bets


class Arrays:
    """`Numbers` over arrays."""

    def log(self, x: Any) -> Any:
        """See `Numbers.log`."""
        with np.errstate(divide="ignore"):
            return np.log(x)

    def exp(self, x: Any) -> Any:
        """See `Numbers.exp`."""
        return np.exp(x)

    def least(self, a: Any, b: Any) -> Any:
        """See `Numbers.least`."""
        return np.minimum(a, b)

    def most(self, a: Any, b: Any) -> Any:
        """See `Numbers.most`."""
        return np.maximum(a, b)

    def log_sum(self, logs: Sequence[Any]) -> Any:
        """See `Numbers.log_sum`."""
        return np.logaddexp.reduce(np.broadcast_arrays(*logs))

    def any(self, condition: Any) -> bool:
        """See `Numbers.any`."""
        return bool(np.any(condition))


ARRAYS = Arrays()


class AssignmentTests(AssignmentTest, kw_only=True):
    """`AssignmentTest` of many runs; every field that is a number holds an array."""

    xp: ClassVar[Numbers] = ARRAYS
    runs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _spread(self, self.runs)


class EventTests(EventTest, kw_only=True):
    """`EventTest` of many runs; every field that is a number holds an array."""

    xp: ClassVar[Numbers] = ARRAYS
    runs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _spread(self, self.runs)


class MarginTests(MarginTest, kw_only=True):
    """`MarginTest` of many runs; every field that is a number holds an array."""

    xp: ClassVar[Numbers] = ARRAYS
    runs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _spread(self, self.runs)


def _spread(test: Bets, runs: int) -> None:
    """Make what all runs begin with an array."""
    wealth: Any = [np.full(runs, test.start) for _ in test.weights]
    minutes: Any = np.zeros(runs)
    test.log_wealth, test.minute = wealth, minutes
