"""The part `oos` of an evaluation: texts from elsewhere, and models trained as a version was."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from greenlight.core.errors import BadInput, MissingData
from greenlight.core.evaluation import Part
from greenlight.core.records import Run, StageResult, Version
from greenlight.ports import Progress
from greenlight.stages.loop import Plan
from greenlight.stages.scope import DRAWS, Again, Far, Request, add_scope
from greenlight.wiring.app import App
from greenlight.wiring.evaluating import predictor
from greenlight.wiring.pipeline import load_bundle, trainer_of
from greenlight.wiring.surroundings import environment


def measure_scope(
    app: App, version: Version, *, folder: Path, draws: int = DRAWS, progress: Progress
) -> Part:
    """Make the part `oos` of a version's evaluation; see `stages.scope.add_scope`.

    Args:
        app: the open store and settings.
        version: what is judged.
        folder: of the evaluation.
        draws: how often labels are held out.
        progress: told the share of the work done.
    """
    from greenlight.datasets import banking77

    work = app.settings.state / "work"
    work.mkdir(parents=True, exist_ok=True)
    request = Request(
        version=version,
        origin=banking77.ADDRESS,
        far=_far,
        again=again(app, version),
        draws=draws,
        environment=environment(),
    )
    return add_scope(
        app.store,
        app.datasets,
        predictor(app),
        request,
        folder=folder,
        workdir=work,
        progress=progress,
    )


def again(app: App, version: Version) -> Again | str:
    """How a version was trained, or why it cannot be done again.

    By the plan of the run that made its bundle: another one may have taken that over.
    """
    made = app.store.get(StageResult, str(version.lineage.get("run")), "train")
    run = None if made is None else app.store.get(Run, made.reused or made.run)
    if run is None:
        return "no run of the pipeline trained this version"
    plan = msgspec.convert(run.plan, Plan)
    try:
        trainer = trainer_of(plan.backend)
    except (BadInput, MissingData) as error:
        return str(error)
    return Again(trainer=trainer, load_model=load_bundle, config=plan.options, seed=plan.seed)


def _far(progress: Progress) -> Far:
    """Questions of CLINC150 that are none of BANKING77's.

    Raises:
        MissingData, Tampered: as `datasets.clinc150.load`.
    """
    from greenlight import datasets
    from greenlight.datasets import clinc150

    found = clinc150.load(datasets.places(os.environ), progress)
    return {
        "clinc": found.oos["test"],
        "banking_like": found.of("test", clinc150.BANKING_LIKE),
    }
