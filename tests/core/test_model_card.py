"""The model card (G3, T7) says what the records hold and owns up to what they lack."""

from __future__ import annotations

from typing import Any

from greenlight.core import model_card
from greenlight.core.gates import GateResult
from greenlight.core.records import Approval, Dataset, Evaluation, Run, Version, VersionStatus


def card(document: dict[str, Any], approvals: tuple[Approval, ...] = ()) -> str:
    version = Version(
        digest="sha256:v",
        task="intent",
        label="intent@2",
        bundle="sha256:b",
        runtime={"kind": "in_process"},
        lineage={},
        initiator="ana",
        status=VersionStatus.EVALUATED,
        at=1,
    )
    run = Run(
        id="run-1",
        task="intent",
        backend="encoder-head",
        dataset="sha256:d",
        config={},
        seed=2025,
        initiator="ana",
        environment={},
        report={},
        bundle="sha256:b",
        started_at=1,
        at=2,
    )
    manifest = {
        "source": "https://data.example/x",
        "licence": "CC BY 4.0",
        "citation": "Somebody, 2020",
        "parent": "sha256:raw",
        "labels": ["a?", "b|c"],
        "counts": {"train": 9000, "test": 30},
        "exclusions": {"in_test": 7},
    }
    dataset = Dataset(digest="sha256:d", task="intent", name="demo", manifest=manifest, at=1)
    evaluation = Evaluation(digest="sha256:e", version="sha256:v", document=document, at=3)
    gate = GateResult(metric="accuracy", outcome="pass", reason="clears every bar")
    return model_card.render(version, run, dataset, evaluation, [gate], approvals)


def full(gap: float) -> dict[str, Any]:
    entry = {"precision": 0.5, "recall": None, "support": 10}
    return {
        "protocol": {"module": "eval.intent_eval", "digest": "sha256:p"},
        "intent": {
            "test": {
                "accuracy": {"value": 0.9, "low": 0.74, "high": 0.97},
                "per_label": [
                    {**entry, "label": "a?", "f1": 0.8},
                    {**entry, "label": "b|c", "f1": 0.2},
                    {**entry, "label": "unseen", "f1": None},
                ],
                "labels": ["a?", "b|c"],
                "confusion": [[20, 1], [2, 7]],
            },
            "train_val_gap": {"value": gap},
        },
    }


def test_numbers_lineage_and_licence_are_there() -> None:
    text = card(full(0.01))
    assert "| accuracy, test | 0.9000 | 0.7400 to 0.9700 |" in text
    assert "| macro F1, test | not measured |  |" in text
    assert "train 9,000, test 30" in text
    assert "in_test 7" in text
    assert "CC BY 4.0" in text
    for digest in ("sha256:v", "sha256:b", "sha256:e", "sha256:p", "sha256:d", "sha256:raw"):
        assert f"`{digest}`" in text


def test_weakest_labels_and_confusions_come_worst_first() -> None:
    text = card(full(0.01))
    assert text.index("| `b\\|c` | 0.2000 |") < text.index("| `a?` | 0.8000 |")
    assert "unseen" not in text
    assert text.index("| `b\\|c` | `a?` | 2 |") < text.index("| `a?` | `b\\|c` | 1 |")


def test_overfit_is_flagged_above_three_points() -> None:
    assert "Overfit warning" in card(full(0.031))
    assert "Overfit warning" not in card(full(0.03))
    assert "gap: not measured" in card({})


def test_words_of_people_cannot_forge_the_card() -> None:
    approval = Approval(
        id="1",
        version="sha256:v",
        evaluation="sha256:e",
        role="ml_lead",
        person="ana",
        decision="approve",
        why="fine |\n## Gates\n<b>",
        at=4,
        signature="",
    )
    text = card({}, (approval,))
    assert text.count("\n## Gates\n") == 1
    assert "| ana | ml_lead | approve | fine \\| ## Gates \\<b> |" in text
    assert "None." in card({})
