"""The model card (G3, T7) says what the records hold and owns up to what they lack."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from greenlight.core import markdown, model_card
from greenlight.core.gates import GateResult
from greenlight.core.model_card import Facts
from greenlight.core.records import Approval, Dataset, Evaluation, Run, Version
from greenlight.core.states import RunStatus, VersionStatus

VERSION = Version(
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
RUN = Run(
    id="intent#1",
    task="intent",
    number=1,
    trigger="manual",
    initiator="ana",
    plan={"backend": "encoder-head", "options": {}, "seed": 2025},
    environment={},
    status=RunStatus.FINISHED,
    at=1,
    ended_at=2,
)
MANIFEST = {
    "source": "https://data.example/x",
    "licence": "CC BY 4.0",
    "citation": "Somebody, 2020",
    "parent": "sha256:raw",
    "labels": ["a?", "b|c"],
    "counts": {"test": 30, "train": 9000},
    "exclusions": {"in_test": 7, "empty": 0},
    "pii": {"scrubbed": {"email": 3}, "rows": 2, "unresolved": 0},
    "seed": 2025,
}


def facts(document: dict[str, Any], approvals: tuple[Approval, ...] = ()) -> Facts:
    return Facts(
        version=VERSION,
        run=RUN,
        dataset=Dataset(digest="sha256:d", task="intent", name="demo", manifest=MANIFEST, at=1),
        evaluation=Evaluation(digest="sha256:e", version="sha256:v", document=document, at=3),
        gates=[GateResult(metric="accuracy", outcome="pass", reason="clears every bar")],
        approvals=approvals,
        traced=12,
    )


def card(document: dict[str, Any], approvals: tuple[Approval, ...] = ()) -> str:
    told = facts(document, approvals)
    return markdown.render(model_card.title(told), model_card.sections(told))


def full(gap: float = 0.01) -> dict[str, Any]:
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
        "live": {
            "version": "sha256:l",
            "label": "intent@1",
            "accuracy": {"value": 0.05, "low": -0.01, "high": 0.11},
            "p_value": 0.02,
            "n": 30,
            "both": 20,
            "only_live": 1,
            "only_candidate": 3,
            "neither": 6,
            "per_label": [],
        },
        "sanity": {
            "shuffled_labels": {
                "accuracy": {"value": 0.4, "low": 0.2, "high": 0.6},
                "chance": 0.5,
                "at_chance": True,
                "alpha": 0.001,
                "rows": {"train": 1000, "test": 30},
            }
        },
        "load": {"reason": "not measured: no load test"},
        "warnings": [{"metric": "train_val_gap", "reason": "overfit: too | far"}] * (gap > 0.03),
        "results_digest": "sha256:r",
        "environment": {"code": "sha256:c", "code_commit": "abc", "processor": "a chip"},
        "rows_per_s": 254.5,
    }


def test_numbers_lineage_and_licence_are_there() -> None:
    """G3, R1"""
    text = card(full())
    assert "| accuracy, test | 0.9000 | 0.7400 to 0.9700 |" in text
    assert "| macro F1, test | not measured |  |" in text
    assert "- Rows: train 9,000, test 30\n" in text
    assert "- Left out: in_test 7\n" in text
    assert "CC BY 4.0" in text
    for digest in "vberpcd":
        assert f"`sha256:{digest}`" in text
    assert "`sha256:raw`" in text
    assert "| run | `intent#1` |" in text
    assert "| rows that name their inference | 12 |" in text


def test_the_parts_of_an_evaluation_are_told() -> None:
    """E4, T7, D6: the live version, shuffled labels, and what was scrubbed."""
    text = card(full())
    assert "| +0.0500 | -0.0100 to +0.1100 | p = 0.02 |" in text
    assert "both are right on 20, only intent@1 on 1, only this version on 3, neither on 6" in text
    assert "It is at chance (one-sided, α = 0.001)." in text
    assert "- Rows taken: train 1,000, test 30" in text
    assert "- Replaced, by kind: email 3" in text
    assert "| throughput | 254 rows/s |" in text
    assert "| load test | not measured: no load test |" in text


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"p95_ms": 14.8, "met": True, "whole": True}, "p95 14.8 ms, service level met"),
        ({"p95_ms": 190.0, "met": False, "whole": True}, "p95 190 ms, service level missed"),
        ({"p95_ms": 9.0, "met": True, "whole": False}, "p95 9 ms, service level met, a trial"),
    ],
)
def test_what_a_load_test_found(found: dict[str, object], says: str) -> None:
    """S4."""
    assert f"| load test | {says} |" in card(full() | {"load": found})


def test_what_is_not_on_record_is_no_number() -> None:
    """A version that was added, not trained, and never evaluated."""
    bare = msgspec.structs.replace(
        facts({}),
        version=msgspec.structs.replace(VERSION, lineage={"source": "added", "by": "ana"}),
        run=None,
        dataset=None,
        evaluation=None,
        traced=None,
    )
    text = markdown.render(model_card.title(bare), model_card.sections(bare))
    assert "There is no evaluation on record." in text
    assert "One label for a short text. Not for" in text
    assert "## Weakest labels\n\nNot measured." in text
    assert "## Most frequent confusions\n\nNot measured." in text
    assert "no run of the pipeline made it" in text
    assert "| source | added |" in text
    assert "No report on personal data is on record." in text
    assert not re.search(r"\d\.\d", text)


def test_weakest_labels_and_confusions_come_worst_first() -> None:
    text = card(full(0.01))
    assert text.index("| `b\\|c` | 0.2000 |") < text.index("| `a?` | 0.8000 |")
    assert "unseen" not in text
    assert text.index("| `b\\|c` | `a?` | 2 |") < text.index("| `a?` | `b\\|c` | 1 |")


def test_a_warning_stands_on_the_card() -> None:
    """T7: as the evaluation words it."""
    assert "- **Warning**: overfit: too \\| far" in card(full(0.031))
    assert "Warning" not in card(full(0.03)).replace("## Warnings", "")


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
    assert "| ana | ml_lead | approve | `sha256:e` | fine \\| ## Gates \\<b> |" in text
    assert "None." in card({})
