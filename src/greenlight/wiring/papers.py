"""What is written about a version of this installation: its model card, and of a run its pilot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import Refused
from greenlight.core.evaluation import JUDGED
from greenlight.core.gates import GateResult
from greenlight.core.model_card import Facts
from greenlight.core.records import (
    Approval,
    Dataset,
    Evaluation,
    LedgerEntry,
    Run,
    StageResult,
    Version,
)
from greenlight.lookup import everything, find_version
from greenlight.reporting import lineage
from greenlight.stages.seal import sealed
from greenlight.wiring.app import App, standing
from greenlight.wiring.evaluating import evaluation_of
from greenlight.wiring.next_step import step_of

_UNKNOWN_TASK = "the configuration names no such task, so nobody can say who signs"


def write_card(
    app: App,
    version: Version,
    folder: Path,
    *,
    evaluation: Path | None = None,
    repository: Path | None = None,
    page: bool = True,
) -> dict[str, Path]:
    """Write a version's model card, as Markdown with figures and as a page; returns where each is.

    Args:
        app: the open store and settings.
        version: what the card is of.
        folder: takes the card.
        evaluation: a sealed document of this version to tell of, and to link to; by default the
            evaluation that counts: the approved one, else the last that passed its gates, else the
            newest.
        repository: a checkout of Greenlight to whose documentation the card links; by default it
            names the pages and links to none.
        page: whether to write the page too.

    Raises:
        Refused: the document is of another version.
        BadInput: it cannot be read.
        Tampered: it is not what was sealed.
    """
    from greenlight.reporting import card

    traced = lineage.trace(app.store, app.raw, app.datasets, version).count
    document = None if evaluation is None else sealed(evaluation)
    if document is not None and document["version"] != version.digest:
        name = fingerprint.short(str(document["version"]))
        raise Refused(f"{evaluation}: of version {name}, not of {version.label}; name that one")
    facts = msgspec.structs.replace(
        facts_of(app, version, traced, document),
        docs=None if repository is None else f"{_seen_from(folder, repository)}/",
        sealed=None if evaluation is None else _seen_from(folder, evaluation),
    )
    return card.write(folder, facts, page=page)


def write_pilot(app: App, run: Run, folder: Path, *, page: bool = True) -> dict[str, Path]:
    """Write the report on a run and what came of it, as Markdown with figures and as a page.

    Args:
        app: the open store and settings.
        run: what it tells of.
        folder: takes the report.
        page: whether to write the page too.

    Returns:
        Where each is.

    Raises:
        Unwritable: the folder cannot be written to.
    """
    from greenlight.reporting.pilot.facts import gather
    from greenlight.reporting.pilot.page import write

    registered = app.store.get(StageResult, run.id, "register")
    version = None
    if registered is not None:
        version = app.store.get(Version, registered.output["version"])
    known = run.task in app.settings.tasks
    quorum = None if version is None or not known else standing(app, version)
    facts, told = gather(
        app.store,
        run,
        approved=quorum is not None and quorum.ok,
        standing=_UNKNOWN_TASK if quorum is None else str(quorum),
        next_command=None if version is None or not known else step_of(app, version),
    )
    return write(folder, facts, told, page=page)


def facts_of(
    app: App, version: Version, traced: int | None, document: Mapping[str, Any] | None = None
) -> Facts:
    """The records that a version's card tells of, as they are now.

    Args:
        app: the open store and settings.
        version: what the card is of.
        traced: rows that it learnt from which name their inference; None: not known.
        document: of the evaluation to tell of; by default that of the one that counts.
    """
    store = app.store
    version = find_version(store, version.digest)
    evaluation = _evaluation(app, version, document)
    named = {
        kind: None if key is None else str(key)
        for kind, key in (
            ("run", version.lineage.get("run")),
            (
                "dataset",
                version.lineage.get("dataset")
                if evaluation is None
                else evaluation.document.get("dataset", {}).get("digest"),
            ),
        )
    }
    dataset = None if named["dataset"] is None else store.get(Dataset, named["dataset"])
    approvals = everything(store, Approval, {"version": version.digest})
    return Facts(
        version=version,
        run=None if named["run"] is None else store.get(Run, named["run"]),
        dataset=dataset,
        evaluation=evaluation,
        gates=[] if evaluation is None else gates_of(app, evaluation),
        approvals=sorted(approvals, key=lambda word: (word.at, word.id)),
        traced=traced,
        others=[] if evaluation is None else _others(app, evaluation.document),
        kept=_kept(app, version.task),
    )


def gates_of(app: App, evaluation: Evaluation) -> list[GateResult]:
    """What the gates last said of an evaluation."""
    for entry in everything(app.store, LedgerEntry, {"kind": "gates"}, newest_first=True):
        if entry.body["evaluation"] == evaluation.digest:
            return msgspec.convert(entry.body["results"], list[GateResult])
    return []


def _evaluation(
    app: App, version: Version, document: Mapping[str, Any] | None
) -> Evaluation | None:
    if document is None:
        name = evaluation_of(app, version)
        return None if name is None else app.store.get(Evaluation, name)
    digest = fingerprint.digest(document)
    known = app.store.get(Evaluation, digest)
    if known is not None:
        return known
    return Evaluation(digest=digest, version=version.digest, document=dict(document), at=version.at)


def _others(app: App, document: Mapping[str, Any]) -> list[Dataset]:
    """The data sets of parts that judge another version."""
    subjects = (document.get(part, {}).get("subject") for part in JUDGED)
    names = [subject["dataset"]["digest"] for subject in subjects if subject is not None]
    found = (app.store.get(Dataset, str(name)) for name in names)
    return [dataset for dataset in found if dataset is not None]


def _kept(app: App, task: str) -> list[tuple[str, str]]:
    """What a gateway keeps of the texts of requests and answers, in words."""
    if task not in app.settings.tasks:
        return []
    capture = app.settings.task(task).capture
    left = f", never {' and '.join(capture.mask)}" if capture.mask else ""
    scrubbed = ", without the personal data that is found" if capture.pii else ""
    share = f"{100 * capture.share:g}%"
    return [("Texts that a gateway keeps", f"of {share} of requests{left}{scrubbed}")]


def _seen_from(folder: Path, path: Path) -> str:
    """The way from a folder to a path, as it stands in an address."""
    return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())
