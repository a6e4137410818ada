"""Where a version comes from, who had a say in it, and what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenlight.core.evaluation import JUDGED
from greenlight.core.gates import GateResult
from greenlight.core.model_card.parts import (
    NOT_MEASURED,
    Cell,
    Code,
    Facts,
    Link,
    Section,
    Table,
    counts,
    value,
)
from greenlight.core.records import Approval, Dataset

_FOUND = {
    "scrubbed": "Replaced, by kind",
    "rows": "Rows in which something was replaced",
    "unresolved": "Found and left",
}

_ELSEWHERE = (
    "CLINC150, CC BY 3.0 (Larson et al., An Evaluation Dataset for Intent Classification and "
    "Out-of-Scope Prediction, EMNLP 2019); the model is not trained on them"
)


def data(facts: Facts) -> list[Section]:
    """What it was trained and judged on, and on what terms."""
    terms = [("Terms of all that is read", facts.page("DATA_LICENSES.md"))]
    if facts.document.get("oos", {}).keys() & {"clinc", "banking_like"}:
        terms.insert(0, ("Texts out of scope", _ELSEWHERE))
    if facts.dataset is None:
        return [Section(title="Data", text="No data set is on record.", items=terms)]
    found = [Section(title="Data", items=[*_told(facts.dataset), *terms])]
    found += [Section(title=f"Data: {it.name}", items=_told(it)) for it in facts.others]
    return found + [Section(title=f"Data: {it['name']}", items=_terms(it)) for it in _absent(facts)]


def _absent(facts: Facts) -> list[Mapping[str, Any]]:
    """Data sets of parts that judge another version, where that was made elsewhere."""
    there = {it.digest for it in facts.others}
    subjects = (facts.document.get(part, {}).get("subject") for part in JUDGED)
    named = [subject["dataset"] for subject in subjects if subject is not None]
    return [it for it in named if it.get("digest") not in there]


def _terms(dataset: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    return [
        ("Data set", str(dataset["name"])),
        ("Source", str(dataset.get("source", "unknown"))),
        ("Licence", str(dataset.get("licence", "unknown"))),
        ("Citation", str(dataset.get("citation", "none"))),
    ]


def _told(dataset: Dataset) -> list[tuple[str, Cell]]:
    manifest = dataset.manifest
    return [
        *_terms({**manifest, "name": dataset.name}),
        ("Rows", counts(manifest.get("counts"))),
        ("Left out", counts(manifest.get("exclusions"))),
        ("Seed of the splits", str(manifest.get("seed", "unknown"))),
    ]


def personal_data(dataset: Dataset | None) -> Section:
    """What was found in the texts and replaced."""
    report = {} if dataset is None else dataset.manifest.get("pii", {})
    if not report:
        return Section(title="Personal data", text="No report on personal data is on record.")
    return Section(
        title="Personal data",
        text="Every text was searched before it was written, and what was found was replaced.",
        items=[(name, value(report.get(key))) for key, name in _FOUND.items()],
    )


def gates(results: Sequence[GateResult]) -> Section:
    """What the gates said."""
    rows = [(gate.metric, gate.outcome, gate.reason) for gate in results]
    return Section(title="Gates", table=Table(("metric", "outcome", "reason"), rows))


def approvals(words: Sequence[Approval]) -> Section:
    """What people said."""
    if not words:
        return Section(title="Approvals", text="Nobody has signed.")
    rows = [
        (word.person, word.role, word.decision, Code(word.evaluation), word.why) for word in words
    ]
    head = ("person", "role", "decision", "evaluation", "why")
    return Section(title="Approvals", table=Table(head, rows))


def lineage(facts: Facts) -> Section:
    """The way from the data to the version, by digests."""
    version, run, dataset, document = facts.version, facts.run, facts.dataset, facts.document
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
        # A run may have taken over what another plan trained; the lineage names what made it.
        made = {**run.plan, **version.lineage}
        rows += [
            ("run", Code(run.id)),
            ("begun by", f"{run.initiator} ({run.trigger})"),
            ("backend", f"{made['backend']}, seed {made['seed']}"),
        ]
    if dataset is not None:
        traced = "not known" if facts.traced is None else f"{facts.traced:,}"
        rows += [
            ("dataset", Code(dataset.digest)),
            ("collected from", Code(dataset.manifest.get("parent", "unknown"))),
            ("rows that name their inference", traced),
        ]
    return Section(title="Lineage", table=Table(("what", "name"), rows))


def conditions(facts: Facts) -> Section:
    """On what, with what, and how fast it was measured."""
    document = facts.document
    environment = document.get("environment", {})
    seconds, pace = document.get("wall_clock_s"), document.get("rows_per_s")
    measured = isinstance(pace, int | float)
    rows: list[tuple[str, Cell]] = [
        ("code", Code(environment.get("code_commit", "unknown"))),
        ("digest of the code", Code(environment.get("code", "unknown"))),
        ("image", Code(document.get("image_digest", "unknown"))),
        ("processor", f"{environment.get('processor', 'unknown')}"),
        ("cores", str(environment.get("cores", "unknown"))),
        ("wall clock", NOT_MEASURED if seconds is None else f"{seconds:.1f} s"),
        ("throughput", f"{pace:,.0f} rows/s" if measured else NOT_MEASURED),
        ("load test", str(document.get("load", {}).get("reason", _load(document)))),
    ]
    if facts.sealed is not None:
        rows.append(("everything measured, sealed", Link("eval.json", facts.sealed)))
    return Section(title="Measured on", table=Table(("what", "value"), rows))


def _load(document: Mapping[str, Any]) -> str:
    found = document.get("load", {})
    if found.get("p95_ms") is None:
        return NOT_MEASURED
    level = "met" if found.get("met") else "missed"
    trial = "" if found.get("whole", True) else ", a trial"
    return f"p95 {found['p95_ms']:g} ms, service level {level}{trial}"
