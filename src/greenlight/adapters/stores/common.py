"""What every store agrees on, whatever it keeps its records in."""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from greenlight.core.answers import ArmSummary, Copies, Event, Exposure, Lease, Said
from greenlight.core.fingerprint import canonical
from greenlight.core.records import (
    Epoch,
    Feedback,
    Inference,
    JournalEntry,
    LedgerEntry,
    Record,
    Shadow,
)
from greenlight.core.states import Status, Variant

R = TypeVar("R", bound=Record)

UnitKey = tuple[str, str, int]
"""(rollout, unit, epoch): what an exposure, and a first event of a kind, is identified by."""

Arm = tuple[str, int, str]
"""(rollout, epoch, assigned variant)."""

EXPOSURE_TESTS = ("exposure", "fast", "presence")
"""The tests that wait for every exposure to be journaled."""

BARS = {"p95": "latency_p95", "p99": "latency_p99", "slo": "latency_slo"}
"""The latency bars of a rollout's policy, and the kind of event that exceeding each one is."""

SHADOW = "shadow"

EVENT_KINDS = ("error", *BARS.values(), SHADOW)
"""The kinds of event; each is also the test that waits for its first events to be journaled."""

TALLIED = (
    "requests",
    "served",
    "failed",
    "units",
    "good",
    "bad",
    "latency_us",
    "input_tokens",
    "output_tokens",
    "cost_micros",
    "copies",
    "copies_answered",
    "copies_failed",
    "copies_compared",
    "copies_agreed",
    "copies_latency_us",
)
"""What is counted per arm and epoch, in integers: the order of arrival changes nothing."""

_COUNTED = (*TALLIED[:6], "input_tokens", "output_tokens")
"""What is shown as it is counted."""

FAILED = frozenset({Status.ERROR, Status.TIMEOUT})
ATTEMPTED = FAILED | {Status.OK}
QUALITY = "quality"

_EVENTS = (Inference, Feedback, Shadow)
_IMMUTABLE = (*_EVENTS, JournalEntry, LedgerEntry)


@functools.cache
def hints(kind: type[Record]) -> dict[str, Any]:
    """The fields of a record and their types, in order."""
    resolved = typing.get_type_hints(kind)
    return {name: resolved[name] for name in kind.__struct_fields__}


@functools.cache
def documents(kind: type[Record]) -> frozenset[str]:
    """The fields that hold a JSON document."""
    return frozenset(n for n, hint in hints(kind).items() if typing.get_origin(hint) is dict)


@functools.cache
def _floats(kind: type[Record]) -> tuple[str, ...]:
    return tuple(
        n for n, hint in hints(kind).items() if hint is float or float in typing.get_args(hint)
    )


def check_finite(record: Record) -> None:
    """Refuse floats that a database would change unseen (SQLite reads NaN as NULL).

    Raises:
        ValueError: a field is NaN or infinite.
    """
    for name in _floats(type(record)):
        value = getattr(record, name)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{type(record).__name__}.{name} is {value}: give a finite number")


def normal(record: R) -> R:
    """The record as a store gives it back: documents are plain JSON and shared with nobody.

    Raises:
        ValueError: a float that JSON cannot carry.
    """
    check_finite(record)
    if not documents(type(record)):
        return record
    return msgspec.json.decode(canonical(record), type=type(record))


def check_key(kind: type[Record], key: Sequence[str | int]) -> None:
    """Refuse a key with the wrong number of parts.

    Raises:
        ValueError: it has more or fewer parts than `kind.KEY`.
    """
    if len(key) != len(kind.KEY):
        raise ValueError(f"the key of {kind.__name__} is {kind.KEY}, got {tuple(key)!r}")


def check_where(kind: type[Record], where: Mapping[str, str | int | None]) -> None:
    """Refuse to look for fields that are not there or hold whole documents.

    Raises:
        ValueError: an unknown field or a document.
    """
    for name in where:
        if name not in hints(kind):
            raise ValueError(f"{kind.__name__} has no field {name!r}: {', '.join(hints(kind))}")
        if name in documents(kind):
            raise ValueError(f"{kind.__name__}.{name} is a document: compare another field")


def check_commit(
    append: Iterable[Record],
    swap: Iterable[tuple[Record, Record]],
    fence: Lease | None,
    now: int | None,
) -> None:
    """Refuse a commit that could never be right.

    Raises:
        ValueError: events that must go through `ingest`, a swap of something that is written
            once, a swap that changes the key, or a fence without `now`.
    """
    if fence is not None and now is None:
        raise ValueError("a fenced commit needs `now`, or the lease cannot be seen to expire")
    for record in append:
        if isinstance(record, _EVENTS):
            raise ValueError(f"{type(record).__name__} enters by ingest(), not by commit()")
    for old, new in swap:
        if isinstance(old, _IMMUTABLE):
            raise ValueError(f"{type(old).__name__} is written once and never changed")
        if type(old) is not type(new) or old.key != new.key:
            raise ValueError(f"a swap keeps kind and key: {name_of(old)} → {name_of(new)}")


def check_test(test: str) -> None:
    """Refuse a test that no list of waiting exposures is kept for.

    Raises:
        ValueError: it is not in `EXPOSURE_TESTS`.
    """
    if test not in EXPOSURE_TESTS:
        raise ValueError(f"no test {test!r} follows exposures: {', '.join(EXPOSURE_TESTS)}")


def check_event(kind: str) -> None:
    """Refuse a kind of event that there is not.

    Raises:
        ValueError: it is not in `EVENT_KINDS`.
    """
    if kind not in EVENT_KINDS:
        raise ValueError(f"no event is of kind {kind!r}: {', '.join(EVENT_KINDS)}")


def name_of(record: Record) -> str:
    """Kind and key, for messages."""
    return f"{type(record).__name__} {'/'.join(str(part) for part in record.key)}"


def evidence_name(entry: JournalEntry) -> str:
    """What makes a journal entry unique besides its key, for messages."""
    return f"{entry.test!r} of unit {entry.unit!r} in epoch {entry.epoch} of {entry.rollout}"


def followed(epoch: Epoch) -> str:
    """What is wrong with an epoch that follows one which has a successor already."""
    return f"{epoch.task}: epoch {epoch.follows} has been followed already: load again"


def changed(expected: Record, held: Record | None) -> str:
    """What is wrong with a swap that did not find what it expected."""
    if held is None:
        return f"{name_of(expected)} is gone: load again"
    fields = [n for n in hints(type(held)) if getattr(held, n) != getattr(expected, n)]
    return f"{name_of(expected)} has changed since it was read ({', '.join(fields)}): load again"


def microseconds(latency_ms: float) -> int:
    """A latency as a whole number, so that sums do not depend on their order."""
    return round(latency_ms * 1000)


SKEW = 3
"""A lease that runs out later than this many times its length from now was given by a clock that
has been set back since."""


def take_lease(held: Lease | None, name: str, holder: str, now: int, ttl: int) -> Lease | None:
    """The lease after `holder` asked for it, or None while another holds it."""
    expired = held is None or held.expires_at <= now
    if held is not None and not expired and held.holder != holder:
        if ttl <= 0 or held.expires_at <= now + SKEW * ttl:
            return None
        # No lease of such a length was ever given at this time: the clock has been set back. The
        # new token keeps the old holder, if it lives, from writing anything.
        expired = True
    token = 0 if held is None else held.token
    return Lease(
        name=name, holder=holder, token=token + 1 if expired else token, expires_at=now + ttl
    )


def lost(held: Lease | None, fence: Lease, now: int) -> str | None:
    """Why the fence no longer holds, or None while it does."""
    if held is None:
        return f"nobody holds the lease {fence.name!r}"
    if (held.holder, held.token) != (fence.holder, fence.token):
        return (
            f"lease {fence.name!r} is now held by {held.holder!r} (token {held.token}), "
            f"no longer by {fence.holder!r} (token {fence.token})"
        )
    if held.expires_at <= now:
        return f"lease {fence.name!r} of {fence.holder!r} expired {now - held.expires_at} µs ago"
    return None


def unit_key(inference: Inference | Shadow) -> UnitKey:
    """What the exposure made by this inference (or a first event) is identified by; it must be in a
    rollout."""
    assert inference.rollout is not None
    return (inference.rollout, inference.unit, inference.epoch)


E = TypeVar("E", bound=Inference | Shadow)


def earliest(inferences: Iterable[E]) -> dict[UnitKey, E]:
    """The first inference (or copy) per unit and epoch, by time and then by id."""
    first: dict[UnitKey, E] = {}
    for inference in inferences:
        key = unit_key(inference)
        known = first.get(key)
        if known is None or (inference.at, inference.id) < (known.at, known.id):
            first[key] = inference
    return first


def exposure_of(inference: Inference) -> Exposure:
    """The exposure that this inference is."""
    rollout, unit, epoch = unit_key(inference)
    return Exposure(
        rollout=rollout,
        epoch=epoch,
        unit=unit,
        variant=inference.variant,
        weight=inference.weight,
        bucket=inference.bucket,
        unit_source=inference.unit_source,
        at=inference.at,
    )


def said(word: Feedback) -> Said:
    """What a piece of feedback says of the inference."""
    return Said(inference=word.inference_id, value=word.value, at=word.at, reviewer=word.reviewer)


def bars_of(policy: Mapping[str, Any]) -> dict[str, float]:
    """The latency bars of a rollout's policy in milliseconds, by kind of event."""
    bars = policy.get("latency_bars") or {}
    return {kind: bars[name] for name, kind in BARS.items() if bars.get(name) is not None}


def kinds_of(inference: Inference, bars: Mapping[str, float]) -> list[str]:
    """Which kinds of event an inference is; `bars` are those of its rollout (`bars_of`)."""
    if inference.status not in ATTEMPTED or inference.alone:
        return []
    late = inference.status == Status.TIMEOUT
    kinds = ["error"] if inference.status in FAILED else []
    return kinds + [kind for kind, bar in bars.items() if late or inference.latency_ms > bar]


def tallied(inference: Inference) -> dict[str, int]:
    """What an inference adds to the counts of its arm, feedback and units apart."""
    return {
        "requests": 1,
        "served": int(inference.served_version == inference.version),
        "failed": int(inference.status in FAILED),
        "latency_us": microseconds(inference.latency_ms),
        "input_tokens": inference.input_tokens or 0,
        "output_tokens": inference.output_tokens or 0,
        "cost_micros": round((inference.cost or 0.0) * 1e6),
    }


def tallied_copy(shadow: Shadow) -> dict[str, int]:
    """What a copy adds to the counts of the candidate in its epoch."""
    return {
        "copies": 1,
        "copies_answered": int(shadow.status == Status.OK),
        "copies_failed": int(shadow.status in FAILED),
        "copies_compared": int(shadow.agreed is not None),
        "copies_agreed": int(shadow.agreed is True),
        "copies_latency_us": microseconds(shadow.latency_ms),
        "input_tokens": shadow.input_tokens or 0,
        "output_tokens": shadow.output_tokens or 0,
        "cost_micros": round((shadow.cost or 0.0) * 1e6),
    }


def summary(arm: Arm, counts: Mapping[str, int]) -> ArmSummary:
    """The counts of an arm as they are shown."""
    _, epoch, variant = arm
    return ArmSummary(
        epoch=epoch,
        variant=Variant(variant),
        latency_ms=_mean_ms(counts["latency_us"], counts["requests"]),
        cost=counts["cost_micros"] / 1e6,
        copies=Copies(
            made=counts["copies"],
            answered=counts["copies_answered"],
            failed=counts["copies_failed"],
            compared=counts["copies_compared"],
            agreed=counts["copies_agreed"],
            latency_ms=_mean_ms(counts["copies_latency_us"], counts["copies"]),
        ),
        **{name: counts[name] for name in _COUNTED},
    )


def _mean_ms(total_us: int, count: int) -> float:
    return total_us / count / 1000 if count else 0.0


def arm_of(event: Inference | Shadow) -> Variant:
    """The arm that an event befell; of copies only those count that one arm failed alone."""
    if isinstance(event, Inference):
        return event.variant
    assert event.alone is not None
    return event.alone


def event_of(kind: str, inference: Inference | Shadow) -> Event:
    """The event of a kind that this inference, or copy, is."""
    rollout, unit, epoch = unit_key(inference)
    return Event(
        rollout=rollout,
        kind=kind,
        epoch=epoch,
        unit=unit,
        variant=arm_of(inference),
        at=inference.at,
    )
