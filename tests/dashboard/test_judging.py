"""Reviewers judge answers in the pages, blind; it goes the way of all feedback (S7, M3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from greenlight.core.ids import uuid7
from greenlight.core.records import SECOND, Feedback
from greenlight.dashboard.judging import MOST
from greenlight.lookup import everything
from greenlight.serving.spool import SpoolFull
from greenlight.serving.wire import FeedbackItem
from tests.cli.project import Project
from tests.contracts.making import feedback, inference
from tests.dashboard.house import Place, evaluated, house, judged, visiting
from tests.serving.harness import asynchronous, eventually


def answered(place: Place, number: int, **fields: str) -> str:
    """An answer of a while ago; its id."""
    at = place.clock.now() - 100 * SECOND + number
    id = uuid7(at, number.to_bytes(10, "big"))
    given = {"input": f"where is card {number}?", "output": "card_arrival"} | fields
    place.app.store.ingest([inference(id, at=at, rollout=None, **given)], [])
    return id


def words(place: Place) -> list[Feedback]:
    return list(everything(place.app.store, Feedback))


@asynchronous
async def test_a_reviewer_judges_answers(tmp_path: Path) -> None:
    async with judged(evaluated(tmp_path)) as place, visiting(place) as eve:
        first, second = answered(place, 1), answered(place, 2)
        assert "Sign in</a> to judge them" in await eve.get("/judge/intent")
        assert "intent" in await eve.get("/judge")
        await eve.sign_in("eve", "/judge/intent")
        assert "2 that nobody has judged, the newest first" in eve.text
        assert eve.text.index("where is card 2?") < eve.text.index("where is card 1?")
        form = {"inference": first, "value": "BAD", "reason_code": "wrong", "comment": "not this"}
        await eve.send("/judge/intent", form)
        assert (eve.status, eve.path) == (200, "/judge/intent")
        assert 'role="status">Judged BAD.</p>' in eve.text and eve.text.count("autofocus") == 1
        assert "where is card 1?" not in eve.text, "it is not shown again, stored yet or not"
        await eve.send("/judge/intent", {"inference": second, "value": "GOOD", "comment": " "})
        assert "Every answer of late has been judged." in eve.text
        await eventually(lambda: asyncio.to_thread(lambda: len(words(place)) == 2))
        assert {
            (w.inference_id, w.value, w.reason_code, w.comment, w.reviewer) for w in words(place)
        } == {(first, 0.0, "wrong", "not this", "eve"), (second, 1.0, None, None, "eve")}


@asynchronous
async def test_what_is_shown_and_what_is_not(tmp_path: Path) -> None:
    """Neither who answered, nor what was judged, nor what was not kept."""
    async with judged(evaluated(tmp_path)) as place, visiting(place) as eve:
        known = answered(place, 1)
        at = place.clock.now()
        place.app.store.ingest([], [feedback(uuid7(at, bytes(10)), known, at=at)])
        answered(place, 2, output="")
        answered(place, 3, input="<script>alert(1)</script>", version="sha256:secret")
        page = await eve.get("/judge/intent")
        assert "1 that nobody has judged" in page
        assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
        assert "secret" not in page and "card 1?" not in page and "card 2?" not in page


@asynchronous
async def test_a_long_queue_moves_up(tmp_path: Path) -> None:
    async with judged(evaluated(tmp_path)) as place, visiting(place) as eve:
        for number in range(MOST + 2):
            answered(place, number)
        page = await eve.get("/judge/intent")
        assert f"The newest {MOST} that nobody has judged" in page
        assert page.count("<article") == MOST


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({"value": "FINE"}, 400, "neither GOOD nor BAD"),
        ({"value": "GOOD", "reason_code": "x" * 200}, 400, "reason_code: use 1 to 128"),
        ({"value": "GOOD", "inference": "x"}, 400, "inference_id"),
        ({"value": "GOOD", "inference": uuid7(1, bytes(10))}, 404, "no inference"),
    ],
)
@asynchronous
async def test_what_is_refused_stays_on_the_page(
    tmp_path: Path, form: dict[str, str], status: int, says: str
) -> None:
    async with judged(evaluated(tmp_path)) as place, visiting(place) as eve:
        id = answered(place, 1)
        await eve.sign_in("eve", "/judge/intent")
        await eve.send("/judge/intent", {"inference": id, "comment": "kept"} | form)
        assert (eve.status, words(place)) == (status, [])
        assert says in eve.alert()
        assert ('value="kept"' in eve.text) == ("inference" not in form)


@asynchronous
async def test_what_cannot_be_kept_now_is_not_lost(tmp_path: Path) -> None:
    """Promise 5: it says so, and what was typed stays."""

    def full(item: FeedbackItem) -> None:
        raise SpoolFull("the disk takes no more: nothing more can be recorded")

    async with house(evaluated(tmp_path), hear=full) as place, visiting(place) as eve:
        id = answered(place, 1)
        await eve.sign_in("eve", "/judge/intent")
        await eve.send("/judge/intent", {"inference": id, "value": "GOOD", "comment": "kept"})
        assert (eve.status, "the disk takes no more" in eve.alert()) == (503, True)
        assert 'value="kept"' in eve.text


@asynchronous
async def test_nobody_judges_unknown_or_by_forged_forms(tmp_path: Path) -> None:
    async with judged(evaluated(tmp_path)) as place, visiting(place) as eve:
        id = answered(place, 1)
        await eve.post("/judge/intent", {"inference": id, "value": "GOOD"})
        assert eve.status in (401, 403)
        await eve.sign_in("eve", "/judge/intent")
        await eve.post("/judge/intent", {"inference": id, "value": "GOOD", "csrf": "forged"})
        assert eve.status == 403
        await eve.get("/judge/nothing")
        assert eve.status == 404 and "intent" in eve.text
        assert words(place) == []


@asynchronous
async def test_a_conversation_is_shown_as_one(tmp_path: Path) -> None:
    project = _talking(tmp_path)
    async with judged(project) as place, visiting(place) as eve:
        said = [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
        ]
        answered(place, 1, task="support", input=msgspec.json.encode(said).decode(), output="hi!")
        answered(place, 2, task="support", input="[torn", output="hm")
        page = await eve.get("/judge/support")
        assert '<p class="crumb">system</p><blockquote>be kind</blockquote>' in page
        assert "&#34;text&#34;:&#34;hello&#34;" in page and "hi!" in page
        assert "<blockquote>[torn</blockquote>" in page


def _talking(folder: Path) -> Project:
    project = evaluated(folder)
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(f'{text}\n[tasks.support]\nkind = "chat"\n', encoding="utf-8")
    return project
