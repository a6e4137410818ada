"""A whole story in a store: v1 goes live, v2 earns its traffic, v3 loses it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import fingerprint
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import (
    MILLISECOND,
    MINUTE,
    SECOND,
    Approval,
    Dataset,
    Evaluation,
    Record,
    Rollout,
    Run,
    Version,
)
from greenlight.core.states import RunStatus, VersionStatus
from greenlight.core.stats.intervals import wilson
from greenlight.ports import Store
from greenlight.stages import roll_out
from greenlight.stages.loop import reconcile
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
        horizon=10 * MINUTE,
        feedback_window=6 * SECOND,
        fast_window=3 * SECOND,
        grace=500 * MILLISECOND,
        min_outcomes=60,
    )
)


def allow(_: object) -> None:
    """Everything is approved."""


class Story:
    """A task whose users' opinion is known; every version's evaluation and approvals are there."""

    def __init__(self, seed: int = 1, store: Store | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.clock = FakeClock()
        self.store: Store = MemoryStore() if store is None else store
        self.qualities: dict[str, Quality] = {}
        self.users = WorldSimulator(self.store, self.clock, TASK, self.qualities, World(), self.rng)

    def version(
        self, label: str, quality: Quality, *, correct: int = 2800, backend: str = "tfidf-linear"
    ) -> Version:
        """An approved version with its dataset, run and evaluation (n = 3,080)."""
        now = self.clock.now()
        dataset = Dataset(
            digest=fingerprint.digest("rows"), task=TASK, name="banking77", manifest={}, at=now
        )
        bundle = fingerprint.digest(f"bundle of {label}")
        run = Run(
            id=f"{TASK}#{label}",
            task=TASK,
            number=1,
            trigger="manual",
            initiator="ines",
            plan={"backend": backend, "options": {}, "seed": 1},
            environment={},
            status=RunStatus.FINISHED,
            at=now,
            ended_at=now,
        )
        version = Version(
            digest=fingerprint.digest(label),
            task=TASK,
            label=label,
            bundle=bundle,
            runtime={"kind": "in_process"},
            lineage={"run": run.id, "dataset": dataset.digest},
            initiator="ines",
            status=VersionStatus.APPROVED,
            at=now,
        )
        low, high = wilson(correct, 3080)
        accuracy = {
            "value": correct / 3080,
            "low": low,
            "high": high,
            "correct": correct,
            "n": 3080,
        }
        document = {"version": version.digest, "intent": {"test": {"accuracy": accuracy}}}
        evaluation = Evaluation(
            digest=fingerprint.digest(document), version=version.digest, document=document, at=now
        )
        records: list[Record] = [run, version, evaluation]
        if self.store.get(Dataset, dataset.digest) is None:
            records.append(dataset)
        for person, role in (("ada", "ml_lead"), ("bo", "product_owner")):
            word = Approval(
                id=f"{label}-{person}",
                version=version.digest,
                evaluation=evaluation.digest,
                role=role,
                person=person,
                decision="approve",
                why="good enough",
                at=now,
                signature="00",
            )
            records.append(word)
        self.store.commit(append=records)
        self.qualities[version.digest] = quality
        return version

    def go_live(self, version: Version) -> None:
        """Give all traffic to a first version."""
        roll_out.go_live(
            self.store,
            version,
            authorise=allow,
            initiator="ines",
            now=self.clock.now(),
            random=self.rng.bytes,
        )

    def live(self, seconds: float) -> None:
        """Users come and go; the controller looks four times a second."""
        end = self.clock.now() + int(seconds * SECOND)
        while self.clock.now() < end:
            self.look()

    def look(self) -> None:
        """A quarter of a second of traffic, then one look of the controller."""
        self.users.tick(SECOND // 4)
        reconcile(
            self.store,
            TASK,
            authorise=allow,
            fence=None,
            now=self.clock.now(),
            random=self.rng.bytes,
        )

    def start(self, version: Version, aa: bool = False, **changes: Any) -> Rollout:
        """Begin a rollout; `changes` are those of the rollout policy."""
        rules = msgspec.structs.replace(POLICY.rollout, **changes)
        return roll_out.start(
            self.store,
            version,
            policy=msgspec.structs.replace(POLICY, rollout=rules),
            authorise=allow,
            initiator="ines",
            aa=aa,
            now=self.clock.now(),
            random=self.rng.bytes,
        )

    def finish(self, rollout: Rollout) -> Rollout:
        """Let it run until it is decided."""
        for _ in range(3000):
            if roll_out.active(self.store, TASK) is None:
                break
            self.look()
        ended = self.store.get(Rollout, rollout.id)
        assert ended is not None
        return ended


HOSTILE = ("<script>alert(1)</script>", 'a$\\frac{b}$ & "q" \'--> 日本 😀', "x" * 80 + "\x00\n")
"""Labels that try to break out of a page, out of a formula, and out of their column."""


def whole(labels: tuple[str, str, str] = ("intent@1", "intent@2", "intent@3")) -> Story:
    """v1 GOOD .90, v2 .94 (promoted), v3 .30 (rolled back)."""
    story = Story()
    first = story.version(labels[0], Quality(good=0.90), correct=2763)
    story.go_live(first)
    story.live(4)
    second = story.version(labels[1], Quality(good=0.94), correct=2893, backend="encoder-head")
    story.finish(story.start(second))
    story.live(4)
    third = story.version(
        labels[2], Quality(good=0.30, error=0.002), correct=2889, backend="encoder-head"
    )
    story.finish(story.start(third))
    story.live(8)
    return story


def at_odds(*candidates: Quality, **policy: Any) -> Story:
    """v1 GOOD .90 against each candidate in turn, until each is decided."""
    story = Story(seed=8)
    story.go_live(story.version("intent@1", Quality(good=0.9, error=0.001)))
    for number, quality in enumerate(candidates, start=2):
        story.finish(story.start(story.version(f"intent@{number}", quality), **policy))
        story.live(8)
    return story


def unfinished(seconds: float, aa: bool = False) -> Story:
    """A rollout that has been running for a while; with `aa` of a version against itself."""
    story = Story(seed=6)
    first = story.version("intent@1", Quality(good=0.9))
    story.go_live(first)
    live = story.store.get(Version, first.digest)
    assert live is not None
    story.start(live if aa else story.version("intent@2", Quality(good=0.9)), aa=aa)
    story.live(seconds)
    return story


SHAPES: dict[str, Callable[[], Story]] = {
    "whole": whole,
    "hostile labels": lambda: whole(HOSTILE),
    "dead, then worse": lambda: at_odds(Quality(good=0.9, error=1.0), Quality(good=0.7)),
    "much better": lambda: at_odds(Quality(good=1.0), min_outcomes=120),
    "inconclusive": lambda: at_odds(Quality(good=0.9), horizon=40 * SECOND),
    "just started": lambda: unfinished(0.5),
    "running": lambda: unfinished(12),
    "a/a": lambda: unfinished(12, aa=True),
    "many": lambda: at_odds(*[Quality(good=good) for good in (0.2, 0.1, 0.3, 0.2)]),
}


@functools.cache
def told(shape: str) -> Story:
    """A story is told once."""
    return SHAPES[shape]()


@pytest.fixture
def story() -> Story:
    """The whole story; tests only read it."""
    return told("whole")


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Story:
    """Every way in which a report can come out; tests only read it."""
    return told(request.param)


@pytest.fixture
def hostile() -> Story:
    """The whole story, of versions with hostile labels; tests only read it."""
    return told("hostile labels")


@pytest.fixture
def fresh() -> Story:
    """A rollout of which nothing is known yet; tests only read it."""
    return told("just started")


@pytest.fixture
def new_story() -> type[Story]:
    """For tests that tell a story of their own."""
    return Story
