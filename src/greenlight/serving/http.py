"""Just enough HTTP over ASGI: read a body, send JSON, and the one shape of every error.

Errors look like OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

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
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


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


def fault_of(error: Exception) -> tuple[int, str, str]:
    """Status, code and message for the client: the message of an error that is meant for it, and
    of anything else only that it happened (status 500)."""
    for kind, status, code in STATUS:
        if isinstance(error, kind):
            return status, code, str(error)
    return 500, "internal", "an internal error; it has been logged"


def error_headers(error: Exception, status: int) -> list[Header]:
    """The headers that belong to an error: when to ask again, with what, and how."""
    found: list[Header] = []
    if status == 503:
        found.append((b"retry-after", b"1"))
    if isinstance(error, TooMany | UpstreamBusy):
        found.append((b"retry-after", b"%d" % error.seconds))
    if isinstance(error, Unauthorized):
        found.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        found.append((b"allow", error.allowed.encode()))
    return found


def error_response(error: Exception, headers: Sequence[Header] = ()) -> Response:
    """The response that tells the client what went wrong (`fault_of`)."""
    status, code, message = fault_of(error)
    fault = Fault(
        message=message,
        type="invalid_request_error" if status < 500 else "server_error",
        param=error.param if isinstance(error, BadInput | RequestRefused) else None,
        code=code,
    )
    return json_response(Envelope(fault), status, [*headers, *error_headers(error, status)])


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


def from_here(scope: Scope) -> bool:
    """Whether the client is on this machine, and named it by its own address.

    Neither a page of another site nor one whose name was pointed here then makes a browser of this
    machine read or change anything, and what a proxy hands on is not from here.
    """
    client = scope.get("client") or ("", 0)
    forwarded = any(header(scope, name) is not None for name in _FORWARDED)
    host = _name(header(scope, b"host") or "")
    return not forwarded and _loopback(client[0]) and (host == "localhost" or _loopback(host))


def _name(host: str) -> str:
    """The name in a `Host` header; empty where there is none to be read."""
    try:
        return urlsplit("//" + host).hostname or ""
    except ValueError:
        return ""


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


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
