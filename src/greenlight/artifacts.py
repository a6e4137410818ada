"""Folders sealed by a manifest: every file's digest, and the manifest's own digest as the name.

A bundle (a model) and a dataset are such folders. A changed, missing or added file is found when
the folder is opened.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from greenlight.core import fingerprint, jsonl
from greenlight.core.errors import BadInput, Tampered

T = TypeVar("T", bound=msgspec.Struct)

MANIFEST = "manifest.json"


def seal(folder: str | Path, body: dict[str, Any]) -> str:
    """Write manifest.json: `body` plus `files`, the digest of every file in the folder.

    Returns:
        The digest of the manifest, which names the folder's content.
    """
    root = Path(folder)
    manifest = {**body, "files": _digests(root)}
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
        raise Tampered(f"{root}: not as sealed: {', '.join(wrong)}; restore the folder")
    return manifest


def read_rows(folder: str | Path, split: str, kind: type[T]) -> list[T]:
    """The rows of a sealed dataset's split (`train`, …), in order.

    Raises:
        BadInput: it was sealed without that split, or a line of it is no such row.
    """
    path = Path(folder, f"{split}.jsonl")
    try:
        return jsonl.decode(path.read_bytes(), kind, path.name)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no readable rows ({error}); make the dataset anew") from error


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
