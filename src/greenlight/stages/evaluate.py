"""Evaluate: what a version does on rows that nobody chose anything by.

Each part of an evaluation (`core.evaluation`) is a file, and is there once it is finished: whoever
was killed in between goes on with the parts that are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint, load
from greenlight.core import usage as taking
from greenlight.core.errors import BadInput, ModelFailed, NotFound
from greenlight.core.evaluation import FOLDER, JUDGED, Part, Subject, decode, merge
from greenlight.core.records import Dataset, Evaluation, StageResult, Version
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Prediction, Progress, Records
from greenlight.recording import Step, finish
from greenlight.remembering import Notes, Predicted, Predictor
from greenlight.stages.judging import Judging, cut, digest, judging, taken, training
from greenlight.stages.parts import subject_of

MEASURED = (*JUDGED, "live", "usage", "sanity")
"""The parts that are measured here; a task has one of those that judge."""


NOTHING_LIVE = "no version is live"

TERMS = ("source", "licence", "citation")
"""What a document repeats of its dataset, for those who have no record of it."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be judged, and everything that its parts depend on."""

    version: Version
    dataset: str
    """Digest of the prepared dataset whose test rows it answers."""
    training: dict[str, Any]
    """What the trainer reports (`judging.training`). Where a number is missing the document says so
    and holds none."""
    sanity: dict[str, Any]
    """What the stage `sanity` reports."""
    live: Version | None
    """The version that is live now."""
    environment: dict[str, Any]
    """Hardware and packages as found, `code`, and `image_digest` if run from an image."""


class ModelEvaluator:
    """Judges a version on rows that nobody chose anything by, and beside the live one.

    Each part of the evaluation is a file below `parts` in its folder; one that is there with the
    same inputs is left as it is.
    """

    def __init__(
        self,
        records: Records,
        processed: Blobs,
        predictor: Predictor,
        case: Case,
        *,
        folder: str | Path,
        notes: Notes | None = None,
    ) -> None:
        """Set up; nothing is read or asked.

        Args:
            records: knows the dataset, and takes the document.
            processed: prepared datasets.
            predictor: asks versions.
            case: what is judged.
            folder: of the evaluation.
            notes: where answers of models somewhere else are noted, if this may be interrupted and
                gone on with; whoever gives it removes it.
        """
        self._records = records
        self._processed = processed
        self._predictor = predictor
        self._case = case
        self._parts = Path(folder, FOLDER)
        self._notes = notes
        self._mine: Predicted | None = None
        self._theirs: Predicted | str | None = None

    def evaluate(self, *, step: Step, now: Callable[[], int], progress: Progress) -> StageResult:
        """Judge the version from its bundle on the test rows, and record the document.

        No status changes here.

        Args:
            step: the stage; version and dataset must belong to its task.
            now: the time, in microseconds since 1970-01-01 UTC.
            progress: told the share of the work done.

        Raises:
            NotFound: no such dataset, or its folder or the bundle's is missing.
            BadInput: version or dataset of another task, or a model that answers with other labels.
            Tampered: files that are not as sealed.
            ModelFailed: a model somewhere else did not answer.
        """
        version, asked = self._case.version, self._predictor
        if version.task != step.task:
            raise BadInput(f"version belongs to task {version.task!r}, not {step.task!r}", "task")
        hits, misses = asked.hits, asked.misses
        document = merge(self.measure(progress=progress))
        report = {"cache": {"hits": asked.hits - hits, "misses": asked.misses - misses}}
        evaluation = Evaluation(
            digest=fingerprint.digest(document),
            version=version.digest,
            document=document,
            at=now(),
        )
        output = {"evaluation": evaluation.digest, "results": document["results_digest"]}
        if self._records.get(Evaluation, evaluation.digest) is not None:
            return finish(self._records, step, output, report, now=evaluation.at)
        body = {"version": version.digest, "dataset": self._case.dataset, **output}
        return finish(
            self._records,
            step,
            output,
            report,
            now=evaluation.at,
            entries=[("evaluation", body)],
            append=[evaluation],
        )

    def measure(self, wanted: Sequence[str] = MEASURED, *, progress: Progress) -> list[Part]:
        """Make parts, each into a file.

        Args:
            wanted: which of `MEASURED`; the judgement of another kind of task is passed over.
            progress: told the share of the work done.

        Raises:
            NotFound, BadInput, Tampered, ModelFailed: as `evaluate`.
        """
        kind = self._kind
        wanted = [name for name in wanted if name not in JUDGED or name == kind.part]
        if not wanted:
            raise BadInput(f"part: a task of this kind has the part {kind.part}", "part")
        share = 1 / len(wanted)
        found = []
        for number, name in enumerate(wanted):

            def told(done: float, words: str, number: int = number, name: str = name) -> None:
                progress((number + done) * share, f"{name}: {words}")

            path = self._parts / f"{name}.json"
            part = self._kept(path, name)
            if part is None:
                part = self._make(name, told)
                artifacts.write_document(path, msgspec.to_builtins(part))
            told(1.0, "measured")
            found.append(part)
        return found

    @cached_property
    def _dataset(self) -> Dataset:
        dataset = self._records.get(Dataset, self._case.dataset)
        if dataset is None:
            name = fingerprint.short(self._case.dataset)
            raise NotFound(f"dataset {name}: not recorded; curate it first")
        task = self._case.version.task
        if dataset.task != task:
            raise BadInput(f"dataset belongs to task {dataset.task!r}, not to {task!r}", "task")
        return dataset

    @cached_property
    def _folder(self) -> Path:
        return Path(folder_of(self._records, self._processed, self._dataset.digest))

    @cached_property
    def _manifest(self) -> dict[str, Any]:
        return artifacts.unseal(self._folder, self._case.dataset)

    @cached_property
    def _kind(self) -> Judging:
        return judging(self._manifest)

    @cached_property
    def _subject(self) -> Subject:
        case = self._case
        return Subject(
            task=case.version.task,
            version=case.version.digest,
            bundle=case.version.bundle,
            dataset={
                "digest": case.dataset,
                "name": self._dataset.name,
                **{name: self._manifest[name] for name in TERMS if name in self._manifest},
                "splits": self._manifest["files"],
            },
            protocol={"module": self._kind.module.__name__, "digest": digest(self._kind)},
            code=str(case.environment.get("code", "unknown")),
        )

    def _kept(self, path: Path, name: str) -> Part | None:
        """The part that is there already, if it is of the same inputs.

        One that only says why it holds no number is made anew: that costs nothing, and the reason
        (nobody answered) may hold no longer.
        """
        try:
            part = decode(path.read_bytes(), name)
        except (OSError, BadInput):
            return None
        same = part.subject == self._subject and part.inputs == self._inputs(name)
        return part if same and "reason" not in part.result else None

    def _make(self, name: str, progress: Progress) -> Part:
        """Measure a part."""
        makers: dict[str, Callable[[Progress], dict[str, Any]]] = {
            self._kind.part: self._judged,
            "live": self._live,
            "usage": self._usage,
            "sanity": self._sanity,
        }
        start = time.perf_counter()
        result = makers[name](progress)
        seconds = time.perf_counter() - start
        pace = None
        if name == self._kind.part and self._mine is not None and self._mine.seconds:
            pace = round(len(self._rows) / self._mine.seconds, 1)
        return Part(
            part=name,
            subject=self._subject,
            inputs=self._inputs(name),
            result={key: value for key, value in result.items() if key != "seconds"},
            environment=self._case.environment,
            wall_clock_s=round(seconds + result.get("seconds", 0.0), 3),
            rows_per_s=pace,
        )

    def _inputs(self, name: str) -> str:
        """Everything that a part depends on, beside its subject."""
        case, live = self._case, self._case.live
        beside = None if live is None else [live.digest, live.label]
        given = {
            self._kind.part: case.training,
            "live": beside,
            "usage": beside,
            "sanity": case.sanity,
        }[name]
        return fingerprint.digest(
            {"part": name, "given": given, "packages": case.environment.get("packages")}
        )

    @cached_property
    def _rows(self) -> list[Example]:
        return artifacts.read_rows(self._folder, "test", Example)

    @cached_property
    def _texts(self) -> list[str]:
        return [row.text for row in self._rows]

    @cached_property
    def _gold(self) -> list[str]:
        return [row.label for row in self._rows]

    def _answered(self, progress: Progress) -> list[Prediction]:
        """What the version says to the test rows; asked once."""
        if self._mine is None:
            self._mine = self._predict(self._case.version, progress)
        return self._mine.predictions

    def _live_answered(self, live: Version, progress: Progress) -> list[Prediction] | str:
        """What the live version says to them, or why it does not; asked once."""
        if self._theirs is None:
            self._theirs = self._asked(live, progress)
        return self._theirs if isinstance(self._theirs, str) else self._theirs.predictions

    def _asked(self, live: Version, progress: Progress) -> Predicted | str:
        if live.digest == self._case.version.digest:
            return f"{live.label} is what is live"
        try:
            labels = self._predictor.labels(live)
            if labels is not None and set(labels) != set(self._manifest["labels"]):
                return f"{live.label}, which is live, has other labels"
            return self._predict(live, progress)
        except (NotFound, BadInput, ModelFailed) as error:
            return f"{live.label}, which is live, cannot be asked: {error}"

    def _predict(self, version: Version, progress: Progress) -> Predicted:
        return self._predictor.predict(version, self._texts, progress, self._notes)

    def _judged(self, progress: Progress) -> dict[str, Any]:
        predictions = self._answered(progress)
        return {
            "test": self._kind.test(self._rows, predictions, self._manifest["labels"]),
            "slices": self._cut(predictions),
            **training(self._kind, self._case.training),
        }

    def _cut(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """The slices; a dataset that is there to be asked alone, as a drill's, cannot be cut."""
        if "train.jsonl" not in self._manifest["files"]:
            return {"reason": "cannot cut: the dataset has no training rows"}
        train = artifacts.iter_rows(self._folder, "train", Example)
        return cut(self._kind, self._rows, predictions, train)

    def _live(self, progress: Progress) -> dict[str, Any]:
        """The difference from the live version on the same rows, or why there is none."""
        live = self._case.live
        if live is None:
            return {"none": True, "reason": NOTHING_LIVE}
        theirs = self._live_answered(live, progress)
        if isinstance(theirs, str):
            return {"reason": theirs}
        mine = self._answered(progress)
        own = sum(
            row.prompt == live.bundle and made.label == row.label
            for row, made in zip(self._rows, theirs, strict=True)
        )
        return {
            "version": live.digest,
            "label": live.label,
            "bundle": live.bundle,
            **({"own": own} if own else {}),
            **self._kind.differ(
                self._gold, [made.label for made in theirs], [made.label for made in mine]
            ),
        }

    def _usage(self, progress: Progress) -> dict[str, Any]:
        """What the version's answers took, beside those of the live one."""
        version, live = self._case.version, self._case.live
        if not self._predictor.away(version):
            return {"reason": taking.in_process(version.label)}
        mine = taken(version, self._answered(progress))
        if live is None:
            return taking.beside(mine, NOTHING_LIVE)
        theirs = self._live_answered(live, progress)
        return taking.beside(mine, theirs if isinstance(theirs, str) else taken(live, theirs))

    def _sanity(self, progress: Progress) -> dict[str, Any]:
        """As the run's stage found it."""
        return dict(self._case.sanity)


def add_load(version: Version, summary: Path, *, folder: str | Path) -> Part:
    """Make the part `load` of what a load test wrote, beside the parts that are there.

    Its subject is that of the judgement: a load test knows neither rows nor protocol.

    Args:
        version: what was put under load.
        summary: the load test's file.
        folder: of the evaluation.

    Raises:
        BadInput: the file cannot be read or believed, is of another task or version, or no part
            judges the version yet.
        Refused: the evaluation is sealed already, or of another version.
    """
    subject = subject_of(folder, version, "the load test")
    try:
        data = summary.read_bytes()
    except OSError as error:
        raise BadInput(f"{summary}: cannot be read ({error.strerror})") from error
    found = load.decode(data, str(summary), task=version.task, label=version.label)
    part = Part(
        part="load",
        subject=subject,
        inputs=fingerprint.digest({"part": "load", "given": found}),
        result=load.result(found, version.label),
        environment=found.provenance,
        wall_clock_s=found.ramp_s + found.steady_s,
    )
    artifacts.write_document(Path(folder, FOLDER, "load.json"), msgspec.to_builtins(part))
    return part
