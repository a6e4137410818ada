"""What is written about a version of this installation: its model card."""

from __future__ import annotations

from pathlib import Path

import msgspec

from greenlight.core.gates import GateResult
from greenlight.core.model_card import Facts
from greenlight.core.records import Approval, Dataset, Evaluation, LedgerEntry, Run, Version
from greenlight.lookup import everything, find_version
from greenlight.reporting import lineage
from greenlight.wiring.app import App
from greenlight.wiring.evaluating import evaluation_of


def write_card(app: App, version: Version, folder: Path) -> dict[str, Path]:
    """Write a version's model card, as Markdown and as a page; returns where each is.

    It tells of the evaluation that counts: the approved one, else the last that passed its gates,
    else the newest.
    """
    from greenlight.reporting import card

    traced = lineage.trace(app.store, app.raw, app.datasets, version).count
    return card.write(folder, facts_of(app, version, traced))


def facts_of(app: App, version: Version, traced: int | None) -> Facts:
    """The records that a version's card tells of, as they are now.

    Args:
        app: the open store and settings.
        version: what the card is of.
        traced: rows that it learnt from which name their inference; None: not known.
    """
    store = app.store
    version = find_version(store, version.digest)
    name = evaluation_of(app, version)
    evaluation = None if name is None else store.get(Evaluation, name)
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
    )


def gates_of(app: App, evaluation: Evaluation) -> list[GateResult]:
    """What the gates last said of an evaluation."""
    for entry in everything(app.store, LedgerEntry, {"kind": "gates"}, newest_first=True):
        if entry.body["evaluation"] == evaluation.digest:
            return msgspec.convert(entry.body["results"], list[GateResult])
    return []
