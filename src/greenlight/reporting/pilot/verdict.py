"""What follows from a pilot: the decision on a broader rollout, lessons, next steps.

All of it is read off the records. Where they say nothing, so does this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from greenlight.core import evaluation, labelling
from greenlight.core.approval import APPROVE
from greenlight.core.gates import passed
from greenlight.core.metrics import COMPARED
from greenlight.core.states import RolloutStatus, RunStatus
from greenlight.core.verdict import UNTRUSTED
from greenlight.reporting.pilot.facts import Facts, Trial

CANNOT_SAY = "cannot say"

_STATUS = {
    RolloutStatus.PROMOTED: ("yes", "it was promoted to all traffic"),
    RolloutStatus.ROLLED_BACK: ("no", "it was rolled back"),
    RolloutStatus.WITHDRAWN: (CANNOT_SAY, "it was withdrawn, which is no word on it"),
    RolloutStatus.INCONCLUSIVE: ("no", "its rollout ended without a decision"),
    RolloutStatus.RUNNING: ("open", "its rollout is under way"),
    RolloutStatus.PENDING: ("open", "its rollout waits for its release window"),
}

_ENDED_BADLY = {RunStatus.FAILED: "failed", RunStatus.ABORTED: "was aborted"}


class Decision(NamedTuple):
    """Whether the version should serve more users, and why."""

    answer: str
    """`yes`, `no`, `open`, or that nobody can say."""
    why: str
    reasons: list[str]
    """What else speaks for it or against it, from the records."""


def decision(facts: Facts) -> Decision:
    """Whether the version should be rolled out more broadly."""
    return Decision(*_answer(facts), list(_reasons(facts)))


def _answer(facts: Facts) -> tuple[str, str]:
    """What the last word on record says, from the end of the story backwards."""
    if facts.trials:
        last = facts.trials[-1]
        answer, what = _STATUS[last.rollout.status]
        reason = f": {last.summary.reason}" if last.summary.reason else ""
        return answer, f"{what}{reason}"
    if facts.version is None:
        return _without_version(facts)
    label = facts.version.label
    if facts.first:
        return "yes", f"{label} went live as the first of its task; there was nothing to compare"
    if not facts.gates:
        return CANNOT_SAY, f"no gate has judged {label}"
    if not passed(facts.gates):
        failed = [gate.metric for gate in facts.gates if gate.outcome == "fail"]
        return "no", f"{label} did not pass its gates ({', '.join(failed)}), and met no user"
    if not facts.approved:
        return CANNOT_SAY, f"{label} met no user: {facts.standing}"
    return CANNOT_SAY, f"{label} is approved, and no rollout of it is on record"


def _without_version(facts: Facts) -> tuple[str, str]:
    run = facts.run
    if run.status in _ENDED_BADLY:
        because = f": {run.error}" if run.error else ""
        return "no", f"the run {_ENDED_BADLY[run.status]} before it made a version{because}"
    return CANNOT_SAY, f"the run is {run.status.value} and has made no version yet"


def _reasons(facts: Facts) -> Iterator[str]:
    said = facts.document.get("live", {})
    for name in COMPARED:
        if name in said and "value" in said[name]:
            block = said[name]
            yield (
                f"offline, {name.replace('_', ' ')} differs by {block['value']:+.4f} from "
                f"{said['label']} (95 % interval {block['low']:+.4f} to {block['high']:+.4f})"
            )
    if "reason" in said:
        yield f"offline, it was not compared with a live version: {said['reason']}"
    for gate in facts.gates:
        if gate.outcome != "pass":
            yield f"gate {gate.metric} says {gate.outcome}: {gate.reason}"
    if facts.gates and passed(facts.gates):
        yield f"gates that judged it: {len(facts.gates)}; none failed"
    if facts.version is not None:
        signed = [
            f"{one.person} ({one.role})" for one in facts.approvals if one.decision == APPROVE
        ]
        yield f"signed by {', '.join(signed) or 'nobody'}; now: {facts.standing}"
    for trial in facts.trials:
        yield _in_traffic(trial)


def _in_traffic(trial: Trial) -> str:
    told = trial.summary
    rates = ", ".join(
        f"{arm.label} {arm.good.value:.1%} GOOD of {arm.good.n:,}"
        for arm in trial.arms
        if arm.good is not None
    )
    return f"in traffic, up to {told.max_weight:.0%} of users: {rates or 'no outcome'}"


def lessons(facts: Facts) -> list[str]:
    """What happened that the next pilot should know of."""
    return [
        *_of_data(facts),
        *_of_run(facts),
        *_of_evaluation(facts),
        *(lesson for trial in facts.trials for lesson in _of_trial(trial)),
    ]


def _of_data(facts: Facts) -> Iterator[str]:
    if not facts.datasets:
        return
    manifest = facts.datasets[0].manifest
    kept = sum(manifest.get("counts", {}).values())
    for reason, n in sorted(manifest.get("exclusions", {}).items(), key=lambda one: -one[1]):
        if n:
            rows = "row was" if n == 1 else "rows were"
            yield f"{n:,} {rows} left out for {reason!r}, beside {kept:,} that were kept"
    scrubbed = manifest.get("pii", {}).get("scrubbed", {})
    if any(scrubbed.values()):
        what = ", ".join(f"{kind} {n:,}" for kind, n in sorted(scrubbed.items()) if n)
        yield f"personal data was found in the texts and replaced: {what}"


def _of_run(facts: Facts) -> Iterator[str]:
    if facts.run.error:
        yield f"the run ended with: {facts.run.error}"
    reused = [f"{one.name} from {one.reused}" for one in facts.stages if one.reused is not None]
    if reused:
        yield f"taken over, as nothing that goes in had changed: {', '.join(reused)}"


def _of_evaluation(facts: Facts) -> Iterator[str]:
    for warning in evaluation.warnings(facts.document):
        yield f"the evaluation warns: {warning['reason']}"
    told = {warning["metric"] for warning in evaluation.warnings(facts.document)}
    for gate in facts.gates:
        if gate.outcome == "warn" and gate.metric not in told:
            yield f"gate {gate.metric} warned: {gate.reason}"
    rejections = [word for word in facts.approvals if word.decision == "reject"]
    for word in rejections:
        yield f"{word.person} ({word.role}) rejected it: {word.why}"


def _of_trial(trial: Trial) -> Iterator[str]:
    told = trial.summary
    if trial.rollout.status is RolloutStatus.ROLLED_BACK:
        yield (
            f"rolled back ({told.code}) when {told.units_exposed:,} users had met it: {told.reason}"
        )
    if trial.rollout.status is RolloutStatus.INCONCLUSIVE:
        yield f"no decision after {told.outcomes:,} outcomes: {told.reason}"
    for code, (n, reason) in sorted(trial.holds.items()):
        if _tells(code):
            yield f"held ({code}), decided {n:,} times, the last time because: {reason}"
    if trial.paused:
        yield f"paused by a person {trial.paused:,} times"


def _tells(code: str) -> bool:
    """Whether a hold says something of how the pilot was set up, and not only that it was early."""
    telling = (*UNTRUSTED, "stale", "unapproved", "cannot_compute")
    return code in telling or code.startswith("alarm_")


def next_steps(facts: Facts) -> list[str]:
    """What is to be done now."""
    found = []
    if facts.next_command is not None:
        found.append(f"run: {facts.next_command}")
    elif facts.trials:
        found += _after(facts.trials[-1], facts.run.task)
    elif facts.version is None:
        found.append(
            f"mend what stopped the run, and begin another: greenlight run {facts.run.task}"
        )
    waiting = {name: n for name, n in _excluded(facts).items() if name in labelling.WAITING and n}
    if waiting:
        found.append(
            f"label the {sum(waiting.values()):,} answers that wait for a person: "
            f"greenlight relabel list {facts.run.task}"
        )
    for warning in evaluation.warnings(facts.document):
        found.append(f"look into {warning['metric']} before the next version")
    return found


def _excluded(facts: Facts) -> dict[str, int]:
    return dict(facts.datasets[0].manifest.get("exclusions", {})) if facts.datasets else {}


def _after(trial: Trial, task: str) -> Iterator[str]:
    status, label = trial.rollout.status, trial.summary.candidate
    if status is RolloutStatus.PROMOTED:
        yield f"let users judge {label}, and learn from what they say: greenlight run {task}"
    elif status in (RolloutStatus.RUNNING, RolloutStatus.PENDING):
        yield f"wait for the evidence: greenlight status {task} --watch"
    elif status is RolloutStatus.ROLLED_BACK:
        yield f"read what happened: greenlight incidents show {trial.rollout.id}"
        yield f"mend what users met, and make another version: greenlight run {task}"
    else:
        yield f"plan for more users or a longer time: greenlight plan {task}"
