"""Putting on record what was answered, before it is answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from greenlight.core.chat import Tokens
from greenlight.core.records import Inference
from greenlight.serving.attempt import Attempt
from greenlight.serving.meters import Meters
from greenlight.serving.routing import Capture, Route
from greenlight.serving.spool import Spool, SpoolFull


class Recent:
    """The latest ids that were handed out, a bounded number of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, id: str) -> None:
        """Remember an id, and forget the oldest if there are too many."""
        self._ids[id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def __contains__(self, id: str) -> bool:
        return id in self._ids


class Asked(msgspec.Struct, frozen=True):
    """Who asked, and when."""

    unit: str
    source: str
    """Who named the unit: `header`, `body`, `session`, or `request` for a fresh one."""
    place: float
    """The unit's bucket."""
    at: int
    caller: str | None
    kept: bool
    """Whether the lot has it that the texts are kept (`Recorder.draw`)."""


class Said(msgspec.Struct, frozen=True):
    """One input with the answer to it."""

    id: str
    input: str
    output: str
    score: float | None = None
    oos: bool | None = None
    reason: str | None = None


class Recorder:
    """Writes inferences to the spool."""

    def __init__(
        self,
        spool: Spool,
        recent: Recent,
        meters: Meters,
        *,
        config_digest: str,
        luck: Callable[[], float],
    ) -> None:
        """Put the parts together.

        Args:
            spool: takes the records.
            recent: is told their ids.
            meters: where to count.
            config_digest: of the configuration in force.
            luck: a number from [0, 1), by which it is drawn whose texts are kept.
        """
        self._spool = spool
        self._recent = recent
        self._meters = meters
        self._config_digest = config_digest
        self._luck = luck

    @property
    def open(self) -> bool:
        """Whether an answer could be put on record now."""
        return self._spool.open

    def draw(self, route: Route) -> bool:
        """Whether the texts of a request are kept."""
        share = route.plan.capture.share
        return share >= 1 or self._luck() < share

    def pass_by(self) -> None:
        """Count an answer that is not put on record, for nothing can be."""
        self._meters.unrecorded.inc()

    async def keep(
        self,
        route: Route,
        attempt: Attempt[Any],
        asked: Asked,
        said: Sequence[Said],
        *,
        tokens: Tokens | None = None,
        cost: float | None = None,
    ) -> bool:
        """Put an answer on record; False if no more can be."""
        answered = "" if attempt.answered is None else attempt.answered.version
        capture = route.plan.capture
        counted = tokens or Tokens()
        inferences = [
            Inference(
                id=one.id,
                task=route.task,
                version=attempt.assigned.version,
                served_version=answered,
                variant=attempt.variant,
                rollout=route.rollout,
                epoch=route.epoch,
                weight=attempt.weight,
                bucket=asked.place,
                unit=asked.unit,
                unit_source=asked.source,
                input=capture.kept_input(one.input) if asked.kept else "",
                output=capture.kept_output(one.output) if asked.kept else "",
                score=one.score,
                oos=one.oos,
                latency_ms=attempt.own_ms,
                status=attempt.status,
                fallback_from=(
                    attempt.assigned.version
                    if answered not in ("", attempt.assigned.version)
                    else None
                ),
                config_digest=self._config_digest,
                at=asked.at,
                alone=attempt.alone,
                capture=capture.share,
                input_tokens=counted.input,
                output_tokens=counted.output,
                cost=cost,
                caller=asked.caller,
                reason=_kept(capture, one.reason) if asked.kept else None,
            )
            for one in said
        ]
        try:
            await self._spool.record(inferences, asked.at, synced=False)
        except SpoolFull:
            self._meters.unrecorded.inc(len(inferences))
            return False
        for one in said:
            self._recent.add(one.id)
        if attempt.answered is not None and tokens is not None:
            self._meters.spent(route.task, attempt.answered.label, tokens, cost)
        return True

    def count(self, route: Route, attempt: Attempt[Any], n: int, duration: float) -> float:
        """Count `n` answers that took so long; returns our own part of it, in seconds."""
        overhead = duration - attempt.model_s
        self._meters.inference(
            route.task, attempt.assigned.label, attempt.variant, attempt.status.value, n
        )
        self._meters.times(route.task, duration, overhead)
        return overhead


def _kept(capture: Capture, reason: str | None) -> str | None:
    """What is kept of a reason: as much as of the answer that it is part of."""
    return None if reason is None else capture.kept_output(reason) or None
