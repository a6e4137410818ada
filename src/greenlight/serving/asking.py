"""Who asks, and what they are told of who answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenlight.core.errors import BadInput, ModelFailed, Overloaded, RequestRefused
from greenlight.serving.attempt import Attempt
from greenlight.serving.gatekeeper import Caller
from greenlight.serving.http import Header, UpstreamBusy
from greenlight.serving.routing import Route
from greenlight.serving.wire import check_unit

Headers = Mapping[bytes, bytes]

UNIT_HEADER = b"x-greenlight-unit"
SESSION_HEADER = b"x-greenlight-session"
ID_HEADER = b"x-greenlight-inference-id"
OVERHEAD_HEADER = b"x-greenlight-overhead-ms"
_PREFIX = b"x-greenlight-"


def text_of(headers: Headers, name: bytes) -> str | None:
    """A request header's value, or None.

    Raises:
        BadInput: the value is not UTF-8.
    """
    value = headers.get(name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"header {name.decode()}: not UTF-8", name.decode()) from error


def unit_of(headers: Headers, body_unit: str | None, field: str, fresh: str) -> tuple[str, str]:
    """The unit of a request, and who named it: header, body, session, or nobody.

    Args:
        headers: of the request.
        body_unit: what the body says.
        field: what that is called there.
        fresh: the name for a unit of one request only.

    Raises:
        BadInput: a name that is none.
    """
    named = text_of(headers, UNIT_HEADER)
    if named is not None:
        check_unit(UNIT_HEADER.decode(), named)
        return named, "header"
    if body_unit is not None:
        check_unit(field, body_unit)
        return body_unit, "body"
    session = text_of(headers, SESSION_HEADER)
    if session is not None:
        check_unit(SESSION_HEADER.decode(), session)
        return session, "session"
    return fresh, "request"


def told(route: Route, attempt: Attempt[Any], caller: Caller) -> list[Header]:
    """Headers that name version and variant, for those who may know."""
    if not caller.sees_versions:
        return []
    answered = attempt.answered
    facts = {
        b"version": "" if answered is None else answered.label,
        b"variant": attempt.variant.value,
        b"rollout": route.rollout or "",
        b"epoch": str(route.epoch),
        b"fallback": "true" if answered not in (None, attempt.assigned) else "false",
    }
    return [(_PREFIX + name, value.encode()) for name, value in facts.items()]


def no_answer(task: str, failure: ModelFailed | None) -> Exception:
    """What the client is told where nobody answered; never which version it was."""
    if isinstance(failure, RequestRefused):
        return failure
    if isinstance(failure, Overloaded):
        return UpstreamBusy(f"task {task!r}: the models are overloaded", failure.seconds)
    return ModelFailed(f"task {task!r}: no model answered; try again")
