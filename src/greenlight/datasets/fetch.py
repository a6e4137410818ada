"""Files of a data set: from a given folder, from the cache, from their address."""

from __future__ import annotations

from pathlib import Path

from greenlight.core import fingerprint
from greenlight.core.errors import Tampered
from greenlight.datasets.source import Places
from greenlight.download import download
from greenlight.ports import Progress


def obtain(path: str, digest: str, url: str, places: Places, progress: Progress) -> bytes:
    """The bytes of the file `path` (such as banking77/train.csv) with this digest.

    Looks in the given folder, then in the cache, then at the address; what was fetched is kept
    in the cache. A damaged file in the cache is fetched again.

    Raises:
        Tampered: the given folder or the address holds other bytes.
        MissingData: it is nowhere; the message says what to do.
    """
    if places.folder is not None and (given := places.folder / path).is_file():
        data = given.read_bytes()
        found = fingerprint.digest_bytes(data)
        if found != digest:
            raise Tampered(f"{given}: SHA-256 is {found}, expected {digest}; get the file anew")
        return data
    remedy = (
        f"connect to the network, or set GREENLIGHT_DATASETS to a folder that holds {path} "
        f"(folder {Path(path).parent.as_posix()}/)"
    )
    download(url, places.cache / path, digest, progress, name=path, remedy=remedy)
    return (places.cache / path).read_bytes()
