"""Survey: how a task's running rollout stands, before anything is decided."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from greenlight.core import evidence as ev
from greenlight.core import waiting
from greenlight.core.errors import DataError, UserError
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import Epoch, Rollout
from greenlight.core.situation import Situation
from greenlight.core.states import RolloutStatus
from greenlight.lookout import Lookout
from greenlight.lookup import evidence_of
from greenlight.ports import Store
from greenlight.stages import release_windows, roll_out
from greenlight.stages.decide import latest, untrusted_since
from greenlight.stages.observe import Observation, observe


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """How a task's running rollout stands at a moment."""

    rollout: Rollout
    epoch: Epoch
    policy: DecisionPolicy
    seen: Observation
    situation: Situation


def survey(
    store: Store,
    task: str,
    authorise: Callable[[Rollout], None],
    now: int,
    lookout: Lookout | None = None,
    page: int | None = None,
) -> Survey | None:
    """Look at a task's rollout that has not ended, and change nothing; None: there is none.

    Args:
        store: records and events.
        task: the task's name.
        authorise: raises unless the rollout's candidate is (still) approved, and genuine.
        now: microseconds since 1970-01-01 UTC.
        lookout: what was seen of the alarms before; without it, all that counts is asked for.
        page: how much to take in (`stages.observe`).
    """
    rollout = roll_out.active(store, task)
    epoch = roll_out.current_epoch(store, task)
    if rollout is None or epoch is None:
        return None
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    seen = observe(store, rollout, epoch, policy, now, page)
    situation = Situation(
        step=rollout.step,
        epoch=epoch.number,
        started_at=rollout.at,
        soaking_since=seen.soaking_since,
        complete_until=seen.complete_until,
        arms=seen.arms,
        unapproved=_refusal(authorise, rollout),
        unreachable_since=seen.unreachable_since,
        alarms=(lookout or Lookout()).look(store, rollout, policy, now, seen.replicas),
        control_down_since=seen.control_down_since,
        pending=rollout.status == RolloutStatus.PENDING,
        window=release_windows.closed(policy.release_window, now),
        paused=rollout.paused,
        drill=rollout.drill,
    )
    return Survey(rollout=rollout, epoch=epoch, policy=policy, seen=seen, situation=situation)


def known(store: Store, found: Survey) -> ev.Evidence:
    """The evidence with what this look adds to it."""
    evidence, _ = evidence_of(store, found.rollout, found.policy)
    return ev.fold(evidence, found.seen.entries, found.policy, found.seen.splits)


def ahead(store: Store, found: Survey, now: int) -> waiting.Ahead:
    """What comes next for the rollout, and what it waits for."""
    since = untrusted_since(latest(store, found.rollout.id))
    situation = msgspec.structs.replace(found.situation, untrusted_since=since)
    return waiting.ahead(situation, known(store, found), found.policy, now)


def _refusal(authorise: Callable[[Rollout], None], rollout: Rollout) -> str | None:
    """Why the candidate may not get more traffic. Asking must not keep it from losing traffic."""
    try:
        authorise(rollout)
    except (UserError, DataError) as refusal:
        return str(refusal)
    return None
