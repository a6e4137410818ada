"""`finetune-server`: fine-tuning through OpenAI's API, on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from greenlight.core.errors import UserError
from greenlight.entrypoints.cli.serve import log_to_stderr


@click.command("finetune-server")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("finetune"),
    show_default=True,
    help="Folder of files, jobs and models.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8200,
    show_default=True,
    help="Port; 0 takes any free one.",
)
@click.option(
    "--base",
    "bases",
    multiple=True,
    metavar="NAME[=FILE]",
    help="A base model beside greenlight-small; with a file of conversations it is fitted on them.",
)
@click.option("--key", metavar="env:NAME", help="The variable that holds the API key to ask for.")
@click.option(
    "--no-encoder",
    "plain",
    is_flag=True,
    help="Train on TF-IDF alone: faster and smaller, and less good.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[:TIMES][@PATH]",
    help="A fault to rehearse, such as rate-limit:2@/v1/files.",
)
@click.option("--faults", "rehearsing", is_flag=True, help="Take faults at /admin/faults, too.")
def finetune_server(
    state: Path,
    host: str,
    port: int,
    bases: tuple[str, ...],
    key: str | None,
    plain: bool,
    faults: tuple[str, ...],
    rehearsing: bool,
) -> None:
    """Fine-tune through OpenAI's API until SIGTERM; see docs/finetune-server.md."""
    from greenlight.entrypoints.gateway import serve
    from greenlight.wiring.tuning import build_tuning_server, check_reachable

    log_to_stderr()
    secret = _secret(key)
    check_reachable(host, keyed=secret is not None)
    app = build_tuning_server(
        state,
        base_models=bases,
        key=secret,
        encoder=not plain,
        asked_faults=faults,
        rehearsing=rehearsing,
    )
    serve(app, host, port, name="finetune-server")


def _secret(reference: str | None) -> str | None:
    """What the variable holds that `env:NAME` names.

    Raises:
        UserError: no such reference, or an empty variable.
    """
    if reference is None:
        return None
    mark, _, name = reference.partition(":")
    if mark != "env" or not name:
        raise UserError("--key: name the variable that holds the key, as in env:FINETUNE_KEY")
    if not os.environ.get(name):
        raise UserError(f"--key: the variable {name} is not set; put the key there")
    return os.environ[name]
