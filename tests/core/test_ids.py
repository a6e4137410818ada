"""UUIDv7 (RFC 9562)."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.errors import BadInput
from greenlight.core.ids import time_of, uuid7

TIMES = st.integers(0, (2**48 - 1) * 1000 + 999)
RANDOM = st.binary(min_size=10, max_size=10)


def test_the_example_of_the_rfc() -> None:
    """RFC 9562, appendix A.6."""
    random = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert uuid7(0x017F22E279B0 * 1000, random) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(TIMES, RANDOM)
def test_version_variant_and_time(now: int, random: bytes) -> None:
    made = uuid7(now, random)
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert time_of(made) == now // 1000 * 1000


@given(TIMES, TIMES, RANDOM, RANDOM)
def test_ids_sort_by_time(one: int, other: int, a: bytes, b: bytes) -> None:
    if one // 1000 < other // 1000:
        assert uuid7(one, a) < uuid7(other, b)


@given(TIMES, RANDOM, RANDOM)
def test_all_but_six_random_bits_are_used(now: int, a: bytes, b: bytes) -> None:
    def kept(random: bytes) -> int:
        return int.from_bytes(random, "big") & ~(0xF << 76) & ~(0x3 << 62)

    assert (uuid7(now, a) == uuid7(now, b)) == (kept(a) == kept(b))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
    ],
)
def test_what_is_no_uuid7_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="UUIDv7"):
        time_of(text)
