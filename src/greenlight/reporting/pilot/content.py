"""What a pilot report says, section by section; every number is one of the store's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from greenlight.core.model_card import Cell, Code, Section, Table, measured, origins
from greenlight.core.model_card.parts import NOT_MEASURED, counts, value
from greenlight.core.quantities import DURATIONS
from greenlight.core.records import SECOND
from greenlight.reporting.pilot.facts import Arm, Facts, Trial
from greenlight.reporting.pilot.verdict import decision, lessons, next_steps
from greenlight.reporting.words import duration, ending, rate

OFFLINE = "Baseline against candidate, offline"
IN_TRAFFIC = "Baseline against candidate, in traffic"

_SHOWN = 200
"""Characters of a setting; of one that is longer, the beginning is shown."""


def title(facts: Facts) -> str:
    """What the report is called."""
    return f"Pilot report: {facts.run.task}, run {facts.run.number}"


def sections(facts: Facts) -> list[Section]:
    """Everything that the report says."""
    return [
        _decision(facts),
        *_inputs(facts),
        _configuration(facts),
        _stages(facts),
        _outputs(facts),
        _offline(facts),
        measured.usage(facts.document),
        origins.gates(facts.gates),
        origins.approvals(facts.approvals),
        *_in_traffic(facts),
        _listed(
            "Lessons", lessons(facts), "No exclusion, warning, rejection or rollback is on record."
        ),
        _listed("Next steps", next_steps(facts), "Nothing waits."),
    ]


def _decision(facts: Facts) -> Section:
    made = decision(facts)
    return Section(
        title="Decision on a broader rollout",
        text=f"{made.answer[:1].upper()}{made.answer[1:]}: {made.why}.",
        items=[(f"Ground {n}", reason) for n, reason in enumerate(made.reasons, start=1)],
    )


def _inputs(facts: Facts) -> Iterator[Section]:
    if not facts.datasets:
        yield Section(title="Inputs", text="The run has prepared no data set.")
        return
    dataset, collected = facts.datasets[0], facts.datasets[-1]
    prepared, came = dataset.manifest, collected.manifest
    items: list[tuple[str, Cell]] = [
        ("Data set", dataset.name),
        ("Digest", Code(dataset.digest)),
        ("Source", value(prepared.get("source"))),
        ("Licence", value(prepared.get("licence"))),
        ("Rows", counts(prepared.get("counts"))),
        ("Left out", counts(prepared.get("exclusions"))),
        ("Labels", value(len(prepared["labels"])) if "labels" in prepared else "not known"),
    ]
    items += [
        (name, value(came[key]))
        for key, name in (("labelled", "How labels came about"), ("filter", "Filter"))
        if came.get(key)
    ]
    window = came.get("window")
    if window:
        items.append(("Window", f"{duration(window['until'] - window['since'])} of answers"))
    yield Section(title="Inputs", items=items)
    yield origins.personal_data(dataset)


def _configuration(facts: Facts) -> Section:
    run = facts.run
    plan, environment = run.plan, run.environment
    rows: list[tuple[str, Cell]] = [
        ("run", Code(run.id)),
        ("begun by", f"{run.initiator} ({run.trigger})"),
        ("code", Code(str(environment.get("code_commit") or environment.get("code", "unknown")))),
        ("backend", str(plan.get("backend", "unknown"))),
        ("seed", str(plan.get("seed", "unknown"))),
    ]
    for name in ("dataset", "options", "runtime"):
        rows += [
            (f"{name}: {key}", Code(_set(key, one)))
            for key, one in dict(plan.get(name) or {}).items()
            if one is not None
        ]
    for metric, rule in dict(plan.get("gates") or {}).items():
        told = ", ".join(f"{key} {bar}" for key, bar in rule.items() if bar is not None)
        rows.append((f"gate {metric}", told))
    return Section(title="Configuration", table=Table(("what", "value"), rows))


def _set(key: str, value: Any) -> str:
    """A setting as people write it."""
    if key in DURATIONS and isinstance(value, int):
        return duration(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return _short(value)


def _stages(facts: Facts) -> Section:
    rows = [
        (
            one.name,
            duration(one.at - one.started_at) if one.reused is None else "",
            "taken over from " + one.reused if one.reused else "done",
        )
        for one in facts.stages
    ]
    run = facts.run
    took = "" if run.ended_at is None else f" after {duration(run.ended_at - run.at)}"
    text = f"The run is {run.status.value}{took}."
    return Section(title="Stages", text=text, table=Table(("stage", "took", "how"), rows))


def _outputs(facts: Facts) -> Section:
    version = facts.version
    if version is None:
        return Section(title="Outputs", text="The run made no version.")
    rows: list[tuple[str, Cell]] = [
        ("version", version.label),
        ("digest", Code(version.digest)),
        ("bundle", Code(version.bundle)),
        ("status now", version.status.value),
        ("evaluation", Code(facts.evaluation.digest) if facts.evaluation else "none"),
    ]
    rows += [
        (f"training: {name.replace('_', ' ')}", _short(one))
        for name, one in facts.report("train").items()
        if isinstance(one, int | float | str)
    ]
    return Section(title="Outputs", table=Table(("what", "value"), rows))


def _offline(facts: Facts) -> Section:
    """The numbers of the candidate, and each one's difference from the live version."""
    own, live = measured.metrics(facts.document), measured.live(facts.document)
    rows: list[tuple[Cell, ...]] = []
    rows += [(*row, "") for row in (own.table.rows if own.table else ()) if row[1] != NOT_MEASURED]
    if live.table is not None:
        rows += [tuple(row) for row in live.table.rows]
    head = ("what", "value", "95 % interval", "paired test")
    beside = live.text if live.table else f"Beside the live version: {live.text}"
    return Section(title=OFFLINE, text=beside, table=Table(head, rows))


def _in_traffic(facts: Facts) -> Iterator[Section]:
    if not facts.trials:
        yield Section(title=IN_TRAFFIC, text="No rollout of this version is on record.")
    for number, trial in enumerate(facts.trials, start=1):
        last = number == len(facts.trials)
        yield Section(
            title=IN_TRAFFIC if last else f"{IN_TRAFFIC}: attempt {number}",
            text=_course(trial),
            table=Table(
                ("version", "requests", "failed", "mean latency", "GOOD", "cost of 1,000"),
                [_arm(arm) for arm in trial.arms],
            ),
        )


def _course(trial: Trial) -> str:
    told = trial.summary
    end = trial.rollout.at + int(told.seconds * SECOND)
    shares = ", ".join(f"{weight:.0%}" for weight in told.weights) or "none"
    text = (
        f"Rollout {told.id}: {told.candidate} {ending(trial.rollout, end)}; shares of users: "
        f"{shares}. {told.units_exposed:,} users met it, and {told.outcomes:,} outcomes were used"
    )
    text += f". Last word ({told.code}): {told.reason}." if told.reason else "."
    incident = trial.incident
    if incident is not None:
        closed = "closed" if incident.closed_at is not None else "open"
        text += f" The incident of the rollback is {closed}."
    return text


def _arm(arm: Arm) -> tuple[Cell, ...]:
    return (
        arm.label,
        f"{arm.requests:,}",
        f"{arm.failed:,}",
        NOT_MEASURED if arm.latency_ms is None else f"{arm.latency_ms:.1f} ms",
        "nothing was said" if arm.good is None else f"{rate(arm.good)} of {arm.good.n:,}",
        NOT_MEASURED if arm.cost is None else f"{arm.cost:.4f}",
    )


def _listed(title: str, found: list[str], nothing: str) -> Section:
    if not found:
        return Section(title=title, text=nothing)
    return Section(title=title, items=[(str(n), one) for n, one in enumerate(found, start=1)])


def _short(found: object) -> str:
    text = value(found) if isinstance(found, Mapping) or found is None else _plain(found)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _plain(found: Any) -> str:
    return f"{found:.6g}" if isinstance(found, float) else str(found)
