"""Verdicts at the very edge of each rule, and what they say to people (O1, O5)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from greenlight.core.budget import thresholds
from greenlight.core.evidence import ArmCounts
from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.core.situation import served_share
from greenlight.core.states import Action, Variant
from greenlight.core.verdict import Verdict, decide
from tests.core.test_verdict import EPOCH, NOW, POLICY, alarm, arms, evidence, situation

LIMITS = thresholds(POLICY)
WIN, TRUST = LIMITS["superiority"], LIMITS["srm"]
LAST = {"step": 1}
ROWS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {}, "no_harm", "no sign of harm at this split; the candidate's share grows to 50%"),
    (
        {"unreachable_since": NOW - 75 * SECOND},
        {},
        "breaker",
        "for 75 seconds nothing has got through to the candidate, while control is healthy",
    ),
    (
        {"untrusted_since": NOW - 29 * MINUTE},
        {"srm": TRUST + 1},
        "srm",
        "units are not divided between the arms as they should be: E = 2,718 ≥ 1,000",
    ),
    (
        {"untrusted_since": NOW - 31 * MINUTE},
        {"srm": TRUST + 1},
        "srm",
        "units are not divided between the arms as they should be: E = 2,718 ≥ 1,000; it has been "
        "so for 1860 seconds. The candidate is withdrawn, which is no word on whether it is any "
        "good",
    ),
    (
        {},
        {"source": 50},
        "concentration",
        "one reviewer gave 25% of the outcomes, 20% is the most",
    ),
    (
        {},
        {"presence": TRUST + 1},
        "presence",
        "feedback comes from the arms unequally often, so that what it says of them cannot be "
        "compared, and over all exposed units neither arm is shown to be better: "
        "E = 2,718 ≥ 1,000",
    ),
    (
        {"started_at": NOW - 10 * HOUR},
        {},
        "horizon",
        "the horizon has passed without a decision; the candidate's share goes to 0 and a person "
        "decides",
    ),
    (
        {"complete_until": None},
        {},
        "stale",
        "no gateway is alive, so nothing is known of the traffic",
    ),
    (
        {"complete_until": NOW - 90 * SECOND},
        {},
        "stale",
        "the evidence is 90 seconds behind: a gateway has not reported its events, or more came "
        "than one look takes",
    ),
    (
        {"arms": arms(served=980)},
        {},
        "served_share",
        "the candidate answered 98.0% of its requests itself, 99.0% are needed",
    ),
    (
        {},
        {"late": 40},
        "late",
        "2.0% of the exposures came after their cohort had closed, 0.5% is the most",
    ),
    (
        {"soaking_since": None},
        {},
        "soaking",
        "this split has not been in force long enough",
    ),
    (
        {},
        {"exposed": 60},
        "collecting",
        "units that met this split: control 60, candidate 60; 100 of each arm are needed",
    ),
    (
        {},
        {"outcomes": 60},
        "collecting",
        "outcomes at this split: control 60, candidate 60; 100 of each arm are needed",
    ),
    (
        LAST,
        {"superiority": 99.0, "no_worse__clicked": 1.0},
        "unproved",
        "clicked: not shown to be no worse yet: E = 2.718, 20 is needed",
    ),
    (
        {},
        {"quality": 1.0},
        "signs_of_harm",
        "the evidence leans towards harm (quality: E = 2.718): not enough to roll back, "
        "too much "
        "to go on",
    ),
]


def verdict(where: dict[str, Any], found: dict[str, Any]) -> Verdict:
    return decide(situation(**where), evidence(**found), POLICY, NOW)


@pytest.mark.parametrize(("where", "found", "code", "reason"), ROWS)
def test_what_is_said(where: dict[str, Any], found: dict[str, Any], code: str, reason: str) -> None:
    """O5: a reason names its numbers and what is needed."""
    said = verdict(where, found)
    assert (said.code, said.reason) == (code, reason)


EDGES: list[tuple[str, dict[str, Any], dict[str, Any], Action]] = [
    ("unreachable", {"unreachable_since": NOW - MINUTE}, {}, Action.WIDEN),
    ("stale", {"complete_until": NOW - MINUTE}, {}, Action.WIDEN),
    ("late", {}, {"late": 10, "exposed": 995}, Action.WIDEN),
    ("served", {"arms": arms(served=990)}, {}, Action.WIDEN),
    ("soaked", {"soaking_since": NOW - MINUTE}, {}, Action.WIDEN),
    ("exposed", {}, {"exposed": 100}, Action.WIDEN),
    ("a healthy alarm", {"alarms": alarm("ok")}, {}, Action.WIDEN),
    ("presence", {}, {"presence": TRUST}, Action.HOLD),
    ("proved, to widen", {}, {"no_worse__errors": WIN}, Action.WIDEN),
    (
        "proved, to promote",
        LAST,
        {"superiority": WIN + 1e-9, "no_worse__errors": WIN, "no_worse__clicked": WIN},
        Action.PROMOTE,
    ),
    ("early harm alone", {}, {"early_harm": 0.1}, Action.STAY),
    ("errors alone", {}, {"errors": 0.1, "failed": 9}, Action.STAY),
    ("errors that are just enough to matter", {}, {"errors": 0.1, "failed": 1}, Action.STAY),
    ("errors that are too few to matter", {}, {"errors": 0.1, "failed": 0}, Action.WIDEN),
    (
        "errors that just matter",
        {},
        {"errors": LIMITS["errors"] + 1e-9, "failed": 1},
        Action.ROLLBACK,
    ),
]


@pytest.mark.parametrize(
    ("where", "found", "action"), [row[1:] for row in EDGES], ids=[row[0] for row in EDGES]
)
def test_at_the_edge(where: dict[str, Any], found: dict[str, Any], action: Action) -> None:
    """O1: what a limit allows it allows up to itself."""
    assert verdict(where, found).action == action


@pytest.mark.parametrize("what", ["exposed", "outcomes"])
@pytest.mark.parametrize("step", [0, 1])
def test_other_splits_do_not_count(what: str, step: int) -> None:
    """Units and outcomes are needed at this split, however many another one had."""
    state = evidence(superiority=99.0, **{what: 99})  # type: ignore[arg-type]
    for variant in Variant:
        state.counts[f"{EPOCH - 1}/{variant}"] = ArmCounts(exposed=5000, outcomes=5000)
    said = decide(situation(step=step), state, POLICY, NOW)
    assert (said.action, said.code) == (Action.STAY, "collecting")


def test_the_served_share_is_that_of_the_candidate_in_the_epoch() -> None:
    rows = arms(served=800)
    assert served_share(rows, EPOCH) == 0.8
    assert served_share(rows, EPOCH + 1) is None
    idle = [msgspec.structs.replace(row, requests=0, served=0) for row in rows]
    assert served_share(idle, EPOCH) is None
