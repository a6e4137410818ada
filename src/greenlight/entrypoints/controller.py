"""The controller process: at every interval, look at each task and decide."""

from __future__ import annotations

import logging
import threading

from greenlight import wiring
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import SECOND

log = logging.getLogger(__name__)


def control(app: wiring.App, holder: str, stop: threading.Event) -> None:
    """Decide until told to stop; only the holder of the lease decides.

    A pass that loses a race writes nothing, and the next one sees what won. Anything else that
    goes wrong with one task is logged and does not keep the others from being looked at.
    """
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
