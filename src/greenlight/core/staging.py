"""What a version must have shown in staging before users of `prod` meet it (REQUIREMENTS O0).

The record is made where it happened, signed by a person, carried over as a file and checked again
where it is accepted. It names the bundle: how that is run may differ between the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from greenlight.core import fingerprint
from greenlight.core.approval import Person, Verify
from greenlight.core.incidents import StagingRecord
from greenlight.core.load import ERROR_RATE, P95_MS

DOMAIN = b"greenlight-staging-v1\n"
"""Goes before what is signed, so that a signature made for anything else is never a record."""


def document(
    *,
    project: str,
    evaluation: str | None,
    gates_passed: bool,
    load: Mapping[str, Any] | None,
    drill: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What staging has to say of a bundle; what is missing is None.

    Args:
        project: the installation's name.
        evaluation: digest of the evaluation with the load test in it.
        gates_passed: whether that evaluation passes its gates as last judged.
        load: the evaluation's part `load`.
        drill: the newest drill of the task since the version was registered there.
    """
    return {
        "project": project,
        "evaluation": evaluation,
        "gates_passed": gates_passed,
        "load": None if load is None else dict(load),
        "drill": None if drill is None else dict(drill),
    }


def problems(found: Mapping[str, Any]) -> Iterable[str]:
    """What a document lacks, each with its remedy in staging; nothing: it is enough."""
    if not found.get("gates_passed"):
        yield "gates: no evaluation with a load test passes them; greenlight eval seal VERSION"
    load = found.get("load")
    if not isinstance(load, Mapping):
        yield "load: not measured; greenlight eval load VERSION SUMMARY"
    else:
        yield from _load_problems(load)
    drill = found.get("drill")
    if not isinstance(drill, Mapping):
        yield "drill: none since the version was registered; greenlight drill TASK --fault errors"
    elif drill.get("passed") is not True:
        yield "drill: the newest one did not end in rollback in time; mend that and drill again"


def _load_problems(load: Mapping[str, Any]) -> Iterable[str]:
    p95, errors = load.get("p95_ms"), load.get("error_rate")
    if not isinstance(p95, int | float) or p95 > P95_MS:
        yield f"load.p95_ms: {p95}; {P95_MS:g} is the most"
    if not isinstance(errors, int | float) or errors >= ERROR_RATE:
        yield f"load.error_rate: {errors}; it must be below {ERROR_RATE:g}"
    if load.get("whole") is not True:
        yield "load.whole: it asked less, or for less long, than the service level wants"


def statement(record: StagingRecord) -> bytes:
    """What a person signs: every field but the signature, in canonical form."""
    body = msgspec.structs.asdict(record)
    del body["signature"]
    return DOMAIN + fingerprint.canonical(body)


def fault(
    record: StagingRecord, people: Mapping[str, Person], roles: Collection[str], verify: Verify
) -> str | None:
    """Why a record carries no weight here; None if it does.

    Args:
        record: as it was brought.
        people: everyone who may sign here, by name.
        roles: those of the task's quorum.
        verify: checks a signature.
    """
    person = people.get(record.person)
    if person is None:
        return f"{record.person} is not in [people]"
    if not set(person.roles) & set(roles):
        return f"{record.person} has no role of the quorum: one of {', '.join(sorted(roles))}"
    if not verify(person.key, statement(record), record.signature):
        return f"the signature is not {record.person}'s, or the record was changed"
    return next(iter(problems(record.document)), None)
