"""Flags (OpenFeature Remote Evaluation Protocol): each task is one, its value a version's label.

They are for applications that call models themselves and must be told which version is whose. What
a flag says is what a prediction would have met. It is no exposure: nothing is recorded here.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from greenlight.core.assignment import bucket
from greenlight.core.errors import BadInput, GreenlightError, NotFound
from greenlight.serving.asking import UNIT_HEADER
from greenlight.serving.assigning import assign, weight_for
from greenlight.serving.http import JSON_TYPE, Response, TooLarge, error_response
from greenlight.serving.routing import Closed, Route, RoutingTable
from greenlight.serving.wire import check_unit, decode

PREFIX = "/ofrep/v1/evaluate/flags"
"""All flags are asked at this path, one at `PREFIX/KEY`."""

_DISABLED = "disabled"
"""The variant of a flag without a value: the OpenFeature client for Python insists on one."""


class FlagRequest(msgspec.Struct, frozen=True):
    """The body of a request, for one flag or for all.

    `context` says in `targetingKey` whose flags are asked for. The rest is what the metadata of a
    prediction is: free, and looked at by segments alone.
    """

    context: dict[str, Any] | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag says. Without a value the application goes by its own default."""

    key: str
    reason: str
    variant: str
    metadata: dict[str, str | int]
    value: str | msgspec.UnsetType = msgspec.UNSET


class Failure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a flag, or (without a key) all of them, could not be evaluated."""

    key: str | msgspec.UnsetType = msgspec.UNSET
    error_code: str
    error_details: str


class Evaluations(msgspec.Struct, frozen=True):
    """What every flag says, in the order of their keys."""

    flags: list[Evaluation | Failure]


class TargetingKeyMissing(BadInput):
    """The task is being split and nobody said for whom."""


_TARGETING_KEY = "context.targetingKey"
_DECODER = msgspec.json.Decoder(FlagRequest)


class Flags:
    """Answers what is asked of flags, from the routes in force."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table

    def answer(
        self, rest: str, body: bytes, header_unit: str | None, if_none_match: str | None
    ) -> Response:
        """Answer a POST; every refusal is an answer, too.

        Args:
            rest: the path after `PREFIX`: empty for all flags, `/KEY` for one.
            body: the request's JSON.
            header_unit: the value of the unit header, which goes before the targeting key, as it
                does before a prediction's unit.
            if_none_match: of this header; it counts where all flags are asked for.
        """
        try:
            context = _context(body)
            unit = _unit(context, header_unit)
            if rest:
                return _json(self._evaluate(_key(rest), unit, context))
            return _tagged(_json(Evaluations(self._all(unit, context))), if_none_match)
        except GreenlightError as error:
            return refusal(rest, error)

    def _all(self, unit: str | None, context: dict[str, Any]) -> list[Evaluation | Failure]:
        found: list[Evaluation | Failure] = []
        for task in sorted(self._table.epochs()):
            try:
                found.append(self._evaluate(task, unit, context))
            except TargetingKeyMissing as error:
                found.append(Failure(key=task, error_code=_code(error), error_details=str(error)))
        return found

    def _evaluate(self, task: str, unit: str | None, context: dict[str, Any]) -> Evaluation:
        entry = self._table.get(task)
        if isinstance(entry, Closed):
            metadata: dict[str, str | int] = {"epoch": entry.epoch, "closed": entry.reason}
            return Evaluation(key=task, reason="DISABLED", variant=_DISABLED, metadata=metadata)
        return _of(self._table.route(task), unit, context)


def refusal(rest: str, error: Exception) -> Response:
    """The answer to a request below `PREFIX` that failed, in OFREP's shape.

    Status, headers and what may be told are as everywhere else (`http.error_response`).
    """
    told = error_response(error)
    message = msgspec.json.decode(told.body)["error"]["message"]
    key = _key(rest) if rest else msgspec.UNSET
    failure = Failure(key=key, error_code=_code(error), error_details=message)
    return Response(msgspec.json.encode(failure), told.status, told.headers)


def _of(route: Route, unit: str | None, context: dict[str, Any]) -> Evaluation:
    weight = weight_for(route, context)
    split = 0.0 < weight < 1.0
    if split and unit is None:
        raise TargetingKeyMissing(
            f"task {route.task!r} is being split: say for whom in {_TARGETING_KEY}"
        )
    arm, served = assign(route, 0.0 if unit is None else bucket(route.salt, unit), weight)
    metadata: dict[str, str | int] = {"epoch": route.epoch}
    if route.rollout is not None:
        metadata["rollout"] = route.rollout
    return Evaluation(
        key=route.task,
        value=served.label,
        reason="SPLIT" if split else "STATIC" if weight == route.weight else "TARGETING_MATCH",
        variant=arm.value,
        metadata=metadata,
    )


def _context(body: bytes) -> dict[str, Any]:
    return decode(_DECODER, body).context or {}


def _unit(context: dict[str, Any], from_header: str | None) -> str | None:
    if from_header is not None:
        check_unit(UNIT_HEADER.decode(), from_header)
        return from_header
    key = context.get("targetingKey")
    if key is None or key == "":
        return None
    if not isinstance(key, str):
        raise BadInput(f"{_TARGETING_KEY}: a text", _TARGETING_KEY)
    check_unit(_TARGETING_KEY, key)
    return key


def _key(rest: str) -> str:
    return rest.removeprefix("/")


def _code(error: Exception) -> str:
    """OpenFeature's word for what went wrong."""
    if isinstance(error, NotFound):
        return "FLAG_NOT_FOUND"
    if isinstance(error, TargetingKeyMissing):
        return "TARGETING_KEY_MISSING"
    if isinstance(error, BadInput) and not isinstance(error, TooLarge):
        # A fault with a name is one of the context: a body has nothing else.
        return "PARSE_ERROR" if error.param is None else "INVALID_CONTEXT"
    return "GENERAL"


def _json(value: Evaluation | Evaluations) -> Response:
    return Response(msgspec.json.encode(value))


def _tagged(response: Response, if_none_match: str | None) -> Response:
    """The response with its entity tag; without a body (304) where the client has it already."""
    tag = f'"{hashlib.sha256(response.body).hexdigest()}"'
    known = [part.strip().removeprefix("W/") for part in (if_none_match or "").split(",")]
    if tag in known or "*" in known:
        return Response(b"", 304, ((b"etag", tag.encode()),))
    return Response(response.body, headers=(JSON_TYPE, (b"etag", tag.encode())))
