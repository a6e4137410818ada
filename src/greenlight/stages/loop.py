"""The spine: the stages in order.

collect → curate → train → evaluate → register     one turn: from data to a version
(approve, roll_out: people)
observe → decide                                   one look: from evidence to routing
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core.errors import UserError
from greenlight.core.gates import GateResult
from greenlight.core.policy import DecisionPolicy, GateRule
from greenlight.core.records import (
    SECOND,
    Dataset,
    Decision,
    Evaluation,
    Lease,
    Rollout,
    Run,
    Version,
)
from greenlight.ports import Blobs, Clock, Model, Progress, Records, Store, Trainer
from greenlight.stages import roll_out
from greenlight.stages.collect import Source, collect
from greenlight.stages.curate import curate
from greenlight.stages.decide import decide
from greenlight.stages.evaluate import evaluate
from greenlight.stages.observe import observe
from greenlight.stages.register import gate, register
from greenlight.stages.train import train

LEASE = "controller"
LEASE_TTL = 3 * SECOND


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn of the pipeline works with; `wiring` fills it."""

    records: Records
    raw: Blobs
    processed: Blobs
    bundles: Blobs
    load_source: Callable[[str, Progress], Source]
    trainer: Callable[[str], Trainer]
    load_model: Callable[[str], Model]
    environment: dict[str, Any]
    clock: Clock
    random: Callable[[int], bytes]
    workdir: str
    """For what is half made; cleared by whoever made it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to make: configuration, frozen for one turn."""

    task: str
    source: str
    backend: str
    options: dict[str, Any]
    seed: int
    gates: dict[str, GateRule]
    runtime: dict[str, Any]
    initiator: str


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of the pipeline made."""

    dataset: Dataset
    run: Run
    version: Version
    evaluation: Evaluation
    gates: list[GateResult]


def turn(shop: Workshop, plan: Plan, progress: Progress, out: str | Path | None = None) -> Turn:
    """collect → curate → train → evaluate → register → gate: everything before people are asked.

    Args:
        shop: stores and tools.
        plan: what to make.
        progress: told the share done of the stage at hand, and its name.
        out: where to write the evaluation document as JSON as well.

    Raises:
        DataError: data that cannot be had or trusted.
        UserError: a plan that cannot be carried out.
    """
    records, task = shop.records, plan.task
    source = shop.load_source(plan.source, progress)
    raw = collect(records, shop.raw, source, task=task, now=shop.clock.now(), workdir=shop.workdir)
    dataset = curate(
        records,
        shop.raw,
        shop.processed,
        raw.digest,
        task=task,
        seed=plan.seed,
        now=shop.clock.now(),
        workdir=shop.workdir,
    )
    run = train(
        records,
        shop.processed,
        shop.bundles,
        shop.trainer(plan.backend),
        task=task,
        dataset_digest=dataset.digest,
        config=plan.options,
        seed=plan.seed,
        initiator=plan.initiator,
        workdir=shop.workdir,
        environment=shop.environment,
        clock=shop.clock,
        random=shop.random,
        progress=progress,
    )
    version = register(
        records,
        task=task,
        bundle=run.bundle,
        runtime=plan.runtime,
        run=run,
        initiator=plan.initiator,
        now=shop.clock.now(),
    )
    evaluation = evaluate(
        records,
        shop.processed,
        shop.bundles,
        shop.load_model,
        task=task,
        version=version,
        dataset_digest=dataset.digest,
        training_report=run.report,
        environment=shop.environment,
        now=shop.clock.now,
        progress=progress,
        out=out,
    )
    version, gates = gate(records, version, evaluation, plan.gates, shop.clock.now())
    return Turn(dataset=dataset, run=run, version=version, evaluation=evaluation, gates=gates)


def lead(store: Store, holder: str, now: int) -> Lease | None:
    """Take or renew the right to decide; None while another controller has it."""
    return store.lease(LEASE, holder, now, LEASE_TTL)


def reconcile(
    store: Store,
    task: str,
    *,
    authorise: Callable[[Rollout], None],
    fence: Lease | None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision | None:
    """One pass over a task: fold what is new, judge, and change the routing if need be.

    Args:
        store: records and events.
        task: the task's name.
        authorise: raises a `UserError` unless the rollout's candidate is (still) approved.
        fence: the leader's lease.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Returns:
        The decision if it is news, else None (also when no rollout is running).

    Raises:
        Conflict: the routing changed meanwhile; the next pass sees it.
        LostLease: another controller leads now.
    """
    rollout = roll_out.active(store, task)
    epoch = roll_out.current_epoch(store, task)
    if rollout is None or epoch is None:
        return None
    rules = msgspec.convert(rollout.policy, DecisionPolicy).rollout
    seen = observe(store, rollout, epoch, rules, now)
    return decide(
        store,
        rollout,
        epoch,
        entries=seen.entries,
        complete_until=seen.complete_until,
        soaking_since=seen.soaking_since,
        arms=seen.arms,
        unapproved=_refusal(authorise, rollout),
        fence=fence,
        now=now,
        random=random,
    )


def _refusal(authorise: Callable[[Rollout], None], rollout: Rollout) -> str | None:
    """Why the candidate may not get more traffic. Asking must not keep it from losing traffic."""
    try:
        authorise(rollout)
    except UserError as refusal:
        return str(refusal)
    return None
