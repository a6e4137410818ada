"""What follows a rollback in one installation: the steps, and the evidence folder.

`attend` goes on with whatever is open; the controller calls it over and over (`entrypoints`).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from greenlight import artifacts
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.core import aftermath
from greenlight.core.answers import Lease
from greenlight.core.errors import Aborted, MissingData, StoreError
from greenlight.core.incidents import Incident
from greenlight.core.records import SECOND, Evaluation, Rollout, Version
from greenlight.lookup import find_version
from greenlight.ports import Model, Prediction
from greenlight.remembering import forget
from greenlight.stages import aftermath as stage
from greenlight.stages.rerun import rerun
from greenlight.wiring.app import App
from greenlight.wiring.evaluating import evaluation_of, predictor
from greenlight.wiring.filing import write_evidence as write_evidence
from greenlight.wiring.models import load_model

_SLICE, _REST = 4, 2.0
"""So many texts control is asked at once, with a rest after them of so many times as long."""
_BUSY = threading.Lock()
"""One thread of a process works at a time; between processes the lease sees to it."""


def attend(app: App, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Go on with every open incident as far as it goes now, unless another process does.

    Args:
        app: the open store and settings.
        stopping: whether to stop as soon as it can be done; what is left is left to the next one.

    Raises:
        LostLease: this process was silent for too long, and another one goes on.
        StoreError: the store is away.
    """
    now = app.clock.now()
    going = any(
        aftermath.is_complete(one) or aftermath.due(one, now) is not None
        for one in stage.open_incidents(app.store)
    )
    if not going or not _BUSY.acquire(blocking=False):
        return
    try:
        with _leading(app) as (fence, lost):
            if fence is not None:
                ending = _Ending(stopping, lost)
                with suppress(Aborted):
                    stage.attend(
                        app.store,
                        _carry(app, ending),
                        fence=fence,
                        now=app.clock.now,
                        stopping=ending.is_near,
                    )
    finally:
        _BUSY.release()


def _carry(app: App, ending: _Ending) -> stage.Carry:
    return {
        aftermath.PROPAGATED: lambda it: stage.propagation(app.store, it, app.clock.now()),
        aftermath.CACHES: lambda it: _forget(app, it),
        aftermath.BASELINE: lambda it: _ask_again(app, it, ending),
        aftermath.EVIDENCE: lambda it: _file(app, it, ending),
    }


def _forget(app: App, incident: Incident) -> stage.Outcome:
    """Drop what was remembered of the version that went (REQUIREMENTS O3)."""
    gone = find_version(app.store, incident.candidate)
    control = app.store.get(Version, incident.control)
    if control is not None and control.bundle == gone.bundle:
        says = f"{control.label} has the same bundle, whose predictions stay"
        return {"result": "dropped", "says": says, "dropped": 0}
    dropped = forget(app.cache(), gone.bundle)
    if dropped is None:
        raise MissingData(f"the cache {app.settings.cache.url} does not answer; is it running?")
    says = f"{dropped:,} remembered predictions of {gone.label} are dropped"
    return {"result": "dropped", "says": says, "dropped": dropped}


def _ask_again(app: App, incident: Incident, ending: _Ending) -> stage.Outcome:
    """Ask control its evaluation again, with nothing remembered."""
    control = find_version(app.store, incident.control)
    name = evaluation_of(app, control)
    found = None if name is None else app.store.get(Evaluation, name)
    asker = predictor(
        app,
        cache=MemoryCache(0),
        open_model=lambda app, version: _Gentle(load_model(app, version), ending),
    )
    return rerun(app.store, app.datasets, asker, incident, found)


def _file(app: App, incident: Incident, ending: _Ending) -> stage.Outcome:
    rollout = app.store.get(Rollout, incident.rollout)
    assert rollout is not None
    place = write_evidence(app, rollout, check=lambda: ending.check(0.0))
    told = place.relative_to(app.settings.root).as_posix()
    digest = artifacts.file_digest(place / artifacts.MANIFEST)
    return {"result": "written", "says": f"in {told}", "folder": told, "manifest": digest}


# One process at a time


class _Ending:
    """Whether to stop: this process is about to end, or another one goes on."""

    def __init__(self, stopping: Callable[[], bool], lost: threading.Event) -> None:
        self._stopping = stopping
        self._lost = lost

    def is_near(self) -> bool:
        return self._lost.is_set() or self._stopping()

    def check(self, pause: float) -> None:
        """Rest for so many seconds.

        Raises:
            Aborted: it is time to stop.
        """
        if self._lost.wait(pause) or self._stopping():
            raise Aborted("this process is about to end, and another one goes on")


@contextmanager
def _leading(app: App) -> Iterator[tuple[Lease | None, threading.Event]]:
    """The lease, kept for as long as this lasts, and what is set once it is lost."""
    holder = f"{socket.gethostname()}/{os.getpid()}"
    over, lost = threading.Event(), threading.Event()

    def renewed() -> Lease | None:
        return app.store.lease(stage.LEASE, holder, app.clock.now(), stage.LEASE_TTL)

    def beat(token: int) -> None:
        while not over.wait(stage.LEASE_TTL / SECOND / 4):
            with suppress(StoreError):  # busy or away: the fence decides whether it goes on
                again = renewed()
                if again is None or again.token != token:
                    lost.set()
                    return

    fence = renewed()
    if fence is None:
        yield None, lost
        return
    thread = threading.Thread(target=beat, args=(fence.token,), name="aftermath", daemon=True)
    thread.start()
    try:
        yield fence, lost
    finally:
        over.set()
        thread.join()
        with suppress(StoreError):  # it runs out by itself
            app.store.lease(stage.LEASE, holder, app.clock.now(), 0)


class _Gentle:
    """A model that is asked a little at a time, with rests in between.

    It may run in the gateway's process, whose requests come first.
    """

    def __init__(self, model: Model, ending: _Ending) -> None:
        self._model = model
        self._ending = ending
        self.labels = model.labels

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """See `ports.Model.predict`."""
        made: list[Prediction] = []
        for first in range(0, len(texts), _SLICE):
            began = time.perf_counter()
            made += self._model.predict(texts[first : first + _SLICE])
            self._ending.check(_REST * (time.perf_counter() - began))
        return made
