"""Watching a rollout: a look at it every half second, until it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from greenlight import wiring
from greenlight.core.budget import thresholds
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import Decision, Rollout
from greenlight.core.states import Action, Variant
from greenlight.entrypoints.showing import Look, stopwatch
from greenlight.lookup import everything, evidence_of
from greenlight.stages.roll_out import current_epoch

LOOK_S = 0.5


def looks(app: wiring.App, rollout: Rollout) -> Iterator[tuple[Rollout, Look]]:
    """The rollout as it stands, and what there is to show of it; the last time once it has ended.

    Each look is taken after a pause. Whoever runs out of patience just stops asking.
    """
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    watch = stopwatch()
    while True:
        time.sleep(LOOK_S)
        # Read before the look, so that the last look has the decision that ended it.
        found = app.store.get(Rollout, rollout.id) or rollout
        yield found, _look(app, rollout, policy, watch())
        if found.ended_at is not None:
            return


def _look(app: wiring.App, rollout: Rollout, policy: DecisionPolicy, seconds: float) -> Look:
    store = app.store
    # In this order: a decision that is seen is carried out in what is read after it.
    decisions = list(everything(store, Decision, {"rollout": rollout.id}))
    epoch = current_epoch(store, rollout.task)
    assert epoch is not None
    evidence, _ = evidence_of(store, rollout, policy)
    return Look(
        weight=epoch.weight,
        decisions=tuple(d for d in decisions if d.action is not Action.START),
        log_e=evidence.log_e,
        log_threshold=thresholds(policy),
        outcomes={v.value: evidence.arm(v).outcomes for v in Variant},
        seconds=seconds,
    )
