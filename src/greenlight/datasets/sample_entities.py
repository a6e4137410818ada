"""The sample of tagged words: what people write to a parcel service, written for this project.

It is there to try a task of the kind `tag` without fetching anything, and shows its way from data
to a version; 86 sentences are too few for a model that anybody should use. The entities are
persons, places, shops and carriers, all of them made up but the places. The split is in the file
and fixed; validation has rows of its own.
"""

from __future__ import annotations

from importlib import resources
from typing import Literal

import msgspec

from greenlight.core import jsonl
from greenlight.datasets.source import PublicSource
from greenlight.ports import Example

NAME = "sample-entities"
FILE = "parcel_names.jsonl"


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    split: Literal["train", "validation", "test"]
    label: str
    text: str


def load() -> PublicSource:
    """Read the sample from the package."""
    data = resources.files(__package__).joinpath("data", FILE).read_bytes()
    rows = jsonl.decode(data, _Row, FILE)

    def of(split: str) -> list[Example]:
        return [Example(text=row.text, label=row.label) for row in rows if row.split == split]

    return PublicSource(
        name=NAME,
        origin=f"greenlight.datasets/data/{FILE}",
        licence="Apache-2.0",
        citation="Written for Greenlight",
        train=of("train"),
        validation=of("validation"),
        test=of("test"),
    )
