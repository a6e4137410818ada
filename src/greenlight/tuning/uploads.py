"""Uploads: a form's file goes to the disk as it arrives, and is kept in the end or leaves nothing.

(RFC 7578, multipart/form-data, with a file in the field `file` and a `purpose`.)
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from greenlight.core.errors import BadInput
from greenlight.serving.http import Disconnected, Receive, Scope, TooLarge, header
from greenlight.tuning.conversations import check_lines
from greenlight.tuning.state import State, settle
from greenlight.tuning.wire import PURPOSE, FileObject

LARGEST = 512 << 20
"""Bytes of an upload, as at OpenAI."""
_FIELD = 1024
"""Bytes of a field that is no file."""
_BOUNDARY = 70
"""Characters of a form's boundary (RFC 2046, 5.1.1)."""


class _Form:
    """A form as it arrives."""

    def __init__(self, boundary: bytes, file: IO[bytes]) -> None:
        self.fields: dict[str, bytes] = {}
        self.filename: str | None = None
        """None until there is a file."""
        self.complete = False
        self._file = file
        self._name, self._in_file = "", False
        self._header, self._headers = [b"", b""], dict[bytes, bytes]()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._begin,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Take what has arrived.

        Raises:
            BadInput: it is no form, or has parts that no upload has.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadInput(f"the form cannot be read: {error}") from error

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._in_file = self._name == "file" and b"filename" in options
        if self._in_file:
            if self.filename is not None:
                raise BadInput("file: send one file", "file")
            name = Path(options[b"filename"].decode(errors="replace")).name
            self.filename = name or "upload.jsonl"
            return
        if self._name != "purpose" or self._name in self.fields:
            told = f"{self._name!r} is no field of an upload, or stands there twice"
            raise BadInput(f"{told}; send `file` (with a file name) and `purpose`", self._name)
        self.fields[self._name] = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file.write(data[start:end])
            return
        self.fields[self._name] += data[start:end]
        if len(self.fields[self._name]) > _FIELD:
            raise BadInput(f"{self._name}: more than {_FIELD} bytes", self._name)

    def _end(self) -> None:
        self.complete = True


async def upload(state: State, scope: Scope, receive: Receive) -> FileObject:
    """Take an upload.

    Raises:
        BadInput: no such form, another purpose, or no file of JSON lines.
        TooLarge: it is too long.
        Disconnected: the client left before its end; nothing is left of it.
    """
    kind, options = parse_options_header(header(scope, b"content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= _BOUNDARY:
        raise BadInput(
            "an upload is a form: content-type multipart/form-data with a boundary of 1 to "
            f"{_BOUNDARY} characters"
        )
    with tempfile.NamedTemporaryFile(dir=state.files, prefix=".") as file:
        form = _Form(boundary, file)
        await _read(form, receive)
        return await asyncio.to_thread(_keep, state, form, Path(file.name), file)


async def _read(form: _Form, receive: Receive) -> None:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected("the client left before the end of its upload")
        body = bytes(message.get("body", b""))
        size += len(body)
        if size > LARGEST:
            raise TooLarge(f"the upload has more than {LARGEST >> 20} MiB; send less", "file")
        form.feed(body)
        if not message.get("more_body"):
            return


def _keep(state: State, form: _Form, arrived: Path, file: IO[bytes]) -> FileObject:
    """Check what arrived, and put it in its place."""
    if not form.complete:
        raise BadInput("the form has no end; send all of it")
    purpose = form.fields.get("purpose", b"").decode(errors="replace")
    if purpose != PURPOSE:
        raise BadInput(f"purpose: {purpose!r}; this server keeps files for {PURPOSE!r}", "purpose")
    if form.filename is None:
        raise BadInput("file: there is none; send one in the form's field `file`", "file")
    file.flush()
    os.fsync(file.fileno())
    check_lines(arrived)
    made = FileObject(
        id=state.fresh("file-"),
        bytes=arrived.stat().st_size,
        created_at=state.seconds(),
        filename=form.filename,
        purpose=PURPOSE,
    )
    os.link(arrived, state.files / made.id)
    settle(state.files)
    state.add(made)
    return made
