"""What a card is made of, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.gates import GateResult
from greenlight.core.records import Approval, Dataset, Evaluation, Run, Version

NOT_MEASURED = "not measured"

SPLITS = ("train", "validation", "test")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The records that a card tells of."""

    version: Version
    run: Run | None
    dataset: Dataset | None
    evaluation: Evaluation | None
    gates: Sequence[GateResult]
    approvals: Sequence[Approval]
    traced: int | None
    """Rows learnt from that carry the id of an inference; None where the dataset is not here."""
    others: Sequence[Dataset] = ()
    """Data sets of parts that judge another version, as far as they are on record."""
    kept: Sequence[tuple[str, str]] = ()
    """What a gateway keeps of requests and answers: (what, how much)."""
    docs: str | None = None
    """Where the repository of Greenlight lies, seen from the card, with a slash at the end; None:
    its pages are named and not linked."""
    sealed: str | None = None
    """Where the sealed document lies, seen from the card."""

    @property
    def document(self) -> Mapping[str, Any]:
        """What was measured; empty where nothing is on record."""
        return {} if self.evaluation is None else self.evaluation.document

    def page(self, path: str) -> str:
        """A page of Greenlight's documentation, as a cell: a link where that leads somewhere."""
        return Code(path) if self.docs is None else Link(path, f"{self.docs}{path}")


class Code(str):
    """A name or a digest, to be set as code."""

    __slots__ = ()


class Link(str):
    """Text that leads somewhere."""

    __slots__ = ("target",)
    target: str

    def __new__(cls, text: str, target: str) -> Link:
        """A text and where it leads: a relative path, escaped as in an address."""
        made = super().__new__(cls, text)
        made.target = target
        return made


Cell = str
"""Text, `Code`, or `Link`."""


class Table(msgspec.Struct, frozen=True):
    """A table whose first cell of a row names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a card under a heading; what there is of it comes in this order."""

    title: str
    text: str = ""
    items: Sequence[tuple[str, Cell]] = ()
    """(what, what is known of it)."""
    warnings: Sequence[str] = ()
    table: Table | None = None


def sentence(part: Mapping[str, Any]) -> str:
    """Why a part holds no number."""
    reason = str(part.get("reason", NOT_MEASURED))
    return f"{reason[:1].upper()}{reason[1:]}."


def cells(block: Mapping[str, Any], *, signed: bool = False) -> tuple[str, str]:
    """A number and its interval; in place of the number the reason why there is none."""
    form = "+.4f" if signed else ".4f"
    value, low, high = (block.get(name) for name in ("value", "low", "high"))
    if value is None:
        return str(block.get("reason", NOT_MEASURED)), ""
    interval = "" if low is None or high is None else f"{low:{form}} to {high:{form}}"
    return f"{value:{form}}", interval


def whose(part: Mapping[str, Any]) -> str:
    """What stands behind the name of a number where a part judges another version."""
    return ", of another version" if "subject" in part else ""


def number(value: float | None) -> str:
    """A number, if there is one."""
    return NOT_MEASURED if value is None else f"{value:.4f}"


def counts(found: Mapping[str, int] | None) -> str:
    """Counts by name; the splits in their order, and what is 0 left out."""
    if found is None:
        return "not counted"
    names = sorted(found, key=lambda name: SPLITS.index(name) if name in SPLITS else -1)
    return ", ".join(f"{name} {found[name]:,}" for name in names if found[name]) or "none"


def value(found: object) -> str:
    """Whatever a manifest holds, in words."""
    if found is None:
        return "not known"
    if isinstance(found, Mapping):
        return ", ".join(f"{name} {value(it)}" for name, it in found.items()) or "none"
    if isinstance(found, int) and not isinstance(found, bool):
        return f"{found:,}"
    return str(found)


def confused(test: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """(times, true, predicted) of what was taken for something else, the most frequent first."""
    labels = test.get("labels", [])
    pairs = sorted(
        (-count, labels[row], labels[column])
        for row, found in enumerate(test.get("confusion", []))
        for column, count in enumerate(found)
        if count and row != column
    )
    return ((-count, gold, given) for count, gold, given in pairs)
