"""Folders sealed by a manifest: every file's digest, and the manifest's own digest as the name.

A bundle (a model) and a dataset are such folders. A changed, missing or added file is found when
the folder is opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Tampered, Unwritable

T = TypeVar("T", bound=msgspec.Struct)

MANIFEST = "manifest.json"
ROWS = ".jsonl"
"""Of a dataset: a file of rows for each split."""
PROMPTS = "prompts.json"
"""Of a dataset: what the answers in its rows were asked with, by the name that the rows have."""

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount it for writing, or choose another folder",
    errno.EACCES: "give this user the right to write there, or choose another folder",
    errno.EPERM: "give this user the right to write there, or choose another folder",
    errno.ENOTDIR: "choose another folder",
    errno.EEXIST: "a file is in the place of the folder; move it away",
}


def seal(folder: str | Path, body: dict[str, Any]) -> str:
    """Write manifest.json: `body` plus `files`, the digest of every file in the folder.

    Returns:
        The digest of the manifest, which names the folder's content.

    Raises:
        Unwritable: the folder takes no file.
    """
    root = Path(folder)
    manifest = {**body, "files": _digests(root)}
    with writing(root):
        (root / MANIFEST).write_bytes(fingerprint.canonical(manifest) + b"\n")
    return fingerprint.digest(manifest)


def unseal(folder: str | Path, expected: str | None = None) -> dict[str, Any]:
    """Read and check a sealed folder; returns its manifest.

    Raises:
        Tampered: no manifest, a manifest other than `expected`, or a file that was changed,
            removed or added.
    """
    root = Path(folder)
    try:
        manifest = msgspec.json.decode((root / MANIFEST).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise Tampered(f"{root}: no readable {MANIFEST} ({error}); restore the folder") from error
    found = fingerprint.digest(manifest)
    if expected is not None and found != expected:
        raise Tampered(f"{root}: manifest is {found}, expected {expected}; restore the folder")
    files = _digests(root)
    stated = manifest.get("files")
    if not isinstance(stated, dict) or files != stated:
        stated = stated if isinstance(stated, dict) else {}
        wrong = sorted(
            name for name in files.keys() | stated.keys() if files.get(name) != stated.get(name)
        )
        what = ", ".join(wrong) or f"its {MANIFEST} names no files"
        raise Tampered(f"{root}: not as sealed: {what}; restore the folder")
    return manifest


def splits(manifest: Mapping[str, Any]) -> list[str]:
    """The splits of a sealed dataset, by what its manifest says; not every file of it is one."""
    return [name.removesuffix(ROWS) for name in manifest["files"] if name.endswith(ROWS)]


def read_rows(folder: str | Path, split: str, kind: type[T]) -> list[T]:
    """The rows of a sealed dataset's split (`train`, …), in order.

    Raises:
        BadInput: it was sealed without that split, or a line of it is no such row.
    """
    return list(iter_rows(folder, split, kind))


def iter_rows(folder: str | Path, split: str, kind: type[T]) -> Iterator[T]:
    """The rows of a sealed dataset's split, in order, one at a time.

    Raises:
        BadInput: as `read_rows`; the message names the line.
    """
    path = Path(folder, split + ROWS)
    decoder = msgspec.json.Decoder(kind)
    done = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.isspace():
                    yield decoder.decode(line)
                done += 1
    except (OSError, ValueError, msgspec.DecodeError) as error:
        where = str(path) if isinstance(error, OSError) else f"{path}: line {done + 1}"
        raise BadInput(f"{where}: no readable row ({error}); make the dataset anew") from error


def write_prompts(folder: str | Path, prompts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what a dataset's rows were asked with; where they were not, there is no file.

    Raises:
        Unwritable: the folder takes no file.
    """
    if prompts:
        with writing(folder):
            Path(folder, PROMPTS).write_bytes(fingerprint.canonical(dict(prompts)) + b"\n")


def read_prompts(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What the rows of a sealed dataset were asked with; none where it has no such file.

    Raises:
        BadInput: the file is not readable.
    """
    path = Path(folder, PROMPTS)
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{path}: not readable ({error}); make the dataset anew") from error


class RowFiles:
    """The files of a dataset that is being written: one per split, JSON lines.

    Closed on leaving the `with`.
    """

    def __init__(self, folder: str | Path) -> None:
        """Write below a folder."""
        self._folder = Path(folder)
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> RowFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, split: str, lines: bytes) -> None:
        """Add lines to a split's file; with none it is there, and empty.

        Raises:
            Unwritable: the folder takes no more.
        """
        with writing(self._folder):
            if split not in self._files:
                self._files[split] = (self._folder / (split + ROWS)).open("xb", buffering=0)
            rest = memoryview(lines)
            while rest:
                rest = rest[self._files[split].write(rest) :]


@contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Say of a folder that takes nothing what to do about it.

    Raises:
        Unwritable: in place of an `OSError` for a full disk, a file too large, a missing right.
    """
    try:
        yield
    except OSError as error:
        told = unwritable(folder, error)
        if told is None:
            raise
        raise told from error


def unwritable(place: str | Path, error: OSError) -> Unwritable | None:
    """What to say of a place that takes nothing; None if something else is wrong with it."""
    remedy = _REMEDIES.get(error.errno or 0)
    return None if remedy is None else Unwritable(f"{place}: {error.strerror}; {remedy}")


@contextmanager
def half_made(workdir: str | Path) -> Iterator[str]:
    """A folder for what is half made; gone on leaving, whatever happens.

    Raises:
        Unwritable: there is no place for it.
    """
    with writing(workdir):
        folder = tempfile.TemporaryDirectory(prefix="dataset-", dir=workdir)
    with folder as path:
        yield path


def write_document(target: str | Path, document: dict[str, Any]) -> None:
    """Write a document as indented JSON; nobody ever sees half of it.

    Raises:
        OSError: it cannot be written.
    """
    place = Path(target)
    place.parent.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.format(fingerprint.canonical(document), indent=2) + b"\n"
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, place)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in chunks, as `sha256:<64 hex digits>`."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _digests(root: Path) -> dict[str, str]:
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        name: file_digest(path)
        for path in paths
        if (name := path.relative_to(root).as_posix()) != MANIFEST
    }
