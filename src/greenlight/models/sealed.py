"""What bundles of every kind have in common: written once, sealed, and checked when opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greenlight import artifacts
from greenlight.core.errors import BadInput, GreenlightError

FORMAT = 1
REMEDY = "make it with this release: greenlight run TASK, or greenlight.models.bundle.write"


def write(folder: str | Path, files: Iterable[tuple[str, bytes]], body: dict[str, Any]) -> str:
    """Write a bundle to a new or empty folder; equal content gives equal bytes.

    Args:
        folder: where to.
        files: names and contents.
        body: of the manifest, without its format and files.

    Returns:
        The bundle's digest.

    Raises:
        BadInput: the folder is not empty.
        Unwritable: the folder takes no more.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise BadInput(f"{root} is not empty; a bundle needs a folder of its own", "out")
    with artifacts.writing(root):
        for name, content in files:
            (root / name).write_bytes(content)
    return artifacts.seal(root, {"format": FORMAT, **body})


def unseal(root: Path, expected_digest: str | None) -> dict[str, Any]:
    """The manifest of a bundle, after checking every byte of its folder.

    Raises:
        Tampered: not the expected bundle, or a file was changed, removed or added.
        BadInput: sealed in a format that this release does not read.
    """
    body = artifacts.unseal(root, expected_digest)
    if body.get("format") != FORMAT:
        stated = f"bundle format {body.get('format')}; this release reads {FORMAT}"
        raise BadInput(f"{root}: {stated}; {REMEDY}")
    return body


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """Say of a folder that was sealed but holds no bundle what to do about it.

    Raises:
        BadInput: in place of whatever the libraries raise; those of the ONNX runtime have no class
            in common.
    """
    try:
        yield
    except GreenlightError:
        raise
    except Exception as error:
        raise BadInput(
            f"{root}: no bundle that this release can read ({error}); {REMEDY}"
        ) from error
