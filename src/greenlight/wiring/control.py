"""Rollouts of one installation: start them, and look at them as the controller does."""

from __future__ import annotations

from collections.abc import Callable

from greenlight.core.records import Decision, Epoch, Rollout, Version
from greenlight.core.states import Action
from greenlight.lookup import find_version
from greenlight.remembering import forget
from greenlight.stages import loop, roll_out
from greenlight.stages import steer as steering
from greenlight.wiring.app import App, authorise, person_of
from greenlight.wiring.staging import require as require_staging


def go_live(app: App, version: Version, *, initiator: str) -> Epoch:
    """Give all traffic to a task's first version; see `stages.roll_out.go_live`."""
    require_staging(app, version)
    app.act()
    return roll_out.go_live(
        app.store,
        version,
        authorise=lambda digest: authorise(app, digest, initiator=initiator),
        initiator=initiator,
        now=app.clock.now(),
        random=app.random,
    )


def start_rollout(app: App, candidate: Version, *, initiator: str, aa: bool = False) -> Rollout:
    """Begin a rollout under the task's policy; see `stages.roll_out.start`."""

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

    require_staging(app, candidate)
    app.act()
    return roll_out.start(
        app.store,
        candidate,
        policy=app.settings.task(candidate.task).policy,
        authorise=allowed,
        initiator=initiator,
        aa=aa,
        now=app.clock.now(),
        random=app.random,
    )


def steer(app: App, task: str, action: Action, *, secret: str, why: str) -> Decision:
    """Carry out a person's order to a running rollout; see `stages.steer.steer`."""
    app.act()
    decision = steering.steer(
        app.store,
        task,
        action,
        person=person_of(app.settings, secret),
        why=why,
        roles=app.settings.task(task).approval.quorum,
        authorise=_approved(app),
        now=app.clock.now(),
        random=app.random,
    )
    _forget_if_gone(app, decision)
    return decision


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
    decision = loop.reconcile(
        app.store,
        task,
        authorise=_approved(app),
        fence=fence,
        now=now,
        random=app.random,
    )
    if decision is not None:
        _forget_if_gone(app, decision)
    return decision


def _approved(app: App) -> Callable[[Rollout], None]:
    """Raises unless a rollout's candidate is approved, and genuine."""
    return lambda rollout: authorise(app, rollout.candidate, initiator=rollout.initiator)


def _forget_if_gone(app: App, decision: Decision) -> None:
    """Drop what was remembered of a version that is rolled back (REQUIREMENTS O3)."""
    if decision.action is Action.ROLLBACK:
        rollout = app.store.get(Rollout, decision.rollout)
        if rollout is not None:
            forget(app.cache(), find_version(app.store, rollout.candidate).bundle)
