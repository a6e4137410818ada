"""Rollouts of one installation: begun, looked at, steered and ended by one object."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from greenlight.core.errors import Conflict
from greenlight.core.killing import KillEntry
from greenlight.core.policy import DecisionPolicy
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


class DeploymentManager:
    """Gives versions traffic and takes it from them: by evidence, by order, and never unapproved.

    The controller calls `look` again and again; people begin with `go_live` and `start`, and take a
    rollout in hand with `steer`. Every change of the routing is an epoch in the store, which the
    gateways follow, so several of these, in several processes, agree by what stands there.
    """

    def __init__(self, app: App) -> None:
        """Set up; nothing is opened or begun.

        Args:
            app: the open store and settings.
        """
        self._app = app

    def go_live(self, version: Version, *, initiator: str) -> Epoch:
        """Give all traffic to a task's first version; see `stages.roll_out.go_live`."""
        app = self._app
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

    def start(
        self,
        candidate: Version,
        *,
        initiator: str,
        aa: bool = False,
        policy: DecisionPolicy | None = None,
        drill: str | None = None,
    ) -> Rollout:
        """Begin a rollout; see `stages.roll_out.start`.

        Args:
            candidate: an approved version.
            initiator: who starts it.
            aa: ask for an A/A test.
            policy: what decides; by default the task's.
            drill: the fault that it rehearses, in words.
        """
        app = self._app
        require_staging(app, candidate)
        if policy is None:
            policy = app.settings.task(candidate.task).policy
        app.act()
        return roll_out.start(
            app.store,
            candidate,
            policy=policy,
            authorise=self._may_begin(candidate, initiator),
            initiator=initiator,
            aa=aa,
            drill=drill,
            kill=self._last_word(candidate.task),
            now=app.clock.now(),
            random=app.random,
        )

    def steer(self, task: str, action: Action, *, secret: str, why: str) -> Decision:
        """Widen, pause, resume, promote, withdraw or roll back a running rollout at a person's
        order; see `stages.steer.steer`.

        A controller that writes in the same moment goes first, and the order is given again: each
        time it is judged anew by what stands then.
        """
        app = self._app
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
                    authorise=self._approved,
                    kill=app.kills.entries().get(task),
                    lookout=app.lookout,
                    now=app.clock.now(),
                    random=app.random,
                )
            except Conflict:
                if not left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def look(self, task: str, holder: str) -> Decision | None:
        """One pass of the controller over a task, if `holder` leads; see `stages.loop.reconcile`.

        Raises:
            Conflict: the routing changed meanwhile; the next pass sees it.
            LostLease: another controller leads now.
        """
        app = self._app
        now = app.clock.now()
        fence = loop.lead(app.store, holder, now)
        if fence is None:
            return None
        return loop.reconcile(
            app.store,
            task,
            authorise=self._approved,
            lookout=app.lookout,
            kill=app.kills.entries().get(task),
            fence=fence,
            now=now,
            random=app.random,
        )

    def ahead(self, task: str) -> Ahead | None:
        """What comes next for a task's rollout, and what it waits for; None: there is none.

        Nothing is written. Where no controller decides, that is the first thing that it waits for.
        """
        app = self._app
        now = app.clock.now()
        found = surveying.survey(app.store, task, self._approved, now, app.lookout, GLANCE)
        if found is None:
            return None
        coming = surveying.ahead(app.store, found, now)
        if self.led(now):
            return coming
        says = "a controller: none is running, so nothing is decided; greenlight controller"
        nobody = Wait(code="no_controller", says=says)
        return msgspec.structs.replace(coming, waits_for=[nobody, *coming.waits_for])

    def led(self, now: int) -> bool:
        """Whether a controller decides (`now` in µs since 1970-01-01 UTC)."""
        lease = self._app.store.leased(loop.LEASE)
        patience = 2 * self._app.settings.controller.interval + UNLED
        return lease is not None and now <= lease.expires_at + patience

    def _last_word(self, task: str) -> KillEntry | None:
        """The last word of the kill switch on a task; once that is lifted, nothing is left to do.

        Raises:
            Conflict: the routing changed meanwhile; try again.
        """
        app = self._app
        found = catching_up.last_word(app.store, task, app.kills.entries().get(task))
        if found is not None and not found.killed:
            # As the controller would do it; where it has done so already this writes nothing.
            catching_up.catch_up(
                app.store, task, kill=found, fence=None, now=app.clock.now(), random=app.random
            )
        return found

    def _may_begin(self, candidate: Version, initiator: str) -> Callable[[str], None]:
        """Raises unless a version may take part in a rollout of `candidate` that begins now."""

        def allowed(digest: str) -> None:
            """Control may serve on after its approval has expired; a candidate may not begin."""
            live = digest != candidate.digest
            authorise(
                self._app,
                digest,
                expires=not live,
                initiator=None if live else initiator,
                as_control=live,
            )

        return allowed

    def _approved(self, rollout: Rollout) -> None:
        """Raises unless a rollout's candidate is approved, and genuine."""
        authorise(self._app, rollout.candidate, initiator=rollout.initiator)
