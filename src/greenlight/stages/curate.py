"""Curate: from rows as they came to rows to learn from, every exclusion counted.

The rows are read twice and never held. The first time each leaves its keys in an index on disk,
where they are compared with each other; the second time those that stay are written out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from greenlight import artifacts
from greenlight.core import curation, fingerprint, messages
from greenlight.core.curation import CHAT, CLASSIFY, MISFIT, SPLITS, TEST, TRAIN, VALIDATION, Row
from greenlight.core.errors import BadInput, MissingData, NotFound
from greenlight.core.records import Dataset, StageResult
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Progress, Records
from greenlight.recording import Step, finish_dataset
from greenlight.scratch import Scratch
from greenlight.stages.lessons import lessons
from greenlight.watching import Meter, silent, steady

FORMAT = "greenlight.dataset/1"

REASONS = (
    "empty",
    "empty_label",
    "contradiction",
    "in_test",
    "in_validation",
    "duplicate",
    "unknown_label",
)
"""Why a row is left out, in this order: it has no text (in a chat, one of its messages has none) or
no label; its text stands under two labels (every copy goes); its text stands in test, or in
validation; an earlier row of its split has the same text and label; nothing is learnt of its label
(of the type of one of its entities). Where words have tags, `misfit` is one more: as many tags as
words are needed, and each must be one. In chats a text may have several answers, and only a second
row with the same one is a duplicate; nothing contradicts another, and no answer is unknown.
"""


def curate(
    records: Records,
    raw: Blobs,
    processed: Blobs,
    dataset_digest: str,
    *,
    step: Step,
    seed: int,
    now: Callable[[], int],
    workdir: str | Path,
    size: Callable[[], int] = steady,
    progress: Progress = silent,
) -> StageResult:
    """Prepare a collected dataset; the same dataset and settings again change nothing.

    The result is a sealed folder: train.jsonl, validation.jsonl, test.jsonl, and a manifest with
    the labels (sorted by code point: the order of every score vector), counts, exclusions by
    reason (`REASONS`), and all that the collected dataset's manifest says. Where words have tags
    (kind `tag`), the labels are the tags, and `per_label` counts entities by type.

    Where the source has train and test, test is the benchmark: no row of it is left out. Its own
    validation, if it has one, stays that. Otherwise a tenth of each label's training rows (of all
    of them, where words have tags) becomes validation, and of the units that stand in them: all
    rows of a unit are in one of the two. Elsewhere the unit decides (`core.curation.place`), and
    what is said below of training rows holds of all.

    Args:
        records: where the dataset is, and the prepared one goes.
        raw: holds the collected folder.
        processed: takes the prepared one.
        dataset_digest: the collected dataset.
        step: the stage.
        seed: of every draw.
        now: microseconds since 1970-01-01 UTC.
        workdir: for what is half made.
        size: how many rows to hold at a time.
        progress: told after each chunk; what it raises ends the stage.

    Raises:
        NotFound: no such dataset, or it was erased.
        Tampered: its rows are not those that were collected.
        BadInput: a prepared dataset, or rows that cannot be learnt from.
        MissingData: a split without rows.
        Unwritable: the disk is full, or may not be written to.
    """
    parent = records.get(Dataset, dataset_digest)
    if parent is None:
        name = fingerprint.short(dataset_digest)
        raise NotFound(f"dataset {name}: not recorded; collect it first")
    meter = Meter(size, now, progress)
    came = folder_of(records, raw, dataset_digest)
    manifest = artifacts.unseal(came, dataset_digest)
    if manifest.get("parent") is not None:
        raise BadInput(f"dataset {parent.name}: prepared already; curate the one it came from")
    with artifacts.half_made(workdir) as folder:
        with artifacts.half_made(workdir) as aside, Scratch(aside, meter.pulse) as index:
            work = _Curation(came, manifest, index, meter, seed)
            work.take_in()
            work.leave_out()
            work.check()
            work.divide()
            found = work.write(folder)
        artifacts.write_prompts(folder, artifacts.read_prompts(came))
        body = {
            **{name: value for name, value in manifest.items() if name not in ("files", "origin")},
            **found,
            "format": FORMAT,
            "task": step.task,
            "source": manifest["origin"],
            "parent": dataset_digest,
            "seed": seed,
        }
        report = {**meter.report(), "counts": found["counts"]}
        return finish_dataset(records, processed, folder, body, step=step, report=report, now=now())


class _Curation:
    """One dataset on its way through the index; the methods are called in the order they stand."""

    def __init__(
        self, folder: str, manifest: Mapping[str, Any], index: Scratch, meter: Meter, seed: int
    ) -> None:
        self._folder = folder
        self._came: Mapping[str, Any] = manifest
        self._index = index
        self._meter = meter
        self._seed = seed
        self._kind = manifest.get("kind", CLASSIFY)
        self._own = "rows" not in manifest["counts"]
        self._held = self._own and "validation" in manifest["counts"]
        self._judged = TEST if self._own else TEST + 1
        """Splits below this are cleaned; from it on, rows stay."""
        index.run(
            "CREATE TABLE row (n INTEGER PRIMARY KEY, split INTEGER, label INTEGER, "
            "exact BLOB, lower BLOB, words BLOB, rank INTEGER)"
        )
        self._lessons = lessons(self._kind, index)
        reasons = (*REASONS, *self._lessons.reasons)
        self._gone: Counter[str] = Counter(dict.fromkeys(reasons, 0))
        self._changed: Counter[str] = Counter(text=0, label_whitespace=0)
        self._overlaps: dict[str, int] = {}

    def take_in(self) -> None:
        """Read every row, and put its keys into the index."""
        for name, start, rows in self._chunks("rows compared", 0.0, 0.4):
            self._meter.rows += len(rows)
            entries = [self._entry(name, n, row) for n, row in enumerate(rows, start)]
            self._index.fill("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?)", filter(None, entries))
            self._lessons.flush()

    def leave_out(self) -> None:
        """Take out of the index what may not be learnt from, and count it by reason."""
        index = self._index
        self._meter.tell(0.4, "looking for texts that stand in two places")
        # Texts that are equal by any notion have equal words, so that one pass over all rows is
        # enough; what follows looks at few.
        index.run(
            "CREATE TABLE alike AS SELECT * FROM row WHERE words IN"
            " (SELECT words FROM row GROUP BY words HAVING count(*) > 1)"
        )
        self._overlaps = {key: self._count_overlaps(key) for key in curation.Keys._fields}
        self._meter.tell(0.5, "looking for duplicates and contradictions")
        index.run("CREATE TABLE gone (n INTEGER PRIMARY KEY, reason TEXT)")
        if self._lessons.torn:
            self._find_alike()
        else:
            self._find_said_twice()
        self._gone.update(dict(index.ask("SELECT reason, count(*) FROM gone GROUP BY reason")))
        index.run("DELETE FROM row WHERE n IN (SELECT n FROM gone)")
        self._gone["unknown_label"] = self._lessons.drop_unknown(self._judged)

    def _find_alike(self) -> None:
        """Of equal texts one stays, and none where their labels contradict each other."""
        index, judged = self._index, self._judged
        index.run(
            "CREATE TABLE shared (lower BLOB PRIMARY KEY, top INTEGER, torn INTEGER, stays INTEGER)"
            " WITHOUT ROWID"
        )
        index.run(
            # Of equal texts the first of the highest split stays: test before validation before
            # train. Both are packed into one number, so that one pass finds it.
            "INSERT INTO shared SELECT lower, max(split),"
            " ifnull(min(label) FILTER (WHERE split < ?1)"
            " < max(label) FILTER (WHERE split < ?1), 0),"
            " min(((2 - split) << 48) | n) & ((1 << 48) - 1)"
            " FROM alike GROUP BY lower HAVING count(*) > 1",
            judged,
        )
        index.run(
            "INSERT INTO gone SELECT n, CASE WHEN torn THEN 'contradiction'"
            " WHEN split < top THEN iif(top = ?, 'in_test', 'in_validation')"
            " ELSE 'duplicate' END"
            " FROM alike CROSS JOIN shared USING (lower) WHERE split < ? AND (torn OR n <> stays)",
            TEST,
            judged,
        )

    def _find_said_twice(self) -> None:
        """Of equal texts those of the highest split stay, each label once."""
        self._index.run(
            "INSERT INTO gone SELECT n, reason FROM (SELECT n, CASE"
            " WHEN split < max(split) OVER (PARTITION BY lower)"
            " THEN iif(max(split) OVER (PARTITION BY lower) = ?, 'in_test', 'in_validation')"
            " WHEN row_number() OVER (PARTITION BY lower, split, label ORDER BY n) > 1"
            " THEN 'duplicate' END AS reason FROM alike) WHERE reason IS NOT NULL",
            TEST,
        )

    def check(self) -> None:
        """See whether anything can be learnt and judged from the rows that are left.

        Raises:
            BadInput: a test label that nothing is left to learn from, or nothing to tell apart.
            MissingData: a split without any.
        """
        learnt = self._lessons.taught(TRAIN)
        unknown = [name for name in self._lessons.taught(TEST) if name not in learnt]
        if not learnt or unknown:
            missing = ", ".join(unknown) or self._lessons.nothing
            raise BadInput(f"train: no row to learn from for {missing}")
        self._lessons.check(learnt)
        for split in (VALIDATION,) * self._held if self._own else (VALIDATION, TEST):
            if not self._index.number("SELECT count(*) FROM row WHERE split = ?", split):
                raise MissingData(f"{SPLITS[split]}: no row{self._of_what()}; {self._remedy()}")

    def divide(self) -> None:
        """Split validation off a source's own training rows without a unit: a share of every
        label."""
        if not self._own or self._held:
            return
        self._meter.tell(0.55, "splitting off validation")
        index, of = self._index, self._lessons.stratum
        index.run("CREATE TABLE held (stratum INTEGER PRIMARY KEY, rows INTEGER)")
        counts = index.ask(f"SELECT {of}, count(rank) FROM row WHERE split = ? GROUP BY 1", TRAIN)
        index.fill(
            "INSERT INTO held VALUES (?, ?)",
            [(stratum, curation.held_out(count)) for stratum, count in counts],
        )
        index.run(
            f"UPDATE row SET split = ? WHERE n IN (SELECT n FROM (SELECT n, {of} AS stratum,"
            f" row_number() OVER (PARTITION BY {of} ORDER BY rank, n) AS place"
            " FROM row WHERE split = ? AND rank IS NOT NULL)"
            " JOIN held USING (stratum) WHERE place <= held.rows)",
            VALIDATION,
            TRAIN,
        )
        self._lessons.keep_learnt()

    def write(self, folder: str) -> dict[str, Any]:
        """Write out what is left, in the order of the source; returns what the manifest says."""
        staying = self._index.ask("SELECT n, split FROM row ORDER BY n")
        counts = dict.fromkeys(SPLITS, 0)
        per_label: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        at, split = next(staying, (-1, TRAIN))
        with artifacts.RowFiles(folder) as files:
            for _, start, rows in self._chunks("rows written", 0.6, 0.9):
                parts: dict[str, list[Row]] = {split: [] for split in SPLITS}
                for n, row in enumerate(rows, start):
                    if n == at:
                        parts[SPLITS[split]].append(curation.clean(row, self._kind))
                        at, split = next(staying, (-1, TRAIN))
                for name, part in parts.items():
                    files.write(name, curation.encode(part))
                    counts[name] += len(part)
                    per_label[name].update(self._lessons.count(part))
        self._meter.tell(0.9, "sealing")
        return {
            "labels": self._lessons.labels({*per_label["train"], *per_label["validation"]}),
            "exclusions": self._exclusions(),
            "changed": dict(self._changed),
            "overlaps": self._overlaps,
            "counts": counts,
            "per_label": {name: dict(found) for name, found in per_label.items()},
        }

    def _exclusions(self) -> dict[str, int]:
        """Reason → rows, those that the source itself left out included."""
        counts = Counter(self._gone)
        counts.update(self._came.get("exclusions", {}))
        return dict(counts)

    def _chunks(self, words: str, begin: float, end: float) -> Iterator[tuple[str, int, list[Row]]]:
        """File, number of the first row, and rows, in order."""
        total, n = sum(self._came["counts"].values()), 0
        for name in [one for one in (*SPLITS, "rows") if one in self._came["counts"]]:
            rows = artifacts.iter_rows(self._folder, name, Row)
            while chunk := list(islice(rows, self._meter.size())):
                yield name, n, chunk
                n += len(chunk)
                self._meter.tell(begin + (end - begin) * n / total, f"{n:,} {words}")

    def _entry(self, name: str, n: int, came: Row) -> tuple[Any, ...] | None:
        """What the index holds of a row; None if it is counted as left out."""
        row = curation.clean(came, self._kind)
        if (wrong := self._wrong(row)) is not None:
            reason, words = wrong
            if name == "test":
                counts = self._came["counts"]
                number = n + 1 - counts["train"] - counts.get("validation", 0)
                raise BadInput(f"test: row {number} {words}; a benchmark row cannot be left out")
            self._gone[reason] += 1
            return None
        self._changed["text"] += row.text != came.text
        self._changed["label_whitespace"] += row.label != came.label
        split, rank = self._place(name, row)
        label = self._lessons.note(n, row)
        if self._kind == CHAT:
            said = messages.plain(row.text)
            return n, split, label, *curation.keys(said, curation.normalise(said)), rank
        form = curation.normalise(row.text) if row.prompt else row.text
        return n, split, label, *curation.keys(came.text, form), rank

    def _wrong(self, row: Row) -> tuple[str, str] | None:
        """Why nothing can be learnt from a row, as a reason and for messages; None if it can."""
        if messages.wordless(row.text) if self._kind == CHAT else not row.text.strip():
            return "empty", "has no text"
        if not row.label.strip():
            return "empty_label", "has no label"
        fault = self._lessons.fault(row)
        return None if fault is None else (MISFIT, f"is not tagged: {fault}")

    def _place(self, name: str, row: Row) -> tuple[int, int | None]:
        """The split that a row is in, and its rank if it may yet be drawn for validation."""
        if name == "rows":
            return curation.place(self._seed, row), None
        if name != "train" or self._held:
            return SPLITS.index(name), None
        if row.unit:
            return VALIDATION if curation.is_held_out(self._seed, row.unit) else TRAIN, None
        return TRAIN, curation.rank(self._seed, row.text)

    def _count_overlaps(self, key: str) -> int:
        """How many rows stand in a higher split too, by one notion of the same text."""
        return self._index.number(
            "SELECT sum(CASE WHEN tests THEN all_rows - tests WHEN held THEN all_rows - held END)"
            " FROM (SELECT count(*) AS all_rows, sum(split = 2) AS tests, sum(split = 1) AS held"
            f" FROM alike GROUP BY {key} HAVING count(*) > 1)"
        )

    def _of_what(self) -> str:
        """` of 412 (left out: duplicate 12, empty 3)`, for messages."""
        first = "validation" if self._own else "rows"
        out = ", ".join(f"{reason} {count:,}" for reason, count in self._gone.items() if count)
        return f" of {self._came['counts'][first]:,}" + (f" (left out: {out})" if out else "")

    def _remedy(self) -> str:
        if self._own:
            return "each stands in test too, or cannot be learnt from: collect others"
        return (
            "each unit is in one split, and there are too few of them: collect rows of more units"
        )
