"""The spine: the stages in order.

collect → curate → train → sanity → register → evaluate → gate    a turn: from data to a version
(approve, roll_out: people)
observe → decide                                                  a look: from evidence to routing
                   (or catch_up: from what gateways obey already)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from greenlight.core import growth, killing, routing
from greenlight.core.answers import Lease
from greenlight.core.curation import CLASSIFY, Kind
from greenlight.core.errors import NotFound
from greenlight.core.gates import GateResult
from greenlight.core.killing import KillEntry
from greenlight.core.policy import GateRule
from greenlight.core.records import (
    SECOND,
    Dataset,
    Decision,
    Evaluation,
    Record,
    Rollout,
    Run,
    StageResult,
    Version,
)
from greenlight.lookout import Lookout
from greenlight.ports import Blobs, Clock, Model, Progress, Records, Store, Trainer
from greenlight.ports.source import Source
from greenlight.recording import Step
from greenlight.remembering import Notes, Predictor
from greenlight.stages import roll_out
from greenlight.stages.catch_up import catch_up, last_word
from greenlight.stages.collect import collect
from greenlight.stages.curate import curate
from greenlight.stages.decide import decide
from greenlight.stages.evaluate import Case, ModelEvaluator
from greenlight.stages.judging import protocols
from greenlight.stages.register import gate, register
from greenlight.stages.sanity import sanity
from greenlight.stages.survey import Survey, survey
from greenlight.stages.train import train

STAGES = ("collect", "curate", "train", "sanity", "register", "evaluate", "gate")
"""The stages of a turn, in order."""

R = TypeVar("R", bound=Record)

LEASE = "controller"
LEASE_TTL = 3 * SECOND


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn of the pipeline works with; `wiring` fills it."""

    records: Records
    raw: Blobs
    processed: Blobs
    bundles: Blobs
    load_source: Callable[[Run, Mapping[str, Any], Progress], Source]
    """Opens the source of a run's rows, as its dataset settings say. What it gives is fixed by the
    run, so that a run that is resumed collects the same rows."""
    trainer: Callable[[str], Trainer]
    load_model: Callable[[str], Model]
    """Opens a bundle's folder."""
    predictor: Predictor
    """Asks versions offline."""
    clock: Clock
    environment: dict[str, Any]
    """What this process runs on: packages, Python, platform, `code` (a digest)."""
    chunk: Callable[[], int]
    """How many rows to hold at a time, as memory allows just now."""
    memory: Callable[[], int]
    """Resident memory of this process, in bytes."""
    workdir: str
    """For what is half made: a folder per run, cleared when the run ends."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to make: a task's configuration, frozen for one run."""

    kind: Kind = CLASSIFY
    """What the labels of the rows are."""
    dataset: dict[str, Any]
    backend: str
    options: dict[str, Any]
    seed: int
    gates: dict[str, GateRule]
    runtime: dict[str, Any]
    fresh_from: str | None = None
    """The stage from which on nothing is taken over from earlier runs, and before which everything
    is, the data collected included; None collects anew and takes over what has equal inputs."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of the pipeline made."""

    run: Run
    dataset: Dataset
    training: StageResult
    version: Version
    evaluation: Evaluation
    gates: list[GateResult]


class Carry(Protocol):
    """Sees to it that a stage is done once: now, or in an earlier life of the run."""

    def __call__(
        self,
        stage: str,
        given: Mapping[str, Any],
        work: Callable[[Step, Progress, str], StageResult],
    ) -> StageResult:
        """The stage's result.

        Args:
            stage: its name.
            given: everything that goes in, by content: equal values mean equal results.
            work: does it, with the step to finish, whom to tell of progress, and a folder of its
                own for what is half made, within the run's.
        """
        ...


def turn(shop: Workshop, run: Run, carry: Carry) -> Turn:
    """Everything before people are asked, each stage handing over by what it put on record.

    Args:
        shop: stores and tools.
        run: what to make; see `Plan`.
        carry: does a stage, or takes it as done.

    Raises:
        DataError: data that cannot be had or trusted.
        UserError: a plan that cannot be carried out.
    """
    records, now, plan = shop.records, shop.clock.now, msgspec.convert(run.plan, Plan)
    collected = carry(
        "collect",
        {"run": run.id},
        lambda step, progress, folder: collect(
            records,
            shop.raw,
            shop.load_source(run, plan.dataset, progress),
            step=step,
            now=now,
            workdir=folder,
            kind=plan.kind,
            size=shop.chunk,
            progress=progress,
        ),
    )
    raw = collected.output["dataset"]
    curated = carry(
        "curate",
        {"dataset": raw, "seed": plan.seed},
        lambda step, progress, folder: curate(
            records,
            shop.raw,
            shop.processed,
            raw,
            step=step,
            seed=plan.seed,
            now=now,
            workdir=folder,
            size=shop.chunk,
            progress=progress,
        ),
    )
    prepared = curated.output["dataset"]
    trained = carry(
        "train",
        _fit(prepared, plan),
        lambda step, progress, folder: train(
            records,
            shop.processed,
            shop.bundles,
            shop.trainer(plan.backend),
            step=step,
            dataset_digest=prepared,
            config=plan.options,
            seed=plan.seed,
            workdir=folder,
            now=now,
            progress=progress,
        ),
    )
    learnt = _plan_of_training(records, run, trained)
    checked = carry(
        "sanity",
        _fit(prepared, learnt),
        lambda step, progress, folder: sanity(
            records,
            shop.processed,
            shop.trainer(learnt.backend),
            shop.load_model,
            step=step,
            dataset_digest=prepared,
            config=learnt.options,
            seed=learnt.seed,
            workdir=folder,
            now=now,
            progress=progress,
        ),
    )
    bundle = trained.output["bundle"]
    registered = carry(
        "register",
        {"run": run.id},
        lambda step, progress, folder: register(
            records,
            step=step,
            bundle=bundle,
            runtime=plan.runtime,
            lineage={
                "run": run.id,
                "dataset": prepared,
                "backend": learnt.backend,
                "seed": learnt.seed,
            },
            initiator=run.initiator,
            now=now(),
        ),
    )
    digest = registered.output["version"]
    live = live_version(records, run.task)
    asked = [_get(records, Version, digest), *([] if live is None else [live])]
    evaluated = carry(
        "evaluate",
        {
            "version": digest,
            "dataset": prepared,
            "training": trained.inputs,
            "sanity": checked.output["sanity"],
            "live": None if live is None else live.digest,
            # What may answer otherwise the next time is asked by every run.
            "asked": None if all(map(shop.predictor.lasting, asked)) else run.id,
            "protocol": protocols(),
        },
        lambda step, progress, folder: ModelEvaluator(
            records,
            shop.processed,
            shop.predictor,
            Case(
                version=_get(records, Version, digest),
                dataset=prepared,
                training=trained.report,
                sanity=checked.report,
                live=live,
                environment=shop.environment,
            ),
            folder=Path(folder).parent,
            notes=Notes(Path(folder).parent / "answers"),
        ).evaluate(step=step, now=now, progress=progress),
    )
    evaluation = _get(records, Evaluation, evaluated.output["evaluation"])
    judged = carry(
        "gate",
        {"run": run.id},
        lambda step, progress, folder: gate(
            records, _get(records, Version, digest), evaluation, plan.gates, step=step, now=now()
        ),
    )
    return Turn(
        run=run,
        dataset=_get(records, Dataset, prepared),
        training=trained,
        version=_get(records, Version, digest),
        evaluation=evaluation,
        gates=msgspec.convert(judged.report["results"], list[GateResult]),
    )


def live_version(records: Records, task: str) -> Version | None:
    """What serves as a task's control now; None where nothing is live."""
    epoch = roll_out.current_epoch(records, task)
    return None if epoch is None else records.get(Version, epoch.control)


def lead(store: Store, holder: str, now: int) -> Lease | None:
    """Take or renew the right to decide; None while another controller has it."""
    return store.lease(LEASE, holder, now, LEASE_TTL)


def reconcile(
    store: Store,
    task: str,
    *,
    authorise: Callable[[Rollout], None],
    kill: KillEntry | None = None,
    lookout: Lookout | None = None,
    fence: Lease | None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision | None:
    """One pass over a task: fold what is new, judge, and change the routing if need be.

    What the kill switch wants goes before what the evidence says.

    Args:
        store: records and events.
        task: the task's name.
        authorise: raises unless the rollout's candidate is (still) approved, and genuine.
        kill: what the kill file says of the task, if anything.
        lookout: what this process has seen of the alarms.
        fence: the leader's lease.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Returns:
        The decision if it is news, else None (also when no rollout is running).

    Raises:
        Conflict: the routing changed meanwhile; the next pass sees it.
        LostLease: another controller leads now.
    """
    kill = last_word(store, task, kill)
    found = survey(store, task, authorise, now, lookout)
    if found is not None and kill is not None:
        found = _killed(found, kill)
    if found is None or (
        found.situation.order is None and found.seen.acknowledged > found.epoch.number
    ):
        return catch_up(store, task, kill=kill, fence=fence, now=now, random=random)
    overdue = now >= found.rollout.at + found.policy.rollout.horizon
    if found.situation.pending and not overdue and found.situation.order is None:
        if any(growth.before_beginning(found.situation, found.policy, now)):
            return None
        return roll_out.begin(
            store, found.rollout, found.epoch, found.policy, fence=fence, now=now, random=random
        )
    return decide(
        store,
        found.rollout,
        found.epoch,
        entries=found.seen.entries,
        closed=found.seen.closed,
        acknowledged=found.seen.acknowledged,
        splits=found.seen.splits,
        kill=kill,
        situation=found.situation,
        fence=fence,
        now=now,
        random=random,
    )


def _killed(found: Survey, kill: KillEntry) -> Survey:
    """What the kill switch wants done with a rollout, if it has anything against it."""
    if not routing.barred(found.epoch.kill, kill.standing):
        return found
    situation = msgspec.structs.replace(found.situation, order=killing.order(kill))
    return msgspec.structs.replace(found, situation=situation)


def _fit(dataset: str, plan: Plan) -> dict[str, Any]:
    """Everything that goes into a training."""
    return {
        "dataset": dataset,
        "backend": plan.backend,
        "options": plan.options,
        "seed": plan.seed,
    }


def _plan_of_training(records: Records, run: Run, trained: StageResult) -> Plan:
    """What the bundle was trained by: another run's plan, where it was taken over from that."""
    maker = run if trained.reused is None else _get(records, Run, trained.reused)
    return msgspec.convert(maker.plan, Plan)


def _get(records: Records, kind: type[R], key: str) -> R:
    """A record that a stage put there.

    Raises:
        NotFound: it was taken out of the store since.
    """
    found = records.get(kind, key)
    if found is None:
        raise NotFound(f"{kind.__name__.lower()} {key}: gone from the store; run with --force")
    return found
