"""Staging: put on record what a version has shown there, and ask for it before users meet it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from greenlight.core import drill, ids, ledger, staging
from greenlight.core.approval import Person, Verify
from greenlight.core.errors import BadInput, Conflict, Refused
from greenlight.core.incidents import StagingRecord
from greenlight.core.records import Evaluation, LedgerEntry, Version
from greenlight.lookup import everything, passed_evaluations
from greenlight.ports import Records
from greenlight.recording import record


def vouch(
    records: Records,
    version: Version,
    *,
    project: str,
    person: Person,
    secret: str,
    sign: Callable[[str, bytes], str],
    now: int,
    random: Callable[[int], bytes],
) -> StagingRecord:
    """Sign what a version has shown in this installation, and put it on record.

    Args:
        records: the store.
        version: what was tried.
        project: the installation's name.
        person: who signs, proved by their key.
        secret: that key.
        sign: makes a signature.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Raises:
        Refused: something is missing; the message names all of it.
    """
    evaluation = _measured(records, version)
    document = staging.document(
        project=project,
        evaluation=None if evaluation is None else evaluation.digest,
        gates_passed=evaluation is not None
        and evaluation.digest in passed_evaluations(records, version),
        load=None if evaluation is None else evaluation.document["load"],
        drill=_drilled(records, version),
    )
    lacking = list(staging.problems(document))
    if lacking:
        raise Refused(f"{version.label} has not passed staging: " + "; ".join(lacking))
    unsigned = StagingRecord(
        id=ids.fresh(now, random),
        task=version.task,
        bundle=version.bundle,
        label=version.label,
        document=document,
        person=person.name,
        signature="",
        at=now,
    )
    signed = msgspec.structs.replace(unsigned, signature=sign(secret, staging.statement(unsigned)))
    _keep(records, signed, now)
    return signed


def accept(
    records: Records,
    data: bytes,
    *,
    people: Mapping[str, Person],
    roles: Callable[[str], Collection[str]],
    verify: Verify,
    now: int,
) -> StagingRecord:
    """Take over a record that was made in staging; one that is there already is left as it is.

    Args:
        records: the store.
        data: the record as JSON, as `vouch` gave it.
        people: everyone who may sign here, by name.
        roles: those of a task's quorum; raises NotFound for a task that is not set.
        verify: checks a signature.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        BadInput: these bytes are no such record.
        Refused: it carries no weight here.
    """
    try:
        brought = msgspec.json.decode(data, type=StagingRecord)
    except msgspec.DecodeError as error:
        raise BadInput(
            f"no readable record of staging ({error}); take the file that greenlight staging "
            "record wrote"
        ) from error
    fault = staging.fault(brought, people, roles(brought.task), verify)
    if fault is not None:
        raise Refused(f"the record of {brought.label} from staging does not count: {fault}")
    held = records.get(StagingRecord, brought.id)
    if held is None:
        _keep(records, brought, now)
    elif held != brought:
        raise Refused(f"another record of staging is called {brought.id}; make a new one there")
    return brought


def require(
    records: Records,
    version: Version,
    *,
    people: Mapping[str, Person],
    roles: Collection[str],
    verify: Verify,
) -> None:
    """Refuse a version whose bundle has not passed staging.

    Raises:
        Refused: no record counts; the message says why those there are do not.
    """
    faults = []
    for found in everything(records, StagingRecord, {"bundle": version.bundle}):
        fault = staging.fault(found, people, roles, verify)
        if fault is None:
            return
        faults.append(f"{found.id}: {fault}")
    why = "; ".join(faults) or "there is none"
    raise Refused(
        f"{version.label} needs a record of staging before users of prod meet it ({why}): there, "
        f"greenlight staging record {version.label}, and here greenlight staging accept FILE"
    )


def _keep(records: Records, made: StagingRecord, now: int) -> None:
    try:
        record(records, [("staging", ledger.body_of(made))], append=[made], now=now)
    except Conflict:
        if records.get(StagingRecord, made.id) != made:
            raise


def _measured(records: Records, version: Version) -> Evaluation | None:
    """The newest evaluation of a version in which a load test is."""
    made = everything(records, Evaluation, {"version": version.digest})
    loaded = [one for one in made if "p95_ms" in one.document.get("load", {})]
    return max(loaded, key=lambda one: one.at, default=None)


def _drilled(records: Records, version: Version) -> dict[str, object] | None:
    """The newest drill of the task since the version was registered; None if there was none."""
    for entry in everything(records, LedgerEntry, {"kind": drill.ENTRY}, newest_first=True):
        if entry.at < version.at:
            return None
        if entry.body.get("task") == version.task:
            return entry.body
    return None
