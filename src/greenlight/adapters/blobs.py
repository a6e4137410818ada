"""Sealed folders on disk, each under the digest of its manifest."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import NotFound

_LISTED = 5
_REMOVING = ".removing-"


class FolderBlobs:
    """A `ports.Blobs`: one folder per digest below a root. Processes may share the root."""

    def __init__(self, root: str | Path) -> None:
        """Use a folder, which need not exist yet."""
        self._root = Path(root)

    def add(self, folder: str) -> str:
        """Copy a sealed folder in; returns its digest. Adding it again changes nothing.

        Nobody ever sees half a folder: the copy is checked under another name, then renamed.

        Raises:
            Tampered: the folder is not as it was sealed, or what is kept under its digest
                no longer is.
        """
        digest = fingerprint.digest(artifacts.unseal(folder))
        target = self._place(digest)
        if not target.exists():
            self._copy(Path(folder), target, digest)
        artifacts.unseal(target, digest)
        return digest

    def path(self, digest: str) -> str:
        """Where the folder lies; whoever opens it checks it (`artifacts.unseal`).

        Raises:
            NotFound: there is no such folder; the message lists some that are there.
        """
        there = self._digests()
        if digest not in there:
            some = ", ".join(there[:_LISTED]) or "none"
            more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
            raise NotFound(f"no folder {digest} in {self._root}; there: {some}{more}")
        return str(self._place(digest))

    def digests(self) -> list[str]:
        """Every folder that is there, sorted."""
        return self._digests()

    def remove(self, digest: str) -> None:
        """Erase a folder; where there is none, nothing happens.

        Nobody ever sees half a folder: it is renamed first. What a killed process had renamed is
        erased by the next call.
        """
        going = self._root / f"{_REMOVING}{digest.removeprefix('sha256:')}"
        _erase(going)
        if digest in self._digests():
            os.rename(self._place(digest), going)
            _erase(going)
            _sync(self._root)

    def _copy(self, source: Path, target: Path, digest: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=self._root) as scratch:
            copy = Path(scratch) / target.name
            shutil.copytree(source, copy)
            artifacts.unseal(copy, digest)
            try:
                os.rename(copy, target)
            except OSError:
                if not target.exists():  # otherwise another process added the same folder
                    raise

    def _digests(self) -> list[str]:
        if not self._root.is_dir():
            return []
        names = (path.name for path in self._root.iterdir() if path.is_dir())
        return sorted(f"sha256:{name}" for name in names if not name.startswith("."))

    def _place(self, digest: str) -> Path:
        return self._root / digest.removeprefix("sha256:")


def _erase(folder: Path) -> None:
    """Take away a folder and all below it, write-protected or not."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)
    if folder.is_dir():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    """See to it that what was removed does not come back when power fails."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
