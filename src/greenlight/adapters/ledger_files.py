"""Files that carry the ledger to where nobody who can rewrite it can reach.

Signed heads lie one per line in a file that only grows. Several processes may add to it at once,
each line by one write. A handed-over ledger is its entries, one per line, and its signed head at
the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import Tampered
from greenlight.core.ledger import SignedHead
from greenlight.core.records import LedgerEntry

_TAIL = 8192
"""Bytes at the end of a file of heads among which the last one is."""

_DOCUMENT = 65_536
"""A file up to this size may also be one head as an indented document."""

_head = msgspec.json.Decoder(SignedHead)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry = msgspec.json.Decoder(LedgerEntry)


def append_head(path: Path, head: SignedHead) -> None:
    """Add a head to the end of a file, durably; makes the file, but not the folder.

    A folder that is missing may be another machine's that is not mounted. A line that somebody
    was killed in is left as it is, and the next one begins anew.

    Raises:
        OSError: it cannot be written.
    """
    line = fingerprint.canonical(head) + b"\n"
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        written = os.write(file, line)
        if written != len(line):
            raise OSError(f"{path}: only {written} of {len(line)} bytes were written")
        os.fsync(file)
    finally:
        os.close(file)


def last_head(path: Path) -> SignedHead | None:
    """The newest head of a file; None where there is no file, or no head at its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            return _head.decode(line)
        except msgspec.DecodeError:
            continue
    return None


def read_heads(path: Path) -> Iterator[SignedHead | str]:
    """Every head of a file in its order; for a line that is none, what is the matter with it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= _DOCUMENT:
            try:
                yield _head.decode(file.read())
                return
            except msgspec.DecodeError:
                file.seek(0)
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield _head.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                torn = "" if line.endswith(b"\n") else "; it was cut short"
                yield f"{path.name}: line {number} is no signed head ({error}){torn}"


def read_export(path: Path) -> Iterator[LedgerEntry | SignedHead]:
    """A handed-over ledger: its entries, then its signed head.

    Raises:
        OSError: it cannot be read.
        Tampered: a line is neither, or something follows the head.
    """
    ended = False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if ended:
                raise Tampered(f"{path.name}: line {number} follows the signed head")
            try:
                ended = "signature" in _fields.decode(line)
                yield _head.decode(line) if ended else _entry.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Tampered(
                    f"{path.name}: line {number} is no ledger entry ({error}); ask for the export "
                    "anew"
                ) from error
    if not ended:
        raise Tampered(f"{path.name}: ends without a signed head; it was cut short")
