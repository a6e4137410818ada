"""The model card: what a version is for, what it can do, and what is known against it.

A card is sections of paragraphs, lists and tables; `core.markdown` writes them as text, and
`reporting.card` as a page. Whatever the records do not hold reads "not measured".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.gates import GateResult
from greenlight.core.records import Approval, Dataset, Evaluation, Run, Version

SHOWN = 5
"""Rows of the tables of what is worst."""

NOT_MEASURED = "not measured"

_SPLITS = ("train", "validation", "test")
_FOUND = {
    "scrubbed": "Replaced, by kind",
    "rows": "Rows in which something was replaced",
    "unresolved": "Found and left",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The records that a card tells of."""

    version: Version
    run: Run | None
    dataset: Dataset | None
    evaluation: Evaluation | None
    gates: Sequence[GateResult]
    approvals: Sequence[Approval]
    traced: int | None
    """Rows learnt from that carry the id of an inference; None where the dataset is not here."""


class Code(str):
    """A name or a digest, to be set as code."""

    __slots__ = ()


Cell = str
"""Text, or `Code`."""


class Table(msgspec.Struct, frozen=True):
    """A table whose first cell of a row names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a card under a heading; what there is of it comes in this order."""

    title: str
    text: str = ""
    items: Sequence[tuple[str, Cell]] = ()
    """(what, what is known of it)."""
    warnings: Sequence[str] = ()
    table: Table | None = None


def title(facts: Facts) -> str:
    """What the card is called."""
    return f"Model card: {facts.version.label}"


def sections(facts: Facts) -> list[Section]:
    """Everything that a card says."""
    document: Mapping[str, Any] = {} if facts.evaluation is None else facts.evaluation.document
    return [
        _intended(facts),
        _warnings(document),
        _metrics(document),
        _live(document),
        _sanity(document),
        _weakest(document),
        _confusions(document),
        _limits(document),
        _data(facts.dataset),
        _personal_data(facts.dataset),
        _gates(facts.gates),
        _approvals(facts.approvals),
        _lineage(facts, document),
        _conditions(document),
    ]


def _intended(facts: Facts) -> Section:
    dataset = facts.dataset
    use = (
        "One label for a short text"
        if dataset is None
        else f"One of {len(dataset.manifest.get('labels', []))} labels for a short text, for "
        f"texts like those of {dataset.name}"
    )
    return Section(
        title="Intended use",
        text=f"{use}. Not for any decision on people by itself.",
        items=[("Task", Code(facts.version.task)), ("Status", facts.version.status.value)],
    )


def _warnings(document: Mapping[str, Any]) -> Section:
    if not document:
        return Section(title="Warnings", text="There is no evaluation on record.")
    found = [str(warning["reason"]) for warning in document.get("warnings", ())]
    return Section(title="Warnings", text="" if found else "None.", warnings=found)


def _metrics(document: Mapping[str, Any]) -> Section:
    intent = document.get("intent", {})
    test = intent.get("test", {})
    blocks = {
        "accuracy, test": test.get("accuracy"),
        "macro F1, test": test.get("macro_f1"),
        "expected calibration error, test": test.get("ece"),
        "accuracy, validation": intent.get("validation", {}).get("accuracy"),
        "accuracy, train": intent.get("train", {}).get("accuracy"),
        "train-validation gap": intent.get("train_val_gap"),
    }
    rows = [(name, *_cells(block or {})) for name, block in blocks.items()]
    return Section(title="Metrics", table=Table(("metric", "value", "95 % interval"), rows))


def _live(document: Mapping[str, Any]) -> Section:
    part = document.get("live", {})
    if "accuracy" not in part:
        return Section(title="Against the live version", text=_sentence(part))
    value, interval = _cells(part["accuracy"], signed=True)
    rows = [
        (
            f"difference of accuracy from {part['label']}",
            value,
            interval,
            f"p = {part['p_value']:.2g}",
        )
    ]
    counts = (
        f"On the same {part['n']:,} test rows both are right on {part['both']:,}, only "
        f"{part['label']} on {part['only_live']:,}, only this version on "
        f"{part['only_candidate']:,}, neither on {part['neither']:,}."
    )
    head = ("what", "value", "95 % interval", "McNemar, mid-p")
    return Section(title="Against the live version", text=counts, table=Table(head, rows))


def _sanity(document: Mapping[str, Any]) -> Section:
    part = document.get("sanity", {})
    found = part.get("shuffled_labels")
    name = "Trained on shuffled labels"
    if found is None:
        return Section(title=name, text=_sentence(part))
    value, interval = _cells(found["accuracy"])
    verdict = "at chance" if found["at_chance"] else "above chance"
    used = found.get("rows")
    text = (
        "The same backend with the same settings, trained where there is nothing to learn, must "
        f"answer no better than by chance. It is {verdict} (one-sided, α = {found['alpha']:g})."
    )
    rows = [("accuracy", value, interval), ("chance", _number(found["chance"]), "")]
    return Section(
        title=name,
        text=text,
        items=[("Rows taken", _counts(used))],
        table=Table(("what", "value", "95 % interval"), rows),
    )


def _weakest(document: Mapping[str, Any]) -> Section:
    if not document:
        return Section(title="Weakest labels", text=_sentence({}))
    entries = document.get("intent", {}).get("test", {}).get("per_label", [])
    judged = sorted(
        (entry for entry in entries if entry["f1"] is not None),
        key=lambda entry: (entry["f1"], entry["label"]),
    )
    rows = [
        (
            Code(entry["label"]),
            _number(entry["f1"]),
            _number(entry["precision"]),
            _number(entry["recall"]),
            str(entry["support"]),
        )
        for entry in judged[:SHOWN]
    ]
    head = ("label", "F1", "precision", "recall", "test rows")
    return Section(title="Weakest labels", table=Table(head, rows))


def _confusions(document: Mapping[str, Any]) -> Section:
    if not document:
        return Section(title="Most frequent confusions", text=_sentence({}))
    test = document.get("intent", {}).get("test", {})
    labels = test.get("labels", [])
    pairs = sorted(
        (-count, labels[row], labels[column])
        for row, counts in enumerate(test.get("confusion", []))
        for column, count in enumerate(counts)
        if count and row != column
    )
    rows = [(Code(gold), Code(given), str(-count)) for count, gold, given in pairs[:SHOWN]]
    return Section(
        title="Most frequent confusions", table=Table(("true", "predicted", "times"), rows)
    )


def _limits(document: Mapping[str, Any]) -> Section:
    unanswered = document.get("intent", {}).get("test", {}).get("unanswered")
    return Section(
        title="Limits",
        items=[
            (
                "Out of scope",
                "every text gets one of the labels, so a text that belongs to none gets a wrong "
                "one; detection of such texts is not measured",
            ),
            (
                "Intervals",
                "they cover chance in the draw of test rows, not a change in what users ask",
            ),
            ("Fairness over groups of users", "not measured; the data names no groups"),
            (
                "Test rows without an answer",
                NOT_MEASURED if unanswered is None else f"{unanswered:,}",
            ),
        ],
    )


def _data(dataset: Dataset | None) -> Section:
    if dataset is None:
        return Section(title="Data", text="No data set is on record.")
    manifest = dataset.manifest
    return Section(
        title="Data",
        items=[
            ("Data set", dataset.name),
            ("Source", str(manifest.get("source", "unknown"))),
            ("Licence", str(manifest.get("licence", "unknown"))),
            ("Citation", str(manifest.get("citation", "none"))),
            ("Rows", _counts(manifest.get("counts"))),
            ("Left out", _counts(manifest.get("exclusions"))),
            ("Seed of the splits", str(manifest.get("seed", "unknown"))),
        ],
    )


def _personal_data(dataset: Dataset | None) -> Section:
    report = {} if dataset is None else dataset.manifest.get("pii", {})
    if not report:
        return Section(title="Personal data", text="No report on personal data is on record.")
    return Section(
        title="Personal data",
        text="Every text was searched before it was written, and what was found was replaced.",
        items=[(name, _value(report.get(key))) for key, name in _FOUND.items()],
    )


def _gates(gates: Sequence[GateResult]) -> Section:
    rows = [(gate.metric, gate.outcome, gate.reason) for gate in gates]
    return Section(title="Gates", table=Table(("metric", "outcome", "reason"), rows))


def _approvals(approvals: Sequence[Approval]) -> Section:
    rows = [
        (word.person, word.role, word.decision, Code(word.evaluation), word.why)
        for word in approvals
    ]
    head = ("person", "role", "decision", "evaluation", "why")
    return Section(title="Approvals", table=Table(head, rows))


def _lineage(facts: Facts, document: Mapping[str, Any]) -> Section:
    version, run, dataset = facts.version, facts.run, facts.dataset
    rows: list[tuple[str, Cell]] = [
        ("version", Code(version.digest)),
        ("bundle", Code(version.bundle)),
        ("evaluation", Code(facts.evaluation.digest) if facts.evaluation else "none"),
        ("results", Code(document.get("results_digest", "unknown"))),
        ("protocol", Code(document.get("protocol", {}).get("digest", "unknown"))),
    ]
    if run is None:
        given = {name: str(value) for name, value in version.lineage.items()}
        rows += [("run", "none: no run of the pipeline made it"), *given.items()]
    else:
        rows += [
            ("run", Code(run.id)),
            ("begun by", f"{run.initiator} ({run.trigger})"),
            ("backend", f"{run.plan['backend']}, seed {run.plan['seed']}"),
        ]
    if dataset is not None:
        traced = "not known" if facts.traced is None else f"{facts.traced:,}"
        rows += [
            ("dataset", Code(dataset.digest)),
            ("collected from", Code(dataset.manifest.get("parent", "unknown"))),
            ("rows that name their inference", traced),
        ]
    return Section(title="Lineage", table=Table(("what", "name"), rows))


def _conditions(document: Mapping[str, Any]) -> Section:
    environment = document.get("environment", {})
    seconds, pace = document.get("wall_clock_s"), document.get("rows_per_s")
    measured = isinstance(pace, int | float)
    rows = [
        ("code", Code(environment.get("code_commit", "unknown"))),
        ("digest of the code", Code(environment.get("code", "unknown"))),
        ("image", Code(document.get("image_digest", "unknown"))),
        ("processor", f"{environment.get('processor', 'unknown')}"),
        ("cores", str(environment.get("cores", "unknown"))),
        ("wall clock", NOT_MEASURED if seconds is None else f"{seconds:.1f} s"),
        ("throughput", f"{pace:,.0f} rows/s" if measured else NOT_MEASURED),
        ("load test", str(document.get("load", {}).get("reason", _load(document)))),
    ]
    return Section(title="Measured on", table=Table(("what", "value"), rows))


def _sentence(part: Mapping[str, Any]) -> str:
    """Why a part holds no number."""
    reason = str(part.get("reason", NOT_MEASURED))
    return f"{reason[:1].upper()}{reason[1:]}."


def _load(document: Mapping[str, Any]) -> str:
    found = document.get("load", {})
    if found.get("p95_ms") is None:
        return NOT_MEASURED
    level = "met" if found.get("met") else "missed"
    trial = "" if found.get("whole", True) else ", a trial"
    return f"p95 {found['p95_ms']:g} ms, service level {level}{trial}"


def _cells(block: Mapping[str, Any], *, signed: bool = False) -> tuple[str, str]:
    """A number and its interval; in place of the number the reason why there is none."""
    form = "+.4f" if signed else ".4f"
    value, low, high = (block.get(name) for name in ("value", "low", "high"))
    if value is None:
        return str(block.get("reason", NOT_MEASURED)), ""
    interval = "" if low is None or high is None else f"{low:{form}} to {high:{form}}"
    return f"{value:{form}}", interval


def _number(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4f}"


def _counts(counts: Mapping[str, int] | None) -> str:
    """Counts by name; the splits in their order, and what is 0 left out."""
    if counts is None:
        return "not counted"
    names = sorted(counts, key=lambda name: _SPLITS.index(name) if name in _SPLITS else -1)
    return ", ".join(f"{name} {counts[name]:,}" for name in names if counts[name]) or "none"


def _value(value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(it)}" for name, it in value.items()) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
