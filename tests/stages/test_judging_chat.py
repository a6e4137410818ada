"""Answers of a chat judged beside those of another version, and what is not judged (E4, T7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight.core import evaluation
from greenlight.core.curation import CHAT, Row
from greenlight.core.errors import BadInput
from greenlight.core.evaluation import JUDGED
from greenlight.core.metrics import COMPARED, METRICS
from greenlight.core.model_card.measured import live, metrics
from greenlight.ports import Example, Prediction, Trained
from greenlight.ports.source import Prompts
from greenlight.stages import judging
from greenlight.stages.sanity import sanity
from tests.stages.preparing import Place, Rows
from tests.stages.test_curate_chat import BASE, LEARN, asked

GOLD = ["Feed it daily.", "Wait for it.", "No."]
LIVE = ["feed it DAILY.", "Wait a bit.", "No."]
NEW = ["Feed it.", "Wait for it.", "no."]
KIND = judging.KINDS["chat"]


def test_two_versions_on_the_same_conversations() -> None:
    """Each has one that the other lacks; of overlaps, 1, 1/3, 1 against 4/5, 1, 1."""
    found = KIND.differ(GOLD, LIVE, NEW)
    assert (found["both"], found["only_live"], found["only_candidate"]) == (1, 1, 1)
    assert found["agreement"]["value"] == 0.0 and found["n"] == 3
    assert found["overlap"]["value"] == pytest.approx((4 / 5 + 2) / 3 - (1 / 3 + 2) / 3)
    assert found["overlap"]["low"] <= found["overlap"]["value"] <= found["overlap"]["high"]
    for name in ("agreement", "overlap"):
        assert COMPARED[name] == ("live", name) and name in found


def document(**more: Any) -> dict[str, Any]:
    rows = [Example("[]", label) for label in GOLD]
    made = [Prediction(label, None) for label in NEW]
    part = {"test": KIND.test(rows, made, []), **judging.training(KIND, {})}
    return {"chat": part, **more}


def test_metrics_are_where_an_evaluation_has_them() -> None:
    found = document()
    for name in ("agreement", "overlap", "overlap_train_val_gap"):
        at: Any = found
        for step in METRICS[name].path:
            at = at[step]
        assert at.keys() & {"value", "reason"}
    rule, said = evaluation.judgement(found)
    assert rule is JUDGED["chat"] and said["test"][rule.key]["n"] == 3
    assert evaluation.right(found)["correct"] == 2


def test_rows_are_not_cut() -> None:
    found = judging.cut(KIND, [], [], [])
    assert found["reason"].startswith("cannot cut")


def test_a_card_says_whose_answers_are_wanted() -> None:
    """Beside a version whose own words are the measure another one can only lose there."""
    part = {"label": "posts@1", **KIND.differ(GOLD, LIVE, NEW)}
    told = live(document(live={**part, "own": 2})).text
    assert "On 2 of them the wanted answer is posts@1's own" in told
    assert "own" not in live(document(live=part)).text
    names = [row[0] for row in metrics(document()).table.rows]  # type: ignore[union-attr]
    assert names[:2] == [
        "overlap of words with the wanted answer, test",
        "share of answers that are the wanted one, test",
    ]


class Free:
    """A trainer that costs nothing, and must not be asked."""

    name, free = "hf-lora", True

    def train(self, *, prompts: Prompts, **given: Any) -> Trained:
        raise AssertionError("asked to train on shuffled answers")


def test_there_is_no_level_of_chance(tmp_path: Path) -> None:
    """T7: nothing is trained on shuffled answers, and the part says why it holds no number."""
    place = Place(tmp_path)
    made = place.prepare(Rows(rows=[*BASE, Row(asked("more"), "words", LEARN)]), kind=CHAT)
    done = sanity(
        place.records,
        place.processed,
        Free(),
        lambda folder: pytest.fail("opened"),
        step=place._step("sanity", "intent"),
        dataset_digest=made.digest,
        config={},
        seed=1,
        workdir=place.work,
        now=lambda: 3,
        progress=lambda share, words: None,
    )
    assert done.report == {
        "reason": "not measured: an answer is no choice of a few, so that there is no level of "
        "chance"
    }


def test_every_kind_of_rows_is_judged() -> None:
    assert judging.judging({"kind": "chat"}) is KIND
    with pytest.raises(BadInput, match="kind 'rank': not one of classify, tag, chat"):
        judging.judging({"kind": "rank"})
    assert "eval.chat_eval" in judging.protocols()
