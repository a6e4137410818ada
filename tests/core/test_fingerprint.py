"""Canonical JSON: equal content gives equal bytes, different content different ones."""

from __future__ import annotations

import hashlib
import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.fingerprint import canonical, digest, digest_bytes, short

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Point(msgspec.Struct):
    y: float
    x: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [1.0, 0.1, "é\n"]}, '{"a":[1.0,0.1,"é\\n"],"b":1}'),
        ({}, "{}"),
        (None, "null"),
        (Point(y=2.0, x=1e300), '{"x":1e300,"y":2.0}'),
        ((1, 2), "[1,2]"),
        (-0.0, "-0.0"),
    ],
)
def test_the_form_is_fixed(value: object, expected: str) -> None:
    assert canonical(value).decode() == expected


def test_a_digest_is_sha256_of_the_form() -> None:
    expected = hashlib.sha256(b'{"a":1}').hexdigest()
    assert digest({"a": 1}) == digest_bytes(b'{"a":1}') == f"sha256:{expected}"
    assert short(digest({"a": 1})) == expected[:12]


@given(JSON)
def test_a_round_trip_through_json_keeps_the_digest(value: object) -> None:
    """What a store or a file gives back has the digest of what went in."""
    assert digest(json.loads(canonical(value))) == digest(value)


@given(st.dictionaries(st.text(), st.integers(-(2**63), 2**63), max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@given(JSON, JSON)
def test_different_content_has_different_digests(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda v: v,
        lambda v: {"a": [1, v]},
        lambda v: [{"b": (v,)}],
        lambda v: {v},
        lambda v: Point(y=0.0, x=v),
    ],
)
def test_what_json_cannot_carry_is_refused(value: float, wrap: object) -> None:
    """A NaN would become null unseen, and two different documents one digest."""
    with pytest.raises(ValueError, match="no place in canonical JSON"):
        canonical(wrap(value))  # type: ignore[operator]  # a table of functions
