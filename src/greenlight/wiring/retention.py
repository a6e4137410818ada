"""Erasing what people wrote, in one installation; see `stages.purge`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from greenlight.core.errors import Refused
from greenlight.core.records import SECOND, Dataset, Epoch, Inference
from greenlight.core.retention import Order
from greenlight.ports import Blobs, Progress
from greenlight.stages import purge as stage
from greenlight.stages import traces
from greenlight.stages.purge import Findings, Purged
from greenlight.wiring.app import App
from greenlight.wiring.filing import FOLDER

PATIENCE = 20 * SECOND
"""How long to wait for gateways to store what they have received."""

DRILLS = "drills"
"""The folder of the installations that drills make for themselves, below the state."""

_PAUSE = 0.2


def erasure_order(
    app: App, task: str, *, unit: str | None, older_than: int | None, initiator: str
) -> Order:
    """An order to erase a unit, or everything that is older than so many microseconds.

    Raises:
        NotFound: no such task, neither in the configuration nor in the store.
    """
    now = app.clock.now()
    kinds = (Epoch, Dataset, Inference)
    if not any(app.store.scan(kind, {"task": task}, limit=1) for kind in kinds):
        app.settings.task(task)
    return Order(task=task, unit=unit, before=now - (older_than or 0), initiator=initiator)


def look_for(app: App, order: Order, progress: Progress) -> Findings:
    """What a purge would erase; see `stages.purge.look`."""
    return stage.look(
        app.store,
        _shelves(app),
        order,
        drills=app.settings.state / DRILLS,
        now=app.clock.now(),
        progress=progress,
    )


def mentions(app: App, order: Order) -> list[str]:
    """Files that somebody has brought in or taken out, whose rows the next run would collect
    again, or that are kept as evidence, and in which the unit's name stands.

    Nobody can tell whether they speak of the same person, so they are for people to look at.
    """
    if order.unit is None:
        return []
    places = [_data(app) / name for name in ("imported", "exported")]
    places.append(Path(app.settings.root, FOLDER))  # a person's reason may name somebody
    task = app.settings.tasks.get(order.task)
    configured = (task.dataset.path, task.dataset.base) if task is not None else ()
    places += [Path(app.settings.root, file) for file in configured if file and Path(file).suffix]
    found = [str(path) for place in places for path in traces.naming(place, order.unit)]
    return list(dict.fromkeys(found))


def purge(app: App, order: Order, progress: Progress) -> Purged:
    """Erase, once everything that was received has reached the store; see `stages.purge.purge`.

    Raises:
        Refused: it may not be done now, or something would come back afterwards.
    """
    _wait(app, order, progress)
    return stage.purge(
        app.store,
        _shelves(app),
        order,
        places=[_data(app) / "raw", _data(app) / "processed", app.settings.state / "work"],
        drills=app.settings.state / DRILLS,
        now=app.clock.now,
        random=app.random,
        progress=progress,
    )


def _wait(app: App, order: Order, progress: Progress) -> None:
    spool = app.settings.state / "spool"
    deadline = app.clock.now() + PATIENCE
    while reasons := traces.waiting(app.store, order, spool, app.clock.now()):
        if app.clock.now() > deadline:
            raise Refused("nothing was erased, for it would come back: " + "; ".join(reasons))
        progress(0.0, "waiting for gateways to store what they have received")
        threading.Event().wait(_PAUSE)


def _shelves(app: App) -> Sequence[Blobs]:
    return (app.raw, app.datasets)


def _data(app: App) -> Path:
    return Path(app.settings.root) / "data"
