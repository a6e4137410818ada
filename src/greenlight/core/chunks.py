"""How many rows to hold at a time, as memory allows."""

from __future__ import annotations

WELL_BELOW = 0.75
"""The share of the limit below which there is room for more."""


def next_size(size: int, used: int, limit: int, floor: int, ceiling: int) -> int:
    """The size of the next chunk, in rows, within [floor, ceiling].

    Above the limit it halves, well below it grows by an eighth, between the two it stays: giving
    way is quick and coming back is slow, so that the size does not swing.

    Args:
        size: that of the chunk before.
        used: memory in use, in bytes.
        limit: how much may be, in bytes.
        floor: never fewer rows, however tight it is: a run gets slower but goes on.
        ceiling: never more, however much room there is.
    """
    if used > limit:
        size //= 2
    elif used < WELL_BELOW * limit:
        size += max(1, size // 8)
    return max(floor, min(size, ceiling))
