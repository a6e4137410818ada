"""The sample: questions to the support desk of a parcel service, written for this project.

It takes the place of BANKING77 where that cannot be had. 20 intents, many of them close
neighbours (four ways not to get one's parcel, two ways to be asked for money), 75 texts each to
learn from and 25 to test on. Two texts in five are plain, the rest say it in a roundabout way, so
that scores are lower than on BANKING77. The split is in the file and fixed.
"""

from __future__ import annotations

from importlib import resources

import msgspec

from greenlight.core import jsonl
from greenlight.datasets.source import PublicSource
from greenlight.ports import Example

NAME = "sample"
FILE = "parcel_desk.jsonl"


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    split: str
    label: str
    text: str


def load() -> PublicSource:
    """Read the sample from the package."""
    data = resources.files(__package__).joinpath("data", FILE).read_bytes()
    rows = jsonl.decode(data, _Row, FILE)
    return PublicSource(
        name=NAME,
        origin=f"greenlight.datasets/data/{FILE}",
        licence="Apache-2.0",
        citation="Written for Greenlight",
        train=[Example(text=row.text, label=row.label) for row in rows if row.split == "train"],
        test=[Example(text=row.text, label=row.label) for row in rows if row.split == "test"],
    )
