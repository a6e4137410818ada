"""How a rollout stands, from the state that its controller keeps: nothing is replayed.

`history` recomputes everything from the journal and takes its time; this is what can be looked at
every second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from greenlight.core.alarms import Reading
from greenlight.core.answers import Copies
from greenlight.core.budget import CannotCompute, missing, thresholds
from greenlight.core.evidence import Evidence
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import SECOND, Decision, Replica, Rollout
from greenlight.core.situation import copies, served_share
from greenlight.core.states import Variant
from greenlight.core.words import DISPLAYED
from greenlight.lookout import Lookout
from greenlight.lookup import everything, evidence_of
from greenlight.ports import Records, Store
from greenlight.reporting.history import Period, Proportion, Tally, label, rollout_periods

ALIVE = 5 * SECOND
"""A gateway that has been silent for longer is not counted."""

COUNTED = (
    "units",
    "requests",
    "served",
    "failed",
    "good",
    "bad",
    "input_tokens",
    "output_tokens",
    "cost",
)
"""What is counted of an arm (`core.answers.ArmSummary`)."""


class Underway(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as it stands, running or ended. Labels are those of the versions."""

    rollout: Rollout
    policy: DecisionPolicy
    control: str
    candidate: str
    periods: list[Period]
    """The epochs of the task from this rollout's first one to the one that ended it."""
    evidence: Evidence
    counts: dict[Variant, dict[str, float]]
    """`COUNTED`, summed over the splits, of the arms that have met anybody."""
    copies: Copies
    served: float | None
    """Share of its requests in the newest split that the candidate answered itself."""
    decision: Decision | None
    """The newest one."""
    alarms: Mapping[str, Reading]
    """How the declared alarms stand; those that do not apply now are absent."""

    @property
    def weight(self) -> float:
        """The candidate's share of units in this rollout's newest split."""
        own = [period.weight for period in self.periods if period.rollout == self.rollout.id]
        return own[-1] if own else 0.0

    @property
    def tests(self) -> dict[str, tuple[float | None, float]]:
        """log E of each test, None where it is not computed, and the log E at which it acts."""
        log_e = self.evidence.log_e
        return {test: (log_e.get(test), limit) for test, limit in thresholds(self.policy).items()}

    @property
    def missing(self) -> list[CannotCompute]:
        """The tests that this rollout cannot have, and why."""
        return missing(self.policy)

    @property
    def difference(self) -> tuple[float, float] | None:
        """How much better the candidate's answers are, with 95 % at every look; None: not known."""
        return self.evidence.difference.interval(DISPLAYED)

    def rate(self, variant: Variant) -> Proportion | None:
        """An arm's GOOD rate over its outcomes, with an interval that may be watched."""
        arm = self.evidence.arm(variant)
        return Tally(outcomes=arm.outcomes, good=arm.good).rate


def underway(
    store: Store, rollout: Rollout, *, lookout: Lookout | None = None, now: int | None = None
) -> Underway:
    """Look at a rollout.

    Args:
        store: records and events; only read.
        rollout: the rollout as the store holds it.
        lookout: what was seen of the alarms before.
        now: microseconds since 1970-01-01 UTC; without it, and of a rollout that has ended, alarms
            are as the newest decision saw them.
    """
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    evidence, _ = evidence_of(store, rollout, policy)
    periods = rollout_periods(store, rollout)
    counted = store.summarise(rollout.id)
    counts: dict[Variant, dict[str, float]] = {}
    for summary in counted:
        arm = counts.setdefault(summary.variant, dict.fromkeys(COUNTED, 0))
        for field in COUNTED:
            arm[field] += getattr(summary, field)
    newest = max((p.number for p in periods if p.rollout == rollout.id), default=0)
    last = store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)
    if now is None or rollout.ended_at is not None:
        alarms = judged(last[0].evidence) if last else {}
    else:
        alarms = (lookout or Lookout()).look(store, rollout, policy, now)
    return Underway(
        rollout=rollout,
        policy=policy,
        control=label(store, rollout.control),
        candidate=label(store, rollout.candidate),
        periods=periods,
        evidence=evidence,
        counts=counts,
        copies=copies(counted),
        served=served_share(counted, newest),
        decision=last[0] if last else None,
        alarms=alarms,
    )


def judged(evidence: Mapping[str, Any]) -> dict[str, Reading]:
    """The alarms that a decision rests on."""
    found = evidence.get("situation", {}).get("alarms", {})
    return msgspec.convert(found, dict[str, Reading])


def alive(records: Records, now: int) -> list[Replica]:
    """The gateways that have told of themselves lately."""
    return [replica for replica in everything(records, Replica) if now - replica.at <= ALIVE]


def reached(gateways: Iterable[Replica], task: str, number: int) -> int:
    """How many gateways have taken over the epoch of this number, or a later one."""
    return sum(replica.epochs.get(task, 0) >= number for replica in gateways)
