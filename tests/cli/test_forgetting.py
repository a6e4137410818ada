"""O3: what was remembered of a version goes when it is rolled back, and only then."""

from __future__ import annotations

import pytest

from greenlight import config, wiring
from greenlight.core.aftermath import CACHES, is_done
from greenlight.core.incidents import Incident
from greenlight.core.records import Decision, Rollout, Version
from greenlight.core.states import Action, RolloutStatus
from greenlight.remembering import remembered_predictions
from greenlight.stages.decide import incident
from tests.cli.project import Project


def forgotten(app: wiring.App) -> bool:
    """Whether what was to be dropped is."""
    return all(is_done(found, CACHES) for found in app.store.scan(Incident))


@pytest.mark.parametrize(("action", "left"), [(Action.ROLLBACK, 1), (Action.WIDEN, 2)])
def test_predictions_of_a_rolled_back_version_are_dropped(
    evaluated: Project, action: Action, left: int
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
        if action is Action.ROLLBACK:  # as `stages.decide` writes it, with the decision
            app.store.commit(append=[decision, incident(rollout, decision)])
        for bundle in (version.bundle, "another"):
            parts = {"bundle": bundle, "rows": "r", "code": "c", "packages": "p"}
            remembered_predictions(app.cache(), parts, list)
        wiring.attend(app, stopping=lambda: forgotten(app))
        assert app.cache().stats().entries == left
