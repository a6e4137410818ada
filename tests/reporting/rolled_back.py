"""Worlds that are over, and what an evidence folder says of them."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import msgspec

from greenlight.core import ids
from greenlight.core.incidents import Incident
from greenlight.core.records import SECOND, Feedback, Inference
from greenlight.core.states import RolloutStatus, Status, Variant
from greenlight.recording import record
from greenlight.reporting.incident.dossier import Dossier
from greenlight.reporting.incident.gather import Found, gather
from greenlight.stages.aftermath import attend, propagation
from tests.scenarios.worlds import AWFUL, BRIGHT, TASK, Quick, quick

SECRET = "my-card-4929-is-lost"


class Told(NamedTuple):
    """A world that is over, and what a folder says of it."""

    case: Quick
    found: Found

    @property
    def dossier(self) -> Dossier:
        return self.found.dossier


def told(case: Quick, **options: Any) -> Told:
    now = case.clock.now()
    return Told(case, gather(case.store, case.now(), now=now, made_by="greenlight 0", **options))


def carry(case: Quick) -> Any:
    def base(incident: Incident) -> Any:
        return {"result": "confirmed", "says": "intent@1 got 9 of 10 rows right"}

    return {
        "propagated": lambda it: propagation(case.store, it, case.clock.now()),
        "caches": lambda it: {"result": "dropped", "says": "2 remembered predictions are dropped"},
        "baseline": base,
        "evidence": lambda it: {"result": "written", "says": "in evidence/r"},
    }


@functools.cache
def rolled_back() -> Told:
    """A candidate that fails and is called BAD; others write the ledger too, and users texts."""
    case = quick(msgspec.structs.replace(AWFUL, error=0.03))
    case.world.tick(SECOND)
    record(case.store, [("configuration", {"digest": "sha256:0"})], now=case.clock.now())
    whisper(case)
    case.run(60 * SECOND)
    assert case.now().status == RolloutStatus.ROLLED_BACK
    for _ in range(8):
        case.world.tick(SECOND // 4)
    attend(case.store, carry(case), fence=None, now=case.clock.now)
    case.world.tick(SECOND)
    mine = case.store.scan(Inference, {"task": TASK}, newest_first=True, limit=1)[0]
    other = msgspec.structs.replace(
        mine, id=ids.uuid7(mine.at, bytes([220] * 10)), version="sha256:next", latency_ms=900.0
    )
    case.store.ingest([other], [])
    return told(case)


def whisper(case: Quick) -> None:
    """Answers with texts, and feedback that says more than a value."""
    routing, at = case.routing(), case.clock.now() - 1
    for number, variant in enumerate(Variant):
        weight, bucket = routing.weight, 0.99 if variant == Variant.CONTROL else 0.01
        mine = routing.candidate if variant == Variant.CANDIDATE else routing.control
        made = Inference(
            id=ids.uuid7(at, bytes([200 + number] * 10)),
            task=TASK,
            version=str(mine),
            served_version=str(mine),
            variant=variant,
            rollout=routing.rollout,
            epoch=routing.number,
            weight=weight,
            bucket=bucket,
            unit=f"unit-{SECRET}-{number}",
            unit_source="body",
            input=f"input {SECRET}",
            output=f"output {SECRET}",
            score=None,
            oos=None,
            latency_ms=5.0,
            status=Status.OK,
            fallback_from=None,
            config_digest="",
            at=at,
        )
        word = Feedback(
            id=ids.uuid7(at, bytes([210 + number] * 10)),
            inference_id=made.id,
            metric="quality",
            value=0.0,
            comment=f"comment {SECRET}",
            correction=f"correction {SECRET}",
            reviewer=f"reviewer {SECRET}",
            at=at,
        )
        case.store.ingest([made], [word])


@functools.cache
def promoted() -> Told:
    """A candidate that is much better."""
    case = quick(BRIGHT)
    case.run(120 * SECOND)
    assert case.now().status == RolloutStatus.PROMOTED
    return told(case)
