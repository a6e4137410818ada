"""How long something takes, most of the time: a percentile of the latest durations.

Durations are counted in classes, each a tenth wider than the one before, and all counts are halved
when there are many: one division and one addition per duration, whatever is asked.
"""

from __future__ import annotations

import math

_LEAST = 0.1
"""Milliseconds; what is shorter counts as this."""
_WIDER = math.log(1.1)
_CLASSES = 160
"""Up to 0.1 ms · 1.1¹⁶⁰, about seven minutes."""
_MANY = 1000


class Percentile:
    """A percentile of the latest thousand durations or so."""

    def __init__(self, share: float) -> None:
        """Prepare; nothing is known yet.

        Args:
            share: of the durations that are no longer than the percentile, in (0, 1).
        """
        self._share = share
        self._counts = [0.0] * _CLASSES
        self._total = 0.0

    def add(self, milliseconds: float) -> None:
        """Count a duration."""
        place = int(math.log(max(milliseconds, _LEAST) / _LEAST) / _WIDER)
        self._counts[min(place, _CLASSES - 1)] += 1
        self._total += 1
        if self._total >= _MANY:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2

    @property
    def value(self) -> float:
        """The upper end of the percentile's class, in milliseconds; 0 before the first duration."""
        if not self._total:
            return 0.0
        left = self._share * self._total
        for place, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return _LEAST * math.exp(_WIDER * (place + 1))
        return _LEAST * math.exp(_WIDER * _CLASSES)
