"""Collect: rows as they came but for personal data, in a sealed folder that never changes.

Nothing is written before `core.pii` has seen it, and what was written is read again: a row in
which something is found then ends the run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core import curation, messages, pii, tagging
from greenlight.core.curation import CHAT, CLASSIFY, TAG, Kind, Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.records import StageResult
from greenlight.ports import Blobs, Progress, Records
from greenlight.ports.source import Source
from greenlight.recording import Step, finish_dataset
from greenlight.watching import Meter, silent, steady

FORMAT = "greenlight.dataset.raw/1"

MAX_LABELS = 10_000
"""More different labels (tags, where words have them) than this are no labels."""

_TOLD = 1000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def collect(
    records: Records,
    raw: Blobs,
    source: Source,
    *,
    step: Step,
    now: Callable[[], int],
    workdir: str | Path,
    kind: Kind = CLASSIFY,
    size: Callable[[], int] = steady,
    progress: Progress = silent,
) -> StageResult:
    """Seal a source's rows without personal data and record them; the same rows again change
    nothing.

    A text with characters that no file can hold (lone surrogates) keeps its row: each becomes
    U+FFFD, and the manifest counts such rows as `unreadable`. Everything else in a text, control
    characters too, stays until curation. Where words have tags, personal data goes word by word, so
    that each tag still has its word. In chats it goes from answers as from what was asked, message
    by message. What rows were asked with (`prompts.json`) is kept as people wrote it.

    Args:
        records: where the dataset goes.
        raw: takes its folder.
        source: hands over the rows.
        step: the stage.
        now: microseconds since 1970-01-01 UTC.
        workdir: for what is half made.
        kind: what the labels are; the manifest names it unless it is `classify`.
        size: how many rows to hold at a time.
        progress: told after each chunk; what it raises ends the stage.

    Raises:
        MissingData: a split of the source is empty.
        BadInput: a row that cannot be read; personal data where none can be taken out (a label,
            the source's name or origin), or left in what was written; a unit that is no pseudonym.
        Unwritable: the disk is full, or may not be written to.
    """
    meter = Meter(size, now, progress)
    _about(source)  # refuses before anything is read
    gate = _Gate(kind)
    with artifacts.half_made(workdir) as folder:
        with artifacts.RowFiles(folder) as files:
            for split, rows in source.chunks(meter.size):
                files.write(split, curation.encode(gate.pass_through(split, rows)))
                meter.rows += len(rows)
                meter.tell(0.0, f"{source.name}: {meter.rows:,} rows read")
        for split in ("train", "test") if source.own_split else ("rows",):
            if not gate.counts[split]:
                raise MissingData(f"data set {source.name}: {split} has no rows; check its source")
        _check_again(folder, gate.counts, kind, meter)
        artifacts.write_prompts(folder, source.prompts)
        body = {
            **_about(source),
            **({} if kind == CLASSIFY else {"kind": kind}),
            "format": FORMAT,
            "task": step.task,
            "counts": dict(gate.counts),
            "exclusions": dict(source.exclusions),
            "pii": {"scrubbed": dict(gate.scrubbed), "rows": gate.rows, "unresolved": 0},
            "unreadable": gate.unreadable,
        }
        report = {
            **meter.report(),
            "exclusions": body["exclusions"],
            "pii": body["pii"],
            "queries": source.queries,
        }
        return finish_dataset(records, raw, folder, body, step=step, report=report, now=now())


class _Gate:
    """Lets rows through without personal data, and counts what it took out."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.counts: Counter[str] = Counter()
        self.scrubbed: Counter[str] = Counter()
        self.rows = 0
        self.unreadable = 0
        self._labels: set[str] = set()

    def pass_through(self, split: str, rows: Sequence[Row]) -> list[Row]:
        """The rows as they may be written.

        Raises:
            BadInput: one may not be; the message names it.
        """
        passed: list[Row] = []
        try:
            for row in rows:
                passed.append(self._row(row))
        except BadInput as error:
            number = self.counts[split] + len(passed) + 1
            answer = f" (answer {row.inference})" if row.inference else ""
            raise BadInput(f"{split}: row {number}{answer}: {error}") from error
        self.counts[split] += len(passed)
        return passed

    def _row(self, row: Row) -> Row:
        if self._kind == TAG:
            self._check_tags(row.label)
        elif self._kind == CLASSIFY and row.label not in self._labels:
            self._check_label(row.label)
        if row.unit and not _DIGEST.fullmatch(row.unit):
            raise BadInput("the unit is no pseudonym; a source hands over its digest")
        text, answer, label = self._readable(row.text), row.answer, row.label
        found: Counter[str] = Counter()
        if self._kind == CHAT:
            text = messages.each(text, lambda words: self._scrubbed(words, found))
            label = self._scrubbed(curation.readable(label), found)
        else:
            text = self._scrubbed(text, found)
        if answer:
            answer = self._scrubbed(curation.readable(answer), found)
        self.scrubbed.update(found)
        self.rows += bool(found)
        if text is row.text and answer is row.answer and label is row.label:
            return row
        return msgspec.structs.replace(row, text=text, answer=answer, label=label)

    def _readable(self, text: str) -> str:
        if text.isascii():
            return text
        readable = curation.readable(text)
        self.unreadable += readable != text
        return readable if readable != text else text

    def _scrubbed(self, text: str, counts: Counter[str]) -> str:
        """A text without personal data; what was found is counted."""
        if not pii.find(text):
            return text
        text, found = pii.scrub(text, by_word=self._kind == TAG)
        counts.update(found)
        return text

    def _check_tags(self, label: str) -> None:
        # A number may be spread over tags that are harmless one by one.
        if found := pii.find(label):
            raise BadInput(f"personal data in the tags ({_kinds(found)}); correct them")
        for tag in tagging.tags(label):
            if tag not in self._labels:
                self._check_label(tag)

    def _check_label(self, label: str) -> None:
        if label != curation.readable(label):
            raise BadInput("the label has characters that no file can hold; correct it")
        found = pii.find(label)
        if found:
            raise BadInput(
                f"personal data in the label ({_kinds(found)}); correct it in the source"
            )
        self._labels.add(label)
        if len(self._labels) > MAX_LABELS:
            raise BadInput(f"more than {MAX_LABELS:,} labels; is this the right column?")


def _about(source: Source) -> dict[str, Any]:
    """What the manifest says of a source; all of it is known after the last chunk.

    Raises:
        BadInput: personal data in it.
    """
    about = {
        **source.details,
        "name": source.name,
        "origin": source.origin,
        "licence": source.licence,
        "citation": source.citation,
    }
    _refuse_in_manifest(about)
    return about


def _refuse_in_manifest(value: object, where: str = "") -> None:
    """What names a data set is shown to everyone, so that nothing may hide in it."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_in_manifest(item, f"{where}.{name}" if where else str(name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value, start=1):
            _refuse_in_manifest(item, f"{where} {number}")
    elif isinstance(value, str):
        found = pii.find(value)
        if found:
            raise BadInput(
                f"data set: personal data in {where} ({_kinds(found)}); name the source otherwise"
            )


def _check_again(folder: str, counts: Mapping[str, int], kind: Kind, meter: Meter) -> None:
    """Read what was written: nothing may be found in it."""
    seen = 0
    for split in counts:
        labels: set[str] = set()
        for number, row in enumerate(artifacts.iter_rows(folder, split, Row), start=1):
            found = _found(row.text, kind)
            if row.answer:
                found += pii.find(row.answer)
            if row.label not in labels:
                found += pii.find(row.label)
                if kind == CLASSIFY:  # elsewhere there may be as many as rows
                    labels.add(row.label)
            if found:
                raise BadInput(
                    f"{split}: row {number}: personal data was left in it ({_kinds(found)}); "
                    "nothing was kept; correct the row in its source"
                )
            seen += 1
            if seen % _TOLD == 0:
                meter.tell(seen / meter.rows, f"{seen:,} rows checked for personal data")


def _found(text: str, kind: Kind) -> list[pii.Finding]:
    if kind != CHAT:
        return pii.find(text)
    return [one for said in messages.read(text) for one in pii.find(said.content)]


def _kinds(found: Sequence[pii.Finding]) -> str:
    return ", ".join(sorted({one.kind for one in found}))
