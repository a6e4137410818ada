"""One request through a real gateway, and what its user says of the answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from greenlight.core.assignment import bucket, variant
from greenlight.core.errors import ModelFailed
from greenlight.core.records import HOUR, MILLISECOND, Epoch, Version
from greenlight.core.states import Variant
from greenlight.ports import Runtime, Store
from greenlight.serving.app import Gateway
from greenlight.serving.settings import Settings, SpoolSettings
from greenlight.serving.spool import Spool
from greenlight.testing import FakeClock
from scripts.diagrams import telling, tiny
from scripts.diagrams.tracing import (
    Message,
    Told,
    Trace,
    Watched,
    acting,
    renamed,
    replaced,
    watched,
)

QUIET = Settings(poll=HOUR, heartbeat=HOUR, spool=SpoolSettings(linger=MILLISECOND))
LOOPS = "Loops"
"""Who calls in what the gateway does at its start and, in the background, ever after."""
PREDICT = f"/v1/tasks/{tiny.TASK}/predict"


class _Answering:
    """A runtime around the tiny model; it fails when it is told to."""

    def __init__(self) -> None:
        self.fails = False
        self.open_since: int | None = None

    async def predict(self, texts: list[str], within: float | None = None) -> Any:
        if self.fails:
            raise ModelFailed("told to fail")
        return tiny.FirstWord().predict(texts)

    async def close(self) -> None:
        return None


class _Site:
    """A gateway and its client. The store takes events only when it is let: it always has the same
    place in the order of things, after the answer."""

    def __init__(
        self,
        store: Store,
        authorise: Callable[[str, Store], None],
        spool: Path,
        clock: FakeClock,
    ) -> None:
        self.trace = Trace()
        self.runtimes: dict[str, _Answering] = {}
        self.free, self.taken = threading.Event(), threading.Event()
        told = telling.records(
            {"ingest": Told(_words, caller="Spool", before=self._wait, answer=self._took)}
        )
        self.store = Watched(self.trace, store, telling.STORE, told)
        seen: Any = self.store
        self.gateway = Gateway(
            records=seen,
            events=seen,
            authorise=lambda digest, _: authorise(digest, seen),
            open_runtime=self._open,
            clock=clock,
            random=np.random.default_rng(3).bytes,
            spool_folder=spool,
            replica="gateway-1",
            config_digest="",
            settings=QUIET,
        )

    def _wait(self) -> None:
        self.free.wait()

    def _took(self, *_: object) -> None:
        self.free.clear()
        self.taken.set()

    def _open(self, version: Version) -> Runtime:
        self.trace.add("Gateway", version.label, "check its bundle by its digest, and open it")
        runtime = self.runtimes[version.digest] = _Answering()
        seen: Any = Watched(self.trace, runtime, version.label, telling.model())
        opened: Runtime = seen
        return opened

    async def post(self, path: str, body: object) -> Any:
        """Send a request, and wait until the store has what came of it."""
        answers: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": msgspec.json.encode(body), "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            answers.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        self.trace.add("Client", "Gateway", f"POST {path}")
        with acting("Gateway"):
            await self.gateway(scope, receive, send)
        self.trace.add("Gateway", "Client", str(answers[0]["status"]), "answer")
        self.taken.clear()
        self.free.set()
        await asyncio.to_thread(self.taken.wait)
        return msgspec.json.decode(answers[1]["body"])


def request(
    store: Store, authorise: Callable[[str, Store], None], spool: Path, clock: FakeClock
) -> list[Message]:
    """What happened, from the gateway's start to the feedback in the store."""
    return asyncio.run(_request(_Site(store, authorise, spool, clock), store))


async def _request(site: _Site, store: Store) -> list[Message]:
    (epoch,) = store.scan(Epoch, newest_first=True, limit=1)
    unit = next(name for name in _names() if _arm(epoch, name) is Variant.CANDIDATE)
    written = watched(site.trace, Spool.record, "Spool", Told(_written))
    with replaced(Spool, "record", written), site.trace.scene() as told:
        with acting(LOOPS):
            await site.gateway.start()
        started = len(told)
        answer = await site.post(PREDICT, {"input": "yes please", "unit": unit})
        given = {"inference_id": answer["id"], "metric": "quality", "value": "GOOD"}
        await site.post("/v1/feedback", given)
        assert epoch.candidate is not None
        site.runtimes[epoch.candidate].fails = True
        site.trace.note("intent@2", "from now on it fails")
        await site.post(PREDICT, {"input": "no thanks", "unit": unit})
        site.trace.open = False
        site.free.set()
        await site.gateway.stop()
    since = [message for message in told[started:] if LOOPS not in (message.source, message.target)]
    return renamed([*told[:started], *since], {LOOPS: "Gateway"})


def _words(inferences: list[Any], feedback: list[Any], shadows: list[Any]) -> str:
    assert not shadows, "nobody is in the shadow in this story"
    return f"ingest {'Inference' if inferences else 'Feedback'}"


def _written(_: Spool, events: list[Any], at: int, *, synced: bool) -> str:
    kind = type(events[0]).__name__
    return f"write {kind}" + (", and wait until it is on the disk" if synced else "")


def _names() -> Any:
    return (f"user-{number}" for number in range(10_000))


def _arm(epoch: Epoch, unit: str) -> Variant:
    return variant(bucket(epoch.salt, unit), epoch.weight)
