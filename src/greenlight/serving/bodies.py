"""The bodies that travel over HTTP as JSON schemas, made of the types that read and write them.

Two things are added to what those types say: what is checked after a body has been decoded
(lengths, forms, alternatives), and what is written without a type of its own.
(JSON Schema 2020-12, the dialect of OpenAPI 3.1.)
"""

from __future__ import annotations

from typing import Any

import msgspec

from greenlight.core import chat, metrics
from greenlight.serving import feedback, flags, http, wire
from greenlight.serving.chat import UNRECORDED
from greenlight.serving.settings import Settings

Schema = dict[str, Any]

REF = "#/components/schemas/"
UUID7 = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$"

_TYPES = (
    wire.PredictRequest,
    wire.PredictResults,
    wire.FeedbackBatch,
    wire.FeedbackReceipts,
    chat.Head,
    chat.Message,
    chat.Choice,
    chat.Usage,
    flags.FlagRequest,
    flags.Evaluation,
    flags.Failure,
    http.Envelope,
)


def ref(*names: str) -> Schema:
    """The body of this name, or one of several."""
    refs: list[Schema] = [{"$ref": REF + name} for name in names]
    return refs[0] if len(refs) == 1 else {"oneOf": refs}


def schemas() -> Schema:
    """Every body by name."""
    _, made = msgspec.json.schema_components(_TYPES, ref_template=REF + "{name}")
    made["ChatRequest"] = made.pop("Head") | {"title": "ChatRequest"}
    for name, fields in _CHECKED.items():
        for field, checks in fields.items():
            made[name]["properties"][field] |= checks
    made["PredictRequest"] |= _EITHER
    made["FeedbackItem"] |= _FITTING
    for schema in made.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    return {**made, **_UNTYPED}


def _length(most: int) -> Schema:
    return {"minLength": 1, "maxLength": most}


_BATCH: Schema = {"minItems": 1, "maxItems": Settings().max_batch}
_ID: Schema = {"type": "string", "anyOf": [{"pattern": UUID7}, {"const": UNRECORDED}]}
_TARGETING_KEY: Schema = {"type": ["string", "null"], "maxLength": wire.MAX_UNIT}
_CHECKED: dict[str, dict[str, Schema]] = {
    "PredictRequest": {
        "input": {"minLength": 1},
        "inputs": {**_BATCH, "items": {"type": "string", "minLength": 1}},
        "unit": _length(wire.MAX_UNIT),
    },
    "Output": {"score": {"minimum": 0, "maximum": 1}},
    "FeedbackItem": {
        "inference_id": {"pattern": UUID7},
        "metric": {**_length(feedback.MAX_NAME), "not": {"const": metrics.RELABEL}},
        "reason_code": _length(feedback.MAX_NAME),
        "reviewer": _length(feedback.MAX_NAME),
    },
    "FeedbackBatch": {"feedback": _BATCH},
    "FeedbackReceipt": {
        "id": {"pattern": UUID7},
        "inference_id": {"pattern": UUID7},
        "status": {"enum": [feedback.STORED, feedback.PENDING]},
    },
    "ChatRequest": {
        "model": {"pattern": f"^{chat.PREFIX}.", "description": f"`{chat.PREFIX}TASK`"},
        "messages": {"type": "array", "items": ref("Message"), "minItems": 1},
        "user": {"description": "The unit, where `safety_identifier` names none."},
        "safety_identifier": {**_length(wire.MAX_UNIT), "description": "The unit."},
    },
    "FlagRequest": {"context": {"properties": {"targetingKey": _TARGETING_KEY}}},
    "Evaluation": {
        "reason": {"enum": ["STATIC", "SPLIT", "TARGETING_MATCH", "DISABLED"]},
        "variant": {"enum": ["control", "candidate", "disabled"]},
    },
    "Failure": {
        "errorCode": {
            "enum": [
                "PARSE_ERROR",
                "INVALID_CONTEXT",
                "TARGETING_KEY_MISSING",
                "FLAG_NOT_FOUND",
                "GENERAL",
            ]
        }
    },
    "Fault": {"type": {"enum": ["invalid_request_error", "server_error"]}},
}
"""What is checked beyond the type, by body and field."""
_EITHER: Schema = {
    "oneOf": [
        {"required": [given], "properties": {given: {"type": kind}, other: {"type": "null"}}}
        for given, kind, other in (("input", "string", "inputs"), ("inputs", "array", "input"))
    ]
}
_FITTING: Schema = {
    "if": {"properties": {"metric": {"const": "quality"}}},
    "then": {"properties": {"value": {"enum": ["GOOD", "BAD"]}}},
    "else": {"properties": {"value": {"type": "number"}}},
}
"""The value of feedback fits its metric."""


def _object(description: str, *optional: str, **properties: Schema) -> Schema:
    """An object with these fields and no others."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


_UNTYPED: dict[str, Schema] = {
    "ChatCompletion": _object(
        "A whole answer; the choices and the count of tokens are as the provider sent them.",
        "usage",
        id=_ID,
        object={"const": "chat.completion"},
        created={"type": "integer"},
        model={"type": "string", "pattern": f"^{chat.PREFIX}."},
        choices={"type": "array", "items": ref("Choice"), "minItems": 1},
        usage=ref("Usage"),
    ),
    "Evaluations": _object(
        "What every flag says, in the order of their keys.",
        flags={"type": "array", "items": {"anyOf": [ref("Evaluation"), ref("Failure")]}},
    ),
    "Models": _object(
        "The tasks that can be answered now, as OpenAI lists models.",
        object={"const": "list"},
        data={
            "type": "array",
            "items": _object(
                "A task; `versions` only for a key with the scope `admin`.",
                "versions",
                id={"type": "string", "pattern": f"^{chat.PREFIX}."},
                created={"type": "integer"},
                object={"const": "model"},
                owned_by={"const": "greenlight"},
                versions={"type": "array", "items": {"type": "string"}},
            ),
        },
    ),
    "Health": _object("The process lives.", status={"const": "ok"}),
    "Readiness": _object(
        "Every task can be answered.",
        status={"const": "ready"},
        epochs={"type": "object", "additionalProperties": {"type": "integer"}},
    ),
}
"""Bodies that are written without a type of their own."""
