"""`validate` and `audit`: is what is written down right, and is it still what was written?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from greenlight import config, wiring
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.entrypoints.cli.common import (
    facts,
    json_option,
    moment,
    opened,
    settings,
    show_json,
)
from greenlight.entrypoints.cli.lazy import NOT_OK, WARNED


@click.command()
@click.option("--fail-on-warn", is_flag=True, help="Exit with 3 if there is a warning.")
@json_option
@click.pass_context
def validate(context: click.Context, fail_on_warn: bool, as_json: bool) -> None:
    """Check greenlight.toml and show every fault at once."""
    found = settings(context)
    warnings = config.warnings(found)
    if as_json:
        show_json(
            {
                "ok": True,
                "config_digest": found.config_digest,
                "tasks": sorted(found.tasks),
                "people": sorted(found.people),
                "warnings": warnings,
            }
        )
    else:
        count = f"{len(found.tasks)} task" + ("s" if len(found.tasks) != 1 else "")
        click.echo(f"{context.find_root().obj}: valid; {count}, digest {found.config_digest}")
        for warning in warnings:
            click.echo(f"warning: {warning}")
    if warnings and fail_on_warn:
        context.exit(WARNED)


@click.group()
def audit() -> None:
    """Check that nothing on record was changed."""


out_option = click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file instead of printing it.",
)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@audit.command("head")
@out_option
@json_option
@click.pass_context
def show_head(context: click.Context, out: Path | None, as_json: bool) -> None:
    """Sign the ledger's head as it is now. Keep it where nobody here can change it."""
    with opened(context) as app:
        signed = wiring.signed_head(app)
    if out is not None:
        _write(out, [fingerprint.canonical(signed) + b"\n"])
    if as_json:
        show_json(signed)
    elif out is None:
        found = msgspec.structs.asdict(signed)
        click.echo(facts([*(found | {"at": moment(signed.at)}).items()]))
    else:
        click.echo(f"head of entry {signed.seq}: {out}")


@audit.command("export")
@out_option
@json_option
@click.pass_context
def export(context: click.Context, out: Path | None, as_json: bool) -> None:
    """Hand the whole ledger over: every entry as a line of JSON, and its signed head at the end."""
    with opened(context) as app:
        lines = wiring.export_ledger(app)
        if out is None:
            for line in lines:
                click.echo(line, nl=False)
            return
        count = _write(out, lines) - 1
    if as_json:
        show_json({"entries": count, "file": str(out)})
    else:
        click.echo(f"{count} entries and their signed head: {out}")


@audit.command()
@click.option(
    "--head",
    "heads",
    type=existing_file,
    help="Signed heads that were kept elsewhere (default: the installation's own file of them).",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Public key of the installation, from where you keep it; once per key it has had.",
)
@click.option(
    "--ledger", "exported", type=existing_file, help="Check this export instead of the store."
)
@click.option("--no-files", is_flag=True, help="Do not hash the folders of bundles and datasets.")
@json_option
@click.pass_context
def verify(
    context: click.Context,
    heads: Path | None,
    keys: tuple[str, ...],
    exported: Path | None,
    no_files: bool,
    as_json: bool,
) -> None:
    """Check the ledger against signed heads, and records and folders against the ledger."""
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    with bar(Console(stderr=True, quiet=as_json), "audit") as progress:
        if exported is not None:
            there = context.find_root().obj.is_file()
            found = wiring.verify_export(
                exported,
                settings(context) if there and not keys else None,
                heads=heads,
                keys=keys,
                progress=progress,
            )
        else:
            with opened(context) as app:
                found = wiring.verify_ledger(
                    app, heads=heads, keys=keys, folders=not no_files, progress=progress
                )
    report = found.report
    if as_json:
        rest = msgspec.structs.asdict(found)
        del rest["report"]
        show_json(msgspec.structs.asdict(report) | rest)
    else:
        for line in [*report.problems, *(f"warning: {line}" for line in found.warnings)]:
            click.echo(line)
        click.echo(_vouched(found))
        count = len(report.problems)
        words = "intact" if report.ok else f"{count} problem" + ("s" if count > 1 else "")
        files = f", {report.folders} folders hashed" if report.folders else ""
        click.echo(f"ledger: {report.entries} entries, head {report.head}{files}: {words}")
    if not report.ok:
        context.exit(NOT_OK)


def _vouched(found: wiring.Verification) -> str:
    """What signed heads say, and what they cannot say."""
    report = found.report
    if report.heads == 0:
        return (
            "heads: no signed head to hold it against, so that a tail that was cut off, or a "
            "ledger written anew, cannot be found (docs/audit.md)"
        )
    parts = [f"heads: {report.heads} signed by {', '.join(found.keys)} ({found.key_source})"]
    if report.agreed:
        parts.append(f"the newest that agrees is of entry {report.agreed}")
    if report.agreed < report.entries:
        parts.append(f"no head vouches for what comes after entry {report.agreed}")
    if found.beside_store:
        parts.append(
            "they lie beside the store, in reach of whoever can rewrite it: keep them elsewhere "
            "(docs/audit.md)"
        )
    return "; ".join(parts)


def _write(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines to a file, whole or not at all; returns how many.

    Raises:
        BadInput: it cannot be written.
    """
    count = 0
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written: {error.strerror}", "output") from error
    return count
