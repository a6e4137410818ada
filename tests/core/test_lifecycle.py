"""The transition table: what may follow what, and that nothing else may."""

from __future__ import annotations

import pytest

from greenlight.core.errors import Refused
from greenlight.core.lifecycle import (
    FIRST_VERSION_STATUS,
    ROLLOUT,
    SIGNABLE,
    VERSION,
    Event,
    allowed,
    mermaid,
    next_rollout_status,
    next_status,
)
from greenlight.core.states import RolloutStatus, VersionStatus

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
    for table in (VERSION, ROLLOUT):
        pairs = [(t.source, t.event) for t in table]
        assert len(pairs) == len(set(pairs))


def test_users_are_reached_through_approval_only() -> None:
    """G2: every way to traffic starts at `approved`, and only a quorum leads there. G1: but for
    what is adopted, straight from registration, before anybody has judged it."""
    assert {t.source for t in VERSION if t.event in TO_USERS} == {V.APPROVED}
    assert {t.event for t in VERSION if t.target == V.APPROVED} == {Event.QUORUM_MET}
    into_traffic = {t.source for t in VERSION if t.target in (V.CANARY, V.LIVE)}
    assert into_traffic == {V.APPROVED, V.CANARY, V.REGISTERED}
    from_nothing = {(t.event, t.target) for t in VERSION if t.source == V.REGISTERED}
    assert (Event.ADOPT, V.LIVE) in from_nothing
    assert {t.source for t in VERSION if t.event == Event.ADOPT} == {V.REGISTERED}
    assert V.REGISTERED not in SIGNABLE and V.GATED_OUT not in SIGNABLE


def test_every_status_can_be_reached() -> None:
    assert {t.target for t in VERSION} | {FIRST_VERSION_STATUS} == set(V)
    assert {t.target for t in ROLLOUT} | {RolloutStatus.RUNNING} == set(RolloutStatus)


def test_a_rollout_ends_once() -> None:
    for event in ("promote", "rollback", "inconclusive"):
        ended = next_rollout_status(RolloutStatus.RUNNING, event)
        with pytest.raises(Refused, match="stays so"):
            next_rollout_status(ended, "promote")
    with pytest.raises(Refused, match="promote, rollback, inconclusive"):
        next_rollout_status(RolloutStatus.RUNNING, "widen")


def test_the_diagram_has_every_row() -> None:
    lines = mermaid(VERSION, FIRST_VERSION_STATUS, "register").splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> registered: register"]
    assert "    approved --> canary: start rollout" in lines
    assert len(lines) == 2 + len(VERSION)
    ends = [line for line in mermaid(ROLLOUT, RolloutStatus.RUNNING, "start").splitlines()]
    assert ends[-1] == "    withdrawn --> [*]"
