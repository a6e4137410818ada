"""Ids are made here and nowhere else: UUIDv7, whose first 48 bits are the time in ms."""

from __future__ import annotations

from collections.abc import Callable

from greenlight.core.errors import BadInput

RANDOM_BYTES = 10
_HEX = set("0123456789abcdef")


def fresh(now: int, random: Callable[[int], bytes]) -> str:
    """An id that nobody else has, made at `now`; `random` gives that many random bytes."""
    return uuid7(now, random(RANDOM_BYTES))


def uuid7(now: int, random: bytes) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7).

    Args:
        now: microseconds since 1970-01-01 UTC.
        random: ten random bytes; the caller owns the generator.

    Returns:
        The id in its usual form of 36 characters.
    """
    value = (now // 1000) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def floor(at: int) -> str:
    """The least id of a moment (to the millisecond): ids are in the order of their times."""
    return uuid7(at, bytes(RANDOM_BYTES))


def time_of(id: str) -> int:
    """When an id was made, in microseconds (to the millisecond).

    Raises:
        BadInput: the text is no UUIDv7.
    """
    text = id.replace("-", "")
    if len(id) != 36 or len(text) != 32 or text[12] != "7" or not set(text) <= _HEX:
        raise BadInput(f"{id!r} is no inference id: expected a UUIDv7 in lower case")
    return int(text[:12], 16) * 1000
