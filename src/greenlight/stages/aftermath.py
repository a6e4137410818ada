"""Aftermath: what is done about a rollback once traffic has gone back (REQUIREMENTS O3).

The decision has left an open incident, and open incidents are the queue. Every step is recorded as
soon as it is done, so that a process which is killed anywhere leaves the rest to whoever looks
next; a step that was cut short is taken again, and doing it twice changes nothing. One process
works at a time, by a lease; one that has lost it cannot record anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from greenlight.core import aftermath, ledger, pii
from greenlight.core.aftermath import PATIENCE, SILENT
from greenlight.core.answers import Lease
from greenlight.core.errors import Aborted, Conflict, GreenlightError, NotFound, StoreError
from greenlight.core.incidents import Incident
from greenlight.core.records import MILLISECOND, SECOND, Epoch, Replica
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.recording import ATTEMPTS, record

log = logging.getLogger(__name__)

LEASE = "aftermath"
LEASE_TTL = 10 * SECOND
"""How long a process that was killed keeps others from going on."""

_LONGEST = 400
"""Letters of an error that are kept."""

Outcome = Mapping[str, Any]
Carry = Mapping[str, Callable[[Incident], Outcome | None]]
"""Step → what does it: gives what came of it, or None where it is not over yet."""


def open_incidents(records: Records) -> list[Incident]:
    """The queue, the oldest first."""
    return list(everything(records, Incident, {"closed_at": None}))


def attend(
    records: Records,
    carry: Carry,
    *,
    fence: Lease | None,
    now: Callable[[], int],
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Go on with every open incident, as far as it goes now.

    Args:
        records: the store.
        carry: does each of `core.aftermath.STEPS`.
        fence: the lease `LEASE`; None where there can be only one process (tests).
        now: the time, in microseconds since 1970-01-01 UTC.
        stopping: whether to stop before the next step.

    Raises:
        Aborted: a step was broken off, for the process is about to end; it is taken again.
        LostLease: another process goes on.
        StoreError: the store is away; what was done is recorded, or is done again.
    """
    for incident in open_incidents(records):
        while not stopping():
            step = aftermath.due(incident, now())
            if step is None:
                break
            moved = _take(records, incident, step, carry[step], fence, now)
            if moved is None:
                break
            incident = moved
        if aftermath.is_complete(incident):
            close(records, incident, now(), fence)


def advance(
    records: Records,
    incident: Incident,
    step: str,
    outcome: Outcome,
    now: int,
    *,
    fence: Lease | None = None,
) -> Incident:
    """Record that a step is done; whatever else has happened to the incident meanwhile stays.

    What is added to an incident that is closed goes on the ledger once more.

    Args:
        records: the store.
        incident: as it was last seen.
        step: its name; one that is not among `core.aftermath.STEPS` holds nothing up.
        outcome: what came of it: `result` in a word, `says` in words, and whatever there is to it.
        now: microseconds since 1970-01-01 UTC.
        fence: the lease under which it was done.

    Returns:
        The incident as it stands now.

    Raises:
        NotFound: there is no such incident.
        LostLease: the fence no longer holds.
    """
    return _keep(records, incident, step, {"at": now, **outcome}, now, fence)


def close(records: Records, incident: Incident, now: int, fence: Lease | None = None) -> Incident:
    """Close an incident whose every step is done, and put it on the ledger.

    Raises:
        Conflict: somebody has changed it meanwhile; the next pass sees it.
        LostLease: the fence no longer holds.
    """
    closed = msgspec.structs.replace(incident, closed_at=now)
    record(
        records,
        [("incident", ledger.body_of(closed))],
        swap=[(incident, closed)],
        fence=fence,
        now=now,
    )
    log.info("%s: rollout %s: %s", closed.task, closed.rollout, aftermath.standing(closed))
    return closed


def propagation(records: Records, incident: Incident, now: int) -> Outcome | None:
    """Which gateways route by the epoch that ended the rollout, and how soon each of them did.

    A gateway that has taken over a later epoch since, or was started after the decision, tells
    when it did that: it routed by the rollback no later. Times are by the clocks of gateway and
    decider, which may differ.

    Returns:
        None while a gateway that is alive is waited for.
    """
    ending = _ending(records, incident)
    if ending is None:
        return {"result": "nobody", "says": "cannot be told: its epoch is not on record"}
    seen = [r for r in everything(records, Replica) if r.at >= incident.at - SILENT]
    there = [r for r in seen if r.epochs.get(incident.task, 0) >= ending.number]
    waited = [r for r in seen if r not in there]
    silent = [r.id for r in waited if now - r.at > SILENT]
    missing = [r.id for r in waited if r.id not in silent]
    if missing and now - incident.at < PATIENCE:
        return None
    found = sorted((_acknowledgement(r, incident, ending) for r in there), key=lambda it: it["ms"])
    worst: float | None = found[-1]["ms"] if found else None
    if not seen:
        result, says = "nobody", "no gateway is alive"
    elif missing or silent or worst is None:
        late = [*(f"{id} does not" for id in missing), *(f"{id} fell silent" for id in silent)]
        result, says = "missing", f"{len(there)} of {len(seen)} gateways; {', '.join(late)}"
    else:
        result, says = "everywhere", f"{_gateways(len(there))} within {worst:,.0f} ms"
        if worst > PATIENCE / MILLISECOND:
            says += " (started since, or away until then)"
    return {
        "result": result,
        "says": says,
        "epoch": ending.number,
        "worst_ms": worst,
        "replicas": found,
        "missing": missing,
        "silent": silent,
    }


def _ending(records: Records, incident: Incident) -> Epoch | None:
    where = {"task": incident.task, "decision": incident.decision}
    found = records.scan(Epoch, where, newest_first=True, limit=1)
    return found[0] if found else None


def _acknowledgement(replica: Replica, incident: Incident, ending: Epoch) -> dict[str, Any]:
    at = replica.applied_at[incident.task]
    return {
        "replica": replica.id,
        "applied_at": at,
        "ms": (at - incident.at) / MILLISECOND,
        "exact": replica.epochs[incident.task] == ending.number,
    }


def _gateways(count: int) -> str:
    return "1 gateway" if count == 1 else f"{count} gateways"


def _take(
    records: Records,
    incident: Incident,
    step: str,
    work: Callable[[Incident], Outcome | None],
    fence: Lease | None,
    now: Callable[[], int],
) -> Incident | None:
    """Take a step, if it has not been tried often enough; None: come back later."""
    if aftermath.is_spent(incident, step):
        lost = aftermath.given_up(incident, step)
        log.error("%s: rollout %s: %s: %s", incident.task, incident.rollout, step, lost["says"])
        return advance(records, incident, step, lost, now(), fence=fence)
    waits = step == aftermath.PROPAGATED  # it only looks, and waiting is no try
    before = incident.steps.get(step)
    if not waits:
        incident = _keep(records, incident, step, *_trying(incident, step, now), fence)
    try:
        outcome = work(incident)
    except Aborted:
        if not waits:
            # Nothing was wrong with the step, so that this was no try.
            with suppress(StoreError):
                _keep(records, incident, step, before, now(), fence)
        raise
    except StoreError:
        raise
    except Exception as error:
        if waits:
            incident = _keep(records, incident, step, *_trying(incident, step, now), fence)
        _fail(records, incident, step, error, fence, now())
        return None
    if outcome is None:
        return None
    _tell(incident, step, outcome)
    tries = incident.steps.get(step, {}).get("tries", 1)
    return advance(records, incident, step, {**outcome, "tries": tries}, now(), fence=fence)


def _trying(incident: Incident, step: str, now: Callable[[], int]) -> tuple[Mapping[str, Any], int]:
    at = now()
    return aftermath.trying(incident, step, at), at


def _fail(
    records: Records,
    incident: Incident,
    step: str,
    error: Exception,
    fence: Lease | None,
    now: int,
) -> None:
    """Keep why a step failed. What an unexpected error says may repeat anything: it is in the log
    alone."""
    expected = isinstance(error, GreenlightError)
    says = f"{type(error).__name__}; see the log of this process"
    if expected:
        says = pii.withheld(str(error))[:_LONGEST]
    log.warning(
        "%s: rollout %s: %s has failed and is tried again: %s",
        incident.task,
        incident.rollout,
        step,
        says,
        exc_info=None if expected else error,
    )
    _keep(records, incident, step, aftermath.failed(incident, step, says), now, fence)


def _tell(incident: Incident, step: str, outcome: Outcome) -> None:
    level = logging.ERROR if outcome["result"] in aftermath.BAD else logging.INFO
    log.log(level, "%s: rollout %s: %s: %s", incident.task, incident.rollout, step, outcome["says"])


def _keep(
    records: Records,
    incident: Incident,
    step: str,
    value: Mapping[str, Any] | None,
    now: int,
    fence: Lease | None,
) -> Incident:
    """Put a step's value into the incident as it stands, whoever else changes it meanwhile; None
    takes it out."""
    for attempt in range(ATTEMPTS):
        current = records.get(Incident, incident.rollout)
        if current is None:
            raise NotFound(f"rollout {incident.rollout} has no incident")
        steps = {name: known for name, known in current.steps.items() if name != step}
        if value is not None:
            steps[step] = dict(value)
        moved = msgspec.structs.replace(current, steps=steps)
        said = [] if moved.closed_at is None else [("incident", ledger.body_of(moved))]
        try:
            record(records, said, swap=[(current, moved)], fence=fence, now=now)
            return moved
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")
