"""Files that are known by their SHA-256: from a folder, from the cache, from their address."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from greenlight.core import fingerprint
from greenlight.core.errors import MissingData, Tampered
from greenlight.datasets.source import Places
from greenlight.ports import Progress

TIMEOUT = 10.0
"""Seconds that a server may stay silent."""
MAX_BYTES = 1 << 26
"""No file of a data set is larger; a server that sends more is cut off."""
_CHUNK = 1 << 16


def obtain(path: str, digest: str, url: str, places: Places, progress: Progress) -> bytes:
    """The bytes of the file `path` (such as banking77/train.csv) with this digest.

    Looks in the given folder, then in the cache, then at the address; what was fetched is kept
    in the cache. A damaged file in the cache is fetched again.

    Raises:
        Tampered: the given folder or the address holds other bytes.
        MissingData: it is nowhere; the message says what to do.
    """
    if places.folder is not None and (given := places.folder / path).is_file():
        return _checked(given.read_bytes(), digest, str(given))
    cached = places.cache / path
    if cached.is_file():
        data = cached.read_bytes()
        if fingerprint.digest_bytes(data) == digest:
            return data
    data = _checked(_download(url, path, progress), digest, url)
    _keep(cached, data)
    return data


def _checked(data: bytes, digest: str, where: str) -> bytes:
    found = fingerprint.digest_bytes(data)
    if found != digest:
        raise Tampered(f"{where}: SHA-256 is {found}, expected {digest}; get the file anew")
    return data


def _download(url: str, path: str, progress: Progress) -> bytes:
    folder = Path(path).parent.as_posix()
    remedy = (
        f"connect to the network, or set GREENLIGHT_DATASETS to a folder that holds {path} "
        f"(published at {url}; folder {folder}/)"
    )
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return _receive(response, path, progress)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise MissingData(f"{path} cannot be fetched ({error}): {remedy}") from error


def _receive(response: http.client.HTTPResponse, path: str, progress: Progress) -> bytes:
    stated = response.headers.get("Content-Length", "")
    total = int(stated) if stated.isdigit() else None
    data = bytearray()
    while chunk := response.read(_CHUNK):
        data += chunk
        if len(data) > MAX_BYTES:
            raise OSError(f"more than {MAX_BYTES} bytes")
        progress(min(1.0, len(data) / total) if total else 0.0, f"fetching {path}")
    if total is not None and len(data) < total:
        raise OSError(f"broke off after {len(data)} of {total} bytes")
    return bytes(data)


def _keep(target: Path, data: bytes) -> None:
    """Write under another name first: nobody ever reads half a file."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, target)
    except OSError as error:
        raise MissingData(
            f"{target}: the cache cannot be written ({error}); "
            "set GREENLIGHT_CACHE to a folder that can"
        ) from error
