"""The pages of one installation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from greenlight.core.records import Rollout
from greenlight.ports import Clock
from greenlight.wiring.app import App, standing
from greenlight.wiring.control import DeploymentManager

if TYPE_CHECKING:
    from greenlight.dashboard.http import Request
    from greenlight.dashboard.site import Site
    from greenlight.dashboard.tasks import House
    from greenlight.wiring.people_pages import Hear

ALL = ""
"""The topic of every task together."""


def build_pages(app: App, hear: Hear, *, alone: bool = True) -> Site:
    """The pages over the installation's store; give them to its gateway.

    Args:
        app: the open store and settings.
        hear: takes feedback from a thread, durably (`serving.app.Gateway.hear`).
        alone: False where other processes answer at the same address.
    """
    from greenlight.dashboard.live import News
    from greenlight.dashboard.rollouts import Rollouts
    from greenlight.dashboard.site import Site
    from greenlight.dashboard.tasks import Tasks
    from greenlight.wiring.people_pages import build_people_pages

    house = _house(app)
    people = build_people_pages(app, hear, alone=alone)
    tasks, rollouts = Tasks(house), Rollouts(house)
    project = app.settings.project

    def shared(request: Request) -> dict[str, Any]:
        return {
            "project": project.name,
            "environment": project.environment,
            "now": app.clock.now(),
            "nav": (("/", "Overview"), *people.nav),
            **people.shared(request),
        }

    return Site(
        (
            ("GET", "/", tasks.all),
            ("GET", "/tasks/{task}", tasks.one),
            ("GET", "/rollouts/{id}", rollouts.one),
            *people.routes,
        ),
        news=News(lambda: _topics(app), house.digest),
        around=people.around,
        shared=shared,
    )


def rollout_page(app: App, rollout: Rollout) -> bytes:
    """The page of a rollout that has ended, as one file that stands alone."""
    from greenlight.dashboard.alone import rollout_alone

    project = app.settings.project
    # Ages count to its end, so that the page is the same whenever it is made.
    clock = _Standing(rollout.ended_at or app.clock.now())
    shared = {"project": project.name, "environment": project.environment}
    return rollout_alone(_house(app, clock), rollout.id, shared)


class _Standing:
    """A clock that stands still."""

    def __init__(self, at: int) -> None:
        self._at = at

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._at


def _house(app: App, clock: Clock | None = None) -> House:
    from greenlight.dashboard.digest import digest
    from greenlight.dashboard.tasks import House

    def kinds() -> Mapping[str, str]:
        return {name: task.kind for name, task in app.settings.tasks.items()}

    def digest_of(topic: str) -> str:
        names = sorted(app.settings.tasks) if topic == ALL else [app.settings.task(topic).name]
        return digest(app.store, names, app.clock.now())

    return House(
        store=app.store,
        clock=clock or app.clock,
        lookout=app.lookout,
        kinds=kinds,
        standing=lambda version: standing(app, version),
        ahead=DeploymentManager(app).ahead,
        digest=digest_of,
    )


def _topics(app: App) -> Collection[str]:
    return (ALL, *app.settings.tasks)
