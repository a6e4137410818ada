"""Files known by their SHA-256, fetched into the cache from where they were published."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from greenlight import artifacts
from greenlight.core.errors import MissingData, Tampered
from greenlight.ports import Progress

TIMEOUT = 10.0
"""Seconds that a server may stay silent."""
MAX_BYTES = 1 << 28
"""No file is larger; a server that sends more is cut off."""
_CHUNK = 1 << 16


def cache_folder(environ: Mapping[str, str]) -> Path:
    """GREENLIGHT_CACHE, or ~/.cache/greenlight."""
    return Path(environ.get("GREENLIGHT_CACHE") or "~/.cache/greenlight").expanduser()


def download(
    url: str, target: Path, digest: str | None, progress: Progress, *, name: str, remedy: str
) -> str:
    """Fetch a file unless it is there whole; nobody ever sees half a file. Returns its digest.

    Args:
        url: where it was published.
        target: its place in the cache.
        digest: its SHA-256, as `sha256:<64 hex digits>`; None takes whatever comes.
        progress: called with the share received.
        name: what to call it.
        remedy: what one can do where it cannot be fetched.

    Raises:
        Tampered: the address holds other bytes; they are not kept.
        MissingData: it cannot be fetched or kept; the message says what to do.
    """
    if digest is not None and target.is_file() and artifacts.file_digest(target) == digest:
        return digest
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            part = Path(scratch) / target.name
            try:
                with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as to:
                    found = _receive(answer, to, lambda share: progress(share, f"fetching {name}"))
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                raise MissingData(
                    f"{name} cannot be fetched from {url} ({error}): {remedy}"
                ) from error
            if digest is not None and found != digest:
                raise Tampered(f"{url}: SHA-256 is {found}, expected {digest}; get the file anew")
            os.replace(part, target)
            return found
    except OSError as error:
        raise MissingData(
            f"{target}: the cache cannot be written ({error}); "
            "set GREENLIGHT_CACHE to a folder that can"
        ) from error


def _receive(
    answer: http.client.HTTPResponse, file: IO[bytes], received: Callable[[float], None]
) -> str:
    """Write the answer to a file and return its digest."""
    stated = answer.headers.get("Content-Length", "")
    total = int(stated) if stated.isdigit() else None
    hashed = hashlib.sha256()
    count = 0
    while chunk := answer.read(_CHUNK):
        count += len(chunk)
        if count > MAX_BYTES:
            raise OSError(f"more than {MAX_BYTES} bytes")
        hashed.update(chunk)
        file.write(chunk)
        received(min(1.0, count / total) if total else 0.0)
    if total is not None and count < total:
        raise OSError(f"broke off after {count} of {total} bytes")
    return "sha256:" + hashed.hexdigest()
