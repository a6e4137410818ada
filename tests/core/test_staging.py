"""What staging has to show, and whose word on it counts (O0)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.adapters import signing
from greenlight.core import staging
from greenlight.core.approval import Person
from greenlight.core.incidents import StagingRecord

ROLES = {"ml_lead": 1, "operations": 1}
SECRET = signing.new_secret(np.random.default_rng(1).bytes)
PEOPLE = {
    name: Person(name=name, roles=(role,), key=signing.public_key(SECRET))
    for name, role in (("ana", "ml_lead"), ("dia", "intern"))
}
WHOLE: dict[str, Any] = {
    "project": "acme-staging",
    "evaluation": "sha256:e",
    "gates_passed": True,
    "load": {"p95_ms": 150.0, "error_rate": 0.0049, "whole": True},
    "drill": {"passed": True},
}


def signed(person: str = "ana", **document: Any) -> StagingRecord:
    made = StagingRecord(
        id="s-1",
        task="intent",
        bundle="sha256:b",
        label="intent@2",
        document=WHOLE | document,
        person=person,
        signature="",
        at=1,
    )
    return msgspec.structs.replace(made, signature=signing.sign(SECRET, staging.statement(made)))


def fault(made: StagingRecord) -> str | None:
    return staging.fault(made, PEOPLE, ROLES, signing.verify)


def test_what_is_whole_and_signed_counts() -> None:
    assert list(staging.problems(WHOLE)) == []
    assert fault(signed()) is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"gates_passed": False}, "gates: no evaluation"),
        ({"load": None}, "load: not measured"),
        ({"load": WHOLE["load"] | {"p95_ms": 150.1}}, "load.p95_ms: 150.1; 150 is the most"),
        ({"load": WHOLE["load"] | {"p95_ms": None}}, "load.p95_ms: None"),
        ({"load": WHOLE["load"] | {"error_rate": 0.005}}, "load.error_rate: 0.005"),
        ({"load": WHOLE["load"] | {"whole": False}}, "load.whole"),
        ({"drill": None}, "drill: none since"),
        ({"drill": {"passed": False}}, "did not end in rollback in time"),
        ({"drill": {}}, "did not end in rollback in time"),
    ],
)
def test_each_thing_that_is_missing_is_named(changed: dict[str, Any], says: str) -> None:
    """S4: p95 ≤ 150 ms, fewer than 0.5 % errors, at 2/s for 10 minutes; O6: a drill."""
    [problem] = staging.problems(WHOLE | changed)
    assert says in problem
    assert fault(signed(**changed)) == problem, "it is checked again where it is accepted"


def test_a_document_of_nothing_lacks_everything() -> None:
    assert len(list(staging.problems({}))) == 3


def test_only_who_signs_here_is_heard() -> None:
    assert fault(signed("eve")) == "eve is not in [people]"
    assert "dia has no role of the quorum: one of ml_lead, operations" in str(fault(signed("dia")))


@pytest.mark.parametrize(
    "change", [{"bundle": "sha256:other"}, {"task": "tone"}, {"at": 2}, {"label": "intent@3"}]
)
def test_a_record_that_was_changed_does_not_count(change: dict[str, Any]) -> None:
    assert "was changed" in str(fault(msgspec.structs.replace(signed(), **change)))
    document = {**WHOLE, "drill": {"passed": True, "at": 9}}
    assert "was changed" in str(fault(msgspec.structs.replace(signed(), document=document)))
