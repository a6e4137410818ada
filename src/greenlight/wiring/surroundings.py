"""What a training or an evaluation runs on: versions, hardware, the code itself."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import greenlight
from greenlight import __version__, release
from greenlight.remembering import code_digest

PACKAGES = ("numpy", "scipy", "scikit-learn", "onnx", "onnxruntime", "tokenizers", "safetensors")


def environment() -> dict[str, Any]:
    """Versions, hardware, commit, and the digest of the source that runs."""
    found: dict[str, Any] = {
        "greenlight": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "packages": packages(),
        "code_commit": release.build().commit,
        "code": code(),
    }
    image = os.environ.get("GREENLIGHT_IMAGE_DIGEST")
    return found | ({"image_digest": image} if image else {})


@functools.cache
def packages() -> dict[str, str]:
    """The versions of what models are trained and run with.

    As they were when this process first asked: an upgrade on disk does not change what is loaded.
    """
    return {name: importlib.metadata.version(name) for name in PACKAGES}


@functools.cache
def code() -> str:
    """Digest of the source that runs: results of other code are never taken for its own."""
    return code_digest(Path(greenlight.__file__).parent)


def _processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
