"""A model server around one bundle, or a folder of them: needs no store and no configuration."""

from __future__ import annotations

from pathlib import Path

from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.clock import SystemClock
from greenlight.serving.model_server import BundleServer, ModelServer, open_bundle


def build_model_server(bundle: Path, labels: Path | None, digest: str | None = None) -> ModelServer:
    """An ASGI application that serves a bundle; see `serving.model_server.open_bundle`."""
    return open_bundle(bundle, labels, digest, now=SystemClock().now)


def build_bundle_server(bundles: Path, keep: int) -> BundleServer:
    """An ASGI application that serves the bundles of an installation, each at its own path.

    Args:
        bundles: the folder that an installation keeps them in.
        keep: how many may be open at once.
    """
    return BundleServer(FolderBlobs(bundles).path, keep, now=SystemClock().now)
