"""Orders of people to a running rollout (O4): who may give them, and what stands against them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from greenlight.core.approval import Person
from greenlight.core.orders import ORDERS, forbidden, refusal
from greenlight.core.records import MINUTE, SECOND
from greenlight.core.states import Action
from greenlight.core.verdict import decide
from tests.core.test_verdict import EPOCH, NOW, POLICY, START, arms, evidence, situation

QUORUM = {"ml_lead": 1, "product_owner": 1}
BY = "ana (ml_lead): enough"


def person(name: str, *roles: str) -> Person:
    return Person(name=name, roles=roles, key="ed25519:any")


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (person("ben", "ml_lead"), set(ORDERS)),
        (person("kim", "operations"), {Action.ROLLBACK, Action.WITHDRAW, Action.PAUSE}),
        (person("ana", "ml_lead"), {Action.ROLLBACK, Action.WITHDRAW, Action.PAUSE, Action.RESUME}),
    ],
)
def test_who_may_order_what(who: Person, may: set[Action]) -> None:
    """G1: ana began the rollout, and gives it no traffic."""
    assert {o for o in ORDERS if forbidden(o, who, QUORUM, initiator="ana") is None} == may


AT_LAST = {"step": 1, "arms": arms()}
PAUSED = {"paused": BY}


@pytest.mark.parametrize(
    ("action", "changes", "seen", "says"),
    [
        (Action.ROLLBACK, {}, {}, None),
        (Action.ROLLBACK, PAUSED | {"unapproved": "revoked"}, {}, None),
        (Action.PAUSE, {}, {}, None),
        (Action.PAUSE, PAUSED, {}, "paused already (ana (ml_lead): enough)"),
        (Action.RESUME, {}, {}, "it is not paused"),
        (Action.RESUME, PAUSED, {}, None),
        (Action.WIDEN, {}, {}, None),
        (Action.WIDEN, {"soaking_since": NOW}, {}, None),
        (Action.WIDEN, {}, {"outcomes": 0, "no_worse__step": 0.0}, None),
        (Action.WIDEN, AT_LAST, {}, "this is its last step"),
        (Action.WIDEN, PAUSED, {}, "hold (paused)"),
        (Action.WIDEN, {"unapproved": "revoked"}, {}, "hold (unapproved): revoked"),
        (Action.WIDEN, {"complete_until": None}, {}, "hold (stale)"),
        (Action.WIDEN, {"arms": arms(served=900)}, {}, "hold (served_share)"),
        (Action.WIDEN, {"soaking_since": NOW}, {"quality": 2.0}, "leans towards harm"),
        (Action.WIDEN, {}, {"quality": 99.0}, "rollback (quality)"),
        (Action.WIDEN, {"started_at": START - 99 * 60 * MINUTE}, {}, "inconclusive (horizon)"),
        (Action.PROMOTE, {}, {}, "not come to its last step"),
        (Action.PROMOTE, AT_LAST, {}, None),
        (Action.PROMOTE, AT_LAST, {"superiority": 99.0}, None),
        (
            Action.PROMOTE,
            AT_LAST,
            {"no_worse__clicked": 0.0},
            "clicked is not shown",
        ),
        (Action.PROMOTE, AT_LAST, {"no_worse__errors": 0.0}, "errors is not shown to be no worse"),
        (Action.PROMOTE, AT_LAST, {"quality": 2.0}, "leans towards harm"),
        (Action.PROMOTE, AT_LAST, {"srm": 99.0}, "hold (srm)"),
        (Action.PROMOTE, AT_LAST | PAUSED, {}, "hold (paused)"),
        (Action.PROMOTE, AT_LAST | {"unapproved": "expired"}, {}, "hold (unapproved)"),
    ],
)
def test_what_stands_against_an_order(
    action: Action, changes: dict[str, Any], seen: dict[str, Any], says: str | None
) -> None:
    found = refusal(action, situation(**changes), evidence(**seen), POLICY, NOW)
    assert (found is None) == (says is None), found
    assert says is None or says in str(found)


def test_no_bounds_no_promotion_by_hand() -> None:
    """What cannot be computed is not proved."""
    money = msgspec.structs.replace(POLICY.metrics["money"], low=None, high=None)
    policy = msgspec.structs.replace(POLICY, metrics=POLICY.metrics | {"money": money})
    found = refusal(Action.PROMOTE, situation(**AT_LAST), evidence(), policy, NOW)
    assert found is not None and "cannot be computed" in found


def test_a_paused_rollout_holds_and_is_rolled_back_all_the_same() -> None:
    paused = situation(**PAUSED)
    held = decide(paused, evidence(), POLICY, NOW)
    assert (held.action, held.code, held.reason) == (Action.HOLD, "paused", BY)
    harmed = decide(paused, evidence(quality=99.0), POLICY, NOW)
    assert harmed.action == Action.ROLLBACK
    assert paused.epoch == EPOCH and paused.complete_until == NOW - SECOND
