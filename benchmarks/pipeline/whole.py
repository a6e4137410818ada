"""Collect, curate and export with whole lists in memory: what somebody would write first.

The same rows as the stages make, byte for byte, by the same rules for each row; what differs is
that every step waits for the whole list of the step before. (Rows of a source without a split of
its own, and no row that the stages would refuse.)
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from msgspec.structs import replace

from benchmarks.collecting import collector
from greenlight import artifacts
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import curation, pii
from greenlight.core.curation import SPLITS, Row
from greenlight.core.exporting import Lines
from greenlight.core.messages import USER, Message

SEED = 2025


def collect(source: Path, target: Path) -> int:
    """Rows without personal data, as `stages.collect` writes them; returns how many."""
    rows = artifacts.read_rows(source, "made", Row)
    cleaned = [
        replace(row, text=pii.scrub(row.text)[0]) if pii.find(row.text) else row for row in rows
    ]
    if any(pii.find(row.text) for row in cleaned):
        raise ValueError("personal data was left")
    target.mkdir()
    (target / "rows.jsonl").write_bytes(curation.encode(cleaned))
    return len(cleaned)


def curate(source: Path, target: Path) -> int:
    """The splits, as `stages.curate` writes them; returns the number of rows that came."""
    rows = [curation.clean(row) for row in artifacts.read_rows(source, "rows", Row)]
    splits = [curation.place(SEED, row) for row in rows]
    alike: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        alike[curation.lower(row.text)].append(n)
    staying = set()
    for places in alike.values():
        if len({rows[n].label for n in places}) == 1:
            # Of equal texts the first of the highest split stays.
            staying.add(min(places, key=lambda n: (-splits[n], n)))
    target.mkdir()
    for number, name in enumerate(SPLITS):
        part = [row for n, row in enumerate(rows) if n in staying and splits[n] == number]
        (target / f"{name}.jsonl").write_bytes(curation.encode(part))
    return len(rows)


def export(store: SqlStore, form: str, target: Path) -> int:
    """The file, as `stages.export` writes it; returns the number of its rows."""
    rows = [row for chunk in collector(store).rows(lambda: 1000) for row in chunk]
    lines = Lines(form)
    made = [lines.line([Message(USER, pii.scrub(row.text)[0])], row.label) for row in rows]
    target.write_bytes(lines.head + b"".join(made))
    return len(made)
