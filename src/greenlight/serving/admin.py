"""`/api`: what pages and automation ask of an installation besides predictions.

It answers callers on this machine only, and only those who name it by its own address: neither a
page of another site nor one whose name was pointed here can make a browser read or change anything.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from greenlight.core.errors import BadInput, NotFound
from greenlight.serving.http import (
    Forbidden,
    MethodNotAllowed,
    Receive,
    Response,
    Scope,
    from_here,
    header,
    json_response,
    read_body,
)

PREFIX = "/api/"
MOST = 500
"""Rows of one answer."""


class Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST to a relabel queue."""

    inference_id: str
    label: str
    reviewer: str
    comment: str | None = None


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The questions and orders that `/api` takes; `wiring` fills in what answers them.

    Each is called in a thread, so it may ask the store.
    """

    runs: Callable[[str | None, int], list[dict[str, Any]]]
    """The newest runs (of one task), at most so many."""
    run: Callable[[str], dict[str, Any]]
    abort: Callable[[str], dict[str, Any]]
    queue: Callable[[str, int], list[dict[str, Any]]]
    """The answers of a task that wait for a label, at most so many."""
    label: Callable[[str, Labelled], dict[str, Any]]

    async def answer(self, scope: Scope, receive: Receive, max_body: int) -> Response:
        """Answer a request below `/api/`.

        Raises:
            Forbidden: the caller is not on this machine.
            NotFound: there is nothing at this path.
            BadInput: a malformed parameter or body.
        """
        _only_from_here(scope)
        method = scope["method"]
        match scope["path"][len(PREFIX) :].split("/"):
            case ["runs"]:
                _only(method, "GET")
                task = _query(scope, "task")
                return await _call(self.runs, task, _limit(scope))
            case ["runs", run]:
                _only(method, "GET")
                return await _call(self.run, run)
            case ["runs", run, "abort"]:
                _only(method, "POST")
                _json_body(scope)
                return await _call(self.abort, run)
            case ["tasks", task, "relabel"] if method == "GET":
                return await _call(self.queue, task, _limit(scope))
            case ["tasks", task, "relabel"]:
                _only(method, "POST")
                _json_body(scope)
                body = await read_body(scope, receive, max_body)
                return await _call(self.label, task, _labelled(body))
        raise NotFound(
            f"nothing at {scope['path']}; there are: GET /api/runs, GET /api/runs/RUN, "
            "POST /api/runs/RUN/abort, GET and POST /api/tasks/TASK/relabel"
        )


async def _call(ask: Callable[..., Any], *given: object) -> Response:
    return json_response(await asyncio.to_thread(ask, *given))


def _only_from_here(scope: Scope) -> None:
    if not from_here(scope):
        raise Forbidden("/api answers only on this machine, at its own address such as 127.0.0.1")


def _json_body(scope: Scope) -> None:
    """A form of a foreign page cannot send this type without asking first, and nobody answers."""
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip()
    if kind != "application/json":
        raise BadInput("content-type: send application/json", "content-type")


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise MethodNotAllowed(method, allowed)


def _query(scope: Scope, name: str) -> str | None:
    found = parse_qs(scope.get("query_string", b"").decode("latin-1")).get(name)
    return found[-1] if found else None


def _limit(scope: Scope) -> int:
    text = _query(scope, "limit") or "50"
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= MOST:
        raise BadInput(f"limit {text[:20]!r}: a whole number from 1 to {MOST}", "limit")
    return int(text)


def _labelled(body: bytes) -> Labelled:
    try:
        return msgspec.json.decode(body, type=Labelled)
    except msgspec.DecodeError as error:
        raise BadInput(f"body: {error}", "body") from error
