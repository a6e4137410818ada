"""The gateway: an ASGI application that answers, records and follows the store.

request ──▶ predict / feedback ──▶ spool ──▶ store
                ▲
             routing table ◀── follower ◀── store (epochs, approvals)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from greenlight.core import ids
from greenlight.core.errors import GreenlightError, NotFound
from greenlight.core.records import SECOND, Replica
from greenlight.ports import Clock, Events, Records
from greenlight.ports.kill_switch import KillSwitch
from greenlight.recording import head
from greenlight.serving import openapi
from greenlight.serving.admin import PREFIX, Admin
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.asking import UNIT_HEADER, Headers, text_of
from greenlight.serving.chat import ChatDesk
from greenlight.serving.feedback import FeedbackDesk
from greenlight.serving.flags import PREFIX as FLAGS
from greenlight.serving.flags import Flags, refusal
from greenlight.serving.follow import Authorise, Follower, OpenRuntime, PlanOf
from greenlight.serving.gatekeeper import Caller, Gatekeeper
from greenlight.serving.heartbeat import Heartbeat
from greenlight.serving.http import (
    Disconnected,
    MethodNotAllowed,
    NotReady,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    json_response,
    read_body,
    send_response,
)
from greenlight.serving.kill_watch import KillWatch
from greenlight.serving.meters import Meters
from greenlight.serving.pipeline_meters import Views
from greenlight.serving.predict import Predictor
from greenlight.serving.recorder import Recent, Recorder
from greenlight.serving.routing import Plan, RoutingTable, models
from greenlight.serving.settings import Settings
from greenlight.serving.shadow import Shadows
from greenlight.serving.spool import Spool
from greenlight.serving.wire import FeedbackItem

log = logging.getLogger(__name__)

_PREFIX, _SUFFIX = "/v1/tasks/", "/predict"
_FIXED = {
    "/v1/feedback": "feedback",
    "/v1/chat/completions": "chat",
    "/v1/models": "models",
    "/healthz": "healthz",
    "/readyz": "readyz",
    "/metrics": "metrics",
    "/openapi.json": "openapi",
    FLAGS: "flags",
}
"""Path → endpoint; a fixed set of words, for they label metrics."""
_PLACES = (
    "POST /v1/tasks/TASK/predict, /v1/chat/completions, /v1/feedback and /ofrep/v1/evaluate/flags, "
    "GET /v1/models, /healthz, /readyz, /metrics, /openapi.json"
)


class Pages(Protocol):
    """What answers where the gateway itself has nothing."""

    def serves(self, path: str) -> bool:
        """Whether a path is theirs to answer."""
        ...

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Answer a request, errors included."""
        ...

    def close(self) -> None:
        """End what would go on by itself: the process is about to."""
        ...


class Gateway:
    """One gateway process: give it to an ASGI server, which starts and stops it (lifespan)."""

    def __init__(
        self,
        *,
        records: Records,
        events: Events,
        authorise: Authorise,
        open_runtime: OpenRuntime,
        clock: Clock,
        random: Callable[[int], bytes],
        spool_folder: str | Path,
        replica: str,
        config_digest: str,
        settings: Settings | None = None,
        admin: Admin | None = None,
        pages: Pages | None = None,
        pipeline: Views | None = None,
        plan: PlanOf = lambda task: Plan(),
        kill_switch: KillSwitch | None = None,
        luck: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Put the parts together; nothing is opened before the start.

        Args:
            records: where epochs and versions are read, and inferences looked up for feedback.
            events: where inferences, feedback and signs of life go.
            authorise: raises `Refused` for the digest of a version that may not serve as a variant.
            open_runtime: opens a version for serving; called in a thread.
            clock: the time.
            random: that many random bytes, for ids.
            spool_folder: where events wait for the store; several gateways may share it.
            replica: this gateway's name, the same after a restart.
            config_digest: of the configuration in force; on every inference.
            settings: how it behaves.
            admin: what answers `/api`; without it nothing is there.
            pages: what answers at paths that are no endpoint; without it nothing is there.
            pipeline: the newest run of each task, for /metrics.
            plan: how a task is served.
            kill_switch: what is obeyed before anything that the store says.
            luck: a number from [0, 1), by which it is drawn whose texts are kept.
        """
        self.settings = settings or Settings()
        self.meters = Meters(
            pipeline, newest=lambda: head(records), shared=self.settings.shares_metrics
        )
        self._admin = admin
        self._pages = pages
        self.table = RoutingTable()
        self._clock = clock
        self._replica = replica
        self._arrivals = Arrivals(clock)
        self._spool = Spool(
            Path(spool_folder),
            ids.fresh(clock.now(), random),
            events.ingest,
            self._arrivals,
            self.settings.spool,
            self.meters,
        )
        self._gatekeeper = Gatekeeper(records, clock)
        self._follower = Follower(
            records, authorise, open_runtime, self.table, clock, self.meters, self.settings, plan
        )
        recent = Recent(self.settings.remembered)
        recorder = Recorder(
            self._spool, recent, self.meters, config_digest=config_digest, luck=luck
        )
        self._shadows = Shadows(
            self._spool,
            self._arrivals,
            self.meters,
            killed=lambda task: self.table.standing(task).killed,
            waiting=self.settings.copies_waiting,
            at_once=self.settings.copies_at_once,
        )
        self._predictor = Predictor(
            self.table,
            recorder,
            self._arrivals,
            self._shadows,
            random=random,
            max_batch=self.settings.max_batch,
        )
        self._chat = ChatDesk(self.table, recorder, self._arrivals, self._shadows, random=random)
        self._flags = Flags(self.table)
        self._desk = FeedbackDesk(
            records,
            self._spool,
            self._arrivals,
            recent,
            self.meters,
            random=random,
            pending=self.settings.pending,
            remembered=self.settings.remembered,
            max_batch=self.settings.max_batch,
        )
        self._kill_watch = KillWatch(kill_switch, self.table, self.meters, self.settings.poll)
        self._heartbeat = Heartbeat(
            events, lambda: self._sign(at=clock.now()), self.settings.heartbeat
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop  # from the start on

    def hear(self, item: FeedbackItem) -> None:
        """Take feedback from a thread that may wait; it is durable when this returns.

        Raises:
            BadInput, NotFound, SpoolFull: as for a request to `/v1/feedback`.
        """
        taken = self._desk.take(msgspec.json.encode(item), None, None)
        asyncio.run_coroutine_threadsafe(taken, self._loop).result()

    async def start(self) -> None:
        """Open the spool, look for routing once, sign in, and go on in the background."""
        self._loop = asyncio.get_running_loop()
        self._spool.start()
        self._shadows.start()
        await self._kill_watch.start(self.settings.kill_patience / SECOND)
        await self._gatekeeper.refresh()
        await self._follower.look()
        # Before the first request: no cohort may close without waiting for this gateway's events.
        await self._heartbeat.beat(self._sign(at=self._clock.now()))
        self._tasks = [
            asyncio.create_task(self._follower.run(), name="follow"),
            asyncio.create_task(self._heartbeat.run(), name="heartbeat"),
            asyncio.create_task(self._follow_keys(), name="keys"),
        ]

    def leave(self) -> None:
        """End what would last as long as its clients: the server waits for no answer but those."""
        if self._pages is not None:
            self._pages.close()

    async def stop(self) -> None:
        """Drain: nothing new is routed, the spool is emptied, runtimes are closed.

        A gateway that leaves nothing behind signs off (`Replica.at` 0), so that nobody waits for
        it; otherwise it falls silent, and what it left waits on disk.
        """
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._shadows.stop()
        sign = self._sign(at=self._clock.now())
        if await self._spool.stop(self.settings.drain):
            sign = self._sign(at=0)
        await self._heartbeat.beat(sign)
        await self._follower.close()
        await self._kill_watch.stop(self.settings.kill_patience / SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        began = time.perf_counter()
        endpoint = _endpoint(scope["path"])
        if endpoint == "other" and self._pages is not None and self._pages.serves(scope["path"]):
            endpoint = "pages"
        try:
            response = await self._answer(endpoint, scope, receive, began)
        except Disconnected:
            return
        except Exception as error:
            response = error_response(error)
            if endpoint == "flags":
                response = refusal(scope["path"][len(FLAGS) :], error)
            if response.status == 500:
                log.exception("%s %s failed", scope["method"], endpoint)
        self.meters.response(endpoint, response.status)
        await send_response(send, response, receive)

    async def _answer(
        self, endpoint: str, scope: Scope, receive: Receive, began: float
    ) -> Response:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if endpoint in ("predict", "chat"):
            _only(scope, "POST")
            caller = self._admit(headers, "predict")
            body = await read_body(scope, receive, self.settings.max_body)
            if endpoint == "chat":
                return await self._chat.answer(body, headers, caller, began)
            task = scope["path"][len(_PREFIX) : -len(_SUFFIX)]
            return await self._predictor.answer(task, body, headers, caller, began)
        if endpoint == "feedback":
            _only(scope, "POST")
            caller = self._admit(headers, "feedback")
            body = await read_body(scope, receive, self.settings.max_body)
            return await self._desk.take(body, text_of(headers, b"idempotency-key"), caller.id)
        if endpoint == "flags":
            return await self._flag(scope, receive, headers)
        if endpoint == "models":
            _only(scope, "GET")
            caller = self._admit(headers, "predict")
            return json_response(models(self.table, caller.sees_versions))
        if endpoint in ("api", "pages", "other"):
            return await self._elsewhere(endpoint, scope, receive, headers)
        _only(scope, "GET")
        if endpoint == "readyz":
            return self._ready()
        if endpoint == "openapi":
            return Response(openapi.encoded())
        if endpoint == "metrics":
            kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
            return Response(await asyncio.to_thread(self.meters.render), headers=(kind,))
        return json_response({"status": "ok"})

    async def _elsewhere(
        self, endpoint: str, scope: Scope, receive: Receive, headers: Headers
    ) -> Response:
        """What is there beside the data plane, if anything."""
        if endpoint == "api" and self._admin is not None:
            if not self._gatekeeper.open:
                self._admit(headers, "admin")
            return await self._admin.answer(scope, receive, self.settings.max_body)
        if endpoint == "pages" and self._pages is not None:
            return await self._pages.answer(scope, receive)
        raise NotFound(f"nothing at {scope['path']}; there are: {_PLACES}")

    def _admit(self, headers: Headers, scope: str) -> Caller:
        return self._gatekeeper.admit(text_of(headers, b"authorization"), scope)

    async def _flag(self, scope: Scope, receive: Receive, headers: Headers) -> Response:
        _only(scope, "POST")
        self._admit(headers, "flags")
        body = await read_body(scope, receive, self.settings.max_body)
        rest = scope["path"][len(FLAGS) :]
        unit, known = text_of(headers, UNIT_HEADER), text_of(headers, b"if-none-match")
        return self._flags.answer(rest, body, unit, known)

    def _ready(self) -> Response:
        if not (self._follower.caught_up and self._gatekeeper.known):
            raise NotReady("the store has not been read yet")
        if len(self.table) == 0:
            raise NotReady("no task has a version yet; adopt or promote one")
        closed = self.table.closed()
        if closed:
            raise NotReady("; ".join(f"task {entry.task!r}: {entry.reason}" for entry in closed))
        return json_response({"status": "ready", "epochs": self.table.epochs()})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except (GreenlightError, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _follow_keys(self) -> None:
        while True:
            known = self._gatekeeper.known
            pause = self.settings.recheck if known else self.settings.poll
            await asyncio.sleep(pause / SECOND)
            await self._gatekeeper.refresh()

    def _sign(self, at: int) -> Replica:
        return Replica(
            id=self._replica,
            epochs=self.table.epochs(),
            applied_at=self.table.applied_at(),
            open_since=self.table.open_since(),
            kills=self.table.kills(),
            flushed_through=self._spool.flushed_through(),
            at=at,
        )


def _endpoint(path: str) -> str:
    """Which endpoint a path means."""
    if path.startswith(_PREFIX) and path.endswith(_SUFFIX):
        return "predict"
    found = _FIXED.get(path)
    if found is not None:
        return found
    if path.startswith(FLAGS + "/"):
        return "flags"
    return "api" if path.startswith(PREFIX) else "other"


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise MethodNotAllowed(scope["method"], method)
