"""JSON lines: one value per line, so that equal values give equal bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from greenlight.core import fingerprint

T = TypeVar("T", bound=msgspec.Struct)


def encode(values: Iterable[msgspec.Struct]) -> bytes:
    """Every value in canonical JSON, each ended by a line break."""
    return b"".join(fingerprint.canonical(value) + b"\n" for value in values)


def decode(data: bytes, kind: type[T], where: str) -> list[T]:
    """Every line as a value of `kind`, in order. `where` names the file in messages.

    Raises:
        ValueError: a line that is none; the message names the line.
    """
    decoder = msgspec.json.Decoder(kind)
    values = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{where}: line {number}: {error}") from error
    return values
