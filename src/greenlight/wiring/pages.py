"""The pages of one installation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from greenlight.wiring.app import App, standing

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


def _house(app: App) -> House:
    from greenlight.dashboard.digest import digest
    from greenlight.dashboard.tasks import House

    def kinds() -> Mapping[str, str]:
        return {name: task.kind for name, task in app.settings.tasks.items()}

    def digest_of(topic: str) -> str:
        names = sorted(app.settings.tasks) if topic == ALL else [app.settings.task(topic).name]
        return digest(app.store, names, app.clock.now())

    return House(
        store=app.store,
        clock=app.clock,
        kinds=kinds,
        standing=lambda version: standing(app, version),
        digest=digest_of,
    )


def _topics(app: App) -> Collection[str]:
    return (ALL, *app.settings.tasks)
