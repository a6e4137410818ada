"""Where rows come from and go to: sources of runs, imports, exports, the relabel queue."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import msgspec

from greenlight.config.dataset import DatasetSettings
from greenlight.config.settings import TaskSettings
from greenlight.core.curation import CLASSIFY, Kind
from greenlight.core.errors import BadInput, MissingData, NotFound
from greenlight.core.exporting import SUFFIXES
from greenlight.core.records import Feedback, Inference, Run, Version
from greenlight.download import download
from greenlight.ports import Progress
from greenlight.ports.source import Source
from greenlight.sources.feedback import Asked, DataCollector, Window
from greenlight.sources.files import FileSource
from greenlight.sources.importing import Imported, bring_in
from greenlight.sources.rows import Bounds, Columns
from greenlight.sources.sql import SqlSource
from greenlight.stages import relabel
from greenlight.stages.export import Written, export
from greenlight.stages.relabel import Relabel
from greenlight.wiring.app import App

IMPORTED = Path("data", "imported")
EXPORTED = Path("data", "exported")
CHUNK = 1000
"""Rows of an export that are held at a time."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """An export, and what the answers of its window that are not in it lacked."""

    written: Written
    exclusions: dict[str, int]
    labelled: dict[str, int]


def kind_of(task: TaskSettings | None) -> Kind:
    """What the labels of a task's rows are."""
    return CLASSIFY if task is None else task.kind


def load_source(app: App, run: Run, dataset: Mapping[str, Any], progress: Progress) -> Source:
    """Open the source of a run's rows.

    Feedback is looked back at from when the run began, so that a run that is resumed finds the
    same rows.

    Raises:
        BadInput, MissingData, Tampered: as the sources.
    """
    wanted = msgspec.convert(dict(dataset), DatasetSettings)
    if wanted.source == "feedback":
        kind = run.plan.get("kind", CLASSIFY)
        return _feedback(app, run.task, wanted, kind=kind, until=run.at, progress=progress)
    if wanted.source == "file":
        return _file(app, run.task, wanted, str(wanted.path), wanted.bounds, progress)
    if wanted.source == "sql":
        return SqlSource(
            str(wanted.url),
            password=_secret(wanted.password),
            root=Path(app.settings.root),
            query=str(wanted.query),
            task=run.task,
            columns=_columns(wanted),
            bounds=Bounds(*wanted.bounds),
            licence=wanted.licence,
            citation=wanted.citation,
            progress=progress,
        )
    return load_public(wanted.source, progress)


def load_public(name: str, progress: Progress) -> Source:
    """A public data set; see `greenlight.datasets.load`."""
    from greenlight import datasets

    return datasets.load(name, progress=progress)


def import_file(
    app: App,
    address: str,
    *,
    task: str,
    columns: DatasetSettings,
    sha256: str | None,
    progress: Progress,
) -> Imported:
    """Check a file, or what lies at an http(s) address, and copy it to data/imported.

    Args:
        app: the open store and settings.
        address: a path (from the current folder) or an address.
        task: whose rows they are.
        columns: settings that say which columns hold what.
        sha256: what the file must be, as 64 hex digits.
        progress: told the share done.

    Raises:
        BadInput, MissingData, Tampered: as `sources.importing.bring_in` and `download`.
    """
    kind = kind_of(app.settings.task(task))
    folder = Path(app.settings.root) / IMPORTED
    digest = _digest(sha256)
    scheme = urlsplit(address).scheme if "://" in address else ""
    if scheme not in ("", "http", "https"):
        raise BadInput(f"{address}: {scheme}:// is not read here; fetch the file, or use https://")
    if not scheme:
        return bring_in(
            Path(address), folder, _columns(columns), progress, kind=kind, digest=digest
        )
    folder.mkdir(parents=True, exist_ok=True)
    name = PurePosixPath(urlsplit(address).path).name or "file"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        target = Path(scratch, name)
        remedy = "check the address, or fetch it yourself and import the file"
        download(address, target, digest, progress, name=name, remedy=remedy)
        return bring_in(target, folder, _columns(columns), progress, kind=kind, digest=digest)


def export_rows(
    app: App,
    task: str,
    *,
    form: str,
    window: int | None,
    min_rows: int | None,
    max_rows: int | None,
    out: Path | None,
    progress: Progress,
) -> Export:
    """Write the labelled answers of a task to a file; see `stages.export`.

    Args:
        app: the open store and settings.
        task: the task's name; its dataset settings say how feedback becomes labels.
        form: one of `core.exporting.SUFFIXES`.
        window: how far to look back (µs), if not as configured.
        min_rows: the least rows, if not as configured.
        max_rows: the most rows, if not as configured.
        out: the file (default: data/exported/TASK-FORMAT in the project).
        progress: told the share done.
    """
    configured, kind = app.settings.task(task).dataset, kind_of(app.settings.task(task))
    wanted = configured if configured.source == "feedback" else DatasetSettings(source="feedback")
    least, most = wanted.bounds
    now = app.clock.now()
    source = DataCollector(
        app.store,
        task=task,
        window=Window(since=now - (window or wanted.since), until=now, filter=wanted.filter),
        policy=wanted.labelling(kind),
        bounds=Bounds(
            least if min_rows is None else min_rows, most if max_rows is None else max_rows
        ),
        licence=wanted.licence,
        citation=wanted.citation,
        progress=progress,
        asked=functools.partial(asked_with, app),
    )
    target = out or Path(app.settings.root) / EXPORTED / f"{task}-{form}.{SUFFIXES[form]}"
    written = export(
        (rows for _, rows in source.chunks(lambda: CHUNK)),
        form,
        target,
        kind,
        lambda: source.prompts,
    )
    return Export(
        written=written,
        exclusions=dict(source.exclusions),
        labelled=dict(source.details["labelled"]),
    )


def asked_with(app: App, version: str) -> Asked | None:
    """What a version at a provider was asked with; None for a model that reads the text alone.

    Raises:
        NotFound: it is not on record, its bundle is not here any more, or its instructions had
            places that only the request could fill.
        Tampered: its bundle is not as it was sealed.
    """
    from greenlight.models import conversation

    served = app.store.get(Version, version)
    if served is None:
        raise NotFound(f"version {version}: not on record, so that nobody can tell what it was")
    if served.runtime.get("kind") == "in_process":
        return None
    found = conversation.contents(app.bundles.path(served.bundle), served.bundle)
    if found is None:
        return None
    if not conversation.rebuildable(found):
        raise NotFound(f"version {version}: what filled the places of its instructions is not kept")
    return Asked(served.bundle, found)


def relabel_queue(app: App, task: str, limit: int) -> list[Relabel]:
    """The answers of a task that wait for a label, as far back as its next run would look."""
    wanted = app.settings.task(task).dataset
    policy = wanted.labelling(kind_of(app.settings.task(task)))
    now = app.clock.now()
    return relabel.queue(app.store, task, policy, since=now - wanted.since, until=now, limit=limit)


def label_answer(
    app: App,
    inference: str,
    label: str,
    *,
    task: str | None = None,
    reviewer: str,
    why: str | None = None,
) -> Feedback:
    """Give an answer its label; see `stages.relabel.label`."""
    answer = app.store.get(Inference, inference)
    configured = app.settings.tasks.get(answer.task) if answer is not None else None
    return relabel.label(
        app.store,
        inference,
        label,
        task=task,
        kind=kind_of(configured),
        labels=configured.dataset.labels if configured is not None else (),
        reviewer=reviewer,
        why=why,
        now=app.clock.now(),
        random=app.random,
    )


def _feedback(
    app: App, task: str, wanted: DatasetSettings, *, kind: Kind, until: int, progress: Progress
) -> DataCollector:
    base: Source | None = None
    if wanted.base is not None and Path(wanted.base).suffix:
        base = _file(app, task, wanted, wanted.base, (None, None), progress)
    elif wanted.base is not None:
        base = load_public(wanted.base, progress)
    return DataCollector(
        app.store,
        task=task,
        window=Window(since=until - wanted.since, until=until, filter=wanted.filter),
        policy=wanted.labelling(kind),
        bounds=Bounds(*wanted.bounds),
        licence=wanted.licence,
        citation=wanted.citation,
        progress=progress,
        base=base,
        asked=functools.partial(asked_with, app),
    )


def _file(
    app: App,
    task: str,
    wanted: DatasetSettings,
    path: str,
    bounds: tuple[int | None, int | None],
    progress: Progress,
) -> FileSource:
    return FileSource(
        Path(app.settings.root, path),
        shown=path,
        task=task,
        columns=_columns(wanted),
        bounds=Bounds(*bounds),
        licence=wanted.licence,
        citation=wanted.citation,
        progress=progress,
    )


def _columns(wanted: DatasetSettings) -> Columns:
    return Columns(wanted.text, wanted.label, wanted.unit)


def _digest(text: str | None) -> str | None:
    if text is None:
        return None
    digits = text.lower().removeprefix("sha256:")
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise BadInput(f"sha256 {text!r}: 64 hex digits, as sha256sum prints them", "sha256")
    return f"sha256:{digits}"


def _secret(reference: str | None) -> str | None:
    """What the variable holds that `env:NAME` names."""
    if reference is None:
        return None
    name = reference.removeprefix("env:")
    if name not in os.environ:
        raise MissingData(f"password: the variable {name} is not set")
    return os.environ[name]
