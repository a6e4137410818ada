"""A rollout driven through the real stages by chosen situations: what a test of its states needs.

Only the look at events and gateways is replaced (`survey`): a `Sky` says what it finds.
Orders, verdicts, transitions, routing, statuses and the ledger are the real ones, on a real store.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.answers import ArmSummary, Copies
from greenlight.core.approval import Person
from greenlight.core.errors import Refused
from greenlight.core.evidence import ArmCounts, Evidence, begin, freeze
from greenlight.core.lifecycle import phase_of
from greenlight.core.policy import DecisionPolicy, EvidencePolicy, RolloutPolicy, Step
from greenlight.core.record import Record
from greenlight.core.records import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Epoch,
    EvidenceState,
    Rollout,
    Version,
)
from greenlight.core.situation import Situation
from greenlight.core.states import Action, Phase, RolloutStatus, Variant, VersionStatus
from greenlight.stages import loop, release_windows, roll_out, steer
from greenlight.stages.observe import Observation
from greenlight.stages.survey import Survey

R = TypeVar("R", bound=Record)

TASK, V1, V2 = "intent", "sha256:v1", "sha256:v2"
WINDOW = "Fri 07:00-23:00 UTC"
OPEN = 1_800_000_000 * SECOND
"""A Friday, 08:00 UTC."""
SHUT = OPEN - 2 * HOUR
WEEK = 7 * DAY
QUORUM = {"ml_lead": 1}
ANA = Person(name="ana", roles=("ml_lead",), key="ed25519:any")
BEN = Person(name="ben", roles=("ml_lead",), key="ed25519:any")
KIM = Person(name="kim", roles=("operations",), key="ed25519:any")


def policy(*, shadow: bool, holdback: bool) -> DecisionPolicy:
    """Two steps, and before and after them what is asked for."""
    rules = RolloutPolicy(
        steps=(Step(weight=0.1), Step(weight=0.5), Step(weight=1.0)),
        shadow=MINUTE if shadow else 0,
        holdback=0.05 if holdback else 0.0,
        horizon=52 * WEEK,
        feedback_window=MINUTE,
        fast_window=MINUTE,
    )
    return DecisionPolicy(
        rollout=rules, release_window=WINDOW, evidence=EvidencePolicy(latency_slo_ms=None)
    )


class Sky(msgspec.Struct, frozen=True, kw_only=True):
    """How everything stands that is neither on record nor somebody's word."""

    shut: bool = False
    """Whether the release window is closed."""
    late: bool = False
    """Whether the horizon has passed."""
    approved: bool = True
    healthy: bool = True
    """Whether the evidence, the gateways and the clock have nothing against more traffic."""
    proved: bool = True
    """Whether the candidate is shown to be better."""
    situation: Mapping[str, Any] = {}
    """What the survey says besides; moments as µs before now."""
    evidence: Mapping[str, float] = {}


SKIES = {
    "clear": Sky(),
    "unproved": Sky(proved=False, evidence={"superiority": 0.0}),
    "soaking": Sky(proved=False, situation={"soaking_since": None}),
    "revoked": Sky(approved=False),
    "shut": Sky(shut=True, healthy=False),
    "stale": Sky(healthy=False, situation={"complete_until": HOUR}),
    "silent": Sky(healthy=False, situation={"complete_until": None}),
    "unserved": Sky(healthy=False, situation={"served": 0.5}),
    "dead control": Sky(healthy=False, situation={"control_down_since": HOUR}),
    "dead candidate": Sky(healthy=False, situation={"unreachable_since": HOUR}),
    "worse": Sky(healthy=False, evidence={"quality": 99.0}),
    "worse at night": Sky(shut=True, healthy=False, evidence={"quality": 99.0}),
    "worse and revoked": Sky(approved=False, healthy=False, evidence={"quality": 99.0}),
    "leaning": Sky(healthy=False, evidence={"quality": 2.0}),
    "unsafe": Sky(healthy=False, evidence={"no_worse:errors": 0.0}),
    "uneven": Sky(healthy=False, evidence={"srm": 99.0}),
    "too late": Sky(late=True, healthy=False),
}


class Machine:
    """A store in which v1 is live and v2 is approved, and everything that may be done to it."""

    def __init__(self, rules: DecisionPolicy) -> None:
        self.policy = rules
        self.store = MemoryStore()
        self.sky = SKIES["clear"]
        self.now = SHUT - HOUR
        self.random = np.random.default_rng(1).bytes
        self.store.commit(append=[_version(V1), _version(V2)])
        roll_out.go_live(
            self.store,
            self.version(V1),
            authorise=lambda digest: None,
            initiator="ana",
            now=self.now,
            random=self.random,
        )

    def under(self, sky: Sky) -> Machine:
        """The same once more, to be changed apart, under a sky and so much later."""
        forked = self.fork()
        forked.sky = sky
        since, rollout = self.now + MINUTE, self.rollout
        if sky.late and rollout is not None:
            since = max(since, rollout.at + self.policy.rollout.horizon)
        start = SHUT if sky.shut else OPEN
        forked.now = start + max(0, -(-(since - start) // WEEK)) * WEEK
        return forked

    def fork(self) -> Machine:
        """The same once more, to be changed apart."""
        forked = copy.copy(self)
        forked.store = MemoryStore()
        for kind, held in self.store._records.items():
            forked.store._records[kind] = dict(held)
        forked.store._leases = dict(self.store._leases)
        return forked

    def content(self) -> dict[Any, Any]:
        """Every record but the evidence, which stands for the world here."""
        held = self.store._records.items()
        return {kind: dict(rows) for kind, rows in held if rows and kind is not EvidenceState}

    # What may be done

    def start(self) -> None:
        """ana starts a rollout of v2."""
        roll_out.start(
            self.store,
            self.version(V2),
            policy=self.policy,
            authorise=self._authorise,
            initiator="ana",
            now=self.now,
            random=self.random,
        )

    def look(self) -> None:
        """A pass of the controller."""
        self.believe()
        loop.reconcile(
            self.store,
            TASK,
            authorise=self._authorise,
            fence=None,
            now=self.now,
            random=self.random,
        )

    def order(self, action: Action, person: Person = BEN) -> None:
        """A person's order."""
        self.believe()
        steer.steer(
            self.store,
            TASK,
            action,
            person=person,
            why="so be it",
            roles=QUORUM,
            authorise=self._authorise,
            now=self.now,
            random=self.random,
        )

    # How it stands, read past the store's own copying, which would take most of the time

    def rows(self, kind: type[R]) -> list[R]:
        """Every record of a kind, in order of their keys."""
        held: dict[Any, Any] = self.store._records[kind]
        return [held[key] for key in sorted(held)]

    @property
    def rollout(self) -> Rollout | None:
        """The newest rollout."""
        found = self.rows(Rollout)
        return found[-1] if found else None

    @property
    def epoch(self) -> Epoch:
        """The newest epoch."""
        return self.rows(Epoch)[-1]

    @property
    def phase(self) -> Phase | None:
        """Where the newest rollout is; None: there was none yet."""
        rollout = self.rollout
        if rollout is None:
            return None
        return phase_of(rollout.status, rollout.step, self.policy.rollout)

    def version(self, digest: str) -> Version:
        """A version as it stands."""
        return next(row for row in self.rows(Version) if row.digest == digest)

    def standing(self) -> tuple[Any, ...]:
        """All that tells one state from another, apart from ids and times."""
        rollout, epoch = self.rollout, self.epoch
        return (
            self.phase,
            None if rollout is None else (rollout.step, rollout.paused is not None),
            self.version(V1).status,
            self.version(V2).status,
            (epoch.control, epoch.candidate, epoch.weight, epoch.rollout is not None),
        )

    # What stands in for events and gateways

    def survey(self, store: Any, task: str, *_: object, **__: object) -> Survey | None:
        """What `stages.survey` would say under this sky."""
        rollout = roll_out.active(store, task)
        if rollout is None:
            return None
        found = self.situation(rollout)
        seen = Observation(
            entries=[],
            closed={},
            acknowledged=found.epoch,
            arms=list(found.arms),
            complete_until=found.complete_until,
            soaking_since=found.soaking_since,
            unreachable_since=found.unreachable_since,
            control_down_since=found.control_down_since,
            replicas=[],
            splits={},
        )
        return Survey(
            rollout=rollout, epoch=self.epoch, policy=_policy(rollout), seen=seen, situation=found
        )

    def situation(self, rollout: Rollout) -> Situation:
        """Where a rollout stands under this sky."""
        ago = {
            "soaking_since": HOUR,
            "complete_until": 0,
            "unreachable_since": None,
            "control_down_since": None,
            **self.sky.situation,
        }
        number = self.epoch.number
        return Situation(
            step=rollout.step,
            epoch=number,
            started_at=rollout.at,
            arms=_arms(number, ago.pop("served", 1.0)),
            unapproved=None if self.sky.approved else "ana revoked her approval",
            pending=rollout.status == RolloutStatus.PENDING,
            window=release_windows.closed(self.policy.release_window, self.now),
            paused=rollout.paused,
            **{name: None if span is None else self.now - span for name, span in ago.items()},
        )

    def _authorise(self, what: object) -> None:
        """Control may serve on; v2, or a rollout of it, needs an approval that holds."""
        if what != V1 and not self.sky.approved:
            raise Refused("ana revoked her approval")

    def believe(self) -> None:
        rollout = self.rollout
        if rollout is not None:
            known = _frozen(self.policy.rollout.shadow > 0, self.epoch.number, self.sky)
            state = EvidenceState(rollout=rollout.id, last_seq=0, state=known)
            self.store._records[EvidenceState][state.key] = state


@pytest.fixture
def skies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """Lets the stages look at a machine's sky instead of at events."""

    def under(machine: Machine) -> None:
        for stage in (loop, steer):
            monkeypatch.setattr(stage, "survey", machine.survey)

    return under


_KNOWN: dict[Any, dict[str, Any]] = {}


def _frozen(shadow: bool, epoch: int, sky: Sky) -> dict[str, Any]:
    """What a store has of the evidence under a sky."""
    key = (shadow, epoch, tuple(sky.evidence.items()))
    if key not in _KNOWN:
        known = _evidence(policy(shadow=shadow, holdback=False), epoch, sky.evidence)
        _KNOWN[key] = freeze(known)
    return _KNOWN[key]


def _policy(rollout: Rollout) -> DecisionPolicy:
    return msgspec.convert(rollout.policy, DecisionPolicy)


def _evidence(rules: DecisionPolicy, epoch: int, chosen: Mapping[str, float]) -> Evidence:
    """Evidence that leans against harm and proves everything, but for what is chosen."""
    state = begin(rules)
    log_e = {"superiority": 99.0, "no_worse:errors": 99.0, "no_worse:step": 99.0, **chosen}
    state.split.peak = log_e.pop("srm", 0.0)
    for tests in (state.trials.assignment, state.trials.margin, state.trials.events):
        for name, test in tests.items():
            test.horizon = None
            test.log_wealth = [log_e.get(name, -1.0)] * len(test.log_wealth)
    for variant in Variant:
        state.counts[f"{epoch}/{variant}"] = ArmCounts(
            exposed=1000, matured=900, outcomes=500, good=400
        )
    return state


def _arms(epoch: int, served: float) -> list[ArmSummary]:
    copies = Copies(made=1000, answered=int(1000 * served))
    return [
        ArmSummary(
            epoch=epoch,
            variant=variant,
            requests=1000,
            served=int(1000 * served) if variant == Variant.CANDIDATE else 1000,
            failed=0,
            units=900,
            good=400,
            bad=100,
            latency_ms=5.0,
            copies=copies if variant == Variant.CANDIDATE else Copies(),
        )
        for variant in Variant
    ]


def _version(digest: str) -> Version:
    return Version(
        digest=digest,
        task=TASK,
        label=f"intent@{digest[-1]}",
        bundle=f"{digest}-bundle",
        runtime={"kind": "in_process"},
        lineage={},
        initiator="eve",
        status=VersionStatus.APPROVED,
        at=0,
    )
