"""The records that a pilot report tells of, read from the store; nothing is remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.gates import GateResult
from greenlight.core.incidents import Incident
from greenlight.core.records import (
    Approval,
    Dataset,
    Epoch,
    Evaluation,
    Rollout,
    Run,
    StageResult,
    Version,
)
from greenlight.core.states import Action, Variant
from greenlight.lookup import ancestry, everything
from greenlight.ports import Store
from greenlight.reporting.history import History, Proportion, history
from greenlight.reporting.summary import RolloutSummary, summarise

MOMENTS = 1500
"""About so many moments of a rollout are replayed for its figures."""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the two versions did in a rollout, over all its epochs."""

    label: str
    variant: Variant
    requests: int
    failed: int
    """Calls that ended in an error or a timeout."""
    latency_ms: float | None
    """Mean over the requests; None where there was none."""
    good: Proportion | None
    """Of the outcomes that matured, with an interval that may be watched."""
    cost: float | None
    """Of a thousand requests, in the currency of the prices; None where no token was counted."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout of the version, in earnest."""

    summary: RolloutSummary
    rollout: Rollout
    arms: Sequence[Arm]
    """The candidate, then the control."""
    holds: Mapping[str, tuple[int, str]]
    """Code of a decision to hold → how often it was taken, and what was said the last time."""
    paused: int
    """How often a person paused it."""
    incident: Incident | None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a report on a run rests on."""

    run: Run
    stages: Sequence[StageResult]
    """In the order in which they were finished."""
    datasets: Sequence[Dataset]
    """What it learnt from: the prepared one, then what that was made of."""
    version: Version | None
    evaluation: Evaluation | None
    gates: Sequence[GateResult]
    approvals: Sequence[Approval]
    approved: bool
    standing: str
    """What the approvals amount to now, in words."""
    first: bool
    """It went live as the first of its task: nothing was there to be compared with."""
    trials: Sequence[Trial]
    """In the order in which they began."""
    next_command: str | None
    """What the version waits for, as the command to type."""

    @property
    def document(self) -> Mapping[str, Any]:
        """What was measured offline; empty where nothing is on record."""
        return {} if self.evaluation is None else self.evaluation.document

    def report(self, stage: str) -> Mapping[str, Any]:
        """What a stage reported; empty where it did not finish."""
        return next((one.report for one in self.stages if one.name == stage), {})


def gather(
    store: Store, run: Run, *, approved: bool, standing: str, next_command: str | None
) -> tuple[Facts, list[History]]:
    """Read what there is to tell of a run; the replayed rollouts are for the figures.

    Args:
        store: records and events; only read.
        run: as the store holds it.
        approved: whether its version has its quorum now.
        standing: that in words.
        next_command: what the version waits for.
    """
    stages = sorted(everything(store, StageResult, {"run": run.id}), key=lambda one: one.at)
    made = {name: value for one in stages for name, value in one.output.items()}
    version = store.get(Version, made["version"]) if "version" in made else None
    evaluation = store.get(Evaluation, made["evaluation"]) if "evaluation" in made else None
    told = [] if version is None else _histories(store, version)
    summary = summarise(store, run.task, told)
    approvals = [] if version is None else everything(store, Approval, {"version": version.digest})
    facts = Facts(
        run=run,
        stages=stages,
        datasets=ancestry(store, made["dataset"]) if "dataset" in made else [],
        version=version,
        evaluation=evaluation,
        gates=next(
            (
                msgspec.convert(one.report["results"], list[GateResult])
                for one in stages
                if one.name == "gate"
            ),
            [],
        ),
        approvals=sorted(approvals, key=lambda word: (word.at, word.id)),
        approved=approved,
        standing=standing,
        first=version is not None and _first(store, version),
        trials=[
            _trial(store, one, found) for one, found in zip(told, summary.rollouts, strict=True)
        ],
        next_command=next_command,
    )
    return facts, told


def _histories(store: Store, version: Version) -> list[History]:
    """Its rollouts in earnest: a drill says nothing of it, and an A/A test compares nothing."""
    found = [
        rollout
        for rollout in everything(store, Rollout, {"candidate": version.digest})
        if rollout.drill is None and not rollout.aa
    ]
    return [
        history(store, rollout, most=MOMENTS) for rollout in sorted(found, key=lambda one: one.at)
    ]


def _first(store: Store, version: Version) -> bool:
    epoch = store.get(Epoch, version.task, 1)
    return epoch is not None and epoch.control == version.digest


def _trial(store: Store, told: History, summary: RolloutSummary) -> Trial:
    holds: dict[str, tuple[int, str]] = {}
    for decision in told.decisions:
        if decision.action == Action.HOLD:
            holds[decision.code] = (holds.get(decision.code, (0, ""))[0] + 1, decision.reason)
    return Trial(
        summary=summary,
        rollout=told.rollout,
        arms=[_arm(told, variant) for variant in (Variant.CANDIDATE, Variant.CONTROL)],
        holds=holds,
        paused=sum(decision.action == Action.PAUSE for decision in told.decisions),
        incident=store.get(Incident, told.rollout.id),
    )


def _arm(told: History, variant: Variant) -> Arm:
    own = [arm for arm in told.arms if arm.variant == variant]
    requests = sum(arm.requests for arm in own)
    counted = sum(arm.input_tokens + arm.output_tokens for arm in own)
    spent = sum(arm.cost for arm in own)
    return Arm(
        label=told.candidate if variant is Variant.CANDIDATE else told.control,
        variant=variant,
        requests=requests,
        failed=sum(arm.failed for arm in own),
        latency_ms=(
            sum(arm.latency_ms * arm.requests for arm in own) / requests if requests else None
        ),
        good=told.tally(variant).rate,
        cost=1000 * spent / requests if counted and spent and requests else None,
    )
