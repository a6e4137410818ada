"""Evaluations of one installation, made by hand: parts, the seal, and versions side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import lookup
from greenlight.core import evaluation as documents
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, MissingData, Refused
from greenlight.core.evaluation import FILE, Part
from greenlight.core.gates import GateResult
from greenlight.core.records import Evaluation, StageResult, Version
from greenlight.lookup import everything
from greenlight.models import chat, elsewhere, prompt
from greenlight.ports import Model, Progress
from greenlight.ports.cache import Cache
from greenlight.remembering import Predictor
from greenlight.stages.compare import Duel, compare
from greenlight.stages.evaluate import MEASURED, Case, ModelEvaluator
from greenlight.stages.loop import live_version
from greenlight.stages.register import judge
from greenlight.stages.seal import seal, sealed
from greenlight.wiring.app import App, standing
from greenlight.wiring.models import load_model
from greenlight.wiring.surroundings import code, environment, packages

UNTRAINED = {"reason": "not measured: no run of the pipeline trained this version"}


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed evaluation, what the gates said of it, and where the version stands then."""

    evaluation: Evaluation
    gates: list[GateResult]
    version: Version
    path: Path


def predictor(
    app: App,
    *,
    cache: Cache | None = None,
    open_model: Callable[[App, Version], Model] = load_model,
) -> Predictor:
    """Asks the versions of this installation offline, and remembers what they said.

    Args:
        app: the open store and settings.
        cache: remembers predictions; by default the installation's.
        open_model: opens a version.
    """
    return Predictor(
        app.bundles,
        lambda version: open_model(app, version),
        app.cache() if cache is None else cache,
        code=code(),
        packages=fingerprint.digest(packages()),
        elsewhere=frozenset({chat.KIND, prompt.KIND, elsewhere.KIND}),
    )


def measure_parts(
    app: App,
    version: Version,
    *,
    folder: Path,
    wanted: Sequence[str] = MEASURED,
    on: str | None = None,
    progress: Progress,
) -> list[Part]:
    """Measure parts of a version's evaluation, into files; see
    `stages.evaluate.ModelEvaluator`.

    Args:
        app: the open store and settings.
        version: what is judged.
        folder: of the evaluation.
        wanted: names of parts.
        on: a prepared dataset by its digest or the beginning of it; by default the version's own,
            else the newest of its task.
        progress: told the share of the work done.

    Raises:
        Refused: an evaluation of another version is sealed in that folder.
        MissingData: the task has no prepared dataset.
    """
    target = folder / FILE
    if target.exists() and sealed(target)["version"] != version.digest:
        raise Refused(
            f"{target}: the evaluation of another version is sealed there; give another folder "
            "with -o"
        )
    lineage = version.lineage
    trained, checked = (
        app.store.get(StageResult, str(lineage.get("run")), stage) for stage in ("train", "sanity")
    )
    case = Case(
        version=version,
        dataset=_dataset(app, version, on),
        training={} if trained is None else trained.report,
        sanity=UNTRAINED if checked is None else checked.report,
        live=live_version(app.store, version.task),
        environment=environment(),
    )
    evaluator = ModelEvaluator(app.store, app.datasets, predictor(app), case, folder=folder)
    return evaluator.measure(wanted, progress=progress)


def seal_evaluation(app: App, version: Version, *, folder: Path) -> Sealed:
    """Seal the parts in a folder, put the document on record, and hold it against the gates.

    Raises:
        BadInput, Refused, Tampered: as `stages.seal.seal`.
    """
    app.act()
    now = app.clock.now()
    made = seal(app.store, version, folder=folder, now=now)
    rules = app.settings.task(version.task).gates
    results = judge(app.store, version, made, rules, now=now)
    moved = lookup.find_version(app.store, version.digest)
    return Sealed(evaluation=made, gates=results, version=moved, path=folder / FILE)


def compare_versions(
    app: App, a: Version, b: Version, *, on: str | None = None, progress: Progress
) -> Duel:
    """Hold b against a on the same test rows; see `stages.compare.compare`.

    Args:
        app: the open store and settings.
        a: what b is held against.
        b: the other one.
        on: a prepared dataset; by default that of b, else of a, else the newest of the task.
        progress: told the share of the work done.
    """
    owner = b if "dataset" in b.lineage else a
    dataset = _dataset(app, owner, on)
    return compare(
        app.store, app.datasets, predictor(app), a, b, dataset=dataset, progress=progress
    )


def warnings_of(app: App, version: Version, evaluation: str | None = None) -> list[dict[str, Any]]:
    """What an evaluation of a version warns of; by default of the one that is up for signing."""
    name = evaluation or evaluation_of(app, version)
    found = None if name is None else app.store.get(Evaluation, name)
    return [] if found is None else documents.warnings(found.document)


def evaluation_of(app: App, version: Version) -> str | None:
    """The evaluation that counts: the approved one, else the last that passed, else the newest."""
    approved = None
    if version.task in app.settings.tasks:
        quorum = standing(app, version)
        approved = quorum.evaluation if quorum.ok else None
    for name in (approved, *lookup.passed_evaluations(app.store, version)):
        if name is not None and app.store.get(Evaluation, name) is not None:
            return name
    made = everything(app.store, Evaluation, {"version": version.digest})
    newest = max(made, key=lambda found: found.at, default=None)
    return None if newest is None else newest.digest


def _dataset(app: App, version: Version, on: str | None) -> str:
    if on is not None:
        named = lookup.find_dataset(app.store, on)
        if named.manifest.get("parent") is None:
            raise BadInput(f"dataset {on!r} was collected and not prepared: name one that was")
        return named.digest
    own = version.lineage.get("dataset")
    if own is not None:
        return str(own)
    newest = lookup.newest_prepared(app.store, version.task)
    if newest is None:
        raise MissingData(
            f"{version.task}: no dataset was prepared to judge {version.label} on; "
            f"greenlight run {version.task} prepares one"
        )
    return newest.digest
