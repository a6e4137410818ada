"""Two controllers on one store: the one that leads is killed in the middle of a fault, and the
other one decides within seconds. With gateways and models that answer: benchmarks/rollback."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.rollback.house import CLI, Crew
from benchmarks.rollback.measures import twice
from greenlight import config
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import (
    MILLISECOND,
    SECOND,
    Decision,
    Epoch,
    JournalEntry,
    Rollout,
    Version,
)
from greenlight.core.states import Action, RolloutStatus, VersionStatus
from greenlight.lookup import everything, version_digest
from greenlight.stages import roll_out
from greenlight.stages.loop import LEASE
from greenlight.testing import FakeClock
from greenlight.testing.world import Quality, World, WorldSimulator
from tests.scenarios.worlds import POLICY

TASK = "intent"
TICK = 250 * MILLISECOND
LOOK = 1500 * MILLISECOND
"""A controller looks within this."""
WITHIN_S = 20.0
"""For anything that must come about."""
CONFIG = f"""\
[project]
name = "two controllers"
[tasks.{TASK}]
kind = "classify"
[tasks.{TASK}.dataset]
source = "sample"
[tasks.{TASK}.train]
backend = "tfidf-linear"
[tasks.{TASK}.gates]
accuracy = {{ min = 0.9 }}
"""


class Canary:
    """A candidate at 10% before simulated users, who live as fast as everybody else."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.real = SystemClock()
        self.clock = FakeClock(self.real.now())
        rng_bytes = secrets.token_bytes
        versions = [self._version(number) for number in (1, 2)]
        store.commit(append=versions)
        common = {"authorise": lambda digest: None, "initiator": "ana", "random": rng_bytes}
        roll_out.go_live(store, versions[0], now=self.clock.now(), **common)
        self.qualities = {version.digest: Quality(good=0.9) for version in versions}
        self.candidate = versions[1].digest
        self.rollout = roll_out.start(
            store, versions[1], policy=POLICY, now=self.clock.now(), **common
        )
        rng = np.random.default_rng(2025)
        self.world = WorldSimulator(store, self.clock, TASK, self.qualities, World(), rng)

    def live(self) -> None:
        """Let users have done what they did up to now."""
        while self.clock.now() + TICK <= self.real.now():
            self.world.tick(TICK)

    def until(self, condition: Callable[[], bool], crew: Crew) -> None:
        """Let users live until something has come about."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline
            crew.check()
            self.live()
            time.sleep(0.01)

    def status(self) -> RolloutStatus:
        found = self.store.get(Rollout, self.rollout.id)
        assert found is not None
        return found.status

    def decisions(self) -> list[Decision]:
        return list(everything(self.store, Decision, {"rollout": self.rollout.id}))

    def _version(self, number: int) -> Version:
        bundle, runtime = f"sha256:{number}", {"kind": "in_process"}
        return Version(
            digest=version_digest(TASK, bundle, runtime),
            task=TASK,
            label=f"{TASK}@{number}",
            bundle=bundle,
            runtime=runtime,
            lineage={},
            initiator="ana",
            status=VersionStatus.APPROVED,
            at=0,
        )


def deciding(logs: Path) -> list[str]:
    """The controllers whose log tells of a decision of theirs."""
    return [log.stem for log in logs.glob("*.log") if f" {TASK}: " in log.read_text()]


@contextmanager
def canary(folder: Path) -> Iterator[Canary]:
    file = folder / config.FILE
    file.write_text(CONFIG, encoding="utf-8")
    store = SqlStore(config.load(file, {}).store_url)
    try:
        yield Canary(store)
    finally:
        store.close()


def test_the_other_controller_decides(tmp_path: Path) -> None:
    """O3: a leader killed by SIGKILL costs at most 5 s, and nothing is decided twice."""
    logs = tmp_path / "logs"
    with canary(tmp_path) as it, Crew(logs) as crew:
        for name in ("one", "two"):
            crew.start(name, CLI, "-C", str(tmp_path), "controller")
        it.until(lambda: all("looking" in out.read_text() for out in logs.glob("*.out")), crew)
        it.until(lambda: len(it.decisions()) > 1 and deciding(logs) != [], crew)
        (leader,) = deciding(logs)
        before = it.store.leased(LEASE)
        it.qualities[it.candidate] = Quality(good=0.9, error=0.2)
        failing_from = it.clock.now()
        it.until(lambda: it.clock.now() > failing_from, crew)
        killed_at = it.real.now()
        crew.kill(leader)
        assert it.status() == RolloutStatus.RUNNING
        it.until(lambda: it.status() != RolloutStatus.RUNNING, crew)
        after = it.store.leased(LEASE)
        settled = it.real.now() + LOOK  # whoever would decide again has looked by then
        it.until(lambda: it.real.now() > settled, crew)
        (other,) = {*deciding(logs)} - {leader}
        crew.kill(other)  # at rest it would first finish what it is about to put on file
        assert before is not None and after is not None
        assert (after.holder != before.holder, after.token) == (True, before.token + 1)
        decisions, epochs = it.decisions(), list(everything(it.store, Epoch, {"task": TASK}))
        last = decisions[-1]
        assert (last.action, last.code) == (Action.ROLLBACK, "errors")
        assert last.at - killed_at <= 5 * SECOND
        assert twice(epochs, [one.action for one in decisions]) == []
        assert [(epoch.follows, epoch.number) for epoch in epochs] == [(0, 1), (1, 2), (2, 3)]
        journal = everything(it.store, JournalEntry, {"rollout": it.rollout.id})
        assert [entry.seq for entry in journal] == list(range(1, last.evidence["last_seq"] + 1))
