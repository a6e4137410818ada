"""Just enough HTTP over ASGI: read a body, send JSON, and the one shape of every error.

Errors look like OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from greenlight.core.errors import (
    BadInput,
    Conflict,
    GreenlightError,
    ModelFailed,
    NotFound,
    Refused,
    RequestRefused,
    TooMany,
    Unauthorized,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON_TYPE: Header = (b"content-type", b"application/json")


class TooLarge(BadInput):
    """A request body over the limit."""


class NotUsable(BadInput):
    """Well formed, but nothing can be done with the value."""


class Forbidden(GreenlightError):
    """The caller may not ask this."""


class NotReady(GreenlightError):
    """The gateway cannot do this now; the same request may succeed later."""


class MethodNotAllowed(GreenlightError):
    """The path exists, but not for this method."""

    def __init__(self, method: str, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(f"{method} is not allowed here; use {allowed}")


class Disconnected(GreenlightError):
    """The client went away before its request was complete: nobody is left to answer."""


class UpstreamBusy(GreenlightError):
    """The models are asked more than they take; `seconds` says for how long."""

    def __init__(self, message: str, seconds: float | None) -> None:
        self.seconds = max(1, math.ceil(seconds or 1))
        super().__init__(message)


STATUS: tuple[tuple[type[GreenlightError], int, str], ...] = (
    (TooLarge, 413, "too_large"),
    (NotUsable, 422, "not_usable"),
    (BadInput, 400, "bad_input"),
    (NotFound, 404, "not_found"),
    (Forbidden, 403, "forbidden"),
    (MethodNotAllowed, 405, "method_not_allowed"),
    (Conflict, 409, "conflict"),
    (Refused, 409, "refused"),
    (Unauthorized, 401, "unauthorized"),
    (TooMany, 429, "too_many_requests"),
    (UpstreamBusy, 429, "too_many_requests"),
    (RequestRefused, 400, "refused_by_model"),
    (ModelFailed, 503, "no_answer"),
    (NotReady, 503, "not_ready"),
)
"""The first row that fits decides."""


class Response(msgspec.Struct, frozen=True):
    """What goes back to the client: a body, or one that comes bit by bit."""

    body: bytes
    status: int = 200
    headers: tuple[Header, ...] = (JSON_TYPE,)
    stream: AsyncGenerator[bytes, None] | None = None
    """What follows the body. It must have begun, and is closed in any case: before its end if the
    client left."""


class Fault(msgspec.Struct, frozen=True):
    """What went wrong; `param` names the field of the request that is at fault, if one is."""

    message: str
    type: str
    param: str | None
    code: str


class Envelope(msgspec.Struct, frozen=True):
    """The shape of every error, as OpenAI has it."""

    error: Fault


def json_response(value: object, status: int = 200, headers: Sequence[Header] = ()) -> Response:
    """A JSON response; `headers` come on top of the content type."""
    return Response(msgspec.json.encode(value), status, (JSON_TYPE, *headers))


def error_response(error: Exception, headers: Sequence[Header] = ()) -> Response:
    """The response that tells the client what went wrong: the message of an error that is meant
    for it, and of anything else only that it happened (status 500)."""
    status, code, message = 500, "internal", "an internal error; it has been logged"
    for kind, row_status, row_code in STATUS:
        if isinstance(error, kind):
            status, code, message = row_status, row_code, str(error)
            break
    extra = list(headers)
    if status == 503:
        extra.append((b"retry-after", b"1"))
    if isinstance(error, TooMany | UpstreamBusy):
        extra.append((b"retry-after", b"%d" % error.seconds))
    if isinstance(error, Unauthorized):
        extra.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        extra.append((b"allow", error.allowed.encode()))
    fault = Fault(
        message=message,
        type="invalid_request_error" if status < 500 else "server_error",
        param=error.param if isinstance(error, BadInput | RequestRefused) else None,
        code=code,
    )
    return json_response(Envelope(fault), status, extra)


def header(scope: Scope, name: bytes) -> str | None:
    """A request header's value, or None.

    Raises:
        BadInput: the value is not UTF-8.
    """
    for key, value in scope["headers"]:
        if key == name:
            try:
                return bytes(value).decode()
            except UnicodeDecodeError as error:
                raise BadInput(f"header {name.decode()}: not UTF-8", name.decode()) from error
    return None


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole request body.

    Raises:
        TooLarge: it is longer than `limit` bytes.
        Disconnected: the client left before its end.
    """
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the body has {announced} bytes; at most {limit} are read")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = bytes(message.get("body", b""))
        _check_size(len(body), limit)
        return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected("the client left before the end of its request")
        chunks.append(bytes(message.get("body", b"")))
        size += len(chunks[-1])
        _check_size(size, limit)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()


async def send_response(send: Send, response: Response, receive: Receive | None = None) -> None:
    """Send it; a stream needs `receive`, by which it is seen that the client has left."""
    if response.stream is not None:
        assert receive is not None
        await _send_stream(send, response.stream, response, receive)
        return
    headers = list(response.headers)
    if response.status != 304:  # where its length would be that of the body which is not sent
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _send_stream(
    send: Send, stream: AsyncGenerator[bytes, None], response: Response, receive: Receive
) -> None:
    own = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if own is not None:
            own.cancel()

    # A client that leaves is not told of by `send`; what it asked for would be made to the end.
    watching = asyncio.create_task(watch())
    try:
        headers = list(response.headers)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        async for data in stream:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except asyncio.CancelledError:
        if not gone or own is None or own.uncancel() > 0:
            raise
    finally:
        watching.cancel()
        await stream.aclose()


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"the body has more than {limit} bytes; send less")
