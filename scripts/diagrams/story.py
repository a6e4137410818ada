"""One story, really told: two versions are made, signed, and the second wins its traffic.

What the pages show is what was written down on the way; the clock stands still, luck is seeded,
so that it is the same every time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from greenlight import lookup
from greenlight.adapters import signing
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import ids
from greenlight.core.approval import Person, Quorum
from greenlight.core.errors import Refused
from greenlight.core.incidents import StagingRecord
from greenlight.core.policy import ApprovalPolicy, DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import (
    MILLISECOND,
    MINUTE,
    SECOND,
    Inference,
    Rollout,
    Shadow,
    Version,
)
from greenlight.core.staging import statement
from greenlight.core.states import Action
from greenlight.ports import Store
from greenlight.stages import approve, keys, loop, notify, roll_out, staging, steer
from greenlight.stages.loop import Plan, Turn
from greenlight.testing import FakeClock
from greenlight.testing.world import Quality, World, WorldSimulator
from scripts.diagrams import finetuning, killing, serving, tiny
from scripts.diagrams.tracing import Message, Trace, acting
from scripts.diagrams.works import Works

POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(Step(weight=0.1, soak=10 * SECOND), Step(weight=1.0)),
        horizon=5 * MINUTE,
        feedback_window=6 * SECOND,
        fast_window=3 * SECOND,
        grace=500 * MILLISECOND,
        min_outcomes=60,
        stale_after=5 * SECOND,
    )
)
SHOWN = {
    "gates_passed": True,
    "load": {"p95_ms": 14.8, "error_rate": 0.0, "whole": True},
    "drill": {"passed": True},
}
"""What the version has shown in staging."""
ROUTING = (Action.WIDEN, Action.PROMOTE, Action.ROLLBACK, Action.INCONCLUSIVE)
ROLES = {"ana": ("ml_lead",), "ben": ("product_owner",)}


class Story:
    """The scenes by name, and the store in which they were played."""

    def __init__(self) -> None:
        self.store: Store = MemoryStore()
        self.scenes: dict[str, list[Message]] = {}


class _Teller:
    """Plays the scenes on one store; the order of the calls is the story."""

    def __init__(self, root: Path) -> None:
        self.story = Story()
        self.trace = Trace()
        self.clock = FakeClock()
        self.random = np.random.default_rng(2025).bytes
        self.works = Works(self.trace, root, self.story.store, self.clock)
        self.records = self.works.records
        self._secrets = {name: signing.new_secret(self.random) for name in ROLES}
        self.people = {
            name: Person(name=name, roles=ROLES[name], key=signing.public_key(secret))
            for name, secret in self._secrets.items()
        }

    def run(self, scene: str, plan: Plan) -> Version:
        """One turn of the pipeline."""
        self.clock.advance(SECOND)
        works = self.works.pipeline("one")
        with self.trace.scene() as told, self.works.stages_seen(), acting("Person"):
            run = works.begin(tiny.TASK, plan, trigger="manual", initiator="eve")
            hand = works.take(run)
            with self.works.beating(hand):
                made: Turn = hand.carry_out(lambda *_: None)
        self.story.scenes[scene] = told
        return made.version

    def sign(self, version: Version) -> None:
        """Both people approve."""
        for name in ROLES:
            self.clock.advance(SECOND)
            with acting(name):
                approve.decide(
                    self.records,
                    version=lookup.find_version(self.story.store, version.digest),
                    secret=self._secrets[name],
                    people=self.people,
                    decision="approve",
                    why="looked at it",
                    policy=ApprovalPolicy(),
                    sign=signing.sign,
                    public_key=signing.public_key,
                    verify=signing.verify,
                    now=self.clock.now(),
                    random=self.random,
                )

    def authorise(self, digest: str, records: Store | None = None) -> None:
        """Refuse a version without a quorum."""
        records = records or self.records
        version = lookup.find_version(records, digest)
        quorum: Quorum = lookup.standing(
            records,
            version,
            policy=ApprovalPolicy(),
            people=self.people,
            verify=signing.verify,
            now=self.clock.now(),
        )
        if not quorum.ok:
            raise Refused(str(quorum))

    def go_live(self, version: Version) -> None:
        """The first version gets all traffic."""
        self._begin(roll_out.go_live, version)

    def start(self, version: Version) -> Rollout:
        """The second one gets its first users."""
        found: Rollout = self._begin(roll_out.start, version, policy=POLICY)
        return found

    def _begin(self, verb: Callable[..., Any], version: Version, **given: Any) -> Any:
        self.clock.advance(SECOND)
        with acting("eve"):
            return verb(
                self.records,
                lookup.find_version(self.story.store, version.digest),
                authorise=self.authorise,
                initiator="eve",
                now=self.clock.now(),
                random=self.random,
                **given,
            )

    def live(self, first: Version, second: Version) -> None:
        """Users come and go until the evidence is enough; passes that change routing are kept."""
        world = WorldSimulator(
            self.records,
            self.clock,
            tiny.TASK,
            {first.digest: Quality(good=0.4), second.digest: Quality(good=0.9)},
            World(units=3000),
            np.random.default_rng(7),
        )
        kept: list[Message] = []
        while roll_out.active(self.story.store, tiny.TASK) is not None:
            with self.trace.scene() as told:
                with acting("Gateways"):
                    world.tick(250 * MILLISECOND)
                action = self._look()
            if not kept or action in ROUTING:
                kept += told
        self.story.scenes["decision"] = kept

    def let_in(self) -> None:
        """An application gets a key; with its own luck and no scene, so that nothing else moves."""
        keys.create(
            self.story.store,
            name="shop",
            scopes=["predict", "feedback"],
            by="ana",
            now=self.clock.now(),
            random=np.random.default_rng(8).bytes,
        )

    def copy(self) -> None:
        """A candidate in the shadow got a copy of a request; with no scene, as above."""
        [asked] = self.story.store.scan(Inference, limit=1)
        copied = Shadow(
            id=asked.id,
            task=asked.task,
            rollout=str(asked.rollout),
            epoch=asked.epoch,
            version=asked.version,
            unit=asked.unit,
            unit_source=asked.unit_source,
            output=asked.output,
            latency_ms=asked.latency_ms,
            status=asked.status,
            alone=None,
            agreed=True,
            at=asked.at,
        )
        self.story.store.ingest([], [], [copied])

    def call_off(self, version: Version) -> None:
        """An A/A test of what is live is rolled back by hand, somebody is to be told, and staging
        vouched for it; with luck of its own and no scene, as above."""
        luck = np.random.default_rng(9).bytes
        store = self.story.store

        def authorise(digest: str) -> None:
            self.authorise(digest, store)

        self.sign(version)
        now = self.clock.now()
        notify.begin(store, "on-call", now)
        live = lookup.find_version(store, version.digest)
        roll_out.start(
            store,
            live,
            policy=POLICY,
            authorise=authorise,
            initiator="eve",
            aa=True,
            now=now,
            random=luck,
        )
        steer.steer(
            store,
            tiny.TASK,
            Action.ROLLBACK,
            person=self.people["ana"],
            why="only a test",
            roles=["ml_lead"],
            authorise=lambda rollout: authorise(rollout.candidate),
            now=now,
            random=luck,
        )
        unsigned = StagingRecord(
            id=ids.fresh(now, luck),
            task=tiny.TASK,
            bundle=live.bundle,
            label=live.label,
            document=SHOWN,
            person="ana",
            signature="",
            at=now,
        )
        signed = signing.sign(self._secrets["ana"], statement(unsigned))
        staging.accept(
            store,
            msgspec.json.encode(msgspec.structs.replace(unsigned, signature=signed)),
            people=self.people,
            roles=lambda task: ["ml_lead"],
            verify=signing.verify,
            now=now,
        )

    def _look(self) -> Action | None:
        """One pass of the controller."""
        now = self.clock.now()
        with acting("Controller"):
            decision = loop.reconcile(
                self.records,
                tiny.TASK,
                authorise=lambda rollout: self.authorise(rollout.candidate),
                fence=loop.lead(self.records, "one", now),
                now=now,
                random=self.random,
            )
        return None if decision is None else decision.action


def tell() -> Story:
    """Play every scene; a few seconds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        teller = _Teller(root / "shop")
        scenes = teller.story.scenes
        first = teller.run("turn", tiny.plan())
        teller.run("again", tiny.plan())
        with teller.trace.scene() as scenes["sign-off"]:
            teller.sign(first)
            teller.go_live(first)
        second = teller.run("second", tiny.plan(C=2))
        with teller.trace.scene() as told:
            teller.sign(second)
            teller.start(second)
        scenes["sign-off"] += told
        scenes["request"] = serving.request(
            teller.story.store, teller.authorise, root / "spool", teller.clock
        )
        teller.live(first, second)
        teller.let_in()
        teller.copy()
        teller.call_off(second)
        scenes["killed"] = killing.killed_and_resumed(root / "killed")
        scenes.update(finetuning.scenes(root / "finetuning"))
        return teller.story
