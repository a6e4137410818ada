"""`datasets`: what is on record of the data that versions are made of."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import click

from greenlight import wiring
from greenlight.core import fingerprint
from greenlight.core.errors import NotFound
from greenlight.core.records import Dataset, LedgerEntry, Version
from greenlight.entrypoints.cli.common import (
    facts,
    json_option,
    moment,
    opened,
    public,
    show_json,
    table,
)
from greenlight.lookup import ancestry, erasures, everything, find_dataset, folder_of
from greenlight.ports import Blobs
from greenlight.reporting.dataset_diff import Change, Difference, difference

WIDTH = 60
"""Characters of a text in a list."""

_SPLITS = ("rows", "train", "validation", "test")


@click.group()
def datasets() -> None:
    """List data sets, show one, or compare two."""


@datasets.command("list")
@click.argument("task", required=False)
@json_option
@click.pass_context
def list_datasets(context: click.Context, task: str | None, as_json: bool) -> None:
    """List the data sets of all tasks, or of one, as collected and as prepared."""
    with opened(context) as app:
        where = {"task": app.settings.task(task).name} if task else {}
        found = sorted(everything(app.store, Dataset, where), key=lambda d: (d.task, d.at))
        erased = erasures(app.store)
        states = {d.digest: _state(app, d, erased) for d in found}
    if as_json:
        show_json([{**public(d), "state": states[d.digest]} for d in found])
        return
    rows = [
        (
            fingerprint.short(d.digest),
            d.task,
            d.name,
            _kind(d),
            sum(d.manifest.get("counts", {}).values()),
            moment(d.at),
            states[d.digest],
        )
        for d in found
    ]
    click.echo(table(("DIGEST", "TASK", "NAME", "KIND", "ROWS", "RECORDED", "STATE"), rows))


@datasets.command("show")
@click.argument("dataset")
@json_option
@click.pass_context
def show_dataset(context: click.Context, dataset: str, as_json: bool) -> None:
    """Show a data set: where its rows came from, what was left out, what was made of it.

    DATASET is a digest, or the beginning of one.
    """
    with opened(context) as app:
        found = find_dataset(app.store, dataset)
        erased = erasures(app.store)
        state = _state(app, found, erased)
        children = [
            d.digest
            for d in everything(app.store, Dataset, {"task": found.task})
            if d.manifest.get("parent") == found.digest
        ]
        versions = [
            version.label
            for version in everything(app.store, Version, {"task": found.task})
            if found in ancestry(app.store, str(version.lineage.get("dataset", "")))
        ]
    entry = erased.get(found.digest)
    if as_json:
        show_json(
            {
                "dataset": public(found),
                "state": state,
                "erased": None if entry is None else {"entry": entry.seq, "at": entry.at},
                "children": children,
                "versions": versions,
            }
        )
        return
    click.echo(facts(_about(found, state, entry, children, versions)))
    _show_counts(found.manifest)


@datasets.command("diff")
@click.argument("first")
@click.argument("second")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Show so many texts of each kind of change.",
)
@json_option
@click.pass_context
def diff_datasets(
    context: click.Context, first: str, second: str, show: int, as_json: bool
) -> None:
    """Compare two data sets, row by row: from FIRST to SECOND."""
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    with (
        opened(context) as app,
        bar(Console(quiet=as_json), "compare") as progress,
        tempfile.TemporaryDirectory(prefix="diff-") as workdir,
    ):
        folders = [_folder(app, find_dataset(app.store, name)) for name in (first, second)]
        found = difference(*folders, examples=show, workdir=workdir, progress=progress)
    if as_json:
        show_json(found)
    else:
        _show_difference(found)


def _shelf(app: wiring.App, dataset: Dataset) -> Blobs:
    return app.raw if dataset.manifest.get("parent") is None else app.datasets


def _folder(app: wiring.App, dataset: Dataset) -> str:
    return folder_of(app.store, _shelf(app, dataset), dataset.digest)


def _state(app: wiring.App, dataset: Dataset, erased: Mapping[str, LedgerEntry]) -> str:
    """Whether its rows are there: `there`, `erased` by a purge, or `missing`."""
    try:
        _shelf(app, dataset).path(dataset.digest)
    except NotFound:
        return "erased" if dataset.digest in erased else "missing"
    return "there"


def _kind(dataset: Dataset) -> str:
    return "collected" if dataset.manifest.get("parent") is None else "prepared"


def _about(
    found: Dataset,
    state: str,
    entry: LedgerEntry | None,
    children: list[str],
    versions: list[str],
) -> list[tuple[str, object]]:
    manifest = found.manifest
    window = manifest.get("window")
    rows = f"{state}: purge of {moment(entry.at)}, ledger entry {entry.seq}" if entry else state
    told: list[tuple[str, object]] = [
        ("dataset", found.digest),
        ("name", found.name),
        ("task", found.task),
        ("kind", _kind(found)),
        ("rows", rows),
        ("recorded", moment(found.at)),
        ("source", manifest.get("source") or manifest.get("origin")),
        ("window", window and f"{moment(window['since'])} to {moment(window['until'])}"),
        ("filter", manifest.get("filter")),
        ("licence", manifest.get("licence")),
        ("citation", manifest.get("citation")),
        ("seed", manifest.get("seed")),
        ("personal data", _personal(manifest.get("pii"))),
        ("made of", manifest.get("parent")),
        ("made into", ", ".join(children)),
        ("versions", ", ".join(versions)),
    ]
    return [(name, value) for name, value in told if value not in (None, "")]


def _personal(report: Mapping[str, Any] | None) -> str | None:
    if report is None:
        return None
    kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(report["scrubbed"].items()))
    return f"{kinds or 'nothing'} scrubbed, in {report['rows']} rows; {report['unresolved']} left"


def _show_counts(manifest: Mapping[str, Any]) -> None:
    counts = manifest.get("counts", {})
    splits = [name for name in _SPLITS if name in counts]
    labels = manifest.get("per_label", {})
    rows = [("all", *(counts[split] for split in splits))]
    names = sorted({label for split in splits for label in labels.get(split, {})})
    rows += [(n, *(labels.get(split, {}).get(n, 0) for split in splits)) for n in names]
    click.echo("\n" + table(("LABEL", *(split.upper() for split in splits)), rows))
    exclusions = [(reason, n) for reason, n in sorted(manifest.get("exclusions", {}).items()) if n]
    if exclusions:
        click.echo("\n" + table(("LEFT OUT", "ROWS"), exclusions))


def _show_difference(found: Difference) -> None:
    before, after = found.rows
    click.echo(f"{before:,} rows → {after:,} rows")
    names = ("unchanged", "added", "removed", "relabelled")
    click.echo(facts([(name, f"{getattr(found, name):,}") for name in names]))
    for words, labels in (("new", found.labels_added), ("gone", found.labels_removed)):
        if labels:
            click.echo(f"labels {words}: {', '.join(labels)}")
    if found.per_label:
        rows = [(label, a, b) for label, (a, b) in found.per_label.items()]
        click.echo("\n" + table(("LABEL", "BEFORE", "AFTER"), rows))
    for name, changes in found.examples.items():
        if changes:
            shown = [_change(change) for change in changes]
            click.echo("\n" + table((name.upper(), "BEFORE", "AFTER"), shown))


def _change(change: Change) -> tuple[str, ...]:
    shown = (change.text, ", ".join(change.before) or "–", ", ".join(change.after) or "–")
    return tuple(one if len(one) <= WIDTH else one[: WIDTH - 1] + "…" for one in shown)
