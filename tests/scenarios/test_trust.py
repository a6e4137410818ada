"""Worlds whose data cannot be trusted, and what else the engine watches (real controller)."""

from __future__ import annotations

import msgspec

from greenlight.core import budget, ids
from greenlight.core.evidence import thaw
from greenlight.core.policy import DecisionPolicy, MetricPolicy
from greenlight.core.records import (
    MILLISECOND,
    MINUTE,
    SECOND,
    Decision,
    EvidenceState,
    Feedback,
    Inference,
    JournalEntry,
    Replica,
    Version,
)
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.stages import roll_out
from greenlight.stages.replay import replay
from greenlight.testing.world import Quality
from tests.scenarios.worlds import BETTER, GOOD, POLICY, POOR, TASK, Case, case

IMPATIENT = msgspec.structs.replace(
    POLICY, rollout=msgspec.structs.replace(POLICY.rollout, hold_max=10 * SECOND)
)


def codes(it: Case) -> list[str]:
    """The codes of what was decided, in order."""
    return [decision.code for decision in it.store.scan(Decision, {"rollout": it.rollout.id})]


def exact(it: Case) -> bool:
    """Whether every decision comes out the same when it is taken once more."""
    return all(again.exact and again.equal for again in replay(it.store, it.now()))


def test_lost_events_are_no_evidence_and_end_as_withdrawn() -> None:
    """EVIDENCE, SRM and HOLD: four in ten of the candidate's events are lost on the way. It is
    poor, too, and yet it is not rolled back for that: nobody knows what was lost."""
    it = case(GOOD, Quality(good=0.88, lost=0.4), policy=IMPATIENT)
    assert it.run(2 * MINUTE).status == RolloutStatus.WITHDRAWN
    assert codes(it)[-2:] == ["srm", "srm"]
    assert it.actions()[-2:] == [Action.HOLD, Action.WITHDRAW]
    assert it.status("intent@2") == VersionStatus.SHELVED
    routing = roll_out.current_epoch(it.store, TASK)
    assert routing is not None
    assert (routing.candidate, routing.weight) == (None, 0.0)
    assert exact(it)


def test_feedback_missing_not_at_random_does_not_roll_back() -> None:
    """EVIDENCE, presence: both arms are equally good, but a BAD of the candidate is three times as
    likely to be said. Judged answers alone would call it worse."""
    fair, loud = Quality(good=0.6, bad_heard=1.0), Quality(good=0.6, bad_heard=3.0)
    it = case(fair, loud, policy=IMPATIENT, feedback_rate=0.3)
    ended = it.run(3 * MINUTE)
    assert "quality" not in codes(it)
    assert ended.status in (RolloutStatus.WITHDRAWN, RolloutStatus.ROLLED_BACK)
    if ended.status == RolloutStatus.ROLLED_BACK:
        assert codes(it)[-1] == "early_harm", "more BAD over all units, before presence was known"
    assert exact(it)


def test_one_voice_is_no_evidence() -> None:
    """EVIDENCE: one reviewer gives more than 20 % of the outcomes."""
    it = case(GOOD, BETTER, loudest=0.5)
    assert it.run(40 * SECOND).status == RolloutStatus.RUNNING
    assert codes(it)[-1] == "concentration"
    names = {entry.source for entry in it.store.scan(JournalEntry, limit=10**6) if entry.source}
    assert not any("loud" in name for name in names), "the journal has pseudonyms"
    assert case(GOOD, BETTER, loudest=0.1).run(4 * MINUTE).status == RolloutStatus.PROMOTED


def test_a_slow_candidate_is_rolled_back_by_the_slo() -> None:
    """EVIDENCE, latency: its own time counts; without traffic before the start control's own
    percentiles are not known, and that is said."""
    it = case(GOOD, Quality(good=0.97, latency_ms=400.0))
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
    last = it.store.scan(Decision, {"rollout": it.rollout.id}, newest_first=True, limit=1)[0]
    assert last.code == "latency_slo"
    assert "too few requests" in last.evidence["cannot_compute"]["latency_p95"]


def test_what_only_the_start_knows_is_frozen() -> None:
    """Control's percentiles, the unit source and the launch; relaunching costs."""
    it = case(GOOD, POOR)
    assert it.run(MINUTE).status == RolloutStatus.ROLLED_BACK
    candidate = it.store.scan(Version, {"label": "intent@2"})[0]
    signed = msgspec.structs.replace(candidate, status=VersionStatus.APPROVED)
    it.store.commit(swap=[(candidate, signed)])
    again = roll_out.start(
        it.store,
        signed,
        policy=POLICY,
        authorise=lambda digest: None,
        initiator="ana",
        now=it.clock.now(),
        random=it.rng.bytes,
    )
    policy = msgspec.convert(again.policy, DecisionPolicy)
    assert policy.launch == 2
    assert policy.rollout.unit_source == "body"
    bars = {"slo": 150.0, "p95": 50.0, "p99": 50.0}
    assert policy.latency_bars == bars, "control's 5 ms are below the floor"
    assert again.salt != it.rollout.salt
    assert again.policy_digest != it.rollout.policy_digest
    assert "launch 2 of this pair" in it.store.scan(Decision, {"rollout": again.id})[0].reason
    assert budget.thresholds(policy)["quality"] > budget.thresholds(POLICY)["quality"] + 1.7


def inference(it: Case, unit: str, at: int, **fields: object) -> Inference:
    """A request of a unit in the running rollout."""
    routing = roll_out.current_epoch(it.store, TASK)
    assert routing is not None
    some = it.store.scan(Inference, {"rollout": it.rollout.id}, limit=1)[0]
    made = {"id": ids.fresh(at, it.rng.bytes), "unit": unit, "at": at, **fields}
    return msgspec.structs.replace(some, **made)  # type: ignore[arg-type]


def test_late_rows_and_other_names_are_kept_apart() -> None:
    """EVIDENCE, cohorts: what comes after its cohort had closed is stored, marked, and never in E;
    units that go by another kind of name are counted apart."""
    rules = msgspec.structs.replace(POLICY.rollout, unit_source="body")
    it = case(GOOD, GOOD, policy=msgspec.structs.replace(POLICY, rollout=rules))
    it.run(5 * SECOND)
    stored = it.store.get(EvidenceState, it.rollout.id)
    assert stored is not None
    before = thaw(stored.state)
    rows = [inference(it, f"late-{n}", it.rollout.at + SECOND + n) for n in range(40)]
    rows += [
        inference(it, f"other-{n}", it.clock.now() + n, unit_source="request") for n in range(7)
    ]
    it.store.ingest(rows, [])
    it.world.tick(250 * MILLISECOND)
    it.look()
    stored = it.store.get(EvidenceState, it.rollout.id)
    assert stored is not None
    assert thaw(stored.state).excluded == {"late": 40, "unit_source": 7}
    assert before.excluded == {}
    it.run(30 * SECOND)
    assert "late" in codes(it)
    assert exact(it)


def test_a_breaker_that_stays_open_is_a_fault_of_the_data_plane() -> None:
    """EVIDENCE, verdicts: for a minute nothing gets through to the candidate alone."""
    it = case(GOOD, BETTER, feedback_rate=0.0, requests_per_second=1.0)
    since = it.clock.now()
    it.run(2 * SECOND)

    def beat(**open_since: int) -> None:
        replica = it.store.scan(Replica)[0]
        told = {f"sha256:intent@{n[1:]}": at for n, at in open_since.items()}
        it.store.heartbeat(msgspec.structs.replace(replica, at=it.clock.now(), open_since=told))

    it.clock.advance(61 * SECOND)
    beat(v1=since, v2=since)
    decision = it.look()
    assert decision is None or decision.action == Action.HOLD, "control is not healthy either"
    beat(v2=since)
    decision = it.look()
    assert decision is not None
    assert (decision.action, decision.code) == (Action.ROLLBACK, "breaker")


def test_a_secondary_metric_is_part_of_a_promotion() -> None:
    """O1: secondary metrics with margins; nobody says anything of it, so nothing is promoted."""
    metrics = {"clicked": MetricPolicy(margin=0.1)}
    it = case(GOOD, BETTER, policy=msgspec.structs.replace(POLICY, metrics=metrics))
    assert it.run(90 * SECOND).status == RolloutStatus.RUNNING
    assert codes(it)[-1] == "unproved"
    told = it.store.scan(Decision, {"rollout": it.rollout.id}, newest_first=True, limit=1)[0]
    assert told.reason.startswith("clicked: not shown to be no worse")
    now = it.clock.now()
    words = [
        Feedback(
            id=ids.fresh(now, it.rng.bytes),
            inference_id=one.id,
            metric="clicked",
            value=1.0,
            at=one.at + SECOND,
        )
        for one in it.store.scan(Inference, {"rollout": it.rollout.id}, limit=10**6)
        if one.at > now - 5 * SECOND
    ]
    it.store.ingest([], words)
    it.run(10 * SECOND)
    own = {"rollout": it.rollout.id, "test": "metric:clicked"}
    kept = it.store.scan(JournalEntry, own, limit=9)
    assert kept and all(entry.y == 1.0 for entry in kept)


def test_evidence_that_another_version_wrote_is_folded_anew() -> None:
    """An upgrade in the middle of a rollout: the journal is what counts."""
    it = case(GOOD, BETTER)
    it.run(8 * SECOND)
    stored = it.store.get(EvidenceState, it.rollout.id)
    assert stored is not None
    foreign = msgspec.structs.replace(stored, state={"harm": {"direction": "harm"}})
    it.store.commit(swap=[(stored, foreign)])
    assert it.run(4 * MINUTE).status == RolloutStatus.PROMOTED
    assert exact(it)
