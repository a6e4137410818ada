"""Who says most of it: frequent items of a stream in a fixed amount of memory.

A. Metwally, D. Agrawal, A. El Abbadi, "Efficient computation of frequent and top-k elements in data
streams", ICDT 2005 ("Space-Saving"): with m counters, a count is at most n/m too high, and every
item with more than n/m of the stream has a counter.
"""

from __future__ import annotations

import msgspec

COUNTERS = 100
"""An item's share is overestimated by one point at the most."""


class Frequent(msgspec.Struct):
    """Counts of the most frequent items; `add` costs O(1) but for a scan of the counters when a new
    item takes the place of the rarest one."""

    counts: dict[str, int] = {}
    total: int = 0

    def add(self, item: str) -> None:
        """Count an item."""
        self.total += 1
        if item not in self.counts and len(self.counts) >= COUNTERS:
            rarest = min(self.counts, key=lambda name: (self.counts[name], name))
            self.counts[item] = self.counts.pop(rarest)
        self.counts[item] = self.counts.get(item, 0) + 1

    @property
    def most(self) -> int:
        """The count of the most frequent item; 0 before the first."""
        return max(self.counts.values(), default=0)
