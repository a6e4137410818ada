"""`release`: what stands between a checkout and a release, and the signatures of people."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from greenlight.core.acceptance import SECTIONS, Row
from greenlight.core.sign_off import PAPERS
from greenlight.entrypoints.cli.common import json_option, own_secret, show_json, table
from greenlight.entrypoints.cli.lazy import NOT_OK
from greenlight.wiring import releasing as wired

root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the checkout (default: the current folder, or that of -C).",
)
DELIVERABLES = 1 + SECTIONS.index("Deliverables")


@click.group()
def release() -> None:
    """Check a checkout of Greenlight against its ACCEPTANCE.md, and sign what gates a release."""


@release.command()
@root_option
@json_option
@click.pass_context
def check(context: click.Context, root: Path | None, as_json: bool) -> None:
    """Hold deliverables, targets, protocol and signatures against ACCEPTANCE.md.

    Exits with 1 if anything is missing, missed, changed or unsigned. Of deliverables, only what is
    missing is shown.
    """
    known = _Commands(context)
    found = wired.check_release(_folder(context, root), known=known)
    if as_json:
        rows = [{**msgspec.structs.asdict(row), "ok": row.ok} for row in found.rows]
        show_json(
            {
                "ok": found.ok,
                "state": found.state,
                "digest": found.digest,
                "rows": rows,
                "problems": found.problems,
            }
        )
    else:
        cells = [
            (f"§{row.section}", row.what, row.found, row.required, row.verdict, row.next)
            for row in found.rows
            if row.section != DELIVERABLES
        ]
        click.echo(table(("", "WHAT", "FOUND", "REQUIRED", "VERDICT", "NEXT"), cells))
        click.echo("")
        for row in found.rows:
            if row.section == DELIVERABLES and not row.ok:
                click.echo(f"§{row.section}  {row.what} ({row.required}): {row.found}")
        for problem in found.problems:
            click.echo(f"signature: {problem}")
        click.echo(_summary(found.rows, found.state))
    if not found.ok:
        context.exit(NOT_OK)


@release.command()
@click.argument("paper", type=click.Choice(list(PAPERS)), default="acceptance")
@click.option("-m", "--message", "why", required=True, help="The reason, on record.")
@root_option
@json_option
@click.pass_context
def sign(context: click.Context, paper: str, why: str, root: Path | None, as_json: bool) -> None:
    """Sign ACCEPTANCE.md, or the policy, with your own key.

    Your key is read from GREENLIGHT_PERSON_KEY. What you sign is the digest of targets and
    protocol (or of the policy's text): any change of them makes your signature void.
    """
    made = wired.sign_paper(_folder(context, root), paper, secret=own_secret(), why=why)
    if as_json:
        show_json(
            {
                "file": made.file,
                "word": msgspec.to_builtins(made.word),
                "ok": made.standing.ok,
                "state": str(made.standing),
            }
        )
        return
    click.echo(f"{made.word.person} ({made.word.role}): signed {made.file}, {made.word.digest}")
    click.echo(f"{made.file} is now: {made.standing}")
    click.echo("next: commit it")


@release.command()
@root_option
@json_option
@click.pass_context
def renew(context: click.Context, root: Path | None, as_json: bool) -> None:
    """Write the digest of targets and protocol, and each paper's status, as they are now.

    Signatures of another digest stay where they are, and count no more.
    """
    digest = wired.renew_papers(_folder(context, root))
    if as_json:
        show_json({"digest": digest})
        return
    click.echo(f"digest of targets and protocol: {digest}")


class _Commands:
    """Which commands of `greenlight` there are."""

    def __init__(self, context: click.Context) -> None:
        self._main = context.find_root().command
        self._context = context.find_root()

    def __call__(self, words: str) -> bool:
        command: click.Command | None = self._main
        for word in words.split():
            if not isinstance(command, click.Group):
                return False
            command = command.get_command(self._context, word)
        return command is not None


def _folder(context: click.Context, root: Path | None) -> Path:
    folder: Path = context.find_root().obj.parent
    return folder if root is None else root


def _summary(rows: list[Row], state: str) -> str:
    """All of it in a line."""
    open_rows = sum(not row.ok for row in rows)
    needed = [row for row in rows if row.section == DELIVERABLES]
    there = sum(row.ok for row in needed)
    verdict = "may be released" if not open_rows else f"{open_rows} of {len(rows)} stand in the way"
    return f"release check: {state}; deliverables {there} of {len(needed)}; {verdict}"
