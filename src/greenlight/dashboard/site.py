"""Finds who answers a request for a page, and makes of the answer what a browser gets."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from greenlight.core.errors import NotFound
from greenlight.dashboard import assets
from greenlight.dashboard.http import (
    Answer,
    Around,
    Handler,
    Live,
    Page,
    Redirect,
    Request,
    read_request,
)
from greenlight.dashboard.live import News
from greenlight.dashboard.rendering import Templates
from greenlight.serving.http import (
    Disconnected,
    Forbidden,
    Header,
    MethodNotAllowed,
    Receive,
    Response,
    Scope,
    error_headers,
    fault_of,
)

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from elsewhere: a text that gets into a page as code does nothing."""
SAFE: tuple[Header, ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer."""
_UNCACHED: Header = (b"cache-control", b"no-store")
_HTML: Header = (b"content-type", b"text/html; charset=utf-8")
_STREAM: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_AT_ONCE = 2
"""Handlers that run at the same time: whoever looks must not keep the gateway from answering."""
LIVE = "/live"
"""Where streams of news are; the pages' script asks it, people do not."""
_MACHINES = ("/v1/", "/ofrep/", "/api/")
"""Below these, programs ask: what is not there they are told as JSON."""

Route = tuple[str, str, Handler]


def only_from_here(request: Request, handler: Handler) -> Answer:
    """The rule while nobody can sign in: callers on this machine see everything, others nothing.

    Raises:
        Forbidden: the caller is not on this machine.
    """
    if not request.local:
        raise Forbidden("pages are shown on this machine only, at an address such as 127.0.0.1")
    return handler(request)


class Site:
    """The pages of one installation; the gateway asks `answer` for what it does not know itself."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        news: News,
        around: Around = only_from_here,
        shared: Callable[[Request], dict[str, Any]],
    ) -> None:
        """Put the parts together; nothing is opened.

        Args:
            routes: (method, path, handler); a part `{name}` of a path stands for anything without
                a slash and is put into `Request.query`. The first that fits answers.
            news: what `/live` tells.
            around: stands before every handler: sessions, CSRF, access.
            shared: values that every template has: `project`, `environment`, `person` (the name of
                who is signed in, or None), `csrf` (the token of this session's forms, or ""),
                `now`, and `nav` (pairs of path and text).
        """
        self._routes = [(method, _pattern(path), path, handler) for method, path, handler in routes]
        self._routes.append(("GET", _pattern(LIVE), LIVE, _live))
        self._news = news
        self._around = around
        self._shared = shared
        self._templates = Templates()
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    def serves(self, path: str) -> bool:
        """Whether a path is a page's to answer, if only with a page that says what there is."""
        return not path.startswith(_MACHINES)

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Answer one request; every error becomes a page.

        Raises:
            Disconnected: the client left before the end of its request.
        """
        if scope["path"].startswith(assets.PREFIX):
            return self._static(scope)
        request = Request.empty(scope)
        try:
            handler, parts = self._find(scope["method"], scope["path"])
            request = await read_request(scope, receive, parts)
            async with self._at_once:
                answer, body = await asyncio.to_thread(self._made, request, handler)
            return await self._response(answer, body)
        except Disconnected:
            raise
        except Exception as error:
            return await self._failed(error, request)

    def close(self) -> None:
        """End every stream: the process is about to."""
        self._news.close()

    def _find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        allowed = []
        for known, pattern, _, handler in self._routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if known == method:
                return handler, found.groupdict()
            allowed.append(known)
        if allowed:
            raise MethodNotAllowed(method, ", ".join(dict.fromkeys(allowed)))
        raise NotFound(f"nothing at {path}")

    def _made(self, request: Request, handler: Handler) -> tuple[Answer, bytes]:
        """The answer and what it looks like; in a thread."""
        answer = self._around(request, handler)
        return answer, self._drawn(answer, request) if isinstance(answer, Page) else b""

    def _drawn(self, page: Page, request: Request) -> bytes:
        shared = {"request": request, "topic": "", "digest": "", **self._shared(request)}
        return self._templates.render(page.template, {**shared, **page.values})

    async def _response(self, answer: Answer, body: bytes) -> Response:
        match answer:
            case Page():
                kept = (_HTML, *SAFE, _UNCACHED, *answer.headers)
                return Response(body, answer.status, kept)
            case Redirect():
                where: Header = (b"location", answer.to.encode("ascii"))
                return Response(b"", 303, (where, *SAFE, _UNCACHED, *answer.headers))
            case Live():
                first, rest = await self._news.listen(answer.topic)
                return Response(first, 200, (_STREAM, *SAFE, _UNCACHED), rest)

    async def _failed(self, error: Exception, request: Request) -> Response:
        status, _, message = fault_of(error)
        if status == 500:
            log.exception("%s %s failed", request.method, request.path, exc_info=error)
        places = [path for method, _, path, _ in self._routes if method == "GET" and path != LIVE]
        values = {
            "status": status,
            "heading": HTTPStatus(status).phrase,
            "message": message,
            "places": places if status == 404 else (),
        }
        page = Page("error.html", values)
        body = await asyncio.to_thread(self._drawn, page, request)
        return Response(body, status, (_HTML, *SAFE, _UNCACHED, *error_headers(error, status)))

    def _static(self, scope: Scope) -> Response:
        """A file of the pages; its name holds a digest of its content, so it may be kept for good.

        Nothing in these files is secret, so nobody is asked who they are.
        """
        found = assets.files().get(scope["path"])
        if found is None or scope["method"] != "GET":
            body = f"nothing at {scope['path']}".encode()
            return Response(body, 404, ((b"content-type", b"text/plain; charset=utf-8"), *SAFE))
        kept: Header = (b"cache-control", b"public, max-age=31536000, immutable")
        return Response(found.body, 200, ((b"content-type", found.kind), *SAFE, kept))


def _live(request: Request) -> Live:
    return Live(request.query.get("topic", ""))


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    names = [f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)]
    return re.compile("".join(names))
