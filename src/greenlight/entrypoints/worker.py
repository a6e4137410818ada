"""The worker process: carries out runs of the pipeline, those left off and those that are due."""

from __future__ import annotations

import logging
import threading

from greenlight import wiring
from greenlight.core import pii
from greenlight.core.errors import Aborted, GreenlightError, LostLease
from greenlight.core.records import SECOND
from greenlight.ports import Progress

log = logging.getLogger(__name__)


def attend(app: wiring.App, stop: threading.Event) -> None:
    """Look at every task at each interval until told to stop.

    A run that fails is on record and keeps no other task from its run. An interrupt leaves a run
    as it is; whoever looks next goes on with it.
    """
    app.act()
    since = app.clock.now()
    while not stop.is_set():
        for task in app.settings.tasks:
            try:
                made = wiring.work(app, task, since=since, progress=_log_stages(task))
            except (Aborted, LostLease) as ended:
                log.info("%s: %s", task, ended)
            except (GreenlightError, OSError) as error:
                log.error("%s: the run has failed: %s", task, pii.withheld(str(error)))
            except Exception:
                log.exception("%s: the run has failed", task)
            else:
                if made is not None:
                    what = made.run.id, made.version.label, made.version.status.value
                    log.info("%s: run %s made %s: %s", task, *what)
        stop.wait(app.settings.worker.interval / SECOND)


def _log_stages(task: str) -> Progress:
    """A line in the log for each new piece of work."""
    said = ""

    def progress(_share: float, words: str) -> None:
        nonlocal said
        if words != said:
            said = words
            log.info("%s: %s", task, words)

    return progress
