"""Keeping MLflow in line beside the work, which waits for it nowhere and fails for it never."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from greenlight import wiring
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import SECOND

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds to wait at the end for a call under way; the next worker goes on with what is left."""


@contextmanager
def beside(app: wiring.App) -> Iterator[threading.Thread | None]:
    """Mirror for as long as this lasts; the thread, which may hang on a remote in the end.

    None where nothing is mirrored.
    """
    if app.settings.mlflow.url is None:
        yield None
        return
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(app, stop), name="mirror", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(_PATIENCE)


def once(app: wiring.App) -> str | None:
    """Catch up now, where anything is mirrored; what went wrong, if anything did.

    Where it has failed a moment ago it is left alone, and so it is where a worker mirrors.
    """
    mirroring = wiring.open_mirroring(app)
    more = mirroring is not None
    while mirroring is not None and more:
        try:
            step = mirroring.follow()
        except (Conflict, LostLease):
            return None
        except Exception as error:
            log.exception("mlflow: the look failed; what it is to show waits")
            return f"the look failed ({type(error).__name__})"
        if step.outcome == "failed":
            return step.error
        more = step.more
    return None


def follow(app: wiring.App, stop: threading.Event) -> None:
    """Look at each interval of the worker until told to stop."""
    mirroring = wiring.open_mirroring(app)
    if mirroring is not None:
        keep(mirroring, stop, lambda: stop.wait(app.settings.worker.interval / SECOND))


def keep(mirroring: wiring.Mirroring, stop: threading.Event, rest: Callable[[], object]) -> None:
    """One pass after the other, with a rest where there is no more to do, until told to stop."""
    failed = False
    while not stop.is_set():
        more = False
        try:
            step = mirroring.follow(stop.is_set)
        except (Conflict, LostLease) as lost:
            log.info("mlflow: %s; looking again", lost)
        except Exception:
            log.exception("mlflow: the look failed; what it is to show waits")
        else:
            failed = _say(step, failed)
            more = step.more
        if not more:
            rest()


def _say(step: wiring.MirrorStep, failed: bool) -> bool:
    """One line when it begins to fail, for another reason, or works again; whether it fails."""
    for line in step.refused:
        log.warning("mlflow: not mirrored, %s", line)
    if step.outcome == "failed":
        if step.first or not failed:
            log.warning("mlflow: %s; work goes on, and this is made up for later", step.error)
        return True
    if step.outcome in ("current", "mirrored"):
        if failed:
            log.info("mlflow: works again")
        if step.put:
            log.info("mlflow: %d brought in line", step.put)
        return False
    return failed
