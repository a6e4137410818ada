"""One definition of the arithmetic, for one stream of events and for many at once.

The tests of this package are written once, over `Number`: a float when a rollout is judged, an
array with an entry per run when thousands are simulated (`core.stats.many`). Where Python has no
operator for both, the test asks its namespace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

Number: TypeAlias = Any
"""A float, or an array of floats with one entry per run."""

NOTHING = -math.inf
"""The logarithm of no wealth at all."""


class Numbers(Protocol):
    """What a test needs beyond operators."""

    def log(self, x: Number) -> Number:
        """Natural logarithm; of 0 it is -∞."""
        ...

    def exp(self, x: Number) -> Number:
        """The exponential function."""
        ...

    def least(self, a: Number, b: Number) -> Number:
        """The smaller of two."""
        ...

    def most(self, a: Number, b: Number) -> Number:
        """The greater of two."""
        ...

    def log_sum(self, logs: Sequence[Number]) -> Number:
        """log Σ exp, without overflow; at least one term."""
        ...

    def any(self, condition: Number) -> bool:
        """Whether it holds in any run."""
        ...


class Floats:
    """`Numbers` for a single stream: the standard library only."""

    def log(self, x: float) -> float:
        """See `Numbers.log`."""
        return math.log(x) if x > 0 else NOTHING

    def exp(self, x: float) -> float:
        """See `Numbers.exp`."""
        return math.exp(x)

    def least(self, a: float, b: float) -> float:
        """See `Numbers.least`."""
        return a if a < b else b

    def most(self, a: float, b: float) -> float:
        """See `Numbers.most`."""
        return a if a > b else b

    def log_sum(self, logs: Sequence[float]) -> float:
        """See `Numbers.log_sum`."""
        top = max(logs)
        if top == NOTHING:
            return NOTHING
        return top + math.log(sum([math.exp(x - top) for x in logs]))

    def any(self, condition: bool) -> bool:
        """See `Numbers.any`."""
        return condition


FLOATS = Floats()
