"""Reviewers give labels to what feedback cannot label, and do not learn who answered (D3, D11)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenlight.core.ids import uuid7
from greenlight.core.metrics import RELABEL
from greenlight.core.records import SECOND, Feedback
from greenlight.dashboard.relabel import MOST
from greenlight.lookup import everything
from tests.cli.project import Project
from tests.contracts.making import feedback, inference
from tests.dashboard.house import Place, evaluated, house, visiting
from tests.serving.harness import asynchronous

LABELS = ("card_arrival", "lost_card", "pin_blocked")


def labelled(folder: Path) -> Project:
    """A project whose task names its labels."""
    project = evaluated(folder)
    text = project.file.read_text(encoding="utf-8")
    names = ", ".join(f'"{label}"' for label in LABELS)
    text = text.replace('source = "sample"', f'source = "feedback"\nlabels = [{names}]')
    project.file.write_text(text, encoding="utf-8")
    return project


def doubted(place: Place, number: int = 1, **said: str) -> str:
    """An answer that somebody has called BAD; its id."""
    at = place.clock.now() - 100 * SECOND - number
    id = uuid7(at, number.to_bytes(10, "big"))
    version = place.version()
    asked = inference(
        id,
        at=at,
        rollout=None,
        version=version.digest,
        served_version=version.digest,
        input=f"where is card {number}?",
        output="card_arrival",
    )
    word = feedback(uuid7(at + 1, number.to_bytes(10, "big")), id, 0.0, at=at + 1, **said)
    place.app.store.ingest([asked], [word])
    return id


def words(place: Place) -> list[Feedback]:
    return [word for word in everything(place.app.store, Feedback) if word.metric == RELABEL]


@asynchronous
async def test_a_reviewer_labels_an_answer(tmp_path: Path) -> None:
    """D11: who is signed in is the reviewer; the next one comes up."""
    async with house(labelled(tmp_path)) as place, visiting(place) as eve:
        first, second = doubted(place, 1), doubted(place, 2)
        await eve.sign_in("eve", "/relabel/intent")
        assert "2 wait, the newest first" in eve.text and "where is card 1?" in eve.text
        options = re.findall(r"<option[^>]*>([^<]*)</option>", eve.text)
        assert options == ["Choose…", *LABELS] * 2 and "autofocus" not in eve.text
        form = {"inference": first, "label": "lost_card", "why": "it says so"}
        await eve.send("/relabel/intent", form)
        assert (eve.status, eve.path) == (200, "/relabel/intent")
        assert 'role="status">Labelled lost_card.</p>' in eve.text
        assert "where is card 1?" not in eve.text and eve.text.count("autofocus") == 1
        await eve.send("/relabel/intent", {"inference": second, "label": "lost_card", "why": ""})
        assert "Nothing waits." in eve.text
        given = {(w.inference_id, w.correction, w.comment, w.reviewer) for w in words(place)}
        assert given == {
            (first, "lost_card", "it says so", "eve"),
            (second, "lost_card", None, "eve"),
        }


@asynchronous
async def test_reviewers_are_blind(tmp_path: Path) -> None:
    """Neither version nor variant, neither by name nor by digest."""
    async with house(labelled(tmp_path)) as place, visiting(place) as eve:
        doubted(place, reason_code="wrong_topic", comment="no", correction="lost_card")
        doubted(place, 2, correction="card_arrival")
        await eve.sign_in("eve", "/relabel/intent")
        main = eve.text.partition("<main")[2]
        digest = place.version().digest
        for told in (digest, digest[7:15], "intent@1", "control", "candidate", "variant", "v1"):
            assert told not in main, told
        assert "People contradict each other" in main
        assert "<dt>Proposed</dt><dd><code>card_arrival</code></dd>" in main


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("lost_cart", "label 'lost_cart': there is none of that name; did you mean 'lost_card'?"),
        ("", "label: give one"),
    ],
)
@asynchronous
async def test_refusals_stand_beside_the_form(tmp_path: Path, label: str, says: str) -> None:
    async with house(labelled(tmp_path)) as place, visiting(place) as eve:
        doubted(place, 1)
        id = doubted(place, 2)
        await eve.sign_in("eve", "/relabel/intent")
        form = {"inference": id, "label": label, "why": 'because "so" <i>'}
        await eve.send("/relabel/intent", form)
        assert eve.status == 400 and says in eve.alert()
        assert 'value="because &#34;so&#34; &lt;i&gt;"' in eve.text
        assert eve.text.count('aria-invalid="true"') == 1 and words(place) == []


@asynchronous
async def test_an_answer_that_is_none_of_the_task(tmp_path: Path) -> None:
    async with house(labelled(tmp_path)) as place, visiting(place) as eve:
        await eve.sign_in("eve", "/relabel/intent")
        await eve.get("/sign-in")
        await eve.send("/relabel/intent", {"inference": "gone", "label": "lost_card"})
        assert eve.status == 404 and "no such answer of task intent" in eve.alert()
        await eve.get("/relabel/other")
        assert eve.status == 404


@asynchronous
async def test_labels_that_nobody_has_named(tmp_path: Path) -> None:
    """Then any will do, and a text is typed."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as eve:
        id = doubted(place)
        await eve.sign_in("eve", "/relabel/intent")
        assert "<select" not in eve.text
        await eve.send("/relabel/intent", {"inference": id, "label": "a new one"})
        assert "Labelled a new one." in eve.text


@asynchronous
async def test_tags_are_mended_word_by_word(tmp_path: Path) -> None:
    """D11: the field holds the answer; what does not fit the text is refused beside it."""
    project = evaluated(tmp_path)
    text = project.file.read_text(encoding="utf-8")
    text = text.replace('"classify"', '"tag"').replace('"sample"', '"sample-entities"')
    text = text.replace('"tfidf-linear"', '"token-tagger"')
    project.file.write_text(text, encoding="utf-8")
    async with house(project) as place, visiting(place) as eve:
        id = doubted(place)
        await eve.sign_in("eve", "/relabel/intent")
        assert "<select" not in eve.text and 'value="card_arrival"' in eve.text
        await eve.send("/relabel/intent", {"inference": id, "label": "O O"})
        assert eve.status == 400 and "2 tags for 4 words" in eve.alert()
        await eve.send("/relabel/intent", {"inference": id, "label": "O O B-thing I-thing"})
        assert "Labelled O O B-thing I-thing." in eve.text


@asynchronous
async def test_what_people_wrote_is_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    async with house(evaluated(tmp_path)) as place, visiting(place) as eve:
        doubted(place, comment=evil, reason_code=evil, correction=evil)
        doubted(place, 2, comment=evil)
        await eve.sign_in("eve", "/relabel/intent")
        assert "<script>alert" not in eve.text and "&lt;script&gt;alert" in eve.text


@asynchronous
async def test_only_so_many_at_once(tmp_path: Path) -> None:
    async with house(labelled(tmp_path)) as place, visiting(place) as guest:
        for number in range(MOST + 1):
            doubted(place, number)
        page = await guest.get("/relabel/intent")
        assert f"The newest {MOST}; more wait" in page and page.count("<blockquote") == MOST
        assert "Sign in</a> to label them" in page and "<select" not in page
        assert f"more than {MOST} wait" in await guest.get("/relabel")
