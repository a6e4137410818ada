"""Sealed folders on disk, each under the digest of its manifest."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import NotFound

_ADDING = ".adding-"
_REMOVING = ".removing-"
_LISTED = 5


class FolderBlobs:
    """A `ports.Blobs`: one folder per digest below a root. Processes may share the root.

    What is kept is kept for good: its files are read-only, and on the disk before anybody is told
    that they are there.
    """

    def __init__(self, root: str | Path) -> None:
        """Use a folder, which need not exist yet."""
        self._root = Path(root)

    def add(self, folder: str) -> str:
        """Copy a sealed folder in; returns its digest. Adding it again changes nothing.

        Nobody ever sees half a folder: the copy is checked under another name, then renamed. On
        return it survives a power cut.

        Raises:
            Tampered: the folder is not as it was sealed, or what is kept under its digest
                no longer is.
            Unwritable: the disk is full, or may not be written to; nothing is left behind.
        """
        digest = fingerprint.digest(artifacts.unseal(folder))
        target = self._place(digest)
        if not target.exists():
            with artifacts.writing(self._root):
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
        erased by the next call, and so is what one left that was killed while adding.
        """
        if not self._root.is_dir():
            return
        going = self._root / f"{_REMOVING}{digest.removeprefix('sha256:')}"
        with self._sweeping():
            _erase(going)
            if digest in self._digests():
                os.rename(self._place(digest), going)
                _erase(going)
            _sync(self._root)

    def _copy(self, source: Path, target: Path, digest: str) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        with (
            self._sweeping(),
            tempfile.TemporaryDirectory(prefix=_ADDING, dir=self._root) as scratch,
        ):
            copy = Path(scratch) / target.name
            _copy_durably(source, copy)
            artifacts.unseal(copy, digest)
            try:
                os.rename(copy, target)
            except OSError:
                if not target.exists():  # otherwise another process added the same folder
                    raise
            _sync(self._root)

    @contextmanager
    def _sweeping(self) -> Iterator[None]:
        """Clear away what a killed process left, unless somebody is adding just now.

        Everybody who adds shares a lock on the root, which the system gives back when a process
        dies. Who gets it alone knows that no half copy below it is anybody's.
        """
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # somebody is adding, or this file system knows no locks
                fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in self._root.glob(f"{_ADDING}*"):
                    shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):
                fcntl.flock(root, fcntl.LOCK_SH)
            yield
        finally:
            os.close(root)

    def _digests(self) -> list[str]:
        if not self._root.is_dir():
            return []
        names = (path.name for path in self._root.iterdir() if path.is_dir())
        return sorted(f"sha256:{name}" for name in names if not name.startswith("."))

    def _place(self, digest: str) -> Path:
        return self._root / digest.removeprefix("sha256:")


def _copy_durably(source: Path, target: Path) -> None:
    """Copy a folder to the disk itself, files read-only, with the rights of new files and folders
    rather than those of the source, which is often a private scratch folder."""
    target.mkdir(mode=0o755)
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            _copy_durably(entry, target / entry.name)
            continue
        with entry.open("rb") as came, (target / entry.name).open("xb") as kept:
            shutil.copyfileobj(came, kept, 2**18)
            kept.flush()
            mode = os.fstat(kept.fileno()).st_mode
            os.fchmod(kept.fileno(), mode & 0o444)
            os.fsync(kept.fileno())
    _sync(target)


def _erase(folder: Path) -> None:
    """Take away a folder and all below it, write-protected or not."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)
    if folder.is_dir():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    """See to it that what came or went does not go or come back when power fails."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
