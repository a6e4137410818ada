"""The controller process: at every interval, look at each task and decide."""

from __future__ import annotations

import logging
import threading

from greenlight import wiring
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import SECOND

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds to wait at the end for a head that is being published."""


def control(app: wiring.App, holder: str, stop: threading.Event) -> None:
    """Decide until told to stop; only the holder of the lease decides.

    A pass that loses a race writes nothing, and the next one sees what won. Anything else that
    goes wrong with one task is logged and does not keep the others from being looked at. The
    ledger's head is published as often, on a thread of its own: its file may lie on another
    machine, and one that does not answer must not keep traffic from being withdrawn.
    """
    publishing = threading.Thread(target=_publish, args=(app, stop), name="heads", daemon=True)
    publishing.start()
    while not stop.is_set():
        for task in app.settings.tasks:
            try:
                decision = wiring.look(app, task, holder)
            except (Conflict, LostLease) as lost:
                log.info("%s: %s; looking again", task, lost)
            except Exception:
                log.exception("%s: the look failed; traffic stays as it is", task)
            else:
                if decision is not None:
                    log.info("%s: %s (%s)", task, decision.action.value, decision.reason)
        stop.wait(app.settings.controller.interval / SECOND)
    publishing.join(_PATIENCE)


def _publish(app: wiring.App, stop: threading.Event) -> None:
    """Put the configuration on the ledger, and publish its head whenever it has moved."""
    try:
        app.act()
    except Exception:
        log.exception("the configuration was not put on the ledger")
    app.publisher.publish(missed=True)
    while not stop.wait(app.settings.controller.interval / SECOND):
        app.publisher.publish()
