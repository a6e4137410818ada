"""Durations and sizes are written with their units: "15m", "250ms", "256MiB"."""

from __future__ import annotations

import re
from fractions import Fraction

from greenlight.core.records import DAY, HOUR, MILLISECOND, MINUTE, SECOND

DURATION_UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
SIZE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")


def duration(text: object) -> int:
    """Microseconds from text such as "15m" or "1.5h".

    Raises:
        ValueError: no number with a unit of time.
    """
    return _amount(text, DURATION_UNITS, 'a duration with its unit, such as "15m"')


def size(text: object) -> int:
    """Bytes from text such as "256MiB".

    Raises:
        ValueError: no number with a unit of size.
    """
    return _amount(text, SIZE_UNITS, 'a size with its unit, such as "256MiB"')


def _amount(text: object, units: dict[str, int], expected: str) -> int:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"expected {expected} (units: {', '.join(units)}), got {text!r}")
    amount = Fraction(match[1]) * units[match[2]]
    if amount.denominator != 1:
        raise ValueError(f"{text!r} is finer than can be kept; use whole numbers of a smaller unit")
    return int(amount)
