"""The project that the commands work on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from greenlight.core import ids, ledger
from greenlight.core.records import SECOND, Decision, Epoch, Inference, Replica
from greenlight.core.states import Action, Status, Variant, VersionStatus
from greenlight.recording import record
from tests.cli.project import Project
from tests.stages.office import rollout

SALT = "5a" * 16


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project without versions."""
    return Project(tmp_path)


@pytest.fixture
def evaluated(project: Project) -> Project:
    """A project where intent@1, made by eve, waits for signatures."""
    with project.opened() as (_, office):
        office.evaluated()
    return project


@pytest.fixture
def rolling(evaluated: Project) -> Project:
    """intent@1 is live, intent@2 has a running rollout, and a gateway is alive."""
    with evaluated.opened() as (settings, office):
        live = office.store.scan(type(office.evaluated()))[0]
        candidate = office.gate(office.register(office.run("b2")), 0.96)[0]
        office.move(live, VersionStatus.LIVE)
        office.move(candidate, VersionStatus.CANARY)
        now = office.clock.now()
        begun = msgspec.structs.replace(rollout(candidate, "eve", now), control=live.digest)
        decision = Decision(
            id=ids.uuid7(now, bytes(10)),
            task="intent",
            rollout=begun.id,
            action=Action.START,
            code="start",
            reason="eve started it at 10%",
            evidence={"log_e": {"quality": -0.25}},
            epoch_seen=1,
            policy_digest=begun.policy_digest,
            at=now,
        )
        epochs = [
            Epoch(
                task="intent",
                number=number,
                follows=number - 1,
                rollout=begun.id if number == 2 else None,
                control=live.digest,
                candidate=candidate.digest if number == 2 else None,
                weight=0.1 if number == 2 else 0.0,
                salt=SALT if number == 2 else "",
                decision=decision.id,
                at=now,
            )
            for number in (1, 2)
        ]
        record(
            office.store,
            [
                ("rollout", ledger.body_of(begun)),
                ("decision", ledger.body_of(decision)),
                *(("epoch", ledger.body_of(epoch)) for epoch in epochs),
            ],
            append=[begun, decision, *epochs],
            now=now,
        )
        office.store.heartbeat(
            Replica(
                id="gateway-1",
                epochs={"intent": 2},
                applied_at={"intent": now},
                flushed_through=now,
                at=now + 7200 * SECOND,
            )
        )
        office.store.ingest(
            [
                Inference(
                    id=ids.uuid7(now, bytes([number] * 10)),
                    task="intent",
                    version=candidate.digest,
                    served_version=candidate.digest,
                    variant=Variant.CANDIDATE,
                    rollout=begun.id,
                    epoch=2,
                    weight=0.1,
                    bucket=0.05,
                    unit=f"user-{number}",
                    unit_source="body",
                    input="hello",
                    output="greeting",
                    score=0.9,
                    oos=None,
                    latency_ms=3.0,
                    status=Status.OK,
                    fallback_from=None,
                    config_digest=settings.config_digest,
                    at=now,
                )
                for number in range(3)
            ],
            [],
        )
    return evaluated
