"""`python -m greenlight.entrypoints.model_server`: one bundle behind HTTP, on its own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from greenlight.core.errors import GreenlightError
from greenlight.entrypoints.gateway import serve
from greenlight.wiring.model_server import build_model_server

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--bundle", type=PATH, required=True, help="Folder of the bundle to serve.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port; 0 takes any free one.")
@click.option(
    "--labels",
    type=PATH,
    help="JSON list that names the model's outputs by index; the bundle's own labels without it.",
)
@click.option("--digest", help="The bundle's digest; anything else is refused.")
def main(bundle: Path, host: str, port: int, labels: Path | None, digest: str | None) -> None:
    """Serve a bundle: POST /predict, GET /healthz."""
    try:
        serve(build_model_server(bundle, labels, digest), host, port, name="model server")
    except GreenlightError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
