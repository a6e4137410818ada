"""The MLflow that runs and versions are mirrored to."""

from __future__ import annotations

from collections.abc import Iterator

from greenlight.core.errors import ConfigError
from greenlight.core.records import HOUR, SECOND
from greenlight.ports.mirror import NotMirrored
from greenlight.stages.mirror import CHANNEL
from greenlight.stages.notify import backlog
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning
from greenlight.wiring.mirroring import MLFLOW, open_mirror

LONG = HOUR
"""A mirror that is so long behind has no worker, or waits for MLflow."""


def mlflow(subject: Subject) -> Iterator[Finding]:
    """Whether it answers. Nothing else needs it, so that all but a missing secret is a warning."""
    try:
        patience = max(1, round(subject.patience))
        mirror = open_mirror(subject.settings, subject.environ, timeout=patience)
    except ConfigError as error:
        yield fault(
            "mlflow", "; ".join(error.problems), "set it for the worker; runs go on without"
        )
        return
    if mirror is None:
        return
    try:
        yield ok("mlflow", mirror.check())
    except NotMirrored as error:
        fix = "mend it; what MLflow is to show waits meanwhile, and nothing else does"
        yield warning("mlflow", str(error), fix)
    if subject.store is None:
        return
    found = backlog(subject.store, CHANNEL + MLFLOW, MLFLOW, subject.clock.now())
    if found.seconds > LONG / SECOND:
        why = f": {found.error}" if found.error else ""
        yield warning(
            "mlflow",
            f"{found.seconds:.0f} s behind{why}",
            "see that a worker runs (greenlight up, greenlight worker), or: greenlight mlflow sync",
        )
