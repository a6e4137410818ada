"""Whole rollouts in simulated worlds: real store, real controller, users whose mind is known."""

from __future__ import annotations

import msgspec
import pytest

from greenlight.core import ledger
from greenlight.core.errors import NotFound, Refused, Tampered
from greenlight.core.evidence import begin, fold, freeze, thaw
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import (
    MINUTE,
    SECOND,
    Decision,
    Epoch,
    EvidenceState,
    JournalEntry,
    LedgerEntry,
    Rollout,
    Version,
)
from greenlight.core.states import Action, RolloutStatus, Variant, VersionStatus
from greenlight.stages import roll_out
from greenlight.stages.replay import replay
from greenlight.testing.world import Quality
from tests.scenarios.worlds import BETTER, GOOD, POLICY, POOR, TASK, Case, case


def test_a_better_candidate_is_promoted() -> None:
    """O1: 10 % → 50 % → 100 %, and only by evidence."""
    it = case(GOOD, BETTER)
    assert it.run(4 * MINUTE).status == RolloutStatus.PROMOTED
    actions = [action for action in it.actions() if action != Action.STAY]
    assert actions == [Action.START, Action.WIDEN, Action.PROMOTE]
    assert it.status("intent@2") == VersionStatus.LIVE
    assert it.status("intent@1") == VersionStatus.RETIRED
    routing = roll_out.current_epoch(it.store, TASK)
    assert routing is not None
    assert (routing.control, routing.candidate) == ("sha256:intent@2", None)


def test_a_poor_candidate_is_gone_within_seconds_and_never_widened() -> None:
    """O1, O3."""
    it = case(GOOD, POOR)
    ended = it.run(MINUTE)
    assert ended.status == RolloutStatus.ROLLED_BACK
    assert Action.WIDEN not in it.actions()
    assert ended.ended_at is not None
    assert ended.ended_at - ended.at < 20 * SECOND
    assert it.status("intent@2") == VersionStatus.ROLLED_BACK


def test_a_failing_candidate_is_rolled_back_for_its_errors() -> None:
    """S5: users never see it, because control answers; the evidence does."""
    it = case(GOOD, Quality(good=0.97, error=0.5))
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
    last = it.store.scan(Decision, {"rollout": it.rollout.id}, newest_first=True, limit=1)[0]
    assert last.code == "errors"


def test_a_candidate_that_control_answers_for_is_held() -> None:
    """Intention to treat: a dead candidate looks like control, so the served share holds it.

    Errors weigh nothing here (a huge tolerance): only the served share stands in the way."""
    tolerant = msgspec.structs.replace(
        POLICY, evidence=msgspec.structs.replace(POLICY.evidence, error_tolerance=1e6)
    )
    it = case(GOOD, Quality(good=0.97, error=0.5))
    changed = msgspec.structs.replace(
        it.rollout, policy=msgspec.to_builtins(tolerant), policy_digest=tolerant.digest
    )
    it.store.commit(swap=[(it.rollout, changed)])
    assert it.run(40 * SECOND).status == RolloutStatus.RUNNING
    assert it.actions()[-1] == Action.HOLD


def test_nobody_says_anything() -> None:
    """O5: no feedback carries no decision; the horizon ends it as inconclusive."""
    it = case(GOOD, BETTER, feedback_rate=0.0, requests_per_second=5.0)
    assert it.run(6 * MINUTE).status == RolloutStatus.INCONCLUSIVE
    assert Action.WIDEN not in it.actions()
    assert it.status("intent@2") == VersionStatus.SHELVED


def test_labels_that_come_too_late_do_not_count() -> None:
    it = case(GOOD, POOR, mean_delay=10 * MINUTE, requests_per_second=20.0)
    it.run(MINUTE)
    journal = it.store.scan(JournalEntry, {"rollout": it.rollout.id}, limit=100_000)
    matured = sum(entry.test == "presence" for entry in journal)
    outcomes = sum(entry.test == "quality" for entry in journal)
    assert matured > 500
    assert outcomes < 0.05 * matured


def test_a_drifting_base_rate_promotes_nobody() -> None:
    """GOOD climbs from .60 to .90 for everybody while the split widens: no effect, no promotion."""
    it = case(Quality(good=0.6), Quality(good=0.6), drift=lambda seconds: min(0.3, 0.01 * seconds))
    it.run(2 * MINUTE)
    assert Action.PROMOTE not in it.actions()
    assert Action.ROLLBACK not in it.actions()


def test_a_withdrawn_approval_stops_the_climb() -> None:
    """G1: approvals are checked at every widening, and what is on stays where it is."""

    def revoked(rollout: Rollout) -> None:
        raise Refused("ana revoked her approval")

    it = case(GOOD, BETTER)
    assert it.run(40 * SECOND, authorise=revoked).status == RolloutStatus.RUNNING
    assert it.actions() == [Action.START, Action.HOLD]


def test_a_silent_gateway_holds() -> None:
    it = case(GOOD, BETTER)
    it.run(8 * SECOND)
    it.clock.advance(6 * SECOND)
    decision = it.look()
    assert decision is not None
    assert (decision.action, decision.code) == (Action.HOLD, "stale")


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (VersionStatus.REJECTED, NotFound("version 'intent@2': nothing goes by that label")),
        (VersionStatus.LIVE, Tampered("intent@2: the record is not what its digest names")),
    ],
)
def test_nothing_that_is_wrong_with_a_version_keeps_it_from_being_rolled_back(
    status: VersionStatus, fault: Exception
) -> None:
    """O1: a status that a rollout does not expect, a version that is gone or was changed."""
    it = case(GOOD, POOR)
    candidate = it.store.scan(Version, {"label": "intent@2"})[0]
    it.store.commit(swap=[(candidate, msgspec.structs.replace(candidate, status=status))])

    def authorise(rollout: Rollout) -> None:
        raise fault

    assert it.run(MINUTE, authorise=authorise).status == RolloutStatus.ROLLED_BACK
    assert it.status("intent@2") == status
    assert it.actions()[-1] == Action.ROLLBACK


def test_what_is_not_in_canary_is_not_promoted() -> None:
    """G1: a version that was rejected meanwhile goes nowhere, however good it is."""
    it = case(GOOD, BETTER)
    candidate = it.store.scan(Version, {"label": "intent@2"})[0]
    rejected = msgspec.structs.replace(candidate, status=VersionStatus.REJECTED)
    it.store.commit(swap=[(candidate, rejected)])
    with pytest.raises(Refused, match="rejected cannot take 'promote'"):
        it.run(4 * MINUTE)


def test_late_harm_is_found_after_the_widening() -> None:
    """A candidate that turns bad once it has half of the traffic."""
    it = case(GOOD, BETTER)
    it.run(14 * SECOND)
    it.world._qualities = {"sha256:intent@1": GOOD, "sha256:intent@2": POOR}
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK


@pytest.mark.parametrize("seed", [1, 2])
def test_replay_of_the_journal_gives_the_stored_state(seed: int) -> None:
    """EVIDENCE, replay: on one build, bit for bit."""
    it = case(GOOD, BETTER, seed)
    it.run(20 * SECOND)
    journal = it.store.scan(JournalEntry, {"rollout": it.rollout.id}, limit=1_000_000)
    weights = {e.number: e.weight for e in it.store.scan(Epoch, {"rollout": it.rollout.id})}
    state = it.store.get(EvidenceState, it.rollout.id)
    assert state is not None
    policy = msgspec.convert(it.rollout.policy, DecisionPolicy)
    again = fold(begin(policy), journal, policy, weights)
    again.closed = thaw(state.state).closed
    assert freeze(again) == state.state
    replayed = replay(it.store, it.now())
    assert len(replayed) >= 2
    assert all(decision.equal and decision.exact for decision in replayed)


def test_everything_that_was_decided_is_on_the_ledger() -> None:
    """G5."""
    it = case(GOOD, BETTER)
    it.run(20 * SECOND)
    entries = it.store.scan(LedgerEntry, limit=100_000)
    assert ledger.problems(entries) == []
    recorded = [entry.body["id"] for entry in entries if entry.kind == "decision"]
    decided = [decision.id for decision in it.store.scan(Decision)]
    assert recorded == decided
    assert all(it.rollout.salt not in str(entry.body) for entry in entries)


def test_equal_bundles_are_refused_unless_asked_for_by_name() -> None:
    """HABITS: two names for one model are no experiment."""
    it = case(GOOD, POOR)
    it.run(MINUTE)
    live = it.store.scan(Version, {"label": "intent@1"})[0]
    common = {
        "policy": POLICY,
        "authorise": lambda digest: None,
        "initiator": "ana",
        "now": it.clock.now(),
        "random": it.rng.bytes,
    }
    with pytest.raises(Refused, match="--aa"):
        roll_out.start(it.store, live, **common)
    before = msgspec.structs.replace(live, status=VersionStatus.APPROVED)
    assert roll_out.start(it.store, before, aa=True, **common).aa, "where it stands is read anew"


def test_one_rollout_per_task() -> None:
    """O0."""
    it = case(GOOD, BETTER)
    with pytest.raises(Refused, match=it.rollout.id):
        roll_out.start(
            it.store,
            it.store.scan(Version, {"label": "intent@2"})[0],
            policy=POLICY,
            authorise=lambda digest: None,
            initiator="ana",
            now=it.clock.now(),
            random=it.rng.bytes,
        )


SHADOWED = msgspec.structs.replace(
    POLICY, rollout=msgspec.structs.replace(POLICY.rollout, shadow=10 * SECOND)
)


def met(it: Case) -> int:
    """How many units ever met the candidate."""
    arms = it.store.summarise(it.rollout.id)
    return sum(arm.units for arm in arms if arm.variant == Variant.CANDIDATE)


def test_a_candidate_comes_out_of_the_shadow_and_earns_its_traffic() -> None:
    """S6, O1: all on control → shadow → canary → steps → all on the candidate."""
    it = case(GOOD, BETTER, policy=SHADOWED)
    assert it.run(4 * MINUTE).status == RolloutStatus.PROMOTED
    actions = [action for action in it.actions() if action != Action.STAY]
    assert actions == [Action.START, Action.WIDEN, Action.WIDEN, Action.PROMOTE]
    decisions = it.store.scan(Decision, {"rollout": it.rollout.id})
    assert "in the shadow" in decisions[0].reason
    assert all(found.equal for found in replay(it.store, it.now()))
    epochs = [epoch.weight for epoch in it.store.scan(Epoch) if epoch.rollout == it.rollout.id]
    assert epochs == [0.0, 0.1, 0.5]


def test_a_failing_candidate_ends_in_the_shadow_and_no_user_has_met_it() -> None:
    """S6: not even a fallback was needed."""
    it = case(GOOD, Quality(good=0.97, error=0.2), policy=SHADOWED)
    ended = it.run(MINUTE)
    last = it.store.scan(Decision, {"rollout": it.rollout.id}, newest_first=True, limit=1)[0]
    assert (ended.status, last.code) == (RolloutStatus.ROLLED_BACK, "shadow")
    assert met(it) == 0
    assert ended.ended_at is not None and ended.ended_at - ended.at < 15 * SECOND


def test_failures_of_both_alike_keep_no_candidate_in_the_shadow() -> None:
    """A pair counts where one fails alone: who fails as often as control is not held back."""
    it = case(Quality(good=0.9, error=0.005), Quality(good=0.97, error=0.005), policy=SHADOWED)
    it.run(30 * SECOND)
    assert Action.WIDEN in it.actions()
