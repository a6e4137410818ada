"""The page of an evidence folder, whatever the end was: a drill, a person's word, a promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from greenlight.core import aftermath
from greenlight.core.incidents import Incident
from greenlight.core.records import SECOND
from greenlight.core.states import Action
from greenlight.reporting.history import history
from greenlight.reporting.incident import folder, page, story
from greenlight.reporting.incident.dossier import Dossier
from greenlight.reporting.incident.gather import gather
from greenlight.stages.aftermath import advance
from greenlight.testing.world import Quality
from tests.reporting.rolled_back import promoted, rolled_back, told
from tests.reporting.test_html import Reader
from tests.scenarios.worlds import AWFUL, BRIGHT, Quick, quick

DRILL = {"passed": True, "detection_s": 4.25, "why": "it was rolled back in time"}


def shown(case: Quick, **options: Any) -> str:
    return Reader(page.page(told(case, **options).dossier, [], [])).text


def test_a_drill_shows_what_it_measured() -> None:
    case = quick(AWFUL)
    case.run(60 * SECOND)
    rehearsed = msgspec.structs.replace(case.now(), drill="errors: 5% of its calls fail")
    case.store.commit(swap=[(case.now(), rehearsed)])
    incident = case.store.get(Incident, rehearsed.id)
    assert incident is not None
    assert told(case).dossier.drill is None
    given = told(case, drill=DRILL).dossier
    advance(case.store, incident, aftermath.DRILL, DRILL, case.clock.now())
    kept = told(case).dossier
    assert given.drill == DRILL and kept.drill == {**DRILL, "at": case.clock.now()}
    text = shown(case)
    assert "Drill: intent@2 was rolled back" in text and "detection (s)" in text and "4.25" in text
    assert "caches: not done yet when this was written." in text


def test_a_person_is_named_as_the_reason() -> None:
    case = quick(BRIGHT)
    case.run(3 * SECOND)
    case.order(Action.ROLLBACK, why="support is flooded")
    said = told(case)
    assert said.dossier.decision is not None and said.dossier.decision.by == "person"
    assert "somebody said so (ben (product_owner): support is flooded)" in said.dossier.story[1]
    assert story.deciding(said.dossier) is None
    assert [picture.name for picture in folder.pictures(said.found)] == [
        "timeline",
        "evidence",
        "split",
        "rates",
    ]


def test_a_promotion_has_nothing_to_be_done() -> None:
    dossier = promoted().dossier
    text = Reader(page.page(dossier, [], [])).text
    assert dossier.propagation is None and dossier.steps == {}
    assert "intent@2 was promoted" in text and "It was not rolled back" in text
    assert "not done yet" not in text


def changed(**steps: dict[str, Any]) -> Dossier:
    dossier = rolled_back().dossier
    return msgspec.structs.replace(dossier, steps={**dossier.steps, **steps})


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"result": "differs", "says": "far from it", "at": 1}, "it is NOT what was evaluated"),
        ({"result": "cannot_compute", "says": "no rows", "at": 1}, "is not known: no rows"),
        ({"tries": 2, "error": "no"}, "has not been asked yet"),
    ],
)
def test_what_control_is_like_is_never_taken_for_granted(step: dict[str, Any], says: str) -> None:
    dossier = changed(baseline=step)
    assert says in story.story(dossier)[2]
    text = Reader(page.page(dossier, [], [])).text
    assert ("somebody must look" in text) == (step.get("result") == "differs")
    assert "as evaluated" not in text.replace("NOT as evaluated", "").replace("was evaluated", "")


def test_evidence_that_does_not_match_is_shouted() -> None:
    found = rolled_back()
    assert found.dossier.decision is not None
    doubtful = msgspec.structs.replace(found.dossier.decision, recomputed=False)
    dossier = msgspec.structs.replace(found.dossier, decision=doubtful)
    assert any("Do not rely on" in line for line in story.unknown(dossier))
    assert "The evidence does not match" in page.page(dossier, [], [])


def test_hostile_labels_stay_text() -> None:
    found = rolled_back().dossier
    bad = '<script>alert("1")</script>'
    versions = [msgspec.structs.replace(v, label=bad) for v in found.versions]
    text = page.page(msgspec.structs.replace(found, versions=versions), [], [("a", bad)])
    assert "<script" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize("most", [1, 5])
def test_a_long_rollout_is_told_in_few_moments(most: int) -> None:
    """What the decisions saw is there to the bit; in between it may be coarse."""
    case = promoted().case
    whole, short = history(case.store, case.now()), history(case.store, case.now(), most=most)
    assert len(short.moments) <= most + len(short.decisions) + 2 < len(whole.moments)
    assert short.agrees and short.last == whole.last
    assert (short.exposed, short.first_exposure) == (whole.exposed, whole.first_exposure)
    known = {moment.at: moment for moment in whole.moments}
    assert all(known[moment.at] == moment for moment in short.moments)
    looked = {moment.at for moment in whole.moments} & {d.at for d in whole.decisions}
    assert looked <= {moment.at for moment in short.moments} and case.newest().at in looked


def test_a_rollout_under_way_has_no_case_yet() -> None:
    case = quick(Quality(good=0.5))
    case.run(SECOND)
    with pytest.raises(AssertionError):
        gather(case.store, case.now(), now=case.clock.now(), made_by="")


WORDS: list[tuple[Callable[[Dossier], str], str]] = [
    (lambda it: story.headline(it), "after it met its first user"),
    (lambda it: story.story(it)[0], "at 20% of the users"),
    (lambda it: story.story(it)[1], "E = "),
    (lambda it: story.story(it)[2], "All traffic was back at intent@1 within"),
]


@pytest.mark.parametrize(("say", "words"), WORDS)
def test_the_three_sentences(say: Callable[[Dossier], str], words: str) -> None:
    assert words in say(rolled_back().dossier)
