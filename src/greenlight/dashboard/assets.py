"""The pages' own files: style sheet, script, icon. Each is served under a digest of its content."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

import msgspec

PREFIX = "/static/"
_KINDS = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_DIGITS = 12
"""Of the digest, in a file's name."""


class Asset(msgspec.Struct, frozen=True):
    """A file to send, and its content type."""

    body: bytes
    kind: bytes


@functools.cache
def files() -> dict[str, Asset]:
    """Every file, by the path under which it is served."""
    found = {}
    for file in (resources.files("greenlight.dashboard") / "static").iterdir():
        stem, _, ending = file.name.rpartition(".")
        if ending in _KINDS:
            body = file.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:_DIGITS]
            found[f"{PREFIX}{stem}.{digest}.{ending}"] = Asset(body, _KINDS[ending])
    return found


@functools.cache
def path(name: str) -> str:
    """Where a file of this name (`page.css`) is served.

    Raises:
        KeyError: there is none.
    """
    stem, _, ending = name.rpartition(".")
    for served in files():
        parts = served.removeprefix(PREFIX).rsplit(".", 2)
        if (parts[0], parts[2]) == (stem, ending):
            return served
    raise KeyError(name)
