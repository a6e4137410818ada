"""What rows teach, in the index of curation: a label each, the types of their entities, answers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from greenlight.core import curation, tagging
from greenlight.core.curation import (
    CHAT,
    CLASSIFY,
    MISFIT,
    TAG,
    TRAIN,
    VALIDATION,
    Kind,
    Row,
)
from greenlight.core.errors import BadInput
from greenlight.scratch import Scratch


class Labels:
    """Kind `classify`: a row teaches its label. The methods are called in the order they stand."""

    reasons: Sequence[str] = ()
    """Reasons to leave a row out that only this kind has."""
    stratum = "label"
    """What a share of is held out, as the index knows it."""
    torn = True
    """Whether a text under two labels contradicts itself."""
    nothing = "any label"

    def __init__(self, index: Scratch) -> None:
        """Set up the index, in which `row` is there."""
        self._index = index
        self._places: dict[str, int] = {}

    def fault(self, row: Row) -> str | None:
        """What is wrong with a row that has text and label, or None."""
        return None

    def note(self, n: int, row: Row) -> int:
        """Take note of a row; returns a number that is equal for equal labels."""
        return self._places.setdefault(row.label, len(self._places))

    def flush(self) -> None:
        """Put into the index what was noted since the last call."""

    def drop_unknown(self, judged: int) -> int:
        """Take out validation rows, and those of test below `judged`, that teach what no training
        row does; returns how many."""
        return self._index.run(
            "DELETE FROM row WHERE split > ? AND split < ? AND label NOT IN"
            " (SELECT label FROM row WHERE split = ?)",
            TRAIN,
            judged,
            TRAIN,
        )

    def taught(self, split: int) -> list[str]:
        """What the rows of a split teach, by code point."""
        names = list(self._places)
        asked = self._index.ask("SELECT DISTINCT label FROM row WHERE split = ?", split)
        return sorted(names[label] for (label,) in asked)

    def check(self, learnt: Sequence[str]) -> None:
        """See that a model could tell anything apart.

        Raises:
            BadInput: it could not.
        """
        if len(learnt) == 1:
            raise BadInput(
                f"train: every row has the label {learnt[0]!r}; with one label there is nothing to "
                "tell apart: collect rows of another"
            )

    def keep_learnt(self) -> None:
        """Give back to train what was held out and is learnt from nothing else."""
        # Of each label at least one row was left in train.

    def count(self, rows: Iterable[Row]) -> Counter[str]:
        """How often rows teach what."""
        return Counter(row.label for row in rows)

    def labels(self, taught: Iterable[str]) -> list[str]:
        """What a model of these rows answers with, sorted by code point."""
        return sorted(taught)


class Types:
    """Kind `tag`: a row teaches the types of its entities. Otherwise as `Labels`."""

    reasons: Sequence[str] = (MISFIT,)
    stratum = "0"
    torn = True
    nothing = "any entity"

    def __init__(self, index: Scratch) -> None:
        """Set up the index, in which `row` is there."""
        self._index = index
        self._places: dict[str, int] = {}
        self._noted: list[tuple[int, int]] = []
        index.run("CREATE TABLE taught (n INTEGER, type INTEGER)")

    def fault(self, row: Row) -> str | None:
        """What does not fit between words and tags, or None."""
        try:
            tagging.check(row.text, row.label)
        except BadInput as error:
            return str(error)
        return None

    def note(self, n: int, row: Row) -> int:
        """Take note of a row; returns a number that is equal for equal tags."""
        for name in sorted({span.type for span in _spans(row)}):
            self._noted.append((n, self._places.setdefault(name, len(self._places))))
        return _number(row.label)

    def flush(self) -> None:
        """Put into the index what was noted since the last call."""
        self._index.fill("INSERT INTO taught VALUES (?, ?)", self._noted)
        self._noted = []

    def drop_unknown(self, judged: int) -> int:
        """Take out validation rows, and those of test below `judged`, with a type of which no
        training row has an entity; returns how many."""
        return self._index.run(
            f"DELETE FROM row WHERE split > ? AND split < ? AND n IN ({_UNLEARNT})",
            TRAIN,
            judged,
            TRAIN,
        )

    def taught(self, split: int) -> list[str]:
        """The types of the entities in a split, by code point."""
        names = list(self._places)
        asked = self._index.ask(
            "SELECT DISTINCT type FROM taught JOIN row USING (n) WHERE split = ?", split
        )
        return sorted(names[kind] for (kind,) in asked)

    def check(self, learnt: Sequence[str]) -> None:
        """One type is enough: words of it are told from words outside of entities."""

    def keep_learnt(self) -> None:
        """Give back to train what was held out and is learnt from nothing else."""
        self._index.run(
            f"UPDATE row SET split = ? WHERE split = ? AND rank IS NOT NULL AND n IN ({_UNLEARNT})",
            TRAIN,
            VALIDATION,
            TRAIN,
        )

    def count(self, rows: Iterable[Row]) -> Counter[str]:
        """How many entities of which type there are."""
        return Counter(span.type for row in rows for span in _spans(row))

    def labels(self, taught: Iterable[str]) -> list[str]:
        """`O`, and both tags of every type, whether rows have both or not; by code point."""
        return tagging.tag_set(f"B-{name} I-{name}" for name in taught)


class Answers:
    """Kind `chat`: a row teaches an answer, and several may be good. Otherwise as `Labels`."""

    reasons: Sequence[str] = ()
    stratum = "0"
    torn = False
    nothing = "any answer"

    def __init__(self, index: Scratch) -> None:
        """Set up the index, in which `row` is there."""
        self._index = index

    def fault(self, row: Row) -> str | None:
        """What is wrong with a row that has text and label, or None."""
        return None

    def note(self, n: int, row: Row) -> int:
        """Take note of a row; returns a number that is equal for equal answers."""
        return _number(curation.lower(row.label))

    def flush(self) -> None:
        """Put into the index what was noted since the last call."""

    def drop_unknown(self, judged: int) -> int:
        """Nobody need have given the very answer that another row wants."""
        return 0

    def taught(self, split: int) -> list[str]:
        """To answer, if the split has rows."""
        there = self._index.number("SELECT count(*) FROM row WHERE split = ?", split)
        return [self.nothing] if there else []

    def check(self, learnt: Sequence[str]) -> None:
        """There is nothing to tell apart."""

    def keep_learnt(self) -> None:
        """Nothing is learnt from single rows alone."""

    def count(self, rows: Iterable[Row]) -> Counter[str]:
        """Answers are not counted: there may be as many as rows."""
        return Counter()

    def labels(self, taught: Iterable[str]) -> list[str]:
        """There is no list of answers to choose from."""
        return []


Lessons = Labels | Types | Answers

_KINDS: Mapping[str, Callable[[Scratch], Lessons]] = {CLASSIFY: Labels, TAG: Types, CHAT: Answers}


def lessons(kind: Kind, index: Scratch) -> Lessons:
    """What the rows of a kind teach, kept in an index in which `row` is there."""
    return _KINDS[kind](index)


_UNLEARNT = (
    "SELECT n FROM taught WHERE type NOT IN"
    " (SELECT type FROM taught JOIN row USING (n) WHERE split = ?)"
)


def _number(label: str) -> int:
    """Equal for equal labels; no table of those that there were, for there may be as many as
    rows."""
    digest = hashlib.blake2b(label.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _spans(row: Row) -> list[tagging.Span]:
    return tagging.spans(tagging.tags(row.label))
