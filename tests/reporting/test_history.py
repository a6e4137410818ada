"""A replayed rollout says what happened, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import lookup
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.evidence import thaw
from greenlight.core.metrics import GOOD
from greenlight.core.records import Decision, EvidenceState, Feedback, Inference, Rollout
from greenlight.core.states import Action, RolloutStatus, Variant
from greenlight.lookup import everything
from greenlight.reporting.history import FOREVER, Tally, histories, history, task_periods
from greenlight.testing.world import Quality

TASK = "intent"
W = 6_000_000
"""The stories' feedback window, in µs."""


def exposures(story: Any, rollout: Rollout) -> dict[tuple[str, int], list[Inference]]:
    """Every inference of a rollout by (unit, epoch), in order of time."""
    found = defaultdict(list)
    for inference in sorted(
        everything(story.store, Inference, {"rollout": rollout.id}), key=lambda i: (i.at, i.id)
    ):
        found[inference.unit, inference.epoch].append(inference)
    return dict(found)


def counted(story: Any, rollout: Rollout) -> dict[Variant, Tally]:
    """Outcomes and GOODs by arm, counted afresh from the events."""
    words = defaultdict(list)
    for word in everything(story.store, Feedback, {}):
        words[word.inference_id].append(word)
    tallies = dict.fromkeys(Variant, Tally())
    for own in exposures(story, rollout).values():
        start = own[0].at
        said = sorted(
            (w for i in own for w in words[i.id] if start <= w.at < start + W),
            key=lambda w: (w.at, w.id),
        )
        if said:
            last = [w.value for w in said if w.inference_id == said[0].inference_id][-1]
            tallies[own[0].variant] += Tally(outcomes=1, good=int(last == GOOD))
    return tallies


def test_replay_ends_where_the_controller_did(story: Any) -> None:
    """Evidence is a fold: the replayed E equals, to the bit, what the controller had stored."""
    told = histories(story.store, TASK)
    assert [item.rollout.status for item in told] == ["promoted", "rolled_back"]
    for item in told:
        stored = story.store.get(EvidenceState, item.rollout.id)
        assert item.last.log_e == thaw(stored.state).log_e
        assert item.agrees
        assert [moment.at for moment in item.moments] == sorted(
            {moment.at for moment in item.moments}
        )
        assert max(map(abs, item.moments[0].log_e.values())) < 1e-12


def test_crossing_is_where_the_decision_fell(story: Any) -> None:
    promoted, rolled_back = histories(story.store, TASK)
    for item, test in ((promoted, "superiority"), (rolled_back, "early_harm")):
        moment, verdict = item.crossed(test), item.verdict
        assert moment is not None and verdict is not None
        assert moment.at == verdict.at == item.end == item.rollout.ended_at
        assert moment.log_e[test] == verdict.evidence["log_e"][test] >= item.thresholds[test]
    assert promoted.crossed("quality") is None


def test_changed_decision_is_noticed(new_story: Any) -> None:
    """A rewritten E shows: what is recomputed no longer agrees."""
    story = new_story()
    story.go_live(story.version("intent@1", Quality(good=0.9)))
    rollout = story.start(story.version("intent@2", Quality(good=0.9)))
    story.live(12)
    old = story.store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)[0]
    evidence = {**old.evidence, "log_e": {**old.evidence["log_e"], "quality": -3.0}}
    story.store.commit(swap=[(old, msgspec.structs.replace(old, evidence=evidence))])
    assert not history(story.store, rollout).agrees


def test_periods_follow_the_routing(story: Any) -> None:
    promoted, rolled_back = histories(story.store, TASK)
    assert [period.weight for period in promoted.periods] == [0.1, 0.5, 0.0]
    assert [period.weight for period in promoted.own_periods] == [0.1, 0.5]
    assert [period.weight for period in rolled_back.periods] == [0.1, 0.0]
    after = promoted.periods[-1]
    assert after.rollout is None and after.shares == {promoted.rollout.candidate: 1.0}
    assert after.since == promoted.rollout.ended_at and after.until == rolled_back.rollout.at
    for period in task_periods(story.store, TASK):
        assert sum(period.shares.values()) == pytest.approx(1)
        assert not hasattr(period, "salt")


def test_first_rollout_does_not_claim_the_epoch_before_it(new_story: Any) -> None:
    """Going live and starting may carry the same time."""
    story = new_story()
    story.go_live(story.version("intent@1", Quality(good=0.9)))
    rollout = story.start(story.version("intent@2", Quality(good=0.9)))
    assert [period.weight for period in history(story.store, rollout).periods] == [0.1]


def test_tallies_equal_a_count_of_the_events(story: Any) -> None:
    """S7: one outcome per unit and epoch, the journal's and those that came too late for it."""
    for item in histories(story.store, TASK):
        expected = counted(story, item.rollout)
        assert {arm: item.tally(arm) for arm in Variant} == expected
        journaled = sum(tally.outcomes for tally in item.last.arms.values())
        assert journaled + len(item.after) == sum(t.outcomes for t in expected.values())
        assert item.after


def test_running_rollout_has_no_afterwards(shape: Any) -> None:
    """While a cohort is open its outcomes are not shown: who answers late may think otherwise."""
    for item in histories(shape.store, TASK):
        if item.rollout.status is RolloutStatus.RUNNING:
            assert item.after == []
            assert item.end == story_time(item)


def story_time(item: Any) -> Any:
    """The newest moment of which a history knows."""
    return max([moment.at for moment in item.moments] + [d.at for d in item.decisions])


def test_exposed_units_equal_a_count_of_the_events(shape: Any) -> None:
    """Whom the candidate met, those after the controller's last look included."""
    for item in histories(shape.store, TASK):
        met = [
            own[0]
            for own in exposures(shape, item.rollout).values()
            if own[0].variant is Variant.CANDIDATE
        ]
        assert item.exposed == len({inference.unit for inference in met})
        assert item.first_exposure == min((i.at for i in met), default=None)


def test_page_size_does_not_matter(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = histories(story.store, TASK)
    monkeypatch.setattr(lookup, "PAGE", 97)
    assert histories(story.store, TASK) == whole


def test_sqlite_tells_the_same(new_story: Any, tmp_path: Path) -> None:
    told = []
    for store in (None, SqlStore(f"sqlite:///{tmp_path / 'story.db'}")):
        story = new_story(seed=4, store=store)
        story.go_live(story.version("intent@1", Quality(good=0.9)))
        story.finish(story.start(story.version("intent@2", Quality(good=0.1, error=0.01))))
        told.append(histories(story.store, TASK))
        story.store.close()
    assert told[0] == told[1]
    assert told[0][0].verdict is not None and told[0][0].verdict.action is Action.ROLLBACK


def test_rate_of_nothing_is_not_zero() -> None:
    assert Tally().rate is None
    rate = Tally(outcomes=10, good=9).rate
    assert rate is not None and rate.low < 0.9 < rate.high and rate.n == 10


def test_forever_fits_a_database() -> None:
    """SQL integers have 64 bits."""
    assert FOREVER < 2**63
