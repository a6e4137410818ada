"""`python -m greenlight.entrypoints.model_server`: one bundle behind HTTP, on its own."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from greenlight.core.errors import BadInput, GreenlightError
from greenlight.entrypoints.gateway import serve
from greenlight.models import bundle
from greenlight.serving.model_server import ModelServer


def names_in(file: Path) -> list[str]:
    """The names of a label file: a JSON list of texts, one per output of the model.

    Raises:
        BadInput: it is no such list.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"labels: {file} is no JSON list of texts: {error}") from error


@click.command()
@click.option("--bundle", "folder", required=True, help="Folder of the bundle to serve.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port; 0 takes any free one.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON list that names the model's outputs by index; the bundle's own labels without it.",
)
def main(folder: str, host: str, port: int, labels: Path | None) -> None:
    """Serve a bundle: POST /predict, GET /healthz."""
    try:
        names = None if labels is None else names_in(labels)
        serve(ModelServer(bundle.load(folder), names), host, port, name="model server")
    except GreenlightError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
