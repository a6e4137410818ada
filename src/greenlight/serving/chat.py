"""Chat completions in OpenAI's wire format, for tasks that talk and for those that classify.

The order is that of a prediction. A stream can only be answered by control until its first bit has
been sent; what goes wrong after that is told within the stream and recorded against its version. A
stream is recorded before its end is said, with the time to its first bit as its latency.

What cannot be recorded comes from control and has no inference's id. A stream is known by its id
from the beginning, so it is asked beforehand whether there is room; one that finds none in the end
all the same ends without `[DONE]`.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from greenlight.core import chat, ids, reasoned
from greenlight.core.assignment import bucket
from greenlight.core.chat import Chunk, Completion, Request, Tokens
from greenlight.core.errors import ModelFailed
from greenlight.core.records import SECOND
from greenlight.core.states import Status
from greenlight.ports import Prediction
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.asking import (
    ID_HEADER,
    OVERHEAD_HEADER,
    Headers,
    no_answer,
    told,
    unit_of,
)
from greenlight.serving.assigning import weight_for
from greenlight.serving.attempt import Attempt, ask
from greenlight.serving.gatekeeper import Caller
from greenlight.serving.http import JSON_TYPE, Header, NotUsable, Response, error_response
from greenlight.serving.predict import predictions
from greenlight.serving.recorder import Asked, Recorder, Said
from greenlight.serving.routing import Route, RoutingTable, Served
from greenlight.serving.shadow import Copy, Heard, Shadows
from greenlight.serving.wire import check_text, check_words, decode

UNRECORDED = "unrecorded"
"""The id of an answer that is not on record."""
_EVENTS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL in JSON; a backslash before `u0000` that is itself escaped makes none."""


class Reply(msgspec.Struct, frozen=True):
    """A whole answer, and as what a classifier said it."""

    completion: Completion
    found: Prediction | None = None


class Opened(msgspec.Struct, frozen=True):
    """A stream whose first bit is there; a classifier has said everything with it."""

    first: Chunk
    rest: AsyncIterator[Chunk]
    found: Prediction | None = None


class Conversation(msgspec.Struct, frozen=True):
    """One request on its way: what was asked, by whom, of which route."""

    id: str
    request: Request
    route: Route
    asked: Asked
    text: str
    """What is kept of the request."""
    weight: float
    caller: Caller
    began: float


class ChatDesk:
    """Answers chat completions."""

    def __init__(
        self,
        table: RoutingTable,
        recorder: Recorder,
        arrivals: Arrivals,
        shadows: Shadows,
        *,
        random: Callable[[int], bytes],
    ) -> None:
        self._table = table
        self._recorder = recorder
        self._arrivals = arrivals
        self._shadows = shadows
        self._random = random

    async def answer(self, body: bytes, headers: Headers, caller: Caller, began: float) -> Response:
        """Answer a request; see `Predictor.answer`.

        Raises:
            BadInput, NotFound, NotReady: the request cannot be answered.
        """
        request = chat.request_of(decode(chat.HEAD, body), body)
        route = self._table.route(request.task)
        text = _text(route, request)
        at, kept = self._arrivals.open(), False
        route.hold()
        try:
            id = ids.fresh(at, self._random)
            unit, source = unit_of(headers, request.unit, "user", id)
            place, drawn = bucket(route.salt, unit), self._recorder.draw(route)
            asked = Asked(unit, source, place, at, caller.id, drawn)
            weight = weight_for(route, request.metadata)
            this = Conversation(id, request, route, asked, text, weight, caller, began)
            if not request.stream:
                return await self._whole(this)
            if not self._recorder.open:
                # What is not recorded is no exposure, so nobody may be exposed to the candidate.
                this = replace(this, id=UNRECORDED, asked=replace(asked, place=1.0))
            response = await self._streamed(this)
            kept = response.stream is not None
            return response
        finally:
            # A stream that has begun holds its versions and its arrival to its end.
            if not kept:
                self._let_go(route, at)

    async def _whole(self, this: Conversation) -> Response:
        call = partial(_reply, this)
        attempt = await ask(this.route, this.asked.place, this.weight, call)
        recorded = await self._keep_reply(this, attempt)
        if not recorded and attempt.assigned is not this.route.control:
            # What is not recorded is no exposure, so nobody may be exposed to the candidate.
            attempt = await ask(this.route, 1.0, this.weight, call)
        out = self._headers(this, attempt, recorded)
        if attempt.value is None:
            return error_response(no_answer(this.route.task, attempt.failure), out)
        made = attempt.value.completion
        id = this.id if recorded else UNRECORDED
        answer = chat.completion_body(id, this.request.model, made)
        return Response(answer, headers=(JSON_TYPE, *out))

    def _let_go(self, route: Route, at: int) -> None:
        route.release()
        self._arrivals.close(at)

    async def _streamed(self, this: Conversation) -> Response:
        attempt = await ask(this.route, this.asked.place, this.weight, partial(_open, this))
        if attempt.value is None:
            recorded = await self._keep(this, attempt, "", None)
            out = self._headers(this, attempt, recorded)
            return error_response(no_answer(this.route.task, attempt.failure), out)
        out = self._headers(this, attempt, recorded=this.id != UNRECORDED)
        sent = self._sent(this, attempt, attempt.value)
        # A generator that was never begun would never end, and let nothing go.
        first = await anext(sent)
        return Response(first, headers=(*_EVENTS, *out), stream=sent)

    async def _sent(
        self, this: Conversation, attempt: Attempt[Opened], opened: Opened
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a stream, recorded before its end is said; the first of them are none, so
        that it begins without waiting."""
        head = chat.chunk_head(this.id, this.request.model, this.asked.at // SECOND)
        texts: list[str] = []
        tokens: Tokens | None = None
        chunk: Chunk | None = opened.first
        unrecorded = True
        try:
            yield b""
            while chunk is not None:
                texts.append(chunk.text)
                tokens = chunk.tokens or tokens
                if not chunk.empty or this.request.usage:
                    yield chat.chunk_event(head, chunk, this.request.usage)
                chunk = await anext(opened.rest, None)
            unrecorded = False
            recorded = await self._keep(this, attempt, "".join(texts), tokens, opened.found)
            if recorded or this.id == UNRECORDED:
                yield b"data: [DONE]\n\n"
        except ModelFailed as failure:
            if attempt.answered is attempt.assigned:
                attempt.status = Status(failure.status)
            unrecorded = False
            await self._keep(this, attempt, "".join(texts), tokens)
            yield _fault_event(this.route.task)
        finally:
            try:
                if unrecorded:
                    # The client left. What it has read it may still judge.
                    if attempt.answered is attempt.assigned:
                        attempt.status = Status.CANCELLED
                    await self._keep(this, attempt, "".join(texts), tokens, opened.found)
                await cast(AsyncGenerator[Chunk, None], opened.rest).aclose()
            finally:
                self._let_go(this.route, this.asked.at)

    async def _keep_reply(self, this: Conversation, attempt: Attempt[Reply]) -> bool:
        if attempt.value is None:
            return await self._keep(this, attempt, "", None)
        reply = attempt.value
        made = reply.completion
        return await self._keep(this, attempt, made.text, made.tokens, reply.found)

    async def _keep(
        self,
        this: Conversation,
        attempt: Attempt[Reply] | Attempt[Opened],
        text: str,
        tokens: Tokens | None,
        found: Prediction | None = None,
    ) -> bool:
        if this.id == UNRECORDED:
            self._recorder.pass_by()
            return False
        answered = attempt.answered
        cost = None
        if tokens is not None and answered is not None and answered.chat is not None:
            cost = answered.chat.cost(tokens)
        said = [Said(this.id, this.text, text)]
        if found is not None:
            said = [Said(this.id, this.text, text, found.score, found.oos, found.reason)]
        recorded = await self._recorder.keep(
            this.route, attempt, this.asked, said, tokens=tokens, cost=cost
        )
        if recorded and this.route.in_shadow and attempt.status != Status.CANCELLED:
            self._shadows.offer(_copy(this, said, attempt.status))
        return recorded

    def _headers(
        self, this: Conversation, attempt: Attempt[Reply] | Attempt[Opened], recorded: bool
    ) -> list[Header]:
        duration = time.perf_counter() - this.began
        overhead = self._recorder.count(this.route, attempt, 1, duration)
        out = [(OVERHEAD_HEADER, b"%.3f" % (overhead * 1000))]
        if recorded:
            out.append((ID_HEADER, this.id.encode()))
        return [*out, *told(this.route, attempt, this.caller)]


def _text(route: Route, request: Request) -> str:
    """What is kept of a request: all messages of a chat, what was said last to a classifier.

    Raises:
        BadInput: there is nothing to answer.
        NotUsable: a text that no store keeps, or choices that a classifier does not make.
    """
    messages = chat.messages_of(request)
    if route.control.chat is not None:
        text = bytes(request.fields["messages"]).decode()
        if "\\u0000" in text and _NUL.search(text):
            raise NotUsable("messages: a NUL character, which no store keeps; remove it")
        return text
    words = chat.last_words(messages)
    check_text("messages", words)
    if route.plan.tags:
        check_words("messages", words)
    return words


def _copy(this: Conversation, said: Sequence[Said], status: Status) -> Copy[Any]:
    """The request once more, for a candidate in the shadow."""
    if this.request.stream:
        return Copy(this.route, this.asked, said, status, partial(_open, this), _to_the_end)
    return Copy(this.route, this.asked, said, status, partial(_reply, this), _read)


async def _read(reply: Reply) -> Heard:
    return Heard([reply.completion.text], reply.completion.tokens)


async def _to_the_end(opened: Opened) -> Heard:
    texts, tokens = [opened.first.text], opened.first.tokens
    async for chunk in opened.rest:
        texts.append(chunk.text)
        tokens = chunk.tokens or tokens
    return Heard(["".join(texts)], tokens)


async def _reply(this: Conversation, served: Served, within: float | None) -> Reply:
    if served.chat is not None:
        return Reply(await served.chat.complete(this.request, within))
    [found] = await predictions(served, this.route, [this.text], within)
    created = this.asked.at // SECOND
    spoken = chat.spoken_choices(reasoned.whole(found.label, found.reason))
    return Reply(Completion(spoken, None, created, found.label, Tokens()), found)


async def _open(this: Conversation, served: Served, within: float | None) -> Opened:
    """A stream whose first bit is awaited.

    Raises:
        ModelFailed: there was none.
    """
    if served.chat is None:
        [found] = await predictions(served, this.route, [this.text], within)
        spoken = chat.spoken_delta(reasoned.whole(found.label, found.reason))
        return Opened(Chunk(spoken, None, found.label, None, False, True), _silence(), found)
    bits = served.chat.stream(this.request, within)
    try:
        return Opened(await anext(bits), bits)
    except StopAsyncIteration:
        raise ModelFailed(f"{served.label}: a stream of nothing") from None


async def _silence() -> AsyncGenerator[Chunk, None]:
    """What a classifier's stream goes on with."""
    return
    yield


def _fault_event(task: str) -> bytes:
    fault = error_response(ModelFailed(f"task {task!r}: the answer broke off; try again"))
    return b"data: %b\n\n" % fault.body
