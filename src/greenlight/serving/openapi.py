"""What the gateway speaks, as a document that programs read (OpenAPI Specification 3.1.1)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec

from greenlight import __version__
from greenlight.core import keys
from greenlight.core.errors import (
    BadInput,
    Conflict,
    GreenlightError,
    ModelFailed,
    NotFound,
    RequestRefused,
    TooMany,
    Unauthorized,
)
from greenlight.serving import feedback, flags, http, wire
from greenlight.serving.bodies import UUID7, Schema, ref, schemas
from greenlight.serving.http import (
    Forbidden,
    MethodNotAllowed,
    NotReady,
    NotUsable,
    TooLarge,
    UpstreamBusy,
)
from greenlight.serving.settings import Settings

WHEN: dict[type[GreenlightError], str] = {
    BadInput: "Malformed; `param` names the field.",
    RequestRefused: "Every version that was asked refuses the request.",
    Unauthorized: "No key, an unknown one, or one that has expired or was revoked.",
    Forbidden: "The key lacks the scope that the message names.",
    NotFound: "Nothing goes by that name; the message names what exists.",
    MethodNotAllowed: "The path takes another method.",
    Conflict: "The idempotency key was used with another body.",
    TooLarge: f"A body of more than {Settings().max_body} bytes.",
    NotUsable: "Well formed, but nothing can be done with it: an empty text, a NUL character.",
    TooMany: "The key asks more often than it may.",
    UpstreamBusy: "The models are overloaded.",
    ModelFailed: "No model answered.",
    NotReady: "It cannot be done now; the same request may succeed later.",
}
"""When an error is answered."""
_EITHER_WAY = (
    'A whole answer or, with `"stream": true`, events of OpenAI\'s `chat.completion.chunk` and '
    "then `data: [DONE]`. A stream that breaks off ends in an event with `error` instead."
)
_ANYWHERE = (MethodNotAllowed,)
_KEYED = (*_ANYWHERE, Unauthorized, Forbidden, TooMany, NotReady)
_READING = (*_KEYED, BadInput, TooLarge)
_ASKING = (*_READING, NotFound, NotUsable, UpstreamBusy, ModelFailed)


def document() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Greenlight",
            "version": __version__,
            "summary": "The gateway: predictions, chats, feedback and flags.",
            "description": (
                "Bodies are JSON in UTF-8. Which version answers is decided by the unit: the "
                "header `x-greenlight-unit`, or else what the body names, or else the header "
                "`x-greenlight-session`; without all of them a request is a unit of its own. What "
                "is no HTTP is answered by 400 in plain text."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/tasks/{task}/predict": {"post": _predict()},
            "/v1/chat/completions": {"post": _chat()},
            "/v1/models": {"get": _models()},
            "/v1/feedback": {"post": _feedback()},
            flags.PREFIX: {"post": _all_flags()},
            f"{flags.PREFIX}/{{key}}": {"post": _one_flag()},
            "/healthz": {"get": _healthz()},
            "/readyz": {"get": _readyz()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": _itself()},
        },
        "components": {
            "schemas": schemas(),
            "headers": _HEADERS,
            "securitySchemes": {"key": _key()},
        },
    }


@functools.cache
def encoded() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document())


def _predict() -> Schema:
    return _operation(
        "predict",
        "Answer one text or a batch.",
        {
            "200": _json("The answers.", "PredictResult", "PredictResults", headers=_ANSWERED),
            **_errors(_ASKING, _ANSWERED),
        },
        scope="predict",
        parameters=[_path("task", "The task's name."), *_UNIT],
        body=_body("PredictRequest"),
    )


def _chat() -> Schema:
    answer = _json(_EITHER_WAY, "ChatCompletion", headers=_ANSWERED)
    answer["content"]["text/event-stream"] = {}
    return _operation(
        "createChatCompletion",
        "OpenAI's chat completions; what is not named here is handed on to the provider.",
        {"200": answer, **_errors((*_ASKING, RequestRefused), _ANSWERED)},
        scope="predict",
        parameters=_UNIT,
        body=_body("ChatRequest"),
    )


def _models() -> Schema:
    answers = {"200": _json("The tasks that can be answered now.", "Models")}
    answers |= _errors(_KEYED)
    return _operation("listModels", "The tasks, as models.", answers, scope="predict")


def _feedback() -> Schema:
    kinds = ("FeedbackReceipt", "FeedbackReceipts")
    answers = {
        "200": _json("Kept; the inference is known.", *kinds),
        "202": _json("Kept; the inference is not known yet.", *kinds),
        **_errors((*_READING, NotFound, NotUsable, Conflict)),
    }
    once = _header("The same key with the same body is one feedback.", feedback.MAX_NAME)
    return _operation(
        "giveFeedback",
        "Take what somebody says of an answer, or of several: all or none.",
        answers,
        scope="feedback",
        parameters=[{"name": "idempotency-key", **once}],
        body=_body("FeedbackItem", "FeedbackBatch"),
    )


def _one_flag() -> Schema:
    return _operation(
        "evaluateFlag",
        "Which version is a unit's, by OFREP.",
        {"200": _json("The flag.", "Evaluation"), **_failures((*_READING, NotFound))},
        scope="flags",
        parameters=[_path("key", "The flag: a task's name."), _UNIT[0]],
        body=_body("FlagRequest"),
    )


def _all_flags() -> Schema:
    known = {
        "name": "if-none-match",
        "in": "header",
        "description": "Entity tags that the client has.",
        "schema": {"type": "string"},
    }
    answers = {
        "200": _json("Every flag.", "Evaluations", headers=["etag"]),
        "304": {"description": "Nothing has changed.", "headers": _named(["etag"])},
        **_failures(_READING),
    }
    return _operation(
        "evaluateFlags",
        "Which versions are a unit's, of every task at once, by OFREP.",
        answers,
        scope="flags",
        parameters=[_UNIT[0], known],
        body=_body("FlagRequest"),
    )


def _healthz() -> Schema:
    answers = {"200": _json("It lives.", "Health"), **_errors(_ANYWHERE)}
    return _operation("healthz", "Whether the process lives.", answers)


def _readyz() -> Schema:
    answers = {"200": _json("They can.", "Readiness"), **_errors((*_ANYWHERE, NotReady))}
    return _operation("readyz", "Whether all tasks can be answered.", answers)


def _metrics() -> Schema:
    text = {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return _operation("metrics", "Metrics for Prometheus.", {"200": text, **_errors(_ANYWHERE)})


def _itself() -> Schema:
    answer: Schema = {"description": "An OpenAPI document.", "content": {}}
    answer["content"]["application/json"] = {"schema": {"type": "object", "required": ["openapi"]}}
    return _operation("openapi", "This document.", {"200": answer, **_errors(_ANYWHERE)})


def _operation(
    id: str,
    summary: str,
    responses: Schema,
    *,
    scope: str | None = None,
    parameters: Sequence[Schema] = (),
    body: Schema | None = None,
) -> Schema:
    """An operation; `scope` is what a key must be good for (None: it takes no key)."""
    made: Schema = {"operationId": id, "summary": summary, "responses": responses}
    made["security"] = [] if scope is None else [{"key": [scope]}, {}]
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        made["requestBody"] = body
    return made


def _key() -> Schema:
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": f"{keys.PREFIX}…",
        "description": (
            "A key made by `greenlight keys create`, good for its scopes: "
            f"{', '.join(keys.SCOPES)}. "
            "None of them implies another; `admin` beside `predict` also names version and variant "
            "in the headers of an answer. Until the first key is made everybody may ask."
        ),
    }


def _body(*names: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": ref(*names)}}}


def _json(description: str, *bodies: str, headers: Sequence[str] = ()) -> Schema:
    return _response(description, ref(*bodies), headers)


def _response(description: str, body: Schema, headers: Sequence[str]) -> Schema:
    made: Schema = {
        "description": description,
        "content": {"application/json": {"schema": body}},
    }
    return {**made, "headers": _named(headers)} if headers else made


def _named(headers: Sequence[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _errors(kinds: Sequence[type[GreenlightError]], headers: Sequence[str] = ()) -> Schema:
    """The responses for these errors and for one of ours, with the codes that tell them apart."""
    made = {}
    for status, rows in _by_status(kinds).items():
        codes = sorted({code for code, _ in rows})
        narrowed = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
        body = {"allOf": [ref("Envelope"), narrowed]}
        asked = headers if status in (400, 429, 503) else ()
        made[str(status)] = _response(_when(rows), body, [*asked, *_TOLD.get(status, ())])
    return made


def _failures(kinds: Sequence[type[GreenlightError]]) -> Schema:
    """The same in OFREP's shape."""
    return {
        str(status): _response(_when(rows), ref("Failure"), _TOLD.get(status, ()))
        for status, rows in _by_status(kinds).items()
    }


def _by_status(kinds: Sequence[type[GreenlightError]]) -> dict[int, list[tuple[str, str]]]:
    """Code and occasion of each error, by status."""
    found = {500: [("internal", "A fault of the gateway's; its log says more.")]}
    for kind, status, code in http.STATUS:
        if kind in kinds:
            found.setdefault(status, []).append((code, WHEN[kind]))
    return dict(sorted(found.items()))


def _when(rows: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join(f"`{code}`: {when}" for code, when in rows)


def _path(name: str, description: str) -> Schema:
    schema = {"type": "string", "minLength": 1}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


def _header(description: str, most: int) -> Schema:
    schema = {"type": "string", "minLength": 1, "maxLength": most}
    return {"in": "header", "description": description, "schema": schema}


_UNIT = [
    {
        "name": "x-greenlight-unit",
        **_header("Who is asking; it goes before what the body names.", wire.MAX_UNIT),
    },
    {
        "name": "x-greenlight-session",
        **_header("Who is asking, where nothing else names a unit.", wire.MAX_UNIT),
    },
]
_FOR_ADMIN: dict[str, Schema] = {
    "x-greenlight-version": {"type": "string"},
    "x-greenlight-variant": {"enum": ["control", "candidate"]},
    "x-greenlight-rollout": {"type": "string"},
    "x-greenlight-epoch": {"type": "integer"},
    "x-greenlight-fallback": {"enum": ["true", "false"]},
}
_HEADERS: dict[str, Schema] = {
    "x-greenlight-inference-id": {
        "description": "The inference, where it is one alone and on record.",
        "schema": {"type": "string", "pattern": UUID7},
    },
    "x-greenlight-overhead-ms": {
        "description": "The time that was not spent waiting for a model.",
        "schema": {"type": "number"},
    },
    **{
        name: {"description": "Only for a key with the scope `admin`.", "schema": schema}
        for name, schema in _FOR_ADMIN.items()
    },
    "www-authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "allow": {"required": True, "schema": {"enum": ["GET", "POST"]}},
    "retry-after": {
        "description": "Seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "etag": {
        "description": "Changes with the answer.",
        "required": True,
        "schema": {"type": "string"},
    },
}
_ANSWERED = ("x-greenlight-inference-id", "x-greenlight-overhead-ms", *_FOR_ADMIN)
_TOLD = {
    401: ("www-authenticate",),
    405: ("allow",),
    429: ("retry-after",),
    503: ("retry-after",),
}
"""The headers that a status always has."""
