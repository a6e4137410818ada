"""The pipeline of one installation: from a data set to a version that people can sign."""

from __future__ import annotations

import functools
import os
import platform
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.config.making import TALKERS, TrainSettings
from greenlight.config.settings import TaskSettings
from greenlight.core import lora_options, tuning_options
from greenlight.core.errors import BadInput, Refused, StoreError
from greenlight.core.records import SECOND, Run, RunProgress
from greenlight.ports import Model, Progress, Trainer
from greenlight.stages.loop import Plan, Turn, Workshop
from greenlight.stages.pipeline import LEASE_TTL, FineTuningPipeline, InHand
from greenlight.stages.runs import UNDER_WAY, active
from greenlight.watching import Watch
from greenlight.wiring.app import App
from greenlight.wiring.data import kind_of, load_source
from greenlight.wiring.evaluating import predictor
from greenlight.wiring.surroundings import environment
from greenlight.wiring.texts import text_of

IN_PROCESS: Mapping[str, Any] = {"kind": "in_process"}
SILENCE = 3 * SECOND
"""A run whose last sign of life is older has probably lost its process."""
BEAT = 1.0
"""Seconds between two signs of life of a run."""


def open_pipeline(app: App) -> FineTuningPipeline:
    """The durable pipeline of this installation; see `stages.pipeline`."""
    work = app.settings.state / "work"
    work.mkdir(parents=True, exist_ok=True)
    shop = Workshop(
        records=app.store,
        raw=app.raw,
        processed=app.datasets,
        bundles=app.bundles,
        load_source=functools.partial(load_source, app),
        trainer=trainer_of,
        load_model=load_bundle,
        predictor=predictor(app),
        clock=app.clock,
        environment=environment(),
        chunk=Watch(resident_memory, app.settings.worker.memory),
        memory=resident_memory,
        workdir=str(work),
    )
    holder = f"{socket.gethostname()}/{os.getpid()}/{app.random(4).hex()}"
    return FineTuningPipeline(shop, holder)


def plan_of(
    task: TaskSettings,
    *,
    root: str | Path = ".",
    runtime: Mapping[str, Any] | None = None,
    fresh_from: str | None = None,
    cost_limit: float | None = None,
) -> Plan:
    """A task's configuration as the plan of a run.

    Args:
        task: the configuration.
        root: where files that it names lie.
        runtime: where the version is served, if not where its backend has it.
        fresh_from: see `Plan`.
        cost_limit: what the training may cost, if not as configured.

    Raises:
        Refused: versions of this task are only brought in.
        BadInput: options that are none of the backend's, or a file of them that is not readable.
    """
    if task.train.backend == "none":
        raise Refused(
            f"{task.name}: nothing is trained here (train.backend is none); bring a version in: "
            f"greenlight versions add {task.name} …"
        )
    return Plan(
        kind=kind_of(task),
        dataset=msgspec.to_builtins(task.dataset),
        backend=task.train.backend,
        options=_options(task.train, Path(root), cost_limit),
        seed=task.train.seed,
        gates=task.gates,
        runtime=dict(runtime or runtime_of(task.train, kind_of(task))),
        fresh_from=fresh_from,
    )


def _options(train: TrainSettings, root: Path, cost_limit: float | None) -> dict[str, Any]:
    """The options of a backend as a run keeps them: with the words of a file in place of its name.

    A run that is resumed goes on with the words that it began with.
    """
    found = dict(train.options)
    if cost_limit is not None:
        if train.backend != tuning_options.BACKEND:
            raise BadInput(f"--cost-limit: a training with {train.backend} is free; leave it out")
        found["cost_limit"] = cost_limit
    if train.backend in TALKERS and isinstance(found.get("prompt"), str):
        found["prompt"] = text_of(root / found["prompt"])
    return found


def runtime_of(train: TrainSettings, kind: str) -> Mapping[str, Any]:
    """Where what a backend makes for a task of that kind answers requests: in the gateway, at the
    provider that made it, or at a model server.

    Raises:
        BadInput: options that are none of the backend's.
    """
    if train.backend == tuning_options.BACKEND:
        return tuning_options.read(train.options).runtime()
    if train.backend == lora_options.BACKEND:
        return lora_options.read(train.options).runtime(kind)
    return IN_PROCESS


def turn(
    app: App,
    task: str,
    *,
    initiator: str,
    progress: Progress,
    trigger: str = "manual",
    runtime: Mapping[str, Any] | None = None,
    fresh_from: str | None = None,
    cost_limit: float | None = None,
    out: Path | None = None,
) -> Turn:
    """One turn of the pipeline as the task is configured. A run that was left off is resumed.

    Args:
        app: the open store and settings.
        task: the task's name.
        initiator: who asked for it; they cannot sign what comes of it.
        progress: told the share done of the stage at hand, and its name.
        trigger: what began it: `manual`, `schedule` or `feedback`.
        runtime: where the version will be served; by default `runtime_of` its training.
        fresh_from: see `Plan`.
        cost_limit: what the training may cost, if not as configured.
        out: also write the evaluation document there.

    Raises:
        Refused: another process is carrying out a run of this task, or one was left off and
            `fresh_from` or `cost_limit` is given; the message names it.
    """
    wanted = app.settings.task(task)
    app.act()
    works = open_pipeline(app)
    run = active(app.store, task)
    if run is None:
        plan = plan_of(
            wanted,
            root=app.settings.root,
            runtime=runtime,
            fresh_from=fresh_from,
            cost_limit=cost_limit,
        )
        run = works.begin(task, plan, trigger=trigger, initiator=initiator)
    elif cost_limit is not None:
        raise Refused(
            f"run {run.id} was left off and goes on with the cost_limit that it began with: go on "
            f"with it (greenlight run {task}), or end it (greenlight runs abort '{run.id}') first"
        )
    elif fresh_from is not None:
        raise Refused(
            f"run {run.id} was left off and comes first: go on with it (greenlight run {task}), or "
            f"end it (greenlight runs abort '{run.id}'), and then begin at a stage of your choice"
        )
    made = carry_out(_take(works, run, app, progress), progress)
    if out is not None:
        artifacts.write_document(out, made.evaluation.document)
    return made


def carry_out(hand: InHand, progress: Progress) -> Turn:
    """Carry out a run, with signs of life from a thread beside it; see `InHand.carry_out`."""
    with _beating(hand):
        return hand.carry_out(progress)


@contextmanager
def _beating(hand: InHand) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            try:
                hand.beat()
            except StoreError:  # busy or away: the fence decides whether the run may go on
                continue

    hand.beat()
    thread = threading.Thread(target=beat, name="run-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(StoreError):  # busy or away: the lease runs out, and the run is what it is
            hand.let_go()


def _take(works: FineTuningPipeline, run: Run, app: App, progress: Progress) -> InHand:
    """The run, at once or when the lease of a process that was killed has run out."""
    deadline = app.clock.now() + LEASE_TTL + SECOND
    while True:
        try:
            return works.take(run)
        except Refused:
            run = app.store.get(Run, run.id) or run
            told, now = app.store.get(RunProgress, run.id), app.clock.now()
            alive = told is not None and abs(now - told.at) < SILENCE
            if now > deadline or alive or run.status not in UNDER_WAY:
                raise
            progress(0.0, f"{run.id}: waiting for the process that was killed to be given up")
            threading.Event().wait(BEAT / 4)


def resident_memory() -> int:
    """What this process holds in memory, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc: the most it ever held
        import resource

        scale = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def find_encoder(progress: Progress) -> None:
    """Make sure that the sentence encoder can be had; see `models.encoder.find`.

    Raises:
        MissingData: it is nowhere; the message says what to do.
        Tampered: a file of it is not the pinned one.
    """
    from greenlight.models import encoder

    encoder.find(os.environ, progress)


def trainer_of(backend: str) -> Trainer:
    """A training backend by its name.

    Raises:
        BadInput: there is none of that name.
    """
    from greenlight.adapters.trainers import TRAINERS

    if backend not in TRAINERS:
        raise BadInput(f"backend {backend!r}: there are {', '.join(TRAINERS)}", "backend")
    return TRAINERS[backend]()


def load_bundle(folder: str) -> Model:
    """Open a bundle by its folder; see `models.bundle.load`."""
    from greenlight.models import bundle

    return bundle.load(folder)
