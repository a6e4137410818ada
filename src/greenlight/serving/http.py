"""Just enough HTTP over ASGI: read a body, send JSON, and the one shape of every error.

Errors look like OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from greenlight.core.errors import (
    BadInput,
    Conflict,
    GreenlightError,
    ModelFailed,
    NotFound,
    Refused,
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


_STATUS: tuple[tuple[type[GreenlightError], int, str], ...] = (
    (TooLarge, 413, "too_large"),
    (NotUsable, 422, "not_usable"),
    (BadInput, 400, "bad_input"),
    (NotFound, 404, "not_found"),
    (Forbidden, 403, "forbidden"),
    (MethodNotAllowed, 405, "method_not_allowed"),
    (Conflict, 409, "conflict"),
    (Refused, 409, "refused"),
    (ModelFailed, 503, "no_answer"),
    (NotReady, 503, "not_ready"),
)
"""The first row that fits decides."""


class Response(msgspec.Struct, frozen=True):
    """What goes back to the client."""

    body: bytes
    status: int = 200
    headers: tuple[Header, ...] = (JSON_TYPE,)


class _Fault(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str


class _Envelope(msgspec.Struct, frozen=True):
    error: _Fault


def json_response(value: object, status: int = 200, headers: Sequence[Header] = ()) -> Response:
    """A JSON response; `headers` come on top of the content type."""
    return Response(msgspec.json.encode(value), status, (JSON_TYPE, *headers))


def error_response(error: Exception, headers: Sequence[Header] = ()) -> Response:
    """The response that tells the client what went wrong: the message of an error that is meant
    for it, and of anything else only that it happened (status 500)."""
    status, code, message = 500, "internal", "an internal error; it has been logged"
    for kind, row_status, row_code in _STATUS:
        if isinstance(error, kind):
            status, code, message = row_status, row_code, str(error)
            break
    extra = list(headers)
    if status == 503:
        extra.append((b"retry-after", b"1"))
    if isinstance(error, MethodNotAllowed):
        extra.append((b"allow", error.allowed.encode()))
    fault = _Fault(
        message=message,
        type="invalid_request_error" if status < 500 else "server_error",
        param=error.param if isinstance(error, BadInput) else None,
        code=code,
    )
    return json_response(_Envelope(fault), status, extra)


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


async def send_response(send: Send, response: Response) -> None:
    """Send it."""
    length = (b"content-length", b"%d" % len(response.body))
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [*response.headers, length],
        }
    )
    await send({"type": "http.response.body", "body": response.body})


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"the body has more than {limit} bytes; send less")
