"""A task with v1 live and v2 on its way, in a world whose users' mind is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, RolloutPolicy, Step
from greenlight.core.records import MILLISECOND, MINUTE, SECOND, Decision, Rollout, Version
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.stages import roll_out
from greenlight.stages.loop import lead, reconcile
from greenlight.testing import FakeClock
from greenlight.testing.world import Quality, World, WorldSimulator

TASK = "intent"
POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(
            Step(weight=0.1, soak=10 * SECOND),
            Step(weight=0.5, soak=10 * SECOND),
            Step(weight=1.0),
        ),
        horizon=5 * MINUTE,
        feedback_window=6 * SECOND,
        fast_window=3 * SECOND,
        grace=500 * MILLISECOND,
        min_outcomes=60,
        stale_after=5 * SECOND,
    ),
    evidence=EvidencePolicy(error_margin=0.05),
)


class Case:
    """A task with v1 live and v2 on its way, in a world with known qualities."""

    def __init__(
        self,
        control: Quality,
        candidate: Quality,
        seed: int,
        world: World,
        policy: DecisionPolicy = POLICY,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.store = MemoryStore()
        self.clock = FakeClock()
        first, second = self._version("intent@1"), self._version("intent@2")
        self.store.commit(append=[first, second])
        common = {"authorise": lambda digest: None, "initiator": "ana", "random": self.rng.bytes}
        roll_out.go_live(self.store, first, now=self.clock.now(), **common)
        self.clock.advance(SECOND)
        self.rollout = roll_out.start(
            self.store, second, policy=policy, now=self.clock.now(), **common
        )
        self.world = WorldSimulator(
            self.store,
            self.clock,
            TASK,
            {first.digest: control, second.digest: candidate},
            world,
            self.rng,
        )

    def run(
        self, duration: int, authorise: Callable[[Rollout], None] = lambda rollout: None
    ) -> Rollout:
        """Let the world and the controller live until the rollout ends or time is up."""
        end = self.clock.now() + duration
        while self.clock.now() < end and self.now().status == RolloutStatus.RUNNING:
            self.world.tick(250 * MILLISECOND)
            self.look(authorise)
        return self.now()

    def look(self, authorise: object = lambda rollout: None) -> Decision | None:
        """One pass of the controller."""
        now = self.clock.now()
        fence = lead(self.store, "one", now)
        return reconcile(
            self.store, TASK, authorise=authorise, fence=fence, now=now, random=self.rng.bytes
        )

    def now(self) -> Rollout:
        """The rollout as it stands."""
        rollout = self.store.get(Rollout, self.rollout.id)
        assert rollout is not None
        return rollout

    def actions(self) -> list[Action]:
        """What was decided, in order."""
        found = self.store.scan(Decision, {"rollout": self.rollout.id})
        return [decision.action for decision in found]

    def status(self, label: str) -> VersionStatus:
        """Where a version stands."""
        return self.store.scan(Version, {"label": label})[0].status

    def _version(self, label: str) -> Version:
        return Version(
            digest=f"sha256:{label}",
            task=TASK,
            label=label,
            bundle=f"sha256:bundle-{label}",
            runtime={"kind": "in_process"},
            lineage={},
            initiator="ana",
            status=VersionStatus.APPROVED,
            at=0,
        )


def case(
    control: Quality,
    candidate: Quality,
    seed: int = 1,
    policy: DecisionPolicy = POLICY,
    **world: object,
) -> Case:
    """A case in a world of 9,000 users and 150 requests per second, changed as asked."""
    return Case(control, candidate, seed, World(**world), policy)  # type: ignore[arg-type]


GOOD, BETTER, POOR = Quality(good=0.90), Quality(good=0.97), Quality(good=0.30)
