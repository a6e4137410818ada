"""The transition table: what may follow what, and that nothing else may."""

from __future__ import annotations

import pytest

from greenlight.core.errors import Refused
from greenlight.core.lifecycle import (
    FIRST_PHASE,
    FIRST_VERSION_STATUS,
    ROLLOUT,
    SIGNABLE,
    VERSION,
    Event,
    allowed,
    check_rollout,
    mermaid,
    next_status,
    phase_of,
)
from greenlight.core.policy import RolloutPolicy, Step
from greenlight.core.states import Phase, RolloutStatus, VersionStatus

V = VersionStatus
TO_USERS = {Event.GO_LIVE, Event.START_ROLLOUT}


@pytest.mark.parametrize(
    ("path", "end"),
    [
        (["gates_passed", "quorum_met", "go_live", "retire"], V.RETIRED),
        (["gates_passed", "quorum_met", "start_rollout", "promote", "retire"], V.RETIRED),
        (["gates_passed", "quorum_met", "start_rollout", "rollback"], V.ROLLED_BACK),
        (["gates_passed", "quorum_met", "start_rollout", "inconclusive"], V.SHELVED),
        (["gates_failed", "gates_passed", "reject", "reopen", "quorum_met"], V.APPROVED),
        (["gates_passed", "quorum_met", "quorum_lost"], V.EVALUATED),
        (["adopt", "retire", "quorum_met"], V.APPROVED),
        (["gates_passed", "quorum_met", "start_rollout", "rollback", "quorum_met"], V.APPROVED),
    ],
)
def test_whole_lives(path: list[str], end: VersionStatus) -> None:
    """R1: a version moves by the table."""
    status = FIRST_VERSION_STATUS
    for event in path:
        status = next_status(status, event)
    assert status == end


@pytest.mark.parametrize("status", V)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_in_the_table_or_refused(status: VersionStatus, event: Event) -> None:
    """R1: transitions only by the table; the refusal names what would be allowed."""
    rows = [t for t in VERSION if (t.source, t.event) == (status, event)]
    if rows:
        assert [next_status(status, event)] == [row.target for row in rows]
    else:
        with pytest.raises(Refused) as refusal:
            next_status(status, event)
        assert all(name in str(refusal.value) for name in allowed(status))


def test_no_row_contradicts_another() -> None:
    pairs = [(t.source, t.event) for t in VERSION]
    assert len(pairs) == len(set(pairs))
    rows = [(t.source, t.event, t.target) for t in ROLLOUT]
    assert len(rows) == len(set(rows))


def test_users_are_reached_through_approval_only() -> None:
    """G2: every way to traffic starts at `approved`, and only a quorum leads there. G1: but for
    what is adopted, straight from registration, before anybody has judged it."""
    assert {t.source for t in VERSION if t.event in TO_USERS} == {V.APPROVED}
    assert {t.event for t in VERSION if t.target == V.APPROVED} == {Event.QUORUM_MET}
    into_traffic = {t.source for t in VERSION if t.target in (V.CANARY, V.LIVE)}
    assert into_traffic == {V.APPROVED, V.CANARY, V.REGISTERED, V.RETIRED}
    # A kill undoes a promotion: what was live until then, and was approved, is live again.
    assert {t.event for t in VERSION if t.source == V.RETIRED and t.target == V.LIVE} == {
        Event.RESTORE
    }
    from_nothing = {(t.event, t.target) for t in VERSION if t.source == V.REGISTERED}
    assert (Event.ADOPT, V.LIVE) in from_nothing
    assert {t.source for t in VERSION if t.event == Event.ADOPT} == {V.REGISTERED}
    assert V.REGISTERED not in SIGNABLE and V.GATED_OUT not in SIGNABLE


def test_every_status_can_be_reached() -> None:
    assert {t.target for t in VERSION} | {FIRST_VERSION_STATUS} == set(V)
    assert {t.target for t in ROLLOUT} | {FIRST_PHASE} == set(Phase)


OF_ROLLOUTS = {t.event for t in ROLLOUT}
ENDED = (Phase.PROMOTED, Phase.ROLLED_BACK, Phase.INCONCLUSIVE, Phase.WITHDRAWN)


@pytest.mark.parametrize("before", Phase)
@pytest.mark.parametrize("event", Event)
def test_every_move_of_a_rollout_is_in_the_table_or_refused(before: Phase, event: Event) -> None:
    """O1, O4: every (phase, event, phase), exhaustively."""
    for after in Phase:
        if any((t.source, t.event, t.target) == (before, event, after) for t in ROLLOUT):
            check_rollout(before, event, after)
            continue
        with pytest.raises(Refused) as refusal:
            check_rollout(before, event, after)
        open_to = {t.event.value for t in ROLLOUT if t.source == before}
        assert all(name in str(refusal.value) for name in open_to)


def test_a_rollout_ends_once_unless_a_kill_came_before_its_promotion() -> None:
    leave = {(t.source, t.event, t.target) for t in ROLLOUT if t.source in ENDED}
    assert leave == {(Phase.PROMOTED, Event.UNDO, Phase.ROLLED_BACK)}


def test_no_way_leads_to_full_traffic_but_rung_by_rung() -> None:
    """O1: a promotion comes from the last step or from what was held back after it, both of which
    are reached from below only; what is out of traffic never comes back."""
    into = {phase: {t.source for t in ROLLOUT if t.target == phase} - {phase} for phase in Phase}
    assert into[Phase.PROMOTED] == {Phase.LAST_STEP, Phase.HOLDBACK}
    assert into[Phase.HOLDBACK] == {Phase.LAST_STEP}
    assert into[Phase.LAST_STEP] == {Phase.CANARY, Phase.SHADOW, Phase.PENDING}
    assert {t.event for t in ROLLOUT if t.target == Phase.LAST_STEP} == {
        Event.BEGIN,
        Event.WIDEN,
        Event.PAUSE,
        Event.RESUME,
    }


def test_traffic_can_be_taken_away_wherever_a_rollout_is() -> None:
    for phase in set(Phase) - set(ENDED):
        check_rollout(phase, Event.ROLLBACK, Phase.ROLLED_BACK)
        check_rollout(phase, Event.WITHDRAW, Phase.WITHDRAWN)


def test_the_phase_follows_from_the_ladder() -> None:
    steps = (Step(weight=0.1), Step(weight=0.2), Step(weight=0.5), Step(weight=1.0))
    rules = RolloutPolicy(steps=steps, shadow=1, holdback=0.01)
    running = [phase_of(RolloutStatus.RUNNING, step, rules) for step in range(5)]
    assert running == [
        Phase.SHADOW,
        Phase.CANARY,
        Phase.CANARY,
        Phase.LAST_STEP,
        Phase.HOLDBACK,
    ]
    plain = RolloutPolicy(steps=steps[-2:])
    assert phase_of(RolloutStatus.RUNNING, 0, plain) == Phase.LAST_STEP
    for status in set(RolloutStatus) - {RolloutStatus.RUNNING}:
        assert phase_of(status, 0, rules) == Phase(status.value)


def test_the_diagram_has_every_row() -> None:
    lines = mermaid(VERSION, FIRST_VERSION_STATUS, "register").splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> registered: register"]
    assert "    approved --> canary: start rollout" in lines
    assert len(lines) == 2 + len(VERSION)
    ends = mermaid(ROLLOUT, FIRST_PHASE, "start").splitlines()
    assert ends[-1] == "    inconclusive --> [*]"
