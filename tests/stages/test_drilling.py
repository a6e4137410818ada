"""Starting a drill (O6): what the store lets begin as one, and under which policy."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from greenlight.core import drill
from greenlight.core.errors import Refused
from greenlight.core.policy import DecisionPolicy, RolloutPolicy
from greenlight.core.records import HOUR, MINUTE, Rollout, Version
from greenlight.core.states import RolloutStatus, VersionStatus
from greenlight.stages import adopt, roll_out
from tests.stages.office import Office

SHADOWED = DecisionPolicy(rollout=RolloutPolicy(shadow=15 * MINUTE))


class Drills(Office):
    """An office where intent@1 is live, and a drill on it is approved."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.approved()
        roll_out.go_live(
            self.store,
            self.live,
            authorise=lambda _: None,
            initiator="eve",
            now=self.clock.now(),
            random=self.random,
        )
        self.candidate = self.faulty()
        self.move(self.candidate, VersionStatus.APPROVED)

    def faulty(self, label: str = "intent@drill-errors", **of: Any) -> Version:
        newcomer = adopt.Newcomer(
            task="intent",
            bundle=self.live.bundle,
            runtime=drill.runtime_of(of or self.live.runtime, "errors", 0.05),
            lineage={"source": "drill"},
            label=label,
        )
        return adopt.add(self.store, newcomer, initiator="eve", now=self.clock.now())

    def start(self, candidate: Version | None = None, **given: Any) -> Rollout:
        options: dict[str, Any] = {
            "policy": SHADOWED,
            "authorise": lambda _: None,
            "initiator": "ben",
            "now": self.clock.now(),
            "random": self.random,
            "drill": "errors: 5% of its calls fail",
            **given,
        }
        return roll_out.start(self.store, candidate or self.candidate, **options)

    def end(self, rollout: Rollout) -> None:
        """As a rollback would, whatever it does to versions and routing."""
        ended = msgspec.structs.replace(
            rollout, status=RolloutStatus.ROLLED_BACK, ended_at=self.clock.now()
        )
        self.store.commit(swap=[(rollout, ended)])
        self.move(self.candidate, VersionStatus.APPROVED)


def test_a_drill_serves_the_bundle_that_is_live_and_meets_users_at_once() -> None:
    """The same bundle twice is no experiment, but a drill; copies in the shadow are left out."""
    office = Drills()
    begun = office.start()
    assert (begun.drill, begun.status) == ("errors: 5% of its calls fail", "running")
    epoch = roll_out.current_epoch(office.store, "intent")
    assert epoch is not None
    assert (epoch.candidate, epoch.weight) == (office.candidate.digest, 0.10)
    assert office.status(office.candidate).status is VersionStatus.CANARY


def test_a_drill_is_a_first_launch_however_often_it_is_held() -> None:
    """Its thresholds are those of a first rollout: nothing can be won by holding it again."""
    office = Drills()
    for _ in range(2):
        begun = office.start()
        assert msgspec.convert(begun.policy, DecisionPolicy).launch == 1
        office.clock.advance(HOUR)
        office.end(begun)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"drill": None}, "rehearses a fault"),
        ({"drill": None, "aa": True}, "rehearses a fault"),
        (
            {"policy": msgspec.structs.replace(SHADOWED, release_window="Mon 00:00-00:01 UTC")},
            "a drill before users is held while it is open",
        ),
    ],
)
def test_a_drill_is_no_rollout(given: dict[str, Any], says: str) -> None:
    office = Drills()
    with pytest.raises(Refused, match=re.escape(says)):
        office.start(**given)
    assert office.store.scan(Rollout) == []


def test_a_rollout_is_no_drill_and_no_drill_goes_live() -> None:
    office = Drills()
    other = office.register(office.run("b2"))
    with pytest.raises(Refused, match="rehearses no fault"):
        office.start(other)
    gone = office.faulty("intent@drill-2", kind="http", url="http://there")
    with pytest.raises(Refused, match="rehearses on a version that is not live"):
        office.start(gone)
    by_alarm = msgspec.structs.replace(SHADOWED, trigger="alarm")
    with pytest.raises(Refused, match="only in a drill may the alarms alone decide"):
        office.start(other, drill=None, policy=by_alarm)
    fresh = Office()
    faulty = msgspec.structs.replace(office.candidate, task="other")
    with pytest.raises(Refused, match="never goes live"):
        roll_out.go_live(
            fresh.store,
            faulty,
            authorise=lambda _: None,
            initiator="eve",
            now=fresh.clock.now(),
            random=fresh.random,
        )
