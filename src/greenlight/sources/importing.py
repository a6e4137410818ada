"""A file of somebody's own, checked row by row and copied to where runs find it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint, pii, tagging
from greenlight.core.curation import CLASSIFY, TAG, Kind
from greenlight.core.errors import BadInput, Tampered
from greenlight.ports import Progress
from greenlight.sources import files
from greenlight.sources.rows import Columns
from greenlight.sources.watched import Watched

SHOWN = 20
"""Problems that are told one by one."""

MAX_LABELS = 10_000
"""A column with more labels than this is none of labels."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `path` is the copy; None where there was a problem, and so no copy.

    `blank` rows have no text or no label, which no run learns from. `labels` counts rows by label
    or, where words have tags, entities by type. `personal_data` counts findings by kind, in texts;
    `problems` are the first ones.
    """

    path: str | None
    digest: str
    rows: int
    blank: int
    labels: dict[str, int]
    personal_data: dict[str, int]
    problems: list[str]
    problem_count: int


def bring_in(
    original: Path,
    folder: Path,
    columns: Columns,
    progress: Progress,
    *,
    kind: Kind = CLASSIFY,
    digest: str | None = None,
) -> Imported:
    """Check every row of a file and copy it into a folder, under the name of its content.

    Args:
        original: the file.
        folder: where the copy goes.
        columns: which columns hold what.
        progress: told the share that is checked.
        kind: what the labels are.
        digest: what its SHA-256 must be.

    Raises:
        BadInput: it cannot be read as rows at all.
        MissingData: it is not there.
        Tampered: it is another file, or changed meanwhile.
        Unwritable: there is no place for the copy.
    """
    shown = original.name
    files.reader_of(original, shown)
    suffix = original.suffix.lower()
    with artifacts.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(suffix=suffix, dir=folder)
    os.close(handle)
    copy = Path(scratch)
    try:
        source = Watched(original, shown)
        try:
            if digest not in (None, source.digest):
                raise Tampered(f"{shown}: SHA-256 is {source.digest}, expected {digest}")
            with artifacts.writing(folder):
                shutil.copyfile(original, copy)
            source.check(read_whole=False)
        finally:
            source.close()
        found = _checked(copy, shown, columns, kind, progress)
        if found.problem_count:
            return found
        kept = folder / f"{fingerprint.short(found.digest)}{suffix}"
        os.replace(copy, kept)
        return msgspec.structs.replace(found, path=str(kept))
    finally:
        copy.unlink(missing_ok=True)


def _checked(copy: Path, shown: str, columns: Columns, kind: Kind, progress: Progress) -> Imported:
    problems: list[str] = []
    labels: Counter[str] = Counter()
    personal: Counter[str] = Counter()
    count = rows = blank = 0

    def fault(message: str) -> None:
        nonlocal count
        count += 1
        if len(problems) < SHOWN:
            problems.append(message)

    file = Watched(copy, shown)
    try:
        for text, label, _ in files.read(file, columns, fault):
            rows += 1
            personal.update(one.kind for one in pii.find(text))
            if not text.strip() or not label.strip():
                blank += 1
                continue
            wrong = (_tagged if kind == TAG else _labelled)(text, label, labels)
            if wrong is not None:
                fault(f"{file.place}: {wrong}")
            if len(labels) > MAX_LABELS:
                raise BadInput(
                    f"{shown}: more than {MAX_LABELS} labels in {columns.label!r}; "
                    "name the column of the labels by --label"
                )
            if rows % 1000 == 0:
                progress(file.read / file.size, f"checking {shown}")
        return Imported(
            path=None,
            digest=file.digest,
            rows=rows,
            blank=blank,
            labels=dict(labels.most_common()),
            personal_data=dict(sorted(personal.items())),
            problems=problems,
            problem_count=count,
        )
    finally:
        file.close()


def _labelled(text: str, label: str, labels: Counter[str]) -> str | None:
    """Count a label; returns what is wrong with it, told once."""
    labels[label] += 1
    if labels[label] == 1 and pii.find(label):
        return "the label holds personal data; give it another name"
    return None


def _tagged(text: str, label: str, types: Counter[str]) -> str | None:
    """Count the entities of a text; returns what is wrong with their tags."""
    if pii.find(label):
        return "the tags hold personal data; correct them"
    try:
        tagging.check(text, label)
    except BadInput as error:
        return str(error)
    types.update(span.type for span in tagging.spans(tagging.tags(label)))
    return None
