"""A task with v1 live and v2 on its way, in a world whose users' mind is known."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import ledger
from greenlight.core.approval import Person
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, RolloutPolicy, Step
from greenlight.core.records import MILLISECOND, MINUTE, SECOND, Decision, Epoch, Rollout, Version
from greenlight.core.states import Action, VersionStatus
from greenlight.lookup import everything, version_digest
from greenlight.ports import Store
from greenlight.recording import record
from greenlight.stages import roll_out
from greenlight.stages.audit import audit
from greenlight.stages.loop import lead, reconcile
from greenlight.stages.replay import replay
from greenlight.stages.steer import steer
from greenlight.testing import FakeClock
from greenlight.testing.world import Quality, World, WorldSimulator

TASK = "intent"
TICK = 250 * MILLISECOND
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
QUICK = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(
            Step(weight=0.2, soak=2 * SECOND),
            Step(weight=0.5, soak=2 * SECOND),
            Step(weight=1.0),
        ),
        horizon=2 * MINUTE,
        feedback_window=2 * SECOND,
        fast_window=SECOND,
        grace=TICK,
        min_exposed=20,
        min_outcomes=20,
        stale_after=3 * SECOND,
        hold_max=10 * SECOND,
        breaker_max=4 * SECOND,
    ),
    evidence=EvidencePolicy(error_margin=0.15),
)
"""For worlds in which the candidate is so much better or worse that seconds tell."""

BEN = Person(name="ben", roles=("product_owner",), key="ed25519:any")
KIM = Person(name="kim", roles=("operations",), key="ed25519:any")
QUORUM = {"ml_lead": 1, "product_owner": 1}


def approved(rollout: Rollout) -> None:
    """Every candidate is."""


class Case:
    """A task with v1 live and v2 on its way, in a world with known qualities."""

    def __init__(
        self,
        control: Quality,
        candidate: Quality,
        seed: int,
        world: World,
        policy: DecisionPolicy = POLICY,
        store: Store | None = None,
        began: int | None = None,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.ids = np.random.default_rng(seed + 1000)
        """Of what people and controllers do, so that the world goes on alike whatever that is."""
        self.store: Store = MemoryStore() if store is None else store
        self.clock = FakeClock() if began is None else FakeClock(began - SECOND)
        first, second = self._version("intent@1"), self._version("intent@2")
        self._register(first, second)
        common = {"authorise": lambda digest: None, "initiator": "ana", "random": self.rng.bytes}
        roll_out.go_live(self.store, first, now=self.clock.now(), **common)
        self.clock.advance(SECOND)
        self.rollout = roll_out.start(
            self.store, second, policy=policy, now=self.clock.now(), **common
        )
        self.versions = (first.digest, second.digest)
        self.world = WorldSimulator(
            self.store,
            self.clock,
            TASK,
            {first.digest: control, second.digest: candidate},
            world,
            self.rng,
        )

    def run(
        self,
        duration: int,
        authorise: Callable[[Rollout], None] = approved,
        until: Callable[[], bool] = lambda: False,
    ) -> Rollout:
        """Let the world and the controller live until the rollout ends, or `until` holds, or time
        is up."""
        end = self.clock.now() + duration
        while self.clock.now() < end and self.now().ended_at is None and not until():
            self.world.tick(TICK)
            self.look(authorise)
        return self.now()

    def look(
        self,
        authorise: Callable[[Rollout], None] = approved,
        *,
        holder: str = "one",
        ahead: int = 0,
    ) -> Decision | None:
        """One pass of a controller, whose clock may be ahead of the world's by so many µs."""
        now = self.clock.now() + ahead
        fence = lead(self.store, holder, now)
        if fence is None:
            return None
        return reconcile(
            self.store, TASK, authorise=authorise, fence=fence, now=now, random=self.ids.bytes
        )

    def order(self, action: Action, who: Person = BEN, why: str = "so be it") -> Decision:
        """A person's order."""
        return steer(
            self.store,
            TASK,
            action,
            person=who,
            why=why,
            roles=QUORUM,
            authorise=approved,
            now=self.clock.now(),
            random=self.ids.bytes,
        )

    def change(self, **world: object) -> None:
        """The users' habits are others from now on."""
        changed = msgspec.structs.replace(self.world._world, **world)  # type: ignore[arg-type]
        self.world._world = changed

    def turn(self, candidate: Quality, control: Quality | None = None) -> None:
        """The candidate is another from now on, and so is control if that is given."""
        first, second = self.versions
        known = self.world._qualities
        self.world._qualities = {first: control or known[first], second: candidate}

    def now(self) -> Rollout:
        """The rollout as it stands."""
        rollout = self.store.get(Rollout, self.rollout.id)
        assert rollout is not None
        return rollout

    def decisions(self) -> list[Decision]:
        """What was decided, in order."""
        return list(everything(self.store, Decision, {"rollout": self.rollout.id}))

    def actions(self) -> list[Action]:
        """What was decided, in order."""
        return [decision.action for decision in self.decisions()]

    def codes(self) -> list[str]:
        """The codes of what was decided, in order."""
        return [decision.code for decision in self.decisions()]

    def newest(self) -> Decision:
        """What was decided last."""
        return self.decisions()[-1]

    def routing(self) -> Epoch:
        """The newest epoch."""
        found = roll_out.current_epoch(self.store, TASK)
        assert found is not None
        return found

    def weights(self) -> list[float]:
        """The candidate's share in every epoch of the rollout."""
        own = everything(self.store, Epoch, {"task": TASK, "rollout": self.rollout.id})
        return [epoch.weight for epoch in own]

    def status(self, label: str) -> VersionStatus:
        """Where a version stands."""
        return self.store.scan(Version, {"label": label})[0].status

    def _register(self, *versions: Version) -> None:
        self.store.commit(append=versions)

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


class Quick(Case):
    """One in which seconds tell, and whose records stand the audit."""

    def sound(self) -> bool:
        """Whether everything agrees, and every decision comes out the same when it is taken once
        more."""
        again = [one for one in replay(self.store, self.now()) if not (one.equal and one.exact)]
        assert not again, [one.difference for one in again]
        return self.intact()

    def intact(self) -> bool:
        """Whether ledger and records agree, one epoch follows the other, and none is followed
        twice."""
        found = audit(self.store)
        assert found.ok, found.problems
        epochs = list(everything(self.store, Epoch, {"task": TASK}))
        assert [epoch.follows for epoch in epochs] == [0, *(epoch.number for epoch in epochs[:-1])]
        return True

    def _register(self, *versions: Version) -> None:
        entries = [("version", ledger.body_of(version)) for version in versions]
        record(self.store, entries, append=versions, now=self.clock.now())

    def _version(self, label: str) -> Version:
        plain = super()._version(label)
        digest = version_digest(plain.task, plain.bundle, plain.runtime)
        return msgspec.structs.replace(plain, digest=digest)


def case(
    control: Quality,
    candidate: Quality,
    seed: int = 1,
    policy: DecisionPolicy = POLICY,
    **world: object,
) -> Case:
    """A case in a world of 9,000 users and 150 requests per second, changed as asked."""
    return Case(control, candidate, seed, World(**world), policy)  # type: ignore[arg-type]


def quick(
    candidate: Quality,
    seed: int = 1,
    policy: DecisionPolicy = QUICK,
    store: Store | None = None,
    began: int | None = None,
    **world: object,
) -> Quick:
    """A case in a small world, against a control that is right half of the time."""
    habits = {"units": 4000, "requests_per_second": 60.0, "feedback_rate": 0.8, **world}
    habits = {"mean_delay": SECOND // 2, **habits}
    small = World(**habits)  # type: ignore[arg-type]
    return Quick(DIM, candidate, seed, small, policy, store, began)


def under(policy: DecisionPolicy = QUICK, **rules: object) -> DecisionPolicy:
    """The policy with other rules for the rollout."""
    changed = msgspec.structs.replace(policy.rollout, **rules)  # type: ignore[arg-type]
    return msgspec.structs.replace(policy, rollout=changed)


GOOD, BETTER, POOR = Quality(good=0.90), Quality(good=0.97), Quality(good=0.30)
DIM, BRIGHT, AWFUL = Quality(good=0.5), Quality(good=0.98), Quality(good=0.02)
"""What control is like in a quick case, and what is much better and much worse than it."""
