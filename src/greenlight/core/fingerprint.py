"""Canonical JSON and the digest that names content."""

from __future__ import annotations

import hashlib

import msgspec

_ENCODER = msgspec.json.Encoder(order="sorted")


def canonical(value: object) -> bytes:
    """Encode `value` so that equal content gives equal bytes.

    Keys are sorted, there is no white space, text is UTF-8, floats take their shortest exact
    form. NaN and infinities would become `null` unseen, so they are refused.

    Raises:
        ValueError: a float that JSON cannot carry.
    """
    _refuse_non_finite(value)
    return _ENCODER.encode(value)


def digest(value: object) -> str:
    """SHA-256 of the canonical form, as `sha256:<64 hex digits>`."""
    return digest_bytes(canonical(value))


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes, as `sha256:<64 hex digits>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short(name: str) -> str:
    """The first twelve hex digits of a digest, for people to read."""
    return name.removeprefix("sha256:")[:12]


def _refuse_non_finite(value: object) -> None:
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} has no place in canonical JSON; leave the field out")
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_non_finite(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _refuse_non_finite(item)
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            _refuse_non_finite(getattr(value, field))
