"""What a page's handler is given, and what it may answer with.

A handler is synchronous. It is called in a thread, so it may ask the store, and it raises the
errors of `core.errors` and `serving.http` (NotFound, Forbidden, BadInput, …): each is shown as a
page with the status that the same error has anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from greenlight.core.errors import BadInput
from greenlight.serving.http import Header, Receive, Scope, from_here, header, read_body

FORM_TYPE = "application/x-www-form-urlencoded"
MOST_FORM = 64 * 1024
"""Bytes of a form's body."""
MOST_FIELDS = 200


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser asks. Of a name that comes several times the last value counts."""

    method: str
    path: str
    query: dict[str, str]
    """The query, and under their names the `{parts}` of the route's path, which go first."""
    form: dict[str, str]
    headers: Mapping[bytes, bytes]
    """Names in lower case."""
    cookies: dict[str, str]
    local: bool
    """Whether the client is on this machine and named it by its own address."""

    @classmethod
    def empty(cls, scope: Scope) -> Request:
        """What is known of a request before it has been read."""
        return cls(
            method=scope["method"],
            path=scope["path"],
            query={},
            form={},
            headers={},
            cookies={},
            local=False,
        )


class Page(msgspec.Struct, frozen=True):
    """A template and what it shows.

    The template also has what every page shares (see `Site`) and `request`. A page that is to be
    live has two more values, `topic` and the topic's `digest` from before it was gathered: its
    script follows that topic (`live.News`) and fetches the page anew when the digest is another.
    """

    template: str
    values: dict[str, Any]
    status: int = 200
    headers: tuple[Header, ...] = ()


class Redirect(msgspec.Struct, frozen=True):
    """See another page (303), as after every form that has done something."""

    to: str
    headers: tuple[Header, ...] = ()


class Live(msgspec.Struct, frozen=True):
    """A stream that tells when the topic has changed; only `live` answers with it."""

    topic: str


Answer = Page | Redirect | Live
Handler = Callable[[Request], Answer]
Around = Callable[[Request, Handler], Answer]
"""Stands before every handler: it looks whether the request may have an answer, and calls it."""


async def read_request(scope: Scope, receive: Receive, parts: Mapping[str, str]) -> Request:
    """The request of a scope.

    Args:
        scope: ASGI's.
        receive: gives the body.
        parts: what stands in the path for the route's `{parts}`.

    Raises:
        BadInput: a query, a header or a form that cannot be read.
        TooLarge: the form has more than `MOST_FORM` bytes.
        Disconnected: the client left before its end.
    """
    return Request(
        method=scope["method"],
        path=scope["path"],
        query={**_fields(scope.get("query_string", b""), "query"), **parts},
        form=await _form(scope, receive) if scope["method"] == "POST" else {},
        headers=dict(scope["headers"]),
        cookies=_cookies(header(scope, b"cookie") or ""),
        local=from_here(scope),
    )


async def _form(scope: Scope, receive: Receive) -> dict[str, str]:
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        raise BadInput(f"content-type: send {FORM_TYPE}", "content-type")
    return _fields(await read_body(scope, receive, MOST_FORM), "form")


def _fields(encoded: bytes, what: str) -> dict[str, str]:
    try:
        text = encoded.decode("ascii")
        found = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise BadInput(f"{what}: not {FORM_TYPE} in UTF-8: {error}", what) from error
    return dict(found)


def _cookies(text: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(text).items()}
    except CookieError:
        return {}
