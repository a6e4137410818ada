"""An office: a store, a clock, people with keys, and a bundle's way to its sign-off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from greenlight.adapters import signing
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import fingerprint, ids, ledger
from greenlight.core.approval import Person
from greenlight.core.gates import GateResult
from greenlight.core.policy import ApprovalPolicy, DecisionPolicy, GateRule
from greenlight.core.records import SECOND, Approval, Evaluation, Rollout, Run, StageResult, Version
from greenlight.core.states import RolloutStatus, RunStatus, VersionStatus
from greenlight.ports import Store
from greenlight.recording import Step, finish, record
from greenlight.stages.approve import decide
from greenlight.stages.register import gate, register
from greenlight.testing import FakeClock, step

RULES = {"accuracy": GateRule(min=0.9)}
POLICY = ApprovalPolicy()
NAMES = {
    "ana": ("ml_lead",),
    "ben": ("product_owner",),
    "cai": ("ml_lead", "product_owner"),
    "dia": ("intern",),
    "eve": ("ml_lead",),
}


class Office:
    """A store, a clock, and people with keys."""

    def __init__(self, store: Store | None = None, now: int | None = None) -> None:
        self.store: Any = store or MemoryStore()
        self.clock = FakeClock() if now is None else FakeClock(now)
        self.random: Callable[[int], bytes] = np.random.default_rng(1).bytes
        self.secrets = {name: signing.new_secret(self.random) for name in NAMES}
        self.people = {
            name: Person(name=name, roles=roles, key=signing.public_key(self.secrets[name]))
            for name, roles in NAMES.items()
        }

    def run(self, bundle: str = "b1", initiator: str = "eve") -> Run:
        """A finished run that trained a bundle, whose digest is a word."""
        now = self.clock.now()
        number = len(self.store.scan(Run)) + 1
        run = Run(
            id=f"intent#{number}",
            task="intent",
            number=number,
            trigger="manual",
            initiator=initiator,
            plan={"backend": "tfidf-linear", "options": {}, "seed": 1},
            environment={},
            status=RunStatus.FINISHED,
            at=now,
            ended_at=now,
        )
        body = {"id": run.id, "initiator": initiator, "plan": run.plan}
        ended = {
            "run": run.id,
            "task": "intent",
            "status": "finished",
            "error": None,
            "ended_at": now,
        }
        record(self.store, [("run", body), ("run_status", ended)], append=[run], now=now)
        finish(self.store, step("train", run=run.id), {"bundle": bundle}, {}, now=now)
        return run

    def register(self, run: Run | None = None, **options: Any) -> Version:
        run = run or self.run()
        trained = self.store.get(StageResult, run.id, "train")
        lineage = {"run": run.id, "dataset": "sha256:d", "backend": "tfidf-linear", "seed": 1}
        given: dict[str, Any] = {
            "step": self._step("register"),
            "bundle": trained.output["bundle"],
            "runtime": {"kind": "in_process"},
            "lineage": lineage,
            "initiator": "eve",
            "now": self.clock.now(),
            **options,
        }
        found = self.store.get(Version, register(self.store, **given).output["version"])
        assert found is not None
        return found

    def evaluate(self, version: Version, accuracy: float) -> Evaluation:
        document = {
            "version": version.digest,
            "intent": {"test": {"accuracy": {"value": accuracy}}},
            "at": self.clock.now(),
        }
        digest = fingerprint.digest(document)
        made = Evaluation(
            digest=digest, version=version.digest, document=document, at=self.clock.now()
        )
        body = {"evaluation": digest, "version": version.digest}
        record(self.store, [("evaluation", body)], append=[made], now=self.clock.now())
        return made

    def gate(self, version: Version, accuracy: float) -> tuple[Version, list[GateResult]]:
        self.clock.advance(SECOND)
        return self.judge(version, self.evaluate(version, accuracy), RULES)

    def _step(self, stage: str) -> Step:
        """A step of a run of its own."""
        return step(stage, run=f"by hand {len(self.store.scan(StageResult))}")

    def judge(
        self, version: Version, evaluation: Evaluation, rules: Mapping[str, GateRule]
    ) -> tuple[Version, list[GateResult]]:
        judged = gate(
            self.store,
            version,
            evaluation,
            rules,
            step=self._step("gate"),
            now=self.clock.now(),
        )
        return self.status(version), msgspec.convert(judged.report["results"], list[GateResult])

    def evaluated(self) -> Version:
        return self.gate(self.register(), 0.95)[0]

    def say(
        self, version: Version, who: str, decision: str = "approve", **options: Any
    ) -> Approval:
        self.clock.advance(SECOND)
        given: dict[str, Any] = {
            "version": self.status(version),
            "secret": self.secrets[who],
            "people": self.people,
            "decision": decision,
            "why": "looked at it",
            "policy": POLICY,
            "sign": signing.sign,
            "public_key": signing.public_key,
            "verify": signing.verify,
            "now": self.clock.now(),
            "random": self.random,
            **options,
        }
        return decide(self.store, **given)

    def status(self, version: Version) -> Version:
        found = self.store.get(Version, version.digest)
        assert found is not None
        return found

    def move(self, version: Version, status: VersionStatus) -> None:
        """As a rollout would."""
        now = self.status(version)
        moved = msgspec.structs.replace(now, status=status)
        said = [ledger.moved(now, moved, "as a rollout would")]
        record(self.store, said, swap=[(now, moved)], now=self.clock.now())

    def approved(self) -> Version:
        version = self.evaluated()
        self.say(version, "ana")
        self.say(version, "ben")
        assert self.status(version).status == VersionStatus.APPROVED
        return self.status(version)


def rollout(version: Version, initiator: str, at: int, *, ended: bool = False) -> Rollout:
    """A rollout of a version, running or rolled back."""
    policy = DecisionPolicy()
    return Rollout(
        id=ids.uuid7(at, bytes(10)),
        task=version.task,
        control="sha256:c",
        candidate=version.digest,
        salt="5a" * 16,
        policy=msgspec.to_builtins(policy),
        policy_digest=policy.digest,
        aa=False,
        initiator=initiator,
        status=RolloutStatus.ROLLED_BACK if ended else RolloutStatus.RUNNING,
        step=0,
        at=at,
        ended_at=at if ended else None,
    )
