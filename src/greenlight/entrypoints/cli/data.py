"""`import`, `export` and `relabel`: data in, data out, and labels by people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from greenlight import wiring
from greenlight.config import units
from greenlight.config.dataset import DatasetSettings
from greenlight.core.curation import TAG
from greenlight.core.errors import BadInput
from greenlight.core.exporting import SUFFIXES
from greenlight.core.finetuning import Range
from greenlight.entrypoints.cli.common import (
    facts,
    initiator,
    json_option,
    limit_option,
    moment,
    opened,
    public,
    show_json,
    table,
)
from greenlight.entrypoints.cli.lazy import NOT_OK

SHOWN_LABELS = 10
WIDTH = 60
"""Characters of a text in a list."""


@click.command("import")
@click.argument("address", metavar="FILE|URL")
@click.option("--task", required=True, help="Whose rows they are.")
@click.option("--text", default="text", show_default=True, help="The column of the text.")
@click.option("--label", default="label", show_default=True, help="The column of the label.")
@click.option("--unit", help="The column of whom the text came from.")
@click.option("--sha256", help="What the file must be: 64 hex digits.")
@json_option
@click.pass_context
def import_data(
    context: click.Context,
    address: str,
    task: str,
    text: str,
    label: str,
    unit: str | None,
    sha256: str | None,
    as_json: bool,
) -> None:
    """Check a file row by row and copy it to data/imported.

    FILE is CSV, JSON lines, Parquet or, to tag, CoNLL by its suffix, or an http(s) address of one
    (256 MiB at most). Nothing is copied while a row is not in order.
    """
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    with opened(context) as app, bar(Console(quiet=as_json), "import") as progress:
        tagged = app.settings.task(task).kind == TAG
        columns = DatasetSettings(source="file", path="-.csv", text=text, label=label, unit=unit)
        found = wiring.import_file(
            app, address, task=task, columns=columns, sha256=sha256, progress=progress
        )
        root = Path(app.settings.root)
    place = Path(found.path).relative_to(root).as_posix() if found.path else None
    lines = _configuration(task, place, columns) if place else []
    if as_json:
        show_json(msgspec.to_builtins(found) | {"path": place, "configuration": lines})
    else:
        told = "entities" if tagged else "labels"
        _tell(found.rows, found.blank, told, found.labels, found.personal_data)
        for problem in found.problems:
            click.echo(problem)
        if found.problem_count > len(found.problems):
            click.echo(f"… and {found.problem_count - len(found.problems)} more")
        if tagged and not found.labels:
            click.echo("warning: no entities leave nothing to learn; add rows that have some")
        elif len(found.labels) == 1 and not tagged:
            click.echo("warning: one label leaves nothing to tell apart; add rows of another")
        if place is not None:
            click.echo(f"copied to {place}; for greenlight.toml:\n")
            click.echo("\n".join(lines))
    if place is None:
        count = f"{found.problem_count} rows are not in order"
        click.echo(
            f"greenlight: {count}, and nothing was copied; mend them and import again", err=True
        )
        context.exit(NOT_OK)


def _tell(
    rows: int, blank: int, told: str, labels: dict[str, int], personal: dict[str, int]
) -> None:
    most = [f"{label} {count}" for label, count in list(labels.items())[:SHOWN_LABELS]]
    rest = [f"and {len(labels) - SHOWN_LABELS} more"] if len(labels) > SHOWN_LABELS else []
    kinds = ", ".join(f"{kind} {count}" for kind, count in personal.items())
    pairs: list[tuple[str, object]] = [("rows", rows)]
    if blank:
        pairs.append(("left out", f"{blank} without text or label"))
    pairs += [
        (told, f"{len(labels)}: {', '.join(most + rest)}"),
        ("personal data", f"{kinds} (scrubbed when a run collects it)" if kinds else "none found"),
    ]
    click.echo(facts(pairs))


def _configuration(task: str, place: str, columns: DatasetSettings) -> list[str]:
    """The table for greenlight.toml; a JSON string is a TOML string."""
    given: dict[str, Any] = {"source": "file", "path": place}
    given |= {name: getattr(columns, name) for name in ("text", "label", "unit")}
    kept = {name: value for name, value in given.items() if value not in (None, name)}
    return [f"[tasks.{task}.dataset]", *(f"{n} = {json.dumps(v)}" for n, v in kept.items())]


@click.command("export")
@click.argument("task")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(SUFFIXES)),
    required=True,
    help="`jsonl` has prompt and completion.",
)
@click.option("--window", help="How far to look back, such as 7d (default: as configured).")
@click.option("--min-rows", type=click.IntRange(min=0), help="Fewer rows than this are none.")
@click.option("--max-rows", type=click.IntRange(min=1), help="At most so many, the newest.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file (default: data/exported/TASK-FORMAT in the project).",
)
@json_option
@click.pass_context
def export_data(
    context: click.Context,
    task: str,
    form: str,
    window: str | None,
    min_rows: int | None,
    max_rows: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the labelled answers of TASK to a file for fine-tuning elsewhere."""
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    with opened(context) as app, bar(Console(quiet=as_json), "export") as progress:
        made = wiring.export_rows(
            app,
            task,
            form=form,
            window=None if window is None else _duration(window),
            min_rows=min_rows,
            max_rows=max_rows,
            out=out,
            progress=progress,
        )
    if as_json:
        show_json(made)
        return
    written = made.written
    pairs: list[tuple[str, object]] = [
        ("rows", written.rows),
        *((f"  {how}", count) for how, count in made.labelled.items() if count),
        *((f"without {reason}", count) for reason, count in made.exclusions.items() if count),
        *((f"scrubbed {kind}", count) for kind, count in written.personal_data.items()),
        ("tokens", _tokens(written.tokens)),
        ("digest", written.digest),
    ]
    if written.empty:
        pairs.insert(1, ("without empty", written.empty))
    click.echo(f"{written.path}\n{facts(pairs)}")


def _tokens(found: Range) -> str:
    return f"about {found.likely:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def _duration(text: str) -> int:
    try:
        return units.duration(text)
    except ValueError as error:
        raise BadInput(f"--window: {error}", "window") from error


@click.group()
def relabel() -> None:
    """Give labels to answers that feedback alone cannot label."""


@relabel.command("list")
@click.argument("task")
@limit_option
@json_option
@click.pass_context
def list_queue(context: click.Context, task: str, limit: int, as_json: bool) -> None:
    """List the answers of TASK that wait for a label, the newest first."""
    with opened(context) as app:
        found = wiring.relabel_queue(app, task, limit)
    if as_json:
        show_json(found)
        return
    rows = [
        (one.inference, moment(one.at), one.reason, _short(one.answer), _short(one.text))
        for one in found
    ]
    click.echo(table(("INFERENCE", "WHEN", "REASON", "ANSWER", "TEXT"), rows))


@relabel.command("label")
@click.argument("inference")
@click.argument("label")
@click.option("-m", "--message", "why", help="The reason.")
@json_option
@click.pass_context
def give_label(
    context: click.Context, inference: str, label: str, why: str | None, as_json: bool
) -> None:
    """Say what the right LABEL of an answer is. INFERENCE is what `relabel list` shows."""
    with opened(context) as app:
        word = wiring.label_answer(app, inference, label, reviewer=initiator(app), why=why)
    if as_json:
        show_json(public(word))
    else:
        click.echo(f"{word.correction} on {word.inference_id} by {word.reviewer}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
