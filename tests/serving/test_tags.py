"""A task that tags words (INTERFACES, Records): its answers name entities, and fit their texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from greenlight.ports import Prediction
from greenlight.serving.routing import Plan
from greenlight.serving.wire import MOST_WORDS
from tests.serving.harness import V1, V2, Echo, World, asynchronous, serving

TEXT = "Meet Ana  in Porto, please"


class Tagger(Echo):
    """Answers with the same tags, whatever the text."""

    def __init__(self, tags: str) -> None:
        super().__init__("tagger")
        self.tags = tags

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        return [Prediction(self.tags, 0.5) for _ in texts]


def world(folder: Path, control: str, candidate: str | None = None) -> World:
    made = World(folder)
    made.models[V1] = Tagger(control)
    if candidate is None:
        made.epoch(1)
    else:
        made.models[V2] = Tagger(candidate)
        made.epoch(1, candidate=V2, weight=1.0)
    return made


@asynchronous
async def test_entities_stand_beside_the_tags(tmp_path: Path) -> None:
    made = world(tmp_path, "O B-person O B-place O")
    async with serving(made.gateway(plan=lambda _: Plan(tags=True))) as client:
        status, answer, _ = await client.post("/v1/tasks/intent/predict", {"input": TEXT})
    assert status == 200
    assert answer["output"] == {
        "label": "O B-person O B-place O",
        "score": 0.5,
        "oos": None,
        "oos_score": None,
        "entities": [
            {"start": 5, "end": 8, "type": "person", "text": "Ana"},
            {"start": 13, "end": 18, "type": "place", "text": "Porto"},
        ],
    }


@asynchronous
async def test_a_label_is_no_entities(tmp_path: Path) -> None:
    async with serving(world(tmp_path, "greeting").gateway()) as client:
        _, answer, _ = await client.post("/v1/tasks/intent/predict", {"input": TEXT})
    assert "entities" not in answer["output"]


@pytest.mark.parametrize("tags", ["O O", "person O O O O", ""])
@asynchronous
async def test_tags_that_are_not_those_of_the_words_are_no_answer(
    tmp_path: Path, tags: str
) -> None:
    """S5: control answers for a candidate whose tags do not fit, and it counts against that."""
    made = world(tmp_path, "O O O O O", candidate=tags)
    async with serving(made.gateway(plan=lambda _: Plan(tags=True))) as client:
        status, answer, _ = await client.post("/v1/tasks/intent/predict", {"input": TEXT})
        assert (status, answer["output"]["entities"]) == (200, [])
    [kept] = made.inferences().values()
    assert kept.fallback_from is not None


@asynchronous
async def test_more_words_than_a_tagger_can_be_asked_for_are_refused(tmp_path: Path) -> None:
    """S8: half a million would keep the processor for minutes."""
    async with serving(world(tmp_path, "O").gateway(plan=lambda _: Plan(tags=True))) as client:
        long = {"input": "word " * (MOST_WORDS + 1)}
        status, answer, _ = await client.post("/v1/tasks/intent/predict", long)
    assert status == 422
    assert "text 1: 2,001 words; at most 2,000" in answer["error"]["message"]


@asynchronous
async def test_and_without_a_candidate_it_is_an_error(tmp_path: Path) -> None:
    made = world(tmp_path, "O")
    async with serving(made.gateway(plan=lambda _: Plan(tags=True))) as client:
        status, answer, _ = await client.post("/v1/tasks/intent/predict", {"input": TEXT})
    assert status == 503
    assert answer["error"]["message"] == "task 'intent': no model answered; try again"
