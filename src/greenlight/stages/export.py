"""Export: labelled rows as a file for fine-tuning elsewhere, without personal data."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from greenlight.core import exporting, pii
from greenlight.core.curation import CLASSIFY, TAG, Kind, Row
from greenlight.core.errors import BadInput, MissingData


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote. `personal_data` counts what was scrubbed, by kind."""

    path: str
    format: str
    digest: str
    rows: int
    empty: int
    """Rows whose text or label is nothing but white space; they are not in the file."""
    personal_data: dict[str, int]


def export(
    chunks: Iterable[Sequence[Row]], form: str, target: Path, kind: Kind = CLASSIFY
) -> Written:
    """Write rows to a file as they come; nobody ever sees half of it.

    Args:
        chunks: the rows.
        form: one of `core.exporting.SUFFIXES`.
        target: the file; one that is there is replaced.
        kind: what the labels are; where words have tags, personal data goes word by word.

    Raises:
        BadInput: personal data in a label or that cannot be scrubbed, or no such format.
        MissingData: there are no rows.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256(exporting.head(form))
    found: Counter[str] = Counter()
    rows = empty = 0
    labels: set[str] = set()
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            file.write(exporting.head(form))
            for chunk in chunks:
                lines = []
                for row in chunk:
                    if not row.text.strip() or not row.label.strip():
                        empty += 1
                        continue
                    _check_label(row.label, labels, kind)
                    text, findings = pii.scrub(row.text, by_word=kind == TAG)
                    found.update(findings)
                    lines.append(exporting.line(form, text, row.label))
                data = b"".join(lines)
                hashed.update(data)
                file.write(data)
                rows += len(lines)
            if not rows:
                raise MissingData("no rows to export; look further back, or wait for feedback")
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
    return Written(
        path=str(target),
        format=form,
        digest=f"sha256:{hashed.hexdigest()}",
        rows=rows,
        empty=empty,
        personal_data=dict(sorted(found.items())),
    )


def _check_label(label: str, seen: set[str], kind: Kind) -> None:
    """Refuse a label with personal data; each is looked at once, unless there may be as many as
    rows."""
    if label in seen:
        return
    if pii.find(label):
        raise BadInput("a label holds personal data; correct it by greenlight relabel label")
    if kind == CLASSIFY:
        seen.add(label)
