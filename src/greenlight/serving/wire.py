"""What travels over HTTP, and how a malformed request is told which field is wrong."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from greenlight.core import tagging
from greenlight.core.errors import BadInput
from greenlight.serving.http import NotUsable

MAX_UNIT = 256
"""Characters of a unit's name."""

MOST_WORDS = 2_000
"""Of a text that is tagged: several windows of the longest that an encoder reads at once."""

_FIELD = re.compile(r" - at `\$\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_MISSING = re.compile(r"missing required field `(.*?)`")


class PredictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text (`input`) or several (`inputs`) of one unit.

    `metadata` is free; segments look at it.
    """

    input: str | None = None
    inputs: list[str] | None = None
    unit: str | None = None
    metadata: dict[str, Any] = {}


class EntityFound(msgspec.Struct, frozen=True):
    """A name in a text: characters [start, end) of it, what it is, and what stands there."""

    start: int
    end: int
    type: str
    text: str


class Output(msgspec.Struct, frozen=True):
    """The answer to one text. `oos` is true where the text is out of the task's scope, by
    `oos_score`: 0 is as far out as texts in scope are on average, and more is farther. Both and
    `score` are null where the model gives none. `entities` are what the tags of the label come to;
    they stand only in the answers of a task of kind `tag`. `reason` is what the model said of its
    label, up to 500 characters; it stands only where the model said anything."""

    label: str
    score: float | None
    oos: bool | None
    oos_score: float | None
    entities: list[EntityFound] | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET


class PredictResult(msgspec.Struct, frozen=True):
    """`id` names the inference; without it (null) the answer could not be recorded."""

    id: str | None
    task: str
    output: Output


class PredictResults(msgspec.Struct, frozen=True):
    """The answers to a batch, in the order of its inputs."""

    results: list[PredictResult]


class FeedbackItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says of one inference."""

    inference_id: str
    value: float | str
    metric: str = "quality"
    reason_code: str | None = None
    comment: str | None = None
    correction: str | None = None
    reviewer: str | None = None


class FeedbackBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several at once: all are kept or none."""

    feedback: list[FeedbackItem]


class FeedbackReceipt(msgspec.Struct, frozen=True):
    """`status`: `stored`, or `pending` while the inference is not in the store yet."""

    id: str
    inference_id: str
    status: str


class FeedbackReceipts(msgspec.Struct, frozen=True):
    """One receipt for each item of a batch, in order."""

    feedback: list[FeedbackReceipt]


T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Read a request body.

    Raises:
        BadInput: it is malformed; `param` names the field.
    """
    try:
        body.decode()  # fields that the decoder skips may be handed on, so they are looked at, too
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        what = _FIELD.sub("", text)
        raise BadInput(f"malformed request: {text}", _param(text, what)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"the body is no JSON: {error}") from error
    except RecursionError as error:
        raise BadInput("the body is nested too deeply") from error


def texts(request: PredictRequest, limit: int) -> list[str]:
    """The texts of a request, one or several.

    Raises:
        BadInput: neither or both of `input` and `inputs`, or more than `limit`.
        NotUsable: a text that nothing can be said about.
    """
    if (request.input is None) == (request.inputs is None):
        raise BadInput("give either `input` (a text) or `inputs` (a list of texts)", "input")
    if request.input is not None:
        check_text("input", request.input)
        return [request.input]
    many = request.inputs or []
    if not 1 <= len(many) <= limit:
        raise BadInput(f"inputs: {len(many)} texts; send 1 to {limit}", "inputs")
    for number, text in enumerate(many):
        check_text(f"inputs[{number}]", text)
    return many


def check_text(name: str, text: str) -> None:
    """Refuse what no store can keep and no model can use.

    Raises:
        NotUsable: the text is blank or holds a NUL character.
    """
    if not text or text.isspace():
        raise NotUsable(f"{name}: the text is empty", name)
    if "\x00" in text:
        raise NotUsable(f"{name}: a NUL character, which no store keeps; remove it", name)


def check_words(name: str, text: str) -> None:
    """Refuse what would keep a tagger busy for minutes: a body may hold half a million words.

    Raises:
        NotUsable: too many words.
    """
    words = len(tagging.words(text))
    if words > MOST_WORDS:
        raise NotUsable(
            f"{name}: {words:,} words; at most {MOST_WORDS:,} are tagged at once, so send it in "
            "parts"
        )


def check_unit(name: str, unit: str) -> None:
    """Refuse a unit that would make strangers one unit.

    Raises:
        BadInput: empty, too long, or with a NUL character.
    """
    if not unit or len(unit) > MAX_UNIT or "\x00" in unit:
        raise BadInput(f"{name}: a unit has 1 to {MAX_UNIT} characters, none of them NUL", name)


def _param(text: str, what: str) -> str | None:
    found = _FIELD.search(text)
    path = found.group(1) if found else ""
    named = _UNKNOWN.search(what) or _MISSING.search(what)
    parts = [part for part in (path, named.group(1) if named else "") if part]
    return ".".join(parts) or None
