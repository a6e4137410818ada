"""Telling people: each channel follows the ledger on a thread of its own."""

from __future__ import annotations

import logging
import threading

from greenlight import wiring
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import SECOND

log = logging.getLogger(__name__)


def tell(app: wiring.App, holder: str, stop: threading.Event) -> None:
    """Deliver on every channel until told to stop.

    What goes wrong is logged and tried again: nothing that happens here may keep the controller
    from deciding, and no channel another one from being delivered on.
    """
    channels = None
    while channels is None and not stop.is_set():
        try:
            channels = wiring.open_channels(app)
        except Exception:
            log.exception("notify: the channels could not be opened; messages wait")
            stop.wait(app.settings.controller.interval / SECOND)
    threads = [
        threading.Thread(
            target=follow,
            args=(app, channel, holder, stop),
            name=f"notify-{channel.name}",
            daemon=True,
        )
        for channel in channels or ()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def follow(app: wiring.App, channel: wiring.Channel, holder: str, stop: threading.Event) -> None:
    """Deliver on one channel what happens, in its order, until told to stop."""
    while not stop.is_set():
        try:
            while _delivered(app, channel, holder) and not stop.is_set():
                pass
        except (Conflict, LostLease) as lost:
            log.info("notify.%s: %s; looking again", channel.name, lost)
        except Exception:
            log.exception("notify.%s: the look failed; messages wait", channel.name)
        stop.wait(app.settings.controller.interval / SECOND)


def _delivered(app: wiring.App, channel: wiring.Channel, holder: str) -> bool:
    """Deliver the next message; whether another one may follow right away."""
    step = wiring.deliver(app, channel, holder)
    if step.notice is not None:
        told = log.info if step.outcome == "delivered" else log.warning
        why = f": {step.error}" if step.error else ""
        words = step.outcome.replace("_", " ")
        told("notify.%s: %s (%s) %s%s", channel.name, step.notice.title, step.notice.id, words, why)
    return step.more
