"""What is different between two datasets, row by row, however large they are.

Rows are compared by text and label, each as often as it stands there, whatever split they are in.
An index on disk holds them, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.core import tagging
from greenlight.core.curation import CLASSIFY, TAG, Row
from greenlight.ports import Progress
from greenlight.scratch import Scratch

_TABLE = """
    CREATE TABLE row (text TEXT, label TEXT, a INT, b INT, PRIMARY KEY (text, label)) WITHOUT ROWID
"""
_COUNT = (
    "INSERT INTO row VALUES (?, ?, 1, 0) ON CONFLICT DO UPDATE SET a = a + 1",
    "INSERT INTO row VALUES (?, ?, 0, 1) ON CONFLICT DO UPDATE SET b = b + 1",
)
_TEXTS = "SELECT text, sum(max(a - b, 0)) AS gone, sum(max(b - a, 0)) AS come FROM row GROUP BY 1"
"""By text, in its order: how many rows only the first has under some label, and the second."""


class Change(msgspec.Struct, frozen=True):
    """A text and its labels in the first and in the second dataset."""

    text: str
    before: list[str]
    after: list[str]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """From the first dataset to the second; counts are of rows, and where words have tags, labels
    are the types of entities and counts by label are of entities."""

    rows: tuple[int, int]
    unchanged: int
    added: int
    removed: int
    relabelled: int
    """The same text under another label."""
    labels_added: list[str]
    labels_removed: list[str]
    per_label: dict[str, tuple[int, int]]
    """Labels whose number differs."""
    examples: dict[str, list[Change]]
    """`added`, `removed` and `relabelled`: the first few texts, by code point."""


def difference(
    first: str | Path, second: str | Path, *, examples: int, workdir: str | Path, progress: Progress
) -> Difference:
    """Compare two sealed datasets.

    Args:
        first: the folder of the older one.
        second: that of the newer one.
        examples: how many texts to show of each kind of change.
        workdir: an empty folder for the index, the caller's to remove.
        progress: told the share done.

    Raises:
        Tampered: a folder is not as it was sealed.
        BadInput: a line that is no row.
        Unwritable: no room for the index.
    """
    counts: list[Counter[str]] = []
    totals: list[int] = []
    with Scratch(workdir, lambda: None) as index:
        index.run(_TABLE)
        for number, folder in enumerate((first, second)):
            labels: Counter[str] = Counter()
            index.fill(_COUNT[number], _rows(folder, labels))
            counts.append(labels)
            totals.append(index.number(f"SELECT sum({'ab'[number]}) FROM row"))
            progress((number + 1) / 3, "rows read")
        before, after = counts
        relabelled = index.number(f"SELECT sum(min(gone, come)) FROM ({_TEXTS})")
        unchanged = index.number("SELECT sum(min(a, b)) FROM row")
        progress(1.0, "compared")
        return Difference(
            rows=(totals[0], totals[1]),
            unchanged=unchanged,
            added=totals[1] - unchanged - relabelled,
            removed=totals[0] - unchanged - relabelled,
            relabelled=relabelled,
            labels_added=sorted(after.keys() - before.keys()),
            labels_removed=sorted(before.keys() - after.keys()),
            per_label={
                label: (before[label], after[label])
                for label in sorted(before.keys() | after.keys())
                if before[label] != after[label]
            },
            examples={
                "added": _examples(index, "come > gone", examples),
                "removed": _examples(index, "gone > come", examples),
                "relabelled": _examples(index, "min(gone, come) > 0", examples),
            },
        )


def _rows(folder: str | Path, labels: Counter[str]) -> Iterator[tuple[str, str]]:
    manifest = artifacts.unseal(folder)
    kind = manifest.get("kind", CLASSIFY)
    for split in sorted(artifacts.splits(manifest)):
        for row in artifacts.iter_rows(folder, split, Row):
            if kind == TAG:
                tags = filter(tagging.is_tag, tagging.tags(row.label))
                labels.update(span.type for span in tagging.spans(list(tags)))
            elif kind == CLASSIFY:  # there may be as many answers as rows
                labels[row.label] += 1
            yield row.text, row.label


def _examples(index: Scratch, condition: str, count: int) -> list[Change]:
    texts = list(index.ask(f"SELECT text FROM ({_TEXTS}) WHERE {condition} LIMIT ?", count))
    found = []
    for (text,) in texts:
        rows = list(index.ask("SELECT label, a, b FROM row WHERE text = ? ORDER BY label", text))
        before = [label for label, a, _ in rows if a]
        found.append(Change(text, before, [label for label, _, b in rows if b]))
    return found
