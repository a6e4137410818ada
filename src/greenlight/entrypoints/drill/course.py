"""The course of a drill: its rollout watched to its end, or called off when the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

from greenlight import wiring
from greenlight.core.alarms import Reading
from greenlight.core.drill import Findings
from greenlight.core.policy import DecisionPolicy
from greenlight.core.reasons import measured
from greenlight.core.records import SECOND, Rollout
from greenlight.core.states import Action, Variant
from greenlight.entrypoints.showing import Stage
from greenlight.entrypoints.watching import looks
from greenlight.wiring import drilling

FIRST_EXPOSURE = 60 * SECOND
"""How long the first unit may keep a drill waiting."""
PROPAGATION_S = 15.0
"""Seconds to wait for gateways that have not taken the end over."""
_PAUSE_S = 0.1


class Course:
    """One drill under way."""

    def __init__(
        self,
        app: wiring.App,
        rollout: Rollout,
        *,
        within: int,
        secret: str,
        stage: Stage,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a rollout that has just begun in hand.

        Args:
            app: the installation that it runs in.
            rollout: of the drill.
            within: how long it may take (µs).
            secret: the key of whoever calls it off.
            stage: shows how it goes.
            check: raises if a process that it needs has ended.
        """
        self._app = app
        self._rollout = rollout
        self._within = within
        self._secret = secret
        self._stage = stage
        self._check = check
        self._policy = msgspec.convert(rollout.policy, DecisionPolicy)
        self._said: dict[str, int] = {}

    def run(self) -> None:
        """Watch until the rollout has ended and every gateway knows; call it off in time."""
        try:
            if self._ended():
                self._await_gateways()
            else:
                self._call_off(f"{self._within / SECOND:g} s were over")
        except BaseException:
            self._call_off("the drill was broken off")
            raise

    def _ended(self) -> bool:
        exposed_at = None
        with self._stage.watching() as show:
            for rollout, look in looks(self._app, self._rollout):
                show(look)
                if rollout.ended_at is not None:
                    return True
                self._check()
                for line in self._minutes():
                    self._stage.say(line)
                now = self._app.clock.now()
                if exposed_at is None:
                    exposed_at = drilling.exposed_at(self._app, rollout)
                since, most = (
                    (rollout.at, FIRST_EXPOSURE)
                    if exposed_at is None
                    else (exposed_at, self._within)
                )
                if now > since + most:
                    return False
        return False

    def _minutes(self) -> Iterator[str]:
        """A line for every minute of an alarm that has passed since the last time."""
        if self._policy.trigger != "alarm":
            return
        now = self._app.clock.now()
        found = self._app.lookout.look(self._app.store, self._rollout, self._policy, now)
        for name, reading in found.items():
            if reading.at is not None and reading.at != self._said.get(name):
                self._said[name] = reading.at
                yield _minute(name, reading)

    def _call_off(self, why: str) -> None:
        """End the rollout, unless it has ended meanwhile."""
        rollout = self._app.store.get(Rollout, self._rollout.id)
        if rollout is not None and rollout.ended_at is None:
            wiring.DeploymentManager(self._app).steer(
                rollout.task, Action.WITHDRAW, secret=self._secret, why=why
            )

    def _await_gateways(self) -> None:
        until = time.monotonic() + PROPAGATION_S
        while time.monotonic() < until:
            if drilling.applied_at(self._app, self._rollout) is not None:
                return
            time.sleep(_PAUSE_S)

    def findings(self, user_errors: int | None = None) -> Findings:
        """What was seen of it; see `wiring.measure_drill`."""
        return wiring.measure_drill(self._app, self._rollout, user_errors=user_errors)


def _minute(name: str, reading: Reading) -> str:
    """How an alarm stands after a minute."""
    arms = ", ".join(
        f"{arm.value} {'–' if one.value is None else measured(name, one.value)}"
        for arm in (Variant.CANDIDATE, Variant.CONTROL)
        if (one := reading.arms.get(arm)) is not None
    )
    over = reading.arms[Variant.CANDIDATE].minutes_over
    limit = f"{over} of {reading.for_s // 60} minutes over {measured(name, reading.over)}"
    return f"alarm {name}: candidate {limit} ({arms})"
