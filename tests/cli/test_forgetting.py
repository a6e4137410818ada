"""O3: what was remembered of a version goes when it is rolled back, and only then."""

from __future__ import annotations

import pytest

from greenlight import config, wiring
from greenlight.core.records import Decision, Rollout, Version
from greenlight.core.states import Action, RolloutStatus
from greenlight.remembering import remembered_predictions
from greenlight.stages import loop
from tests.cli.project import Project


@pytest.mark.parametrize(("action", "left"), [(Action.ROLLBACK, 1), (Action.WIDEN, 2)])
def test_predictions_of_a_rolled_back_version_are_dropped(
    evaluated: Project, monkeypatch: pytest.MonkeyPatch, action: Action, left: int
) -> None:
    with wiring.open_app(config.load(evaluated.file, {})) as app:
        (version,) = app.store.scan(Version)
        now = app.clock.now()
        rollout = Rollout(
            id="r1",
            task="intent",
            control="sha256:other",
            candidate=version.digest,
            salt="00",
            policy={},
            policy_digest="sha256:p",
            aa=False,
            initiator="eve",
            status=RolloutStatus.RUNNING,
            step=0,
            at=now,
        )
        app.store.commit(append=[rollout])
        decision = Decision(
            id="d1",
            task="intent",
            rollout="r1",
            action=action,
            code="errors",
            reason="more errors",
            evidence={},
            epoch_seen=1,
            policy_digest="sha256:p",
            at=now,
        )
        monkeypatch.setattr(loop, "reconcile", lambda *_given, **_options: decision)
        for bundle in (version.bundle, "another"):
            parts = {"bundle": bundle, "rows": "r", "code": "c", "packages": "p"}
            remembered_predictions(app.cache(), parts, list)
        assert wiring.look(app, "intent", "holder") == decision
        assert app.cache().stats().entries == left
