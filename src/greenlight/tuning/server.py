"""The HTTP server: OpenAI's paths for files, fine-tuning, models and chat completions.

`GET /healthz` answers when it listens; where faults are allowed, `/admin/faults` takes them.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

import msgspec

from greenlight.core.errors import BadInput, GreenlightError
from greenlight.serving import http
from greenlight.serving.http import Receive, Response, Scope, Send, json_response
from greenlight.serving.settings import MIB
from greenlight.serving.wire import decode
from greenlight.tuning import completions, jobs
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.faults import Fault, Faults
from greenlight.tuning.runner import Runner
from greenlight.tuning.state import State, TunedModel
from greenlight.tuning.uploads import upload
from greenlight.tuning.wire import (
    Checkpoint,
    Deleted,
    Event,
    FileObject,
    Job,
    JobRequest,
    Page,
    Problem,
    page,
)

log = logging.getLogger(__name__)

_JOB = msgspec.json.Decoder(JobRequest)
_CHAT = msgspec.json.Decoder(completions.Request)
_FAULT = msgspec.json.Decoder(Fault)
_LONGEST = 16 * MIB
"""Bytes of a body that is no upload."""
_PAGE = b"<!doctype html><title>Please log in</title><h1>Please log in</h1>"


class Call(msgspec.Struct, frozen=True):
    """A request on its way to what answers it."""

    scope: Scope
    receive: Receive
    id: str
    """What stands in the path's place for an id."""
    query: Mapping[str, str]

    async def body(self) -> bytes:
        """The whole body."""
        return await http.read_body(self.scope, self.receive, _LONGEST)


Handler = Callable[[Call], Awaitable[Response]]


class TuningServer:
    """An ASGI application (ASGI 3) around the state of a folder."""

    def __init__(
        self,
        state: State,
        catalog: Catalog,
        runner: Runner,
        *,
        key: str | None = None,
        faults: Faults,
        rehearsing: bool = False,
    ) -> None:
        """Put the server together; its lifespan starts and stops the runner.

        Args:
            state: where everything is kept.
            catalog: the models.
            runner: carries out jobs.
            key: what opens it. Without one it answers this machine alone.
            faults: those that were asked for.
            rehearsing: whether `/admin/faults` takes more of them.
        """
        self._state = state
        self._catalog = catalog
        self._runner = runner
        self._key = key
        self._faults = faults
        self._routes: dict[tuple[str, ...], dict[str, Handler]] = {
            ("healthz",): {"GET": self._health},
            ("v1", "files"): {"GET": self._files, "POST": self._upload},
            ("v1", "files", "*"): {"GET": self._file, "DELETE": self._delete_file},
            ("v1", "files", "*", "content"): {"GET": self._content},
            ("v1", "fine_tuning", "jobs"): {"GET": self._jobs, "POST": self._create},
            ("v1", "fine_tuning", "jobs", "*"): {"GET": self._job},
            ("v1", "fine_tuning", "jobs", "*", "cancel"): {"POST": self._cancel},
            ("v1", "fine_tuning", "jobs", "*", "events"): {"GET": self._events},
            ("v1", "fine_tuning", "jobs", "*", "checkpoints"): {"GET": self._checkpoints},
            ("v1", "models"): {"GET": self._models},
            ("v1", "models", "*"): {"GET": self._model, "DELETE": self._delete_model},
            ("v1", "chat", "completions"): {"POST": self._complete},
        }
        if rehearsing:
            self._routes[("admin", "faults")] = {
                "GET": self._told_faults,
                "POST": self._add_fault,
                "DELETE": self._clear_faults,
            }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            response = await self._answer(scope, receive, send)
        except http.Disconnected:
            return
        except Exception as error:
            response = _problem(error)
            if response.status == 500:
                log.exception("%s %s failed", scope["method"], scope["path"])
        if response is not None:
            await http.send_response(send, response, receive)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.to_thread(self._runner.fit_bases)
            self._runner.start()
        except GreenlightError as error:
            await self._end()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _end(self) -> None:
        await asyncio.to_thread(self._runner.stop)
        self._state.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """The response; None where a fault wants none."""
        self._admit(scope)
        method, path = scope["method"], scope["path"]
        fault = None if path.startswith("/admin/") else self._faults.meet(method, path)
        if fault is None:
            return await self._handle(scope, receive)
        if fault.kind == "lose":
            await self._handle(scope, receive)
        return await _suffer(fault, receive, send)

    async def _handle(self, scope: Scope, receive: Receive) -> Response:
        method, path = scope["method"], scope["path"]
        methods, id = self._route(method, path)
        if method not in methods:
            raise http.MethodNotAllowed(method, ", ".join(methods))
        try:
            query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        except (UnicodeDecodeError, ValueError) as error:
            raise BadInput(f"the query cannot be read: {error}") from error
        return await methods[method](Call(scope, receive, id, query))

    def _route(self, method: str, path: str) -> tuple[Mapping[str, Handler], str]:
        """What answers at a path, by method, and the id in it.

        Raises:
            Problem: nothing does (404).
        """
        parts = tuple(part for part in path.split("/") if part)
        for pattern, methods in self._routes.items():
            pairs = list(zip(pattern, parts, strict=False))
            if len(pattern) == len(parts) and all(one in ("*", part) for one, part in pairs):
                return methods, next((part for one, part in pairs if one == "*"), "")
        raise Problem(404, "not_found", f"{method} {path}: this server has no such path")

    def _admit(self, scope: Scope) -> None:
        """Refuse strangers.

        Raises:
            Problem: another machine (403), or not the key (401).
        """
        if self._key is None:
            # A page in a browser of this machine is a stranger, too, and names its origin.
            if not http.from_here(scope) or http.header(scope, b"origin") is not None:
                told = "without --key this server answers programs of its own machine alone"
                raise Problem(403, "forbidden", told)
            return
        given = (http.header(scope, b"authorization") or "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._key}".encode()):
            raise Problem(401, "invalid_api_key", "no such API key; send it as Bearer token")

    async def _health(self, call: Call) -> Response:
        return json_response({"status": "ok"})

    async def _upload(self, call: Call) -> Response:
        return json_response(await upload(self._state, call.scope, call.receive))

    async def _files(self, call: Call) -> Response:
        query = call.query
        after, limit = jobs.paging(query, 10_000, known=("purpose", "order"))
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise BadInput(f"order: {order!r}; there are asc and desc", "order")
        found = self._state.list(FileObject, after=after, oldest_first=order == "asc")
        purpose = query.get("purpose")
        return json_response(page([one for one in found if purpose in (None, one.purpose)], limit))

    async def _file(self, call: Call) -> Response:
        return json_response(self._state.get(FileObject, call.id))

    async def _content(self, call: Call) -> Response:
        file = self._state.get(FileObject, call.id)
        content = await asyncio.to_thread((self._state.files / file.id).read_bytes)
        return Response(content, headers=((b"content-type", b"application/octet-stream"),))

    async def _delete_file(self, call: Call) -> Response:
        file = self._state.get(FileObject, call.id)
        self._state.remove(file.id)
        (self._state.files / file.id).unlink(missing_ok=True)
        return json_response(Deleted(id=file.id, object="file"))

    async def _create(self, call: Call) -> Response:
        asked = decode(_JOB, await call.body())
        return json_response(jobs.create(self._state, self._catalog, self._runner, asked))

    async def _jobs(self, call: Call) -> Response:
        return json_response(jobs.listed(self._state, call.query))

    async def _job(self, call: Call) -> Response:
        return json_response(self._state.get(Job, call.id))

    async def _cancel(self, call: Call) -> Response:
        return json_response(jobs.cancel(self._state, self._runner, call.id))

    async def _events(self, call: Call) -> Response:
        return json_response(jobs.of_job(self._state, Event, call.id, call.query, 20))

    async def _checkpoints(self, call: Call) -> Response:
        return json_response(jobs.of_job(self._state, Checkpoint, call.id, call.query, 10))

    async def _models(self, call: Call) -> Response:
        return json_response(Page(data=self._catalog.all()))

    async def _model(self, call: Call) -> Response:
        return json_response(self._catalog.one(call.id))

    async def _delete_model(self, call: Call) -> Response:
        if call.id in self._catalog.bases:
            raise Problem(400, "invalid_request", f"{call.id} is a base model and stays", "model")
        folder = self._catalog.folder(call.id)
        self._state.remove(self._state.get(TunedModel, call.id).id)
        if folder is not None:
            self._catalog.forget(folder)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return json_response(Deleted(id=call.id, object="model"))

    async def _complete(self, call: Call) -> Response:
        asked = decode(_CHAT, await call.body())
        id, now = self._state.fresh("chatcmpl-"), self._state.seconds()
        return await asyncio.to_thread(completions.answer, self._catalog, asked, id, now)

    async def _told_faults(self, call: Call) -> Response:
        return json_response(Page(data=self._faults.waiting()))

    async def _add_fault(self, call: Call) -> Response:
        self._faults.add(decode(_FAULT, await call.body()))
        return await self._told_faults(call)

    async def _clear_faults(self, call: Call) -> Response:
        self._faults.clear()
        self._runner.wake()
        return await self._told_faults(call)


async def _suffer(fault: Fault, receive: Receive, send: Send) -> Response | None:
    """What a client gets by a fault."""
    told = "a fault that was asked for"
    if fault.kind == "rate-limit":
        seconds: tuple[http.Header, ...] = ((b"retry-after", b"%d" % fault.seconds),)
        return _body(Problem(429, "rate_limit_exceeded", told), seconds)
    if fault.kind == "error":
        return _body(Problem(500, "server_error", told))
    if fault.kind == "expired-key":
        return _body(Problem(401, "invalid_api_key", f"the API key has expired: {told}"))
    if fault.kind == "html":
        return Response(_PAGE, headers=((b"content-type", b"text/html; charset=utf-8"),))
    if fault.kind == "hang":
        while (await receive())["type"] != "http.disconnect":
            pass
        return None
    # More is announced than comes, whereupon uvicorn breaks the connection off.
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    return None


def _problem(error: Exception) -> Response:
    return _body(error) if isinstance(error, Problem) else http.error_response(error)


def _body(problem: Problem, headers: tuple[http.Header, ...] = ()) -> Response:
    kind = "invalid_request_error" if problem.status < 500 else "server_error"
    fault = http.Fault(str(problem), kind, problem.param, problem.code)
    return json_response(http.Envelope(fault), problem.status, headers)
