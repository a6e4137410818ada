"""A drill before users (`--live`): in the running installation, on its own traffic.

The faulty candidate needs the signatures that anything needs which reaches users.
"""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight import wiring
from greenlight.core import drill, ids
from greenlight.core.errors import Refused
from greenlight.core.records import SECOND, Version
from greenlight.entrypoints.drill.course import Course
from greenlight.entrypoints.drill.options import (
    Held,
    Options,
    limit_of,
    refuse_other_kinds,
    warning,
)
from greenlight.entrypoints.drill.papers import file
from greenlight.entrypoints.showing import Stage
from greenlight.lookup import find_version
from greenlight.reporting.underway import alive
from greenlight.stages import loop
from greenlight.wiring.next_step import signatures


class NotYet(msgspec.Struct, frozen=True, kw_only=True):
    """Why a drill cannot begin yet, and what people have to do."""

    version: str
    """The label of the faulty candidate."""
    says: str
    steps: list[str]
    """Commands, as they are typed."""


def before_users(app: wiring.App, options: Options, secret: str) -> dict[str, Any] | NotYet:
    """Hold a drill on live traffic, if its candidate is approved.

    Args:
        app: the running installation.
        options: how; rate and seed mean nothing here.
        secret: the key of whoever holds the drill, and ends it where nothing else does in time.

    Returns:
        What it came to, as it went on the ledger; or what it still needs.

    Raises:
        Refused: nothing is live, nobody would decide or route, or the rollout may not begin.
    """
    stage = Stage(options.quiet)
    person = wiring.person_of(app.settings, secret)
    refuse_other_kinds(app.settings, options.task)
    candidate = wiring.add_drill(
        app, options.task, options.fault, options.intensity, initiator=person.name
    )
    lacking = _lacking(app, candidate, person.name, stage)
    if lacking is not None:
        return lacking
    _refuse_idle(app)
    control = loop.live_version(app.store, options.task)
    assert control is not None
    rollout, declared = wiring.start_drill(
        app, candidate, initiator=person.name, trigger=options.trigger
    )
    within = limit_of(options, rollout, live=True)
    stage.headline(
        f"{candidate.label} meets users: {rollout.drill}. All traffic must be back within "
        f"{within / SECOND:g} s, or the drill is called off"
    )
    if declared:
        stage.warn(warning(options.task, declared))
    course = Course(app, rollout, within=within, secret=secret, stage=stage)
    course.run()
    found = course.findings()
    held = Held(
        id=ids.fresh(app.clock.now(), app.random),
        task=options.task,
        bundle=control.bundle,
        label=control.label,
        options=options,
        live=True,
        rollout=rollout.id,
        within=within,
        found=found,
        failure=drill.failure(found, options.what, options.trigger, within),
        declared=declared,
    )
    return file(app, app, rollout, held, stage)


def _lacking(app: wiring.App, candidate: Version, holder: str, stage: Stage) -> NotYet | None:
    """What has to happen before users may meet the candidate."""
    with stage.progress(candidate.label) as progress:
        failed = wiring.judge_for_drill(app, candidate, progress)
    label = candidate.label
    if failed is not None:
        return NotYet(
            version=label,
            says=f"{label} did not pass its gates ({failed}); measure what is missing, and seal it",
            steps=[f"greenlight eval run {label}", f"greenlight eval seal {label}"],
        )
    candidate = find_version(app.store, candidate.digest)
    quorum = wiring.standing(app, candidate, initiator=holder)
    if quorum.ok:
        return None
    return NotYet(
        version=label,
        says=f"{label} is not approved: {quorum}. It is a version like any other to users, so "
        f"those who sign for {candidate.task} sign for it too; {holder}, who holds the drill, "
        "cannot",
        steps=signatures(app, candidate, drill.told(candidate.runtime), but=holder),
    )


def _refuse_idle(app: wiring.App) -> None:
    """Refuse to begin where nobody would route or decide."""
    now = app.clock.now()
    if not alive(app.store, now):
        raise Refused("no gateway is alive, so no user would meet the drill: greenlight up")
    if not wiring.DeploymentManager(app).led(now):
        raise Refused("no controller is running, so nothing would roll it back: greenlight up")
