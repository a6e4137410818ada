"""A fine-tuned model's folder: a bundle, and beside it what of the prompts it was learnt from.

| file | holds |
|---|---|
| `bundle/` | an ordinary bundle (`models.bundle`), whose labels are the whole answers |
| `shape.json` | the lines that prompts have in common, which are not read |
| `learnt.jsonl` | a text and its answer per line, for a job that goes on from here |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from greenlight.core.errors import BadInput
from greenlight.core.messages import Message
from greenlight.models import bundle
from greenlight.models.linear import Doubles
from greenlight.tuning.conversations import Shape

_BUNDLE, _SHAPE, _LEARNT = "bundle", "shape.json", "learnt.jsonl"


class Row(msgspec.Struct, frozen=True):
    """What is particular to a prompt, and the answer to it."""

    text: str
    answer: str


class Tuned:
    """A loaded model. Immutable, so any thread may use it."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            Tampered: the bundle is not as it was written.
            BadInput: it is none of a text classifier.
        """
        model = bundle.load(folder / _BUNDLE)
        if not isinstance(model, bundle.TextModel):
            raise BadInput(f"{folder}: no model that answers conversations; delete it")
        self._model = model
        self._shape = shape(folder)
        self.answers: Sequence[str] = model.labels

    def shares(self, messages: Sequence[Message]) -> Doubles:
        """The calibrated probability of each answer."""
        found: Doubles = self._model.shares([self._shape.text(messages)])[0]
        return found


def write(folder: Path, parts: bundle.Parts, shape: Shape, rows: Sequence[Row]) -> None:
    """Write a model to a new folder."""
    folder.mkdir(parents=True)
    (folder / _SHAPE).write_bytes(msgspec.json.encode(sorted(shape.common)))
    (folder / _LEARNT).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    bundle.write(folder / _BUNDLE, parts)


def shape(folder: Path) -> Shape:
    """What the prompts of a model have in common."""
    return Shape(msgspec.json.decode((folder / _SHAPE).read_bytes(), type=list[str]))


def learnt(folder: Path) -> list[Row]:
    """What a model was made from."""
    decoder = msgspec.json.Decoder(Row)
    return [decoder.decode(line) for line in (folder / _LEARNT).read_bytes().splitlines()]
