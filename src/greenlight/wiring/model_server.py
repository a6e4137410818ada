"""A model server around one bundle: needs no store, no configuration and no clock."""

from __future__ import annotations

from pathlib import Path

from greenlight.serving.model_server import ModelServer, open_bundle


def build_model_server(bundle: Path, labels: Path | None, digest: str | None = None) -> ModelServer:
    """An ASGI application that serves a bundle; see `serving.model_server.open_bundle`."""
    return open_bundle(bundle, labels, digest)
