"""What a turn of an example came to, read from the records that it left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.table import Table

from greenlight.core.answers import ArmSummary
from greenlight.core.records import Rollout
from greenlight.core.states import RolloutStatus, Variant
from greenlight.stages.loop import Turn

MEASURED = {"intent": "accuracy", "chat": "agreement"}
"""What a version is judged by, and what that is called, by the part of the evaluation."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. Values are `{"value", "low", "high"}`."""

    number: int
    version: str
    rows: int
    """Of the prepared data set, all splits."""
    labelled: Mapping[str, int]
    """How their labels came about."""
    job: str
    """The provider's name of it."""
    metric: str
    value: Mapping[str, Any]
    """On the rows that were held back."""
    live: str
    """The version that was live."""
    difference: Mapping[str, Any]
    """From it, on the same rows."""
    good: str
    """The share of judged answers that were GOOD while some users met it: live → this version."""
    verdict: str
    promoted: bool
    seconds: float


def finished(
    number: int,
    made: Turn,
    rollout: Rollout | None,
    seconds: float,
    arms: Sequence[ArmSummary] = (),
) -> Finished:
    """A turn at its end; without a rollout its version did not clear its gates.

    Args:
        number: of the turn.
        made: what its run made.
        rollout: of the version, ended.
        seconds: how long the turn took.
        arms: what was counted in the rollout.
    """
    document, manifest = made.evaluation.document, made.dataset.manifest
    metric, value = _judged(document)
    live = document["live"]
    return Finished(
        number=number,
        version=made.version.label,
        rows=sum(manifest["counts"].values()),
        labelled=_labelled(manifest),
        job=_job(made),
        metric=metric,
        value=value,
        live=live.get("label", ""),
        difference=live.get(metric, {}),
        good=_good(arms),
        verdict="no better, not promoted" if rollout is None else said(rollout),
        promoted=rollout is not None and rollout.status is RolloutStatus.PROMOTED,
        seconds=seconds,
    )


def said(rollout: Rollout) -> str:
    """How a rollout ended."""
    return rollout.status.value.replace("_", " ")


def told(made: Turn) -> Iterator[str]:
    """A run, step by step."""
    manifest = made.dataset.manifest
    how = ", ".join(f"{count} {name}" for name, count in _labelled(manifest).items() if count)
    counts = manifest["counts"]
    yield (
        f"{sum(counts.values())} rows ({how}): {counts['train']} to train on, "
        f"{counts['validation']} to choose by, {counts['test']} held back"
    )
    report = made.training.report
    name = report.get("fine_tuned_model", made.run.plan["backend"])
    yield f"job {_job(made)}: {name}"
    metric, value = _judged(made.evaluation.document)
    yield f"{made.version.label}: {metric} {interval(value)} on {value['n']} rows"
    live = made.evaluation.document["live"]
    if metric in live:
        yield f"beside {live['label']} on the same rows: {interval(live[metric], sign=True)}"
    for gate in made.gates:
        yield f"gate {gate.metric}: {gate.outcome} ({gate.reason})"


def table(turns: Sequence[Finished]) -> Table:
    """The table that an example ends with."""
    found = Table(
        title="From feedback to a fine-tuned model",
        caption="Below a number is its 95 % interval; live and new are asked about the same rows.",
    )
    metric = turns[0].metric if turns else "accuracy"
    for name in ("turn", "rows", "job", f"{metric}\nlive", "new", "difference", "GOOD\nlive → new"):
        found.add_column(name)
    for name in ("verdict", "s"):
        found.add_column(name)
    for turn in turns:
        value, difference = turn.value.get("value"), turn.difference.get("value")
        found.add_row(
            str(turn.number),
            str(turn.rows),
            f"…{turn.job[-8:]}",
            "–" if value is None or difference is None else f"{value - difference:.3f}",
            interval(turn.value).replace(" (", "\n").strip(")"),
            interval(turn.difference, sign=True).replace(" (", "\n").strip(")"),
            turn.good,
            turn.verdict,
            f"{turn.seconds:.0f}",
        )
    return found


def as_expected(turns: Sequence[Finished], *, news: bool) -> bool:
    """Whether an example ended as it should: where there is something to improve on the new model
    is better and takes the traffic, and where there is nothing it need not be, and says so."""
    must = turns if news else turns[:1]
    fair = all(turn.promoted or turn.verdict in _HONEST for turn in turns)
    return bool(turns) and fair and all(turn.promoted for turn in must)


_HONEST = ("no better, not promoted", "inconclusive")
"""Ways to end without a promotion where nothing was to be gained."""


def interval(found: Mapping[str, Any], *, sign: bool = False) -> str:
    """A number with its interval."""
    value, low, high = (found.get(name) for name in ("value", "low", "high"))
    if value is None:
        return str(found.get("reason", "–"))
    form = "+.3f" if sign else ".3f"
    if low is None or high is None:
        return format(value, form)
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _good(arms: Sequence[ArmSummary]) -> str:
    shares = []
    for variant in (Variant.CONTROL, Variant.CANDIDATE):
        good, bad = (
            sum(getattr(arm, name) for arm in arms if arm.variant is variant)
            for name in ("good", "bad")
        )
        shares.append(f"{good / (good + bad):.0%}" if good + bad else "–")
    return " → ".join(shares)


def _judged(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    for part, metric in MEASURED.items():
        found = document.get(part, {}).get("test", {}).get(metric)
        if found is not None:
            return metric, found
    return "accuracy", {"value": None, "n": 0}


def _labelled(manifest: Mapping[str, Any]) -> Mapping[str, int]:
    ways: Mapping[str, int] = manifest.get("labelled", {})
    return ways


def _job(made: Turn) -> str:
    return str(made.training.report.get("job", "–"))
