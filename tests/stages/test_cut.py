"""Slices in the evaluation (G3, E2): by the rows that there were to learn from, for both kinds."""

from __future__ import annotations

from typing import Any

from eval import slices
from greenlight.ports import Example, Prediction
from greenlight.stages.judging import KINDS, cut, protocols


def entry(found: dict[str, Any], family: str, name: str) -> dict[str, Any]:
    """One slice."""
    [cuts] = [it["slices"] for it in found["families"] if it["family"] == family]
    [one] = [it for it in cuts if it["slice"] == name]
    return dict(one)


def test_labels_are_cut_by_training_rows() -> None:
    """Rare is what is seldom learnt; unknown is a word that no training row has."""
    train = [Example(f"please {label}", label) for label in "aabbccdde"]
    rows = [Example("please e", "e")] * 60 + [Example("please not", "a")] * 60
    made = [Prediction("e", 0.9, oos=False)] * 60 + [Prediction("b", 0.9, oos=True)] * 60
    found = cut(KINDS["classify"], rows, made, iter(train))
    assert found["protocol"] == slices.protocol_digest()
    assert entry(found, "labels", "rare")["accuracy"]["value"] == 1.0
    assert entry(found, "words", "unknown")["accuracy"]["value"] == 0.0
    assert entry(found, "words", "unknown")["n"] == 60
    assert entry(found, "words", "unknown")["false_alarms"]["value"] == 1.0


def test_tags_are_cut_by_the_tags_of_training_words() -> None:
    """A type is as frequent as its first words are."""
    kinds = ["x"] * 3 + ["y"] * 3 + ["z"] * 3 + ["v"] * 3 + ["w"]
    train = [Example("so Anna Lee", f"O B-{kind} I-{kind}") for kind in kinds]
    rows = [Example("so Anna", "O B-w")] * 60 + [Example("so Lee", "O B-x")] * 60
    made = [Prediction(row.label, None) for row in rows[:60]] + [Prediction("O O", None)] * 60
    found = cut(KINDS["tag"], rows, made, iter(train))
    rare, common = (entry(found, "entities", name) for name in ("rare", "common"))
    assert (rare["token_micro_f1"]["value"], common["token_micro_f1"]["value"]) == (1.0, 0.0)
    assert rare["exact"]["n"] == common["exact"]["n"] == 60
    assert entry(found, "words", "known")["n"] == 120


def test_a_change_of_the_rules_makes_evaluations_out_of_date() -> None:
    """G6: the slices are part of the protocol."""
    assert protocols()["eval.slices"] == slices.protocol_digest()
