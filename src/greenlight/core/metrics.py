"""METRICS: what each number is called, which way is better, and where an evaluation keeps it."""

from __future__ import annotations

from typing import Literal

import msgspec

from greenlight.core.errors import BadInput


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of evaluations. `path` leads to its `{"value", "low"?, "high"?}` in a document."""

    name: str
    direction: Literal["up", "down"]
    path: tuple[str, ...]
    beside_live: bool = False
    """It is told of the version beside the live one: where nothing is live there is no number, and
    nothing to be held against a bar."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="accuracy", direction="up", path=("intent", "test", "accuracy")),
        Metric(name="macro_f1", direction="up", path=("intent", "test", "macro_f1")),
        Metric(name="ece", direction="down", path=("intent", "test", "ece")),
        Metric(name="train_val_gap", direction="down", path=("intent", "train_val_gap")),
        Metric(name="token_micro_f1", direction="up", path=("ner", "test", "token_micro_f1")),
        Metric(name="entity_micro_f1", direction="up", path=("ner", "test", "entity_micro_f1")),
        Metric(name="exact_match", direction="up", path=("ner", "test", "exact")),
        Metric(name="token_train_val_gap", direction="down", path=("ner", "train_val_gap")),
        Metric(name="agreement", direction="up", path=("chat", "test", "agreement")),
        Metric(name="overlap", direction="up", path=("chat", "test", "overlap")),
        Metric(name="overlap_train_val_gap", direction="down", path=("chat", "train_val_gap")),
        Metric(name="oos_auroc", direction="up", path=("oos", "clinc", "auroc")),
        Metric(name="oos_near_auroc", direction="up", path=("oos", "near", "auroc")),
        Metric(name="latency_p95_ms", direction="down", path=("usage", "latency_ms", "p95")),
        Metric(name="cost", direction="down", path=("usage", "cost")),
        Metric(
            name="latency_ratio",
            direction="down",
            path=("usage", "ratio", "latency_p95"),
            beside_live=True,
        ),
        Metric(
            name="cost_ratio", direction="down", path=("usage", "ratio", "cost"), beside_live=True
        ),
        Metric(
            name="sanity_accuracy",
            direction="down",
            path=("sanity", "shuffled_labels", "accuracy"),
        ),
    )
}

COMPARED: dict[str, tuple[str, ...]] = {
    name: ("live", name)
    for name in ("accuracy", "exact_match", "token_micro_f1", "agreement", "overlap")
}
"""Metrics in which a version is compared with the live one on the same items, and the path of the
difference (this version less the live one) with its interval."""

GOOD, BAD = 1.0, 0.0

RELABEL = "relabel"
"""The metric of a label that a person gave afterwards, as its correction (`stages.relabel`)."""


def score(metric: str, value: object) -> float:
    """The number that feedback stands for: GOOD is 1, BAD is 0, a number is itself.

    Raises:
        BadInput: the value does not fit the metric, or the metric is not for clients.
    """
    if metric == "quality":
        if value == "GOOD":
            return GOOD
        if value == "BAD":
            return BAD
        raise BadInput(f"value {value!r}: quality takes GOOD or BAD", "value")
    if metric == RELABEL:
        raise BadInput("metric 'relabel': labels are given by greenlight relabel label", "metric")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise BadInput(f"value {value!r}: {metric} takes a number", "value")
    return float(value)
