"""The overview, and the page of one task: what is live, what is on its way, what waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.approval import Quorum
from greenlight.core.records import Decision, Epoch, Replica, Rollout, Run, RunProgress, Version
from greenlight.core.states import VersionStatus
from greenlight.core.waiting import Ahead
from greenlight.dashboard.http import Answer, Page, Request
from greenlight.lookout import Lookout
from greenlight.lookup import everything
from greenlight.ports import Clock, Store
from greenlight.reporting.history import label
from greenlight.reporting.underway import alive
from greenlight.reporting.words import ending
from greenlight.stages.roll_out import active, current_epoch

MOST = 25
"""Rows of each table on a task's page."""

_WAITING = (VersionStatus.EVALUATED, VersionStatus.APPROVED)


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What the pages that only look ask of an installation."""

    store: Store
    clock: Clock
    lookout: Lookout
    """What this process has seen of the alarms."""
    kinds: Callable[[], Mapping[str, str]]
    """The tasks of the configuration, each with its kind."""
    standing: Callable[[Version], Quorum]
    """What the approvals of a version amount to."""
    ahead: Callable[[str], Ahead | None]
    """What comes next for a task's rollout; None: there is none."""
    digest: Callable[[str], str]
    """Of a topic: a task, or all of them for an empty one; raises NotFound."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout with what is said of it in a line."""

    rollout: Rollout
    candidate: str
    control: str
    ending: str
    """`was promoted after 25 s`, `has been running for 3 min`."""
    decision: Decision | None
    """The newest one: what ended it, or what it waits for."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A version that people, or a start of its rollout, are waited for."""

    version: Version
    quorum: Quorum


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands."""

    name: str
    kind: str
    epoch: Epoch | None
    """Its routing; None while nothing is live."""
    live: str | None
    """The label of the live version."""
    candidate: Attempt | None
    """The rollout under way."""
    last: Attempt | None
    """The rollout that ended last, while none is under way."""
    waiting: Sequence[Waiting]
    run: Run | None
    """The newest run of the pipeline."""
    progress: RunProgress | None
    gateways: int
    """Those alive that route by the task's newest split."""


class Tasks:
    """Answers for `/` and `/tasks/{task}`."""

    def __init__(self, house: House) -> None:
        """Know whom to ask."""
        self._house = house

    def all(self, request: Request) -> Answer:
        """GET: every task at a glance."""
        digest, now = self._house.digest(""), self._house.clock.now()
        gateways = alive(self._house.store, now)
        kinds = self._house.kinds()
        values = {
            "topic": "",
            "digest": digest,
            "now": now,
            "gateways": gateways,
            "tasks": [self._standing(name, kinds[name], gateways, now) for name in sorted(kinds)],
        }
        return Page("overview.html", values)

    def one(self, request: Request) -> Answer:
        """GET: one task, with what it was served by so far."""
        name = request.query["task"]
        digest, now = self._house.digest(name), self._house.clock.now()
        store = self._house.store
        found = list(everything(store, Version, {"task": name}))
        versions = sorted(found, key=lambda version: (-version.at, version.label))
        rollouts = store.scan(Rollout, {"task": name}, newest_first=True, limit=MOST + 1)
        runs = sorted(everything(store, Run, {"task": name}), key=lambda run: -run.at)
        kind = self._house.kinds()[name]
        values: dict[str, Any] = {
            "topic": name,
            "digest": digest,
            "now": now,
            "task": self._standing(name, kind, alive(store, now), now),
            "versions": versions[:MOST],
            "rollouts": [attempt(store, rollout, now) for rollout in rollouts[:MOST]],
            "runs": runs[:MOST],
            "left_out": [len(versions) > MOST, len(rollouts) > MOST, len(runs) > MOST],
        }
        return Page("task.html", values)

    def _standing(self, name: str, kind: str, gateways: Sequence[Replica], now: int) -> Standing:
        store = self._house.store
        epoch, running = current_epoch(store, name), active(store, name)
        ended = store.scan(Rollout, {"task": name}, newest_first=True, limit=1)
        run = max(everything(store, Run, {"task": name}), key=lambda run: run.at, default=None)
        return Standing(
            name=name,
            kind=kind,
            epoch=epoch,
            live=None if epoch is None else label(store, epoch.control),
            candidate=None if running is None else attempt(store, running, now),
            last=None if running is not None or not ended else attempt(store, ended[0], now),
            waiting=self._waiting(name),
            run=run,
            progress=None if run is None else store.get(RunProgress, run.id),
            gateways=sum(
                epoch is not None and g.epochs.get(name) == epoch.number for g in gateways
            ),
        )

    def _waiting(self, task: str) -> list[Waiting]:
        found = everything(self._house.store, Version, {"task": task})
        return [
            Waiting(version=version, quorum=self._house.standing(version))
            for version in found
            if version.status in _WAITING
        ]


def attempt(store: Store, rollout: Rollout, now: int) -> Attempt:
    """A rollout in a line, at a moment."""
    last = store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)
    end = now if rollout.ended_at is None else rollout.ended_at
    return Attempt(
        rollout=rollout,
        candidate=label(store, rollout.candidate),
        control=label(store, rollout.control),
        ending=ending(rollout, end),
        decision=last[0] if last else None,
    )
