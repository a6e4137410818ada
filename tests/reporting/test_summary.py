"""The numbers of the final table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from greenlight.core.records import Evaluation, Inference, Rollout, Version
from greenlight.core.states import Variant
from greenlight.core.stats.intervals import wilson
from greenlight.lookup import everything
from greenlight.reporting.history import histories
from greenlight.reporting.summary import Summary, summarise
from greenlight.testing.world import Quality

TASK = "intent"


def test_versions_carry_both_judgements(story: Any) -> None:
    """S7: what each version scored offline, and what users said of it."""
    summary = summarise(story.store, TASK)
    assert summary.dataset == "banking77"
    assert [version.label for version in summary.versions] == ["intent@1", "intent@2", "intent@3"]
    assert [version.status for version in summary.versions] == ["retired", "live", "rolled_back"]
    assert [version.backend for version in summary.versions] == [
        "tfidf-linear",
        "encoder-head",
        "encoder-head",
    ]
    for version, correct in zip(summary.versions, (2763, 2893, 2889), strict=True):
        assert version.accuracy is not None
        low, high = wilson(correct, 3080)
        assert (version.accuracy.value, version.accuracy.n) == (correct / 3080, 3080)
        assert (version.accuracy.low, version.accuracy.high) == (low, high)
        assert version.evaluation is not None and version.bundle.startswith("sha256:")


def test_live_rate_spans_every_rollout_that_a_version_was_in(story: Any) -> None:
    """v2 was a candidate first and control after; v3 fell before any outcome had matured."""
    first, second, third = summarise(story.store, TASK).versions
    promoted, rolled_back = histories(story.store, TASK)
    both = promoted.tally(Variant.CANDIDATE) + rolled_back.tally(Variant.CONTROL)
    assert second.live is not None and (second.live.n, second.good) == (both.outcomes, both.good)
    assert first.live is not None and first.live.low < 0.90 < first.live.high
    assert third.live is not None and third.live.n > 30 and third.live.high < first.live.low
    assert rolled_back.last.arms[Variant.CANDIDATE].outcomes == 0


def test_rollouts_count_what_the_candidate_was_given(story: Any) -> None:
    """O3: how long a bad candidate was there, whom it met, and what it answered itself."""
    promoted, rolled_back = summarise(story.store, TASK).rollouts
    assert (promoted.action, promoted.code) == ("promote", "superior")
    assert (rolled_back.action, rolled_back.code) == ("rollback", "early_harm")
    assert promoted.weights == [0.1, 0.5, 1.0] and promoted.max_weight == 1.0
    assert rolled_back.weights == [0.1] and rolled_back.max_weight == 0.1
    own = [
        inference
        for inference in everything(story.store, Inference, {"rollout": rolled_back.id})
        if inference.variant is Variant.CANDIDATE
    ]
    assert rolled_back.requests_assigned == len(own)
    assert rolled_back.requests_served == sum(i.served_version == i.version for i in own)
    assert rolled_back.units_exposed == len({i.unit for i in own})
    ended = story.store.get(Rollout, rolled_back.id)
    assert rolled_back.seconds == (ended.ended_at - ended.at) / 1e6
    first = min(inference.at for inference in own)
    assert rolled_back.seconds_from_exposure == (ended.ended_at - first) / 1e6
    assert rolled_back.log_e["early_harm"] >= rolled_back.log_threshold["early_harm"]


def test_summary_is_json_without_secrets(shape: Any) -> None:
    """It is what `--json` prints; the salt of a rollout is never shown."""
    summary = summarise(shape.store, TASK)
    text = msgspec.json.encode(summary)
    assert msgspec.json.decode(text, type=Summary) == summary
    for rollout in shape.store.scan(Rollout):
        assert rollout.salt.encode() not in text


def test_newest_evaluation_counts(new_story: Any) -> None:
    story = new_story()
    version = story.version("intent@1", Quality(good=0.9), correct=2000)
    document = {"intent": {"test": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}}}}
    later = Evaluation(
        digest="sha256:0", version=version.digest, document=document, at=story.clock.now() + 1
    )
    story.store.commit(append=[later])
    found = summarise(story.store, TASK).versions[0]
    assert found.accuracy is not None and found.accuracy.value == 0.5
    assert found.evaluation == "sha256:0"


@pytest.mark.parametrize("document", [{}, {"intent": {"test": {"accuracy": {"reason": "none"}}}}])
def test_what_is_not_known_is_no_number(new_story: Any, document: dict[str, Any]) -> None:
    story = new_story()
    version = story.version("intent@1", Quality(good=0.9))
    bare = msgspec.structs.replace(version, digest="sha256:1", label="intent@2", lineage={})
    unread = Evaluation(digest="sha256:2", version="sha256:1", document=document, at=0)
    story.store.commit(append=[bare, unread])
    found = summarise(story.store, TASK).versions[1]
    assert (found.backend, found.run, found.dataset) == ("unknown", "unknown", "unknown")
    assert found.accuracy is None and found.live is None
    assert isinstance(story.store.get(Version, "sha256:1"), Version)


def test_what_was_taken_over_has_the_backend_that_made_it(new_story: Any) -> None:
    """S7: the run's own plan may name another, where it took over what an earlier one trained."""
    story = new_story()
    version = story.version("intent@1", Quality(good=0.9), backend="encoder-head")
    lineage = {**version.lineage, "backend": "tfidf-linear"}
    story.store.commit(
        append=[
            msgspec.structs.replace(version, digest="sha256:1", label="intent@2", lineage=lineage)
        ]
    )
    found = summarise(story.store, TASK).versions
    assert [one.backend for one in found] == ["encoder-head", "tfidf-linear"]


def test_task_that_nobody_has_met(new_story: Any) -> None:
    summary = summarise(new_story().store, TASK)
    assert (summary.versions, summary.rollouts, summary.dataset) == ([], [], None)
