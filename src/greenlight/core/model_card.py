"""The model card: what a version is for, what it can do, and what is known against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenlight.core.gates import GateResult
from greenlight.core.records import Approval, Dataset, Evaluation, Run, Version

OVERFIT = 0.03
"""A train-validation gap of accuracy above this is flagged (a warning, never a block)."""
SHOWN = 5


def render(
    version: Version,
    run: Run,
    dataset: Dataset,
    evaluation: Evaluation,
    gates: Sequence[GateResult],
    approvals: Sequence[Approval],
) -> str:
    """The card as Markdown. Whatever the records do not hold reads "not measured"."""
    sections = (
        [f"# Model card: {_text(version.label)}"],
        _intended(version, dataset),
        _data(dataset),
        _metrics(evaluation.document),
        _weakest(evaluation.document),
        _confusions(evaluation.document),
        _limits(evaluation.document),
        _gates(gates),
        _lineage(version, run, dataset, evaluation),
        _approvals(approvals),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _intended(version: Version, dataset: Dataset) -> list[str]:
    labels = dataset.manifest.get("labels", [])
    return [
        "## Intended use",
        "",
        f"Task `{version.task}`: one of {len(labels)} labels for a short text, with a calibrated "
        f"score, for texts like those of `{dataset.name}`. Not for any decision on people by "
        "itself.",
    ]


def _data(dataset: Dataset) -> list[str]:
    manifest = dataset.manifest
    counts, excluded = manifest.get("counts", {}), manifest.get("exclusions", {})
    lines = [
        "## Data",
        "",
        f"- Data set: {_text(dataset.name)}, {_text(manifest.get('source', 'source unknown'))}",
        f"- Licence: {_text(manifest.get('licence', 'unknown'))}",
        f"- Citation: {_text(manifest.get('citation', 'none'))}",
        f"- Rows: {_counts(counts)}",
        f"- Left out of training: {_counts(excluded)}",
    ]
    return lines


def _metrics(document: Mapping[str, Any]) -> list[str]:
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
    return ["## Metrics", "", *_table(("metric", "value", "95 % interval"), rows)]


def _weakest(document: Mapping[str, Any]) -> list[str]:
    entries = document.get("intent", {}).get("test", {}).get("per_label", [])
    judged = sorted(
        (entry for entry in entries if entry["f1"] is not None),
        key=lambda entry: (entry["f1"], entry["label"]),
    )
    rows = [
        (
            _code(entry["label"]),
            _number(entry["f1"]),
            _number(entry["precision"]),
            _number(entry["recall"]),
            str(entry["support"]),
        )
        for entry in judged[:SHOWN]
    ]
    head = ("label", "F1", "precision", "recall", "test rows")
    return ["## Weakest labels", "", *_table(head, rows)]


def _confusions(document: Mapping[str, Any]) -> list[str]:
    test = document.get("intent", {}).get("test", {})
    labels = test.get("labels", [])
    pairs = sorted(
        (-count, labels[row], labels[column])
        for row, counts in enumerate(test.get("confusion", []))
        for column, count in enumerate(counts)
        if count and row != column
    )
    rows = [(_code(gold), _code(given), str(-count)) for count, gold, given in pairs[:SHOWN]]
    return ["## Most frequent confusions", "", *_table(("true", "predicted", "times"), rows)]


def _limits(document: Mapping[str, Any]) -> list[str]:
    gap = document.get("intent", {}).get("train_val_gap", {}).get("value")
    if gap is None:
        fit = "Train-validation gap: not measured."
    elif gap > OVERFIT:
        fit = (
            f"**Overfit warning**: accuracy on train is {gap:.3f} above validation "
            f"(flagged above {OVERFIT})."
        )
    else:
        fit = f"Accuracy on train is {gap:.3f} above validation (flagged above {OVERFIT})."
    return [
        "## Limits",
        "",
        f"- {fit}",
        "- Every text gets one of the labels: a text that belongs to none gets a wrong one. "
        "Out-of-scope detection: not measured.",
        "- The intervals cover chance in the draw of test rows, not a change in what users ask.",
        "- Fairness over groups of users: not measured; the data names no groups.",
    ]


def _gates(gates: Sequence[GateResult]) -> list[str]:
    rows = [(gate.metric, gate.outcome, _text(gate.reason)) for gate in gates]
    return ["## Gates", "", *_table(("metric", "outcome", "reason"), rows)]


def _lineage(version: Version, run: Run, dataset: Dataset, evaluation: Evaluation) -> list[str]:
    protocol = evaluation.document.get("protocol", {})
    rows = [
        ("version", f"`{version.digest}`"),
        ("bundle", f"`{version.bundle}`"),
        ("evaluation", f"`{evaluation.digest}`"),
        ("protocol", f"`{protocol.get('digest', 'unknown')}`"),
        ("dataset", f"`{dataset.digest}`"),
        ("collected from", f"`{dataset.manifest.get('parent', 'unknown')}`"),
        (
            "run",
            f"`{run.id}`, backend `{run.plan['backend']}`, seed {run.plan['seed']}, "
            f"by {_text(run.initiator)}",
        ),
    ]
    return ["## Lineage", "", *_table(("what", "name"), rows)]


def _approvals(approvals: Sequence[Approval]) -> list[str]:
    rows = [
        (_text(word.person), _text(word.role), _text(word.decision), _text(word.why))
        for word in approvals
    ]
    return ["## Approvals", "", *_table(("person", "role", "decision", "why"), rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["None."]
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cells(block: Mapping[str, Any]) -> tuple[str, str]:
    low, high = block.get("low"), block.get("high")
    interval = "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
    return _number(block.get("value")), interval


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _counts(counts: Mapping[str, int]) -> str:
    parts: Iterable[str] = (f"{_text(name)} {count:,}" for name, count in counts.items())
    return ", ".join(parts) or "not counted"


def _code(value: object) -> str:
    """A name as it is; a code span knows no escape but that of a table's cell."""
    return "`" + " ".join(str(value).split()).replace("`", "'").replace("|", "\\|") + "`"


def _text(value: object) -> str:
    """Text of others inside a line of Markdown: no new line, no cell, no markup of its own."""
    flat = " ".join(str(value).split())
    for sign in ("\\", "|", "`", "<", "[", "*"):
        flat = flat.replace(sign, "\\" + sign)
    return flat
