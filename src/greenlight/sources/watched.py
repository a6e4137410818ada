"""A file that must not change while it is read.

It is named by the SHA-256 that it has before the first row. What is read is hashed on the way, and
in the end both must be equal and the file still be the same one: size, time of change, inode.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from greenlight import artifacts
from greenlight.core.errors import BadInput, MissingData, Tampered

MAX_LINE = 1 << 20
"""Bytes of the longest line that is still a line."""

PACKED = {
    b"\x1f\x8b": "gzip; unpack it with gunzip",
    b"BZh": "bzip2; unpack it with bunzip2",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it with unzstd",
    b"\xfd7zXZ": "xz; unpack it with unxz",
    b"PK\x03\x04": "ZIP (or a workbook); unpack it, or save the sheet as CSV",
}
"""The first bytes of what must be unpacked first."""

_BLOCK = 1 << 20
_PARQUET = b"PAR1"

Fault = Callable[[str], None]
"""Told what is wrong with a row; it raises, or takes note and the row is left out."""


class Place:
    """Where in a file one is: how many rows are done with, how many lines were begun."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.row = 0
        self.line = 0

    def __str__(self) -> str:
        """The row at hand, from 1, for messages."""
        where = f" (line {self.line})" if self.line else ""
        return f"{self.name}: row {self.row + 1}{where}"


class Watched:
    """An open file.

    `name` is what to call it, `digest` its content, `size` its bytes, `read` how many of them are
    read, `place` where in it one is.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Open a file and take its digest.

        Raises:
            MissingData: it is not there.
            BadInput: it cannot be read as rows: a directory, no permission, empty, packed.
        """
        self.path, self.name = path, name
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "no file with rows"
                raise BadInput(f"{name}: this is {what}; name a file")
            self._file: BinaryIO = path.open("rb", buffering=0)
            self._before = os.fstat(self._file.fileno())
            self.digest = artifacts.file_digest(path)
        except FileNotFoundError:
            raise MissingData(f"{name}: no such file; name one that is there") from None
        except PermissionError:
            raise BadInput(f"{name}: no permission to read it; chmod or chown it") from None
        except OSError as error:
            raise BadInput(f"{name}: it cannot be read ({error.strerror})") from error
        self.size = self._before.st_size
        self._hash = hashlib.sha256()
        self.read = 0
        self.place = Place(name)
        start = os.pread(self._file.fileno(), 8, 0)
        if not start:
            self.close()
            raise BadInput(f"{name}: the file is empty; name one with rows")
        self._refuse_packed(start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def lines(self, fault: Fault) -> Iterator[str]:
        """The lines as text, each with its line break; `place` counts them.

        A line that is no UTF-8 or holds a NUL is a fault and left out. A byte order mark is no
        part of the first line.

        Raises:
            BadInput: a line without end.
        """
        rest = b""
        while block := self._file.read(_BLOCK):
            self._hash.update(block)
            self.read += len(block)
            block = rest + block
            end = block.rfind(b"\n") + 1
            whole, rest = block[:end], block[end:]
            if len(rest) > MAX_LINE:
                number = self.place.line + whole.count(b"\n") + 1
                raise BadInput(
                    f"{self.name}: line {number} is longer than {MAX_LINE} bytes; "
                    "rows end with a line break"
                )
            yield from self._texts(whole, fault)
        yield from self._texts(rest, fault)

    def check(self, *, read_whole: bool = True) -> None:
        """See that the file is what it was before the first row.

        Args:
            read_whole: it was read by `lines`; else it is read once more.

        Raises:
            Tampered: it changed.
        """
        now = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
            found = None if read_whole else artifacts.file_digest(self.path)
        except OSError:
            raise Tampered(self._changed("it is gone")) from None
        if found is None:
            found = "sha256:" + self._hash.hexdigest()
        for name in ("st_ino", "st_size", "st_mtime_ns"):
            if not getattr(self._before, name) == getattr(now, name) == getattr(there, name):
                what = {"st_ino": "another file took its place", "st_size": "its size"}
                raise Tampered(self._changed(what.get(name, "the time of its last change")))
        if found != self.digest:
            raise Tampered(self._changed("its bytes"))

    def _changed(self, what: str) -> str:
        return (
            f"{self.name}: changed while it was read ({what}); "
            "copy it to where nobody writes, and take the copy"
        )

    def _texts(self, data: bytes, fault: Fault) -> Iterator[str]:
        """The lines of some bytes that end with a line (or with the file)."""
        place = self.place
        if place.line == 0:
            data = data.removeprefix(codecs.BOM_UTF8)
        if b"\0" not in data:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                pass
            else:
                for line in io.StringIO(text, newline="\n"):
                    place.line += 1
                    yield line
                return
        for raw in io.BytesIO(data):
            place.line += 1
            if (wrong := _no_text(raw)) is None:
                yield raw.decode()
            else:
                fault(f"{place}: {wrong}")
                place.row += 1

    def _refuse_packed(self, start: bytes) -> None:
        for magic, remedy in PACKED.items():
            if start.startswith(magic):
                self.close()
                raise BadInput(f"{self.name}: it is packed with {remedy}")
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self.close()
            raise BadInput(f"{self.name}: it is UTF-16; save it as UTF-8")
        if start.startswith(_PARQUET) != (self.path.suffix.lower() == ".parquet"):
            self.close()
            what = "no Parquet" if self.path.suffix.lower() == ".parquet" else "Parquet"
            raise BadInput(f"{self.name}: it is {what}; give it the suffix of what it is")


def _no_text(raw: bytes) -> str | None:
    """Why a line is no text, or None if it is."""
    if (at := raw.find(b"\0")) >= 0:
        return f"byte {at + 1} of the line is NUL; if this is UTF-16, save it as UTF-8"
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        return (
            f"byte {error.start + 1} of the line (0x{byte:02X}) is no UTF-8; "
            "save the file as UTF-8, as by: iconv -f WINDOWS-1252 -t UTF-8"
        )
    return None
