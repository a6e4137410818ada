"""`greenlight staging record|accept|list`: through staging into prod (O0)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from greenlight.core import fingerprint
from greenlight.core.incidents import StagingRecord
from greenlight.core.records import Evaluation, Version
from greenlight.recording import record
from tests.cli.project import Project
from tests.stages.office import RULES, Office

LOAD = {"p95_ms": 14.8, "error_rate": 0.0, "whole": True}


def become(project: Project, environment: str) -> None:
    """Say what the installation is for; in prod, operations signs too by itself."""
    text = project.file.read_text(encoding="utf-8")
    plain = re.sub(r'environment = "\w+"\n', "", text)
    named = plain.replace('name = "acme"\n', f'name = "acme"\nenvironment = "{environment}"\n')
    project.file.write_text(named, encoding="utf-8")


def measure(office: Office, version: Version, load: dict[str, Any]) -> None:
    """A sealed evaluation that passes its gates and has a load test in it."""
    document = {
        "version": version.digest,
        "intent": {"test": {"accuracy": {"value": 0.95}}},
        "load": load,
        "at": office.clock.now(),
    }
    made = Evaluation(
        digest=fingerprint.digest(document),
        version=version.digest,
        document=document,
        at=office.clock.now(),
    )
    body = {"evaluation": made.digest, "version": version.digest}
    record(office.store, [("evaluation", body)], append=[made], now=office.clock.now())
    office.judge(version, made, RULES)


def drill(office: Office, passed: bool) -> None:
    office.clock.advance(1)
    body = {"task": "intent", "fault": "errors", "passed": passed}
    record(office.store, [("drill", body)], now=office.clock.now())


@pytest.fixture
def staged(project: Project) -> Project:
    """A staging installation where intent@1 waits for what it lacks."""
    become(project, "staging")
    with project.opened() as (_, office):
        office.evaluated()
    return project


def made(staged: Project) -> Path:
    """The record of a version that has shown everything."""
    with staged.opened() as (_, office):
        version = office.store.scan(Version)[0]
        measure(office, version, LOAD)
        drill(office, True)
    file = staged.folder / "record.json"
    said = staged.ok("staging", "record", "intent@1", "-o", str(file), by="ana")
    assert f"intent@1: signed by ana, written to {file}" in said
    return file


def test_what_is_missing_is_named_all_at_once(staged: Project) -> None:
    said = staged.refused(2, "staging", "record", "intent@1", by="ana")
    for word in ("gates:", "load:", "drill:"):
        assert word in said
    with staged.opened() as (_, office):
        version = office.store.scan(Version)[0]
        measure(office, version, LOAD | {"p95_ms": 151.0})
        drill(office, True)
        drill(office, False)
    said = staged.refused(2, "staging", "record", "intent@1", by="ana")
    assert "load.p95_ms: 151.0; 150 is the most; drill: the newest one did not end" in said
    assert "no record of staging" in staged.ok("staging", "list")


def test_a_record_is_made_in_staging_only(evaluated: Project) -> None:
    said = evaluated.refused(2, "staging", "record", "intent@1", by="ana")
    assert (
        'acme is dev: records are made in the installation whose project.environment is "s' in said
    )


def test_prod_asks_for_the_record_and_accepts_it_once(staged: Project, tmp_path: Path) -> None:
    file = made(staged)
    staged.ok("audit", "verify", "--no-files")
    [listed] = staged.json("staging", "list")
    assert (listed["label"], listed["person"]) == ("intent@1", "ana")

    become(staged, "prod")  # the same people, versions and store, for a shorter test
    with staged.opened() as (_, office):
        held = office.store.scan(StagingRecord)[0]
    assert held.document["load"] == LOAD
    start = ("rollout", "start", "intent", "intent@1")
    assert "is not approved" in staged.refused(2, *start), "the record counts; approvals lack"
    assert "intent: bundle" in staged.ok("staging", "accept", str(file))
    assert len(staged.json("staging", "list")) == 1


def test_without_a_record_no_user_of_prod_meets_a_version(evaluated: Project) -> None:
    become(evaluated, "prod")
    said = evaluated.refused(2, "rollout", "start", "intent", "intent@1")
    assert "intent@1 needs a record of staging before users of prod meet it (there is none)" in said
    assert "greenlight staging accept FILE" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bundle": "sha256:other"}, "the signature is not ana's, or the record was changed"),
        ({"person": "mallory"}, "mallory is not in [people]"),
        ({"nonsense": 1}, "no readable record of staging"),
    ],
)
def test_a_forged_record_is_refused(staged: Project, change: dict[str, Any], says: str) -> None:
    file = made(staged)
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(document | change), encoding="utf-8")
    assert says in staged.refused(2, "staging", "accept", str(file))
    missing = staged.refused(2, "staging", "accept", str(file) + ".not")
    assert "name the file from staging" in missing
