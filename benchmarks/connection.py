"""A connection of a server that benchmarks ask: HTTP/1.1, as cheap as Python has it."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools


class Connection(asyncio.Protocol):
    """One connection; requests are answered one after another, in `on_message_complete`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        # uvloop's are no asyncio.Transport, and can do the same.
        self.transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body += body

    def take(self) -> tuple[bytes, bytes]:
        """Path and body of the request that is complete; the next one begins."""
        url, body, self._url, self._body = self._url, self._body, b"", b""
        return url, body
