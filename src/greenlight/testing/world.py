"""Users whose opinion of every version is known.

`WorldSimulator` stands in for users, gateways and models at once: it assigns by the real rule,
stores real events in a real store, and answers with the quality it was given. The controller that
runs on top of it is the real one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from greenlight.core import ids
from greenlight.core.assignment import bucket, variant
from greenlight.core.records import (
    MILLISECOND,
    SECOND,
    Epoch,
    Feedback,
    Inference,
    Replica,
    Shadow,
)
from greenlight.core.routing import NEVER, barred, newer, place
from greenlight.core.shadowing import failed_alone
from greenlight.core.states import Status, Variant
from greenlight.ports import Store
from greenlight.stages.roll_out import current_epoch
from greenlight.testing import FakeClock


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is really like: probabilities in [0, 1]."""

    good: float
    error: float = 0.0
    latency_ms: float = 5.0
    bad_heard: float = 1.0
    """How much likelier a BAD is said than a GOOD (above 1 as far as probabilities go)."""
    lost: float = 0.0
    """Share of its inferences that never reach the store."""
    says: str = ""
    """The label that it gives, whatever it is asked."""
    differs: float = 0.0
    """Share of its copies to which it says something else than control."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Users and their habits. Rates are per second, delays in microseconds."""

    units: int = 9000
    requests_per_second: float = 150.0
    feedback_rate: float = 0.6
    mean_delay: int = SECOND
    loudest: float = 0.0
    """Share of the feedback that one reviewer gives; all others are named once."""
    drift: Callable[[float], float] | None = None
    """Added to every version's probability of GOOD, by seconds since the start."""


class WorldSimulator:
    """Users with a known opinion of every version, behind one simulated gateway."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        task: str,
        qualities: Mapping[str, Quality],
        world: World,
        rng: np.random.Generator,
    ) -> None:
        self._store = store
        self._clock = clock
        self._task = task
        self._qualities = qualities
        self._world = world
        self._rng = rng
        self._started_at = clock.now()
        self._pending: list[tuple[int, int, Feedback]] = []
        self._made = 0
        self._routing: Epoch | None = None
        self._applied_at = 0
        self.standing = NEVER
        """What the kill switch says of the task."""

    def tick(self, duration: int) -> None:
        """Let users live for a while; everything they did is stored at the end of it."""
        start, end = self._clock.now(), self._clock.now() + duration
        self._poll(start)
        count = int(self._rng.poisson(self._world.requests_per_second * duration / SECOND))
        moments = np.sort(self._rng.integers(start, end, count))
        units = self._rng.integers(0, self._world.units, count)
        inferences = [
            self._request(int(at), f"user-{unit}") for at, unit in zip(moments, units, strict=True)
        ]
        feedback = []
        while self._pending and self._pending[0][0] < end:
            feedback.append(heapq.heappop(self._pending)[2])
        kept = [one for one in inferences if self._rng.random() >= self._of(one.version).lost]
        self._store.ingest(kept, feedback, [self._copy(one) for one in kept if self._in_shadow])
        self._clock.advance(duration)
        self._store.heartbeat(
            Replica(
                id="simulated",
                epochs={self._task: self._epoch.number},
                applied_at={self._task: self._applied_at},
                kills={self._task: self.standing.generation},
                flushed_through=end - 1,
                at=end,
            )
        )

    @property
    def _epoch(self) -> Epoch:
        if self._routing is None:
            raise ValueError(f"{self._task}: no version is live, so nobody can be answered")
        return self._routing

    def _poll(self, now: int) -> None:
        """Take over what is newer, as far as the kill switch allows: as a gateway does."""
        newest, held = current_epoch(self._store, self._task), self._obeying(self._routing)
        if newest is not None and (held is None or newer(place(newest), place(held))):
            held = self._obeying(newest)
            self._applied_at = now
        self._routing = held

    def _obeying(self, epoch: Epoch | None) -> Epoch | None:
        """What is left of a routing under the kill switch."""
        if epoch is None or self.standing == NEVER:
            return epoch
        changed: dict[str, Any] = {"kill": max(epoch.kill, self.standing.generation)}
        if barred(epoch.kill, self.standing):
            changed |= {"rollout": None, "candidate": None, "weight": 0.0, "salt": ""}
        return msgspec.structs.replace(epoch, **changed)

    def _request(self, at: int, unit: str) -> Inference:
        epoch = self._epoch
        place = bucket(epoch.salt, unit) if epoch.salt else 0.0
        arm = variant(place, epoch.weight) if epoch.candidate else Variant.CONTROL
        meets = arm == Variant.CANDIDATE
        assigned = epoch.candidate if epoch.candidate and meets else epoch.control
        failed = bool(self._rng.random() < self._of(assigned).error)
        served = epoch.control if failed else assigned
        inference = Inference(
            id=self._id(at),
            task=self._task,
            version=assigned,
            served_version=served,
            variant=arm,
            rollout=epoch.rollout,
            epoch=epoch.number,
            weight=epoch.weight,
            bucket=place,
            unit=unit,
            unit_source="body",
            input="",
            output=self._of(served).says,
            score=None,
            oos=None,
            latency_ms=self._of(assigned).latency_ms,
            status=Status.ERROR if failed else Status.OK,
            fallback_from=assigned if failed else None,
            config_digest="",
            at=at,
        )
        self._judge(inference, self._of(served))
        return inference

    @property
    def _in_shadow(self) -> bool:
        return self._epoch.candidate is not None and self._epoch.weight == 0

    def _copy(self, inference: Inference) -> Shadow:
        """What the candidate makes of a request that control was asked."""
        epoch = self._epoch
        assert epoch.candidate is not None and epoch.rollout is not None
        own = self._of(epoch.candidate)
        status = Status.ERROR if self._rng.random() < own.error else Status.OK
        both = status == inference.status == Status.OK
        return Shadow(
            id=inference.id,
            task=self._task,
            rollout=epoch.rollout,
            epoch=epoch.number,
            version=epoch.candidate,
            unit=inference.unit,
            unit_source=inference.unit_source,
            output="",
            latency_ms=own.latency_ms,
            status=status,
            alone=failed_alone(inference.status, status),
            agreed=not (own.differs and self._rng.random() < own.differs) if both else None,
            at=inference.at,
        )

    def _judge(self, inference: Inference, quality: Quality) -> None:
        good = quality.good
        if self._world.drift is not None:
            good += self._world.drift((inference.at - self._started_at) / SECOND)
        value = float(self._rng.random() < good)
        heard = self._world.feedback_rate * (1.0 if value else quality.bad_heard)
        if self._rng.random() >= heard:
            return
        loud = self._rng.random() < self._world.loudest
        at = inference.at + MILLISECOND + int(self._rng.exponential(self._world.mean_delay))
        feedback = Feedback(
            id=self._id(at),
            inference_id=inference.id,
            metric="quality",
            value=value,
            reviewer="loud" if loud else f"reviewer-{self._made}",
            at=at,
        )
        heapq.heappush(self._pending, (at, self._made, feedback))

    def _of(self, version: str) -> Quality:
        return self._qualities[version]

    def _id(self, at: int) -> str:
        self._made += 1
        return ids.fresh(at, self._rng.bytes)
