"""The controller process: at every interval, look at each task and decide."""

from __future__ import annotations

import logging
import threading
import time

from greenlight import wiring
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import SECOND
from greenlight.entrypoints.notices import tell

log = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds to wait at the end, in all, for a head that is being published, a message on its way, or
what follows a rollback: the next controller goes on with what is left."""


def control(app: wiring.App, holder: str, stop: threading.Event) -> bool:
    """Decide until told to stop; only the holder of the lease decides.

    Returns:
        Whether all is at an end. If not, a remote that does not answer keeps a thread: the process
        must end without waiting for it.

    A pass that loses a race writes nothing, and the next one sees what won. Anything else that
    goes wrong with one task is logged and does not keep the others from being looked at. The
    ledger's head is published as often, on a thread of its own: its file may lie on another
    machine, and one that does not answer must not keep traffic from being withdrawn. So are people
    told of what happens, so is the file of the kill switch looked at, and so is done what follows a
    rollback.
    """
    beside = [
        threading.Thread(target=_publish, args=(app, stop), name="heads", daemon=True),
        threading.Thread(target=tell, args=(app, holder, stop), name="notify", daemon=True),
        threading.Thread(target=_watch, args=(app, stop), name="kill switch", daemon=True),
        threading.Thread(target=_attend, args=(app, stop), name="incidents", daemon=True),
    ]
    with wiring.held_log():
        for thread in beside:
            thread.start()
        while not stop.is_set():
            _look(app, holder)
            stop.wait(app.settings.controller.interval / SECOND)
        until = time.monotonic() + _PATIENCE
        for thread in beside:
            thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in beside)


def _look(app: wiring.App, holder: str) -> None:
    """One pass over every task."""
    for task in app.settings.tasks:
        try:
            decision = wiring.DeploymentManager(app).look(task, holder)
        except (Conflict, LostLease) as lost:
            log.info("%s: %s; looking again", task, lost)
        except Exception:
            log.exception("%s: the look failed; traffic stays as it is", task)
        else:
            if decision is not None:
                log.info("%s: %s (%s)", task, decision.action.value, decision.reason)


def _attend(app: wiring.App, stop: threading.Event) -> None:
    """Go on with what follows a rollback, whoever decided it and however far it got."""
    while not stop.wait(app.settings.controller.interval / SECOND):
        try:
            wiring.attend(app, stopping=stop.is_set)
        except (Conflict, LostLease) as lost:
            log.info("incidents: %s; looking again", lost)
        except Exception:
            log.exception("incidents: this pass failed; the next one goes on")


def _watch(app: wiring.App, stop: threading.Event) -> None:
    """Look at the kill switch as often as gateways do."""
    told: set[str] = set()
    while not stop.is_set():
        try:
            faults = set(app.kills.look())
        except Exception:
            log.exception("kill switch: it could not be read; what is known stays in force")
            faults = told
        for fault in sorted(faults - told):
            log.error("kill switch: %s", fault)
        told = faults
        stop.wait(app.settings.gateway.poll / SECOND)


def _publish(app: wiring.App, stop: threading.Event) -> None:
    """Put the configuration on the ledger, and publish its head whenever it has moved."""
    try:
        app.act()
    except Exception:
        log.exception("the configuration was not put on the ledger")
    app.publisher.publish(missed=True)
    while not stop.wait(app.settings.controller.interval / SECOND):
        app.publisher.publish()
