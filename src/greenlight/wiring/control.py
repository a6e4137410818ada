"""Rollouts of one installation: start them, and look at them as the controller does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from greenlight.core.errors import Conflict
from greenlight.core.killing import KillEntry
from greenlight.core.records import SECOND, Decision, Epoch, Rollout, Version
from greenlight.core.states import Action
from greenlight.core.waiting import Ahead, Wait
from greenlight.stages import catch_up as catching_up
from greenlight.stages import loop, roll_out
from greenlight.stages import steer as steering
from greenlight.stages import survey as surveying
from greenlight.wiring.app import App, authorise, person_of
from greenlight.wiring.staging import require as require_staging

ATTEMPTS = 10
"""How often an order is given before somebody else's writing is let win."""

GLANCE = 250
"""Exposures or events that are taken in by who only looks: a backlog must not make that slow."""
UNLED = 5 * SECOND
"""A lease that ran out for longer than two looks and this was left by a controller that is gone."""


def go_live(app: App, version: Version, *, initiator: str) -> Epoch:
    """Give all traffic to a task's first version; see `stages.roll_out.go_live`."""
    require_staging(app, version)
    app.act()
    return roll_out.go_live(
        app.store,
        version,
        authorise=lambda digest: authorise(app, digest, initiator=initiator),
        initiator=initiator,
        kill=app.kills.entries().get(version.task),
        now=app.clock.now(),
        random=app.random,
    )


def start_rollout(app: App, candidate: Version, *, initiator: str, aa: bool = False) -> Rollout:
    """Begin a rollout under the task's policy; see `stages.roll_out.start`."""
    require_staging(app, candidate)
    app.act()
    return roll_out.start(
        app.store,
        candidate,
        policy=app.settings.task(candidate.task).policy,
        authorise=may_begin(app, candidate, initiator),
        initiator=initiator,
        aa=aa,
        kill=last_word(app, candidate.task),
        now=app.clock.now(),
        random=app.random,
    )


def last_word(app: App, task: str) -> KillEntry | None:
    """The last word of the kill switch on a task; once that is lifted, nothing is left to do.

    Raises:
        Conflict: the routing changed meanwhile; try again.
    """
    found = catching_up.last_word(app.store, task, app.kills.entries().get(task))
    if found is not None and not found.killed:
        # As the controller would do it; where it has done so already this writes nothing.
        catching_up.catch_up(
            app.store, task, kill=found, fence=None, now=app.clock.now(), random=app.random
        )
    return found


def may_begin(app: App, candidate: Version, initiator: str) -> Callable[[str], None]:
    """Raises unless a version may take part in a rollout of `candidate` that begins now."""

    def allowed(digest: str) -> None:
        """Control may serve on after its approval has expired; a candidate may not begin."""
        live = digest != candidate.digest
        authorise(
            app,
            digest,
            expires=not live,
            initiator=None if live else initiator,
            as_control=live,
        )

    return allowed


def steer(app: App, task: str, action: Action, *, secret: str, why: str) -> Decision:
    """Carry out a person's order to a running rollout; see `stages.steer.steer`.

    A controller that writes in the same moment goes first, and the order is given again: each time
    it is judged anew by what stands then.
    """
    app.act()
    for left in reversed(range(ATTEMPTS)):
        try:
            return steering.steer(
                app.store,
                task,
                action,
                person=person_of(app.settings, secret),
                why=why,
                roles=app.settings.task(task).approval.quorum,
                authorise=_approved(app),
                kill=app.kills.entries().get(task),
                lookout=app.lookout,
                now=app.clock.now(),
                random=app.random,
            )
        except Conflict:
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


def look(app: App, task: str, holder: str) -> Decision | None:
    """One pass of the controller over a task, if `holder` leads; see `stages.loop.reconcile`.

    Raises:
        Conflict: the routing changed meanwhile; the next pass sees it.
        LostLease: another controller leads now.
    """
    now = app.clock.now()
    fence = loop.lead(app.store, holder, now)
    if fence is None:
        return None
    return loop.reconcile(
        app.store,
        task,
        authorise=_approved(app),
        lookout=app.lookout,
        kill=app.kills.entries().get(task),
        fence=fence,
        now=now,
        random=app.random,
    )


def ahead(app: App, task: str) -> Ahead | None:
    """What comes next for a task's rollout, and what it waits for; None: there is none.

    Nothing is written. Where no controller decides, that is the first thing that it waits for.
    """
    now = app.clock.now()
    found = surveying.survey(app.store, task, _approved(app), now, app.lookout, GLANCE)
    if found is None:
        return None
    coming = surveying.ahead(app.store, found, now)
    if led(app, now):
        return coming
    says = "a controller: none is running, so nothing is decided; greenlight controller"
    nobody = Wait(code="no_controller", says=says)
    return msgspec.structs.replace(coming, waits_for=[nobody, *coming.waits_for])


def led(app: App, now: int) -> bool:
    """Whether a controller decides (`now` in µs since 1970-01-01 UTC)."""
    lease = app.store.leased(loop.LEASE)
    patience = 2 * app.settings.controller.interval + UNLED
    return lease is not None and now <= lease.expires_at + patience


def _approved(app: App) -> Callable[[Rollout], None]:
    """Raises unless a rollout's candidate is approved, and genuine."""
    return lambda rollout: authorise(app, rollout.candidate, initiator=rollout.initiator)
