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
from greenlight.core.errors import BadInput, ModelFailed, NotFound
from greenlight.core.evaluation import FOLDER, JUDGED, Part, Subject, decode, merge
from greenlight.core.records import Dataset, Evaluation, StageResult, Version
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Prediction, Progress, Records
from greenlight.recording import Step, finish
from greenlight.remembering import Predicted, Predictor
from greenlight.stages.judging import cut, digest, judging, training
from greenlight.stages.parts import subject_of

MEASURED = (*JUDGED, "live", "sanity")
"""The parts that are measured here; a task has one of those that judge."""


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


def evaluate(
    records: Records,
    processed: Blobs,
    predictor: Predictor,
    case: Case,
    *,
    step: Step,
    folder: str | Path,
    now: Callable[[], int],
    progress: Progress,
) -> StageResult:
    """Judge a version from its bundle on the test rows, and record the document.

    Args:
        records: where the evaluation goes, with an entry on the ledger. No status changes here.
        processed: prepared datasets.
        predictor: asks versions.
        case: what is judged; version and dataset must belong to the step's task.
        step: the stage.
        folder: where finished parts lie, below `parts`, and stay.
        now: the time, in microseconds since 1970-01-01 UTC.
        progress: told the share of the work done.

    Raises:
        NotFound: no such dataset, or its folder or the bundle's is missing.
        BadInput: version or dataset of another task, or a model that answers with other labels.
        Tampered: files that are not as sealed.
        ModelFailed: a model somewhere else did not answer.
    """
    if case.version.task != step.task:
        raise BadInput(f"version belongs to task {case.version.task!r}, not {step.task!r}", "task")
    hits, misses = predictor.hits, predictor.misses
    parts = measure(records, processed, predictor, case, folder=folder, progress=progress)
    report = {"cache": {"hits": predictor.hits - hits, "misses": predictor.misses - misses}}
    document = merge(parts)
    evaluation = Evaluation(
        digest=fingerprint.digest(document),
        version=case.version.digest,
        document=document,
        at=now(),
    )
    output = {"evaluation": evaluation.digest, "results": document["results_digest"]}
    if records.get(Evaluation, evaluation.digest) is not None:
        return finish(records, step, output, report, now=evaluation.at)
    body = {"version": case.version.digest, "dataset": case.dataset, **output}
    return finish(
        records,
        step,
        output,
        report,
        now=evaluation.at,
        entries=[("evaluation", body)],
        append=[evaluation],
    )


def measure(
    records: Records,
    processed: Blobs,
    predictor: Predictor,
    case: Case,
    *,
    folder: str | Path,
    wanted: Sequence[str] = MEASURED,
    progress: Progress,
) -> list[Part]:
    """Make parts, each into a file; one that is there with the same inputs is left as it is.

    Args:
        records: knows the dataset.
        processed: prepared datasets.
        predictor: asks versions.
        case: what is judged.
        folder: the parts go below `parts` in it.
        wanted: which of `MEASURED`; the judgement of another kind of task is passed over.
        progress: told the share of the work done.

    Raises:
        NotFound, BadInput, Tampered, ModelFailed: as `evaluate`.
    """
    dataset = records.get(Dataset, case.dataset)
    if dataset is None:
        name = fingerprint.short(case.dataset)
        raise NotFound(f"dataset {name}: not recorded; curate it first")
    if dataset.task != case.version.task:
        raise BadInput(
            f"dataset belongs to task {dataset.task!r}, not to {case.version.task!r}", "task"
        )
    bench = _Bench(Path(folder_of(records, processed, case.dataset)), dataset, predictor, case)
    wanted = [name for name in wanted if name not in JUDGED or name == bench.kind.part]
    if not wanted:
        raise BadInput(f"part: a task of this kind has the part {bench.kind.part}", "part")
    share = 1 / len(wanted)
    found = []
    for number, name in enumerate(wanted):

        def told(done: float, words: str, number: int = number, name: str = name) -> None:
            progress((number + done) * share, f"{name}: {words}")

        path = Path(folder, FOLDER, f"{name}.json")
        part = bench.kept(path, name)
        if part is None:
            part = bench.make(name, told)
            artifacts.write_document(path, msgspec.to_builtins(part))
        told(1.0, "measured")
        found.append(part)
    return found


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


class _Bench:
    """The test rows, and what is to be known of a version on them."""

    def __init__(self, folder: Path, dataset: Dataset, predictor: Predictor, case: Case) -> None:
        self._case = case
        self._folder = folder
        self._predictor = predictor
        self._manifest = artifacts.unseal(folder, case.dataset)
        self.kind = judging(self._manifest)
        self._subject = Subject(
            task=case.version.task,
            version=case.version.digest,
            bundle=case.version.bundle,
            dataset={
                "digest": case.dataset,
                "name": dataset.name,
                **{name: self._manifest[name] for name in TERMS if name in self._manifest},
                "splits": self._manifest["files"],
            },
            protocol={"module": self.kind.module.__name__, "digest": digest(self.kind)},
            code=str(case.environment.get("code", "unknown")),
        )
        self._answers: Predicted | None = None

    def kept(self, path: Path, name: str) -> Part | None:
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

    def make(self, name: str, progress: Progress) -> Part:
        """Measure a part."""
        makers: dict[str, Callable[[Progress], dict[str, Any]]] = {
            self.kind.part: self._judged,
            "live": self._live,
            "sanity": self._sanity,
        }
        start = time.perf_counter()
        result = makers[name](progress)
        seconds = time.perf_counter() - start
        pace = None
        if name == self.kind.part and self._answers is not None and self._answers.seconds:
            pace = round(len(self._rows) / self._answers.seconds, 1)
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
        given = {
            self.kind.part: case.training,
            "live": None if live is None else [live.digest, live.label],
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

    def _answered(self, progress: Progress) -> Predicted:
        if self._answers is None:
            self._answers = self._predictor.predict(self._case.version, self._texts, progress)
        return self._answers

    def _judged(self, progress: Progress) -> dict[str, Any]:
        predictions = self._answered(progress).predictions
        return {
            "test": self.kind.test(self._rows, predictions, self._manifest["labels"]),
            "slices": self._cut(predictions),
            **training(self.kind, self._case.training),
        }

    def _cut(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """The slices; a dataset that is there to be asked alone, as a drill's, cannot be cut."""
        if "train.jsonl" not in self._manifest["files"]:
            return {"reason": "cannot cut: the dataset has no training rows"}
        train = artifacts.iter_rows(self._folder, "train", Example)
        return cut(self.kind, self._rows, predictions, train)

    def _live(self, progress: Progress) -> dict[str, Any]:
        """The difference from the live version on the same rows, or why there is none."""
        version, live = self._case.version, self._case.live
        if live is None:
            return {"none": True, "reason": "no version is live"}
        if live.digest == version.digest:
            return {"reason": f"{live.label} is what is live"}
        try:
            labels = self._predictor.labels(live)
            if labels is not None and set(labels) != set(self._manifest["labels"]):
                return {"reason": f"{live.label}, which is live, has other labels"}
            theirs = self._predictor.predict(live, self._texts, progress).predictions
        except (NotFound, BadInput, ModelFailed) as error:
            return {"reason": f"{live.label}, which is live, cannot be asked: {error}"}
        mine = self._answered(progress).predictions
        return {
            "version": live.digest,
            "label": live.label,
            "bundle": live.bundle,
            **self.kind.differ(
                self._gold, [made.label for made in theirs], [made.label for made in mine]
            ),
        }

    def _sanity(self, progress: Progress) -> dict[str, Any]:
        """As the run's stage found it."""
        return dict(self._case.sanity)
