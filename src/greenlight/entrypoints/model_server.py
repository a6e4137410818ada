"""`python -m greenlight.entrypoints.model_server`: bundles behind HTTP, on their own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from greenlight.core.errors import GreenlightError
from greenlight.entrypoints.gateway import serve
from greenlight.wiring.model_server import build_bundle_server, build_model_server

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--bundle", type=PATH, help="Folder of the bundle to serve.")
@click.option(
    "--bundles",
    type=PATH,
    help="Folder that an installation keeps its bundles in: each is served below its digest.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How many of them may be open at once.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port; 0 takes any free one.")
@click.option(
    "--labels",
    type=PATH,
    help="JSON list that names the model's outputs by index; the bundle's own labels without it.",
)
@click.option("--digest", help="The bundle's digest; anything else is refused.")
def main(
    bundle: Path | None,
    bundles: Path | None,
    keep: int,
    host: str,
    port: int,
    labels: Path | None,
    digest: str | None,
) -> None:
    """Serve bundles: POST /predict (of a chat POST /v1/chat/completions) and GET /healthz."""
    if (bundle is None) == (bundles is None):
        raise click.UsageError("give --bundle or --bundles")
    if bundles is not None and (labels, digest) != (None, None):
        raise click.UsageError("--labels and --digest go with --bundle")
    try:
        if bundles is not None:
            serve(build_bundle_server(bundles, keep), host, port, name="model server")
        elif bundle is not None:
            serve(build_model_server(bundle, labels, digest), host, port, name="model server")
    except GreenlightError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
