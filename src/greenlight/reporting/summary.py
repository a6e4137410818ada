"""What a task has come to, in numbers: the table at the end of a demo, and `--json`.

Live GOOD rates count outcomes, one per unit and epoch, never requests: those of the journal, and,
once a rollout has ended, those that came too late for it. A candidate that is rolled back within
the feedback window has no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.evaluation import right
from greenlight.core.records import SECOND, Dataset, Evaluation, Run, Version
from greenlight.core.states import Variant
from greenlight.lookup import everything
from greenlight.ports import Records, Store
from greenlight.reporting.history import History, Proportion, Tally, histories

UNKNOWN = "unknown"
"""Stands where the store holds no record to name."""


class VersionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One version: what it is, what it scored on the test rows, and what users said of it."""

    label: str
    digest: str
    backend: str
    run: str
    bundle: str
    dataset: str
    """The digest of the dataset that it was trained on."""
    evaluation: str | None
    """The digest of its newest evaluation."""
    status: str
    accuracy: Proportion | None
    """On the test rows, with its 95 % interval; None before any evaluation."""
    live: Proportion | None
    """The GOOD rate over every rollout it was in, with its interval; None without outcomes."""
    good: int


class RolloutSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout: how far the candidate came, whom it met, and what the evidence was."""

    id: str
    candidate: str
    """The candidate's label."""
    control: str
    """The control's label."""
    aa: bool
    status: str
    action: str | None
    """Of the decision that ended it, else of the newest one; likewise `code` and `reason`."""
    code: str | None
    reason: str | None
    weights: list[float]
    """The candidate's shares, in the order they came, 1.0 for a promotion."""
    max_weight: float
    requests_assigned: int
    """Requests that were assigned to the candidate."""
    requests_served: int
    """Those of them that it answered itself."""
    units_exposed: int
    """Distinct units that were assigned to it."""
    outcomes: int
    """Outcomes that the tests used, of both arms."""
    seconds: float
    """From the start to the end, or to the newest look."""
    seconds_from_exposure: float | None
    """From the first unit that met the candidate to the end: for a rollback, how long it took."""
    log_e: dict[str, float]
    """Natural logarithm of E at the end, by test."""
    log_threshold: dict[str, float]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A task's versions and rollouts, in order of time."""

    task: str
    dataset: str | None
    """The name of the dataset of the newest version."""
    versions: list[VersionSummary]
    rollouts: list[RolloutSummary]


def summarise(store: Store, task: str, told: Sequence[History] | None = None) -> Summary:
    """Sum up a task from the store.

    Args:
        store: records and events; only read.
        task: the task's name.
        told: its replayed rollouts (`histories`), if they are at hand already.
    """
    rollouts = histories(store, task) if told is None else told
    versions = sorted(
        everything(store, Version, {"task": task}), key=lambda version: (version.at, version.label)
    )
    live = _live(rollouts)
    summaries = [
        _version(store, version, live.get(version.digest, Tally())) for version in versions
    ]
    return Summary(
        task=task,
        dataset=_dataset_name(store, summaries),
        versions=summaries,
        rollouts=[_rollout(item) for item in rollouts],
    )


def _live(rollouts: Sequence[History]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for item in rollouts:
        digests = {
            Variant.CONTROL: item.rollout.control,
            Variant.CANDIDATE: item.rollout.candidate,
        }
        for variant, digest in digests.items():
            tallies[digest] = tallies.get(digest, Tally()) + item.tally(variant)
    return tallies


def _version(store: Records, version: Version, live: Tally) -> VersionSummary:
    run_id = str(version.lineage.get("run", UNKNOWN))
    run = store.get(Run, run_id)
    # A run may have taken over what another plan trained; the lineage names what made it.
    made = {} if run is None else {**run.plan, **version.lineage}
    evaluations = list(everything(store, Evaluation, {"version": version.digest}))
    newest = max(evaluations, key=lambda item: (item.at, item.digest), default=None)
    return VersionSummary(
        label=version.label,
        digest=version.digest,
        backend=str(made.get("backend", UNKNOWN)),
        run=run_id,
        bundle=version.bundle,
        dataset=str(version.lineage.get("dataset", UNKNOWN)),
        evaluation=None if newest is None else newest.digest,
        status=version.status.value,
        accuracy=None if newest is None else _accuracy(newest.document),
        live=live.rate,
        good=live.good,
    )


def _accuracy(document: Mapping[str, Any]) -> Proportion | None:
    """The share of test rows answered right; None where a document says no such thing."""
    try:
        found = right(document)
        return Proportion(value=found["value"], low=found["low"], high=found["high"], n=found["n"])
    except (KeyError, TypeError):
        return None


def _dataset_name(store: Records, versions: Sequence[VersionSummary]) -> str | None:
    for version in reversed(versions):
        dataset = store.get(Dataset, version.dataset)
        if dataset is not None:
            return dataset.name
    return None


def _rollout(item: History) -> RolloutSummary:
    rollout, verdict = item.rollout, item.verdict
    own = [arm for arm in item.arms if arm.variant == Variant.CANDIDATE]
    weights = [period.weight for period in item.own_periods]
    if rollout.status == "promoted":
        weights.append(1.0)
    first = item.first_exposure
    return RolloutSummary(
        id=rollout.id,
        candidate=item.candidate,
        control=item.control,
        aa=rollout.aa,
        status=rollout.status.value,
        action=None if verdict is None else verdict.action.value,
        code=None if verdict is None else verdict.code,
        reason=None if verdict is None else verdict.reason,
        weights=weights,
        max_weight=max(weights, default=0.0),
        requests_assigned=sum(arm.requests for arm in own),
        requests_served=sum(arm.served for arm in own),
        units_exposed=item.exposed,
        outcomes=sum(tally.outcomes for tally in item.last.arms.values()),
        seconds=(item.end - rollout.at) / SECOND,
        seconds_from_exposure=None if first is None else (item.end - first) / SECOND,
        log_e=item.last.log_e,
        log_threshold=item.thresholds,
    )
