"""The evaluation document: parts that agree on what was judged, merged into one.

| part | says | without it |
|---|---|---|
| `intent` | what the protocol makes of the labels given to the test rows | another must be there |
| `ner` | what it makes of the tags given to their words | another must be there |
| `chat` | what it makes of the answers given to conversations | another must be there |
| `live` | the difference from the version that is live, on the same rows | a reason |
| `usage` | what answers took in time and money, beside the live version's | a reason |
| `sanity` | what a model of shuffled labels can do | a reason |
| `load` | what a load test found (`core.load`) | a reason |
| `oos` | how well texts out of scope are told (`stages.scope`) | a reason |

A task has one of the first three, by its kind. The document of a release holds two: `ner` is then
of a version of its own, named under `subject`, and `live`, `sanity` and the others are of the
version that `intent` judges.

A part that could not be measured holds a `reason` and no number. `results_digest` covers all that
depends on inputs alone, so that two evaluations can be told to be equal although one took longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Tampered

SCHEMA = 1


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a part that judges predictions is looked at for first."""

    number: str
    """The name of that number."""
    key: str
    """Where it stands below each split."""
    rows: str
    """What the test rows are."""
    gap: str
    """The metric of its gap between train and validation."""
    overfit: float
    """A gap above this is a warning, never a block (REQUIREMENTS T7)."""


JUDGED: Mapping[str, Judged] = {
    "intent": Judged(
        number="accuracy", key="accuracy", rows="rows", gap="train_val_gap", overfit=0.03
    ),
    "ner": Judged(
        number="token F1",
        key="token_micro_f1",
        rows="sentences",
        gap="token_train_val_gap",
        overfit=0.05,
    ),
    "chat": Judged(
        number="overlap of words",
        key="overlap",
        rows="conversations",
        gap="overlap_train_val_gap",
        overfit=0.05,
    ),
}
"""The parts that judge predictions."""

ONE_OF = ", ".join(list(JUDGED)[:-1]) + f" or {list(JUDGED)[-1]}"
"""Those, for messages."""

ABSENT: Mapping[str, Mapping[str, str]] = {
    "live": {"reason": "not compared: this part was not measured"},
    "usage": {"reason": "not measured: this part was not measured"},
    "sanity": {"reason": "not measured: no training on shuffled labels is on record"},
    "load": {"reason": "not measured: no load test has written this part"},
    "oos": {"reason": "not measured: greenlight eval oos has not made this part"},
}
"""What stands in the document for a part that nobody wrote."""

PARTS = (*JUDGED, *ABSENT)

_RIGHT: Mapping[str, str] = {"intent": "accuracy", "ner": "exact", "chat": "agreement"}
"""Part that judges predictions → where the share of rows that are right stands in its test."""

FOLDER, FILE = "parts", "eval.json"
"""Where an evaluation's parts and its document lie, below its own folder."""

NO_IMAGE = "GREENLIGHT_IMAGE_DIGEST is not set: not run from an image"

_RESULTS = (
    "schema",
    "task",
    "version",
    "bundle",
    "dataset",
    "protocol",
    "intent",
    "ner",
    "chat",
    "live",
    "sanity",
    "oos",
    "warnings",
)
"""What depends on inputs alone. Usage and a load test measure time."""

_TINY = 1e-9


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged, on which rows, by which rules, with which code: all parts agree on it."""

    task: str
    version: str
    bundle: str
    dataset: dict[str, Any]
    """`digest`, `name`, its terms, and the digest of each split under `splits`."""
    protocol: dict[str, str]
    """`module` and `digest`."""
    code: str
    """Digest of the source that ran."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of an evaluation, as it lies in a file."""

    part: str
    subject: Subject
    inputs: str
    """Digest of all that went in: a part whose inputs are the same need not be made again."""
    result: dict[str, Any]
    environment: dict[str, Any]
    """What it was measured on: hardware, packages, commit."""
    wall_clock_s: float
    rows_per_s: float | None = None
    """Of predicting; None where nothing was predicted, or predictions were remembered."""


def decode(data: bytes, name: str) -> Part:
    """A part from the bytes of its file.

    Raises:
        BadInput: these bytes are no part of that name.
    """
    try:
        part = msgspec.json.decode(data, type=Part)
    except msgspec.DecodeError as error:
        raise BadInput(f"{name}.json: no readable part ({error}); measure it again") from error
    if part.part != name:
        raise BadInput(f"{name}.json: holds part {part.part!r}; measure {name} again")
    return part


def merge(parts: Sequence[Part]) -> dict[str, Any]:
    """One document of parts that agree.

    Raises:
        BadInput: there is no judgement (`JUDGED`), two parts of a name, or parts of different
            subjects.
    """
    named = {part.part: part for part in parts}
    if len(named) != len(parts):
        raise BadInput("cannot seal: a part is there twice")
    judgements = [named[name] for name in JUDGED if name in named]
    if not judgements:
        raise BadInput(f"cannot seal: there is no part {ONE_OF}; measure it first")
    judged = judgements[0]
    subject = judged.subject
    for part in parts:
        _agree(judged, part)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "task": subject.task,
        "version": subject.version,
        "bundle": subject.bundle,
        "dataset": subject.dataset,
        "protocol": subject.protocol,
        **{part.part: _told(part, subject) for part in judgements},
        **{name: named[name].result if name in named else ABSENT[name] for name in ABSENT},
    }
    document["warnings"] = _warnings(document)
    whole = {
        **document,
        "results_digest": results_digest(document),
        "environment": judged.environment,
        **_image(judged.environment),
        "wall_clock_s": round(sum(part.wall_clock_s for part in parts), 3),
        "rows_per_s": judged.rows_per_s
        if judged.rows_per_s is not None
        else {"reason": "the predictions were remembered from an earlier evaluation"},
    }
    return {**whole, "document_digest": document_digest(whole)}


def results_digest(document: Mapping[str, Any]) -> str:
    """Names what an evaluation found: not when, how fast and on which machine."""
    return fingerprint.digest({name: document[name] for name in _RESULTS if name in document})


def document_digest(document: Mapping[str, Any]) -> str:
    """Names a whole document, the load test and what it was measured on included."""
    told = {name: value for name, value in document.items() if name != "document_digest"}
    return fingerprint.digest(told)


def check(document: Mapping[str, Any]) -> None:
    """See that a sealed document still says what it was sealed with.

    Raises:
        Tampered: it is not the document that its digests name.
    """
    if document.get("results_digest") != results_digest(document):
        raise Tampered("the document's results are not those that it was sealed with")
    if document.get("document_digest") != document_digest(document):
        raise Tampered("the document is not the one that was sealed")


def judgement(document: Mapping[str, Any]) -> tuple[Judged, Mapping[str, Any]]:
    """What a document says of its version's predictions, and what to look at in it.

    Empty where it says nothing.
    """
    name = next((name for name in JUDGED if name in document), "intent")
    return JUDGED[name], document.get(name, {})


def right(document: Mapping[str, Any]) -> dict[str, Any]:
    """The share of test rows answered right, by the version that a document is of.

    Labels are right or wrong; tags are right where those of every word of the row are; an answer is
    where it is the wanted one.

    Raises:
        KeyError, TypeError: the document says no such thing.
    """
    name = next((name for name in _RIGHT if name in document), "intent")
    return dict(document[name]["test"][_RIGHT[name]])


def warnings(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a document warns of: `metric`, `value`, `limit` and `reason` of each warning."""
    return list(document.get("warnings", ()))


def _told(part: Part, subject: Subject) -> dict[str, Any]:
    if part.subject.version == subject.version:
        return part.result
    return {**part.result, "subject": msgspec.to_builtins(part.subject)}


def _agree(judged: Part, part: Part) -> None:
    """See that a part is of the same subject; another judgement may be of another version."""
    subject = judged.subject
    own = part.part in JUDGED and part.subject.version != subject.version
    for name in ("code",) if own else Subject.__struct_fields__:
        mine, other = getattr(subject, name), getattr(part.subject, name)
        if mine != other:
            raise BadInput(
                f"cannot seal: part {part.part} was made with another {name} than part "
                f"{judged.part} ({_short(other)}, not {_short(mine)}); measure it again"
            )


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("digest", value)
    return fingerprint.short(str(value))


def _warnings(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for part, rule in JUDGED.items():
        gap = document.get(part, {}).get("train_val_gap", {}).get("value")
        if gap is not None and gap > rule.overfit + _TINY:
            found.append(
                {
                    "metric": rule.gap,
                    "value": gap,
                    "limit": rule.overfit,
                    "reason": f"overfit: {rule.number} on train is {gap:.4f} above validation, "
                    f"more than {rule.overfit:g}",
                }
            )
    shuffled = document["sanity"].get("shuffled_labels", {})
    if shuffled.get("at_chance") is False:
        value, chance = shuffled["accuracy"]["value"], shuffled["chance"]
        found.append(
            {
                "metric": "sanity_accuracy",
                "value": value,
                "limit": chance,
                "reason": f"trained on shuffled labels the accuracy is {value:.4f}, above chance "
                f"({chance:.4f}): true labels leak past the training rows",
            }
        )
    return found


def _image(environment: Mapping[str, Any]) -> dict[str, str]:
    digest = environment.get("image_digest")
    if digest:
        return {"image_digest": str(digest)}
    return {"image_digest": "none", "image_digest_reason": NO_IMAGE}
