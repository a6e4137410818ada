"""Drills in an installation: the faulty candidate, its rollout, and what came of it (O6)."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core import aftermath, drill
from greenlight.core.drill import FAULTS, Findings, Trigger
from greenlight.core.errors import Refused
from greenlight.core.gates import passed
from greenlight.core.incidents import Incident
from greenlight.core.records import DAY, Decision, Inference, LedgerEntry, Rollout, Version
from greenlight.core.routing import ENDS
from greenlight.core.states import Status, Variant
from greenlight.lookup import everything, passed_evaluations
from greenlight.ports import Progress
from greenlight.recording import record
from greenlight.stages import adopt as adding
from greenlight.stages import aftermath as following
from greenlight.stages.loop import live_version
from greenlight.wiring.app import App
from greenlight.wiring.control import DeploymentManager
from greenlight.wiring.evaluating import measure_parts, seal_evaluation

ENOUGH_JUDGED = 100
"""So many judged answers of control tell its share of BAD well enough."""
_JUDGED = 1000
"""At most so many are looked at."""
_NOBODYS = (Status.REFUSED, Status.CANCELLED)
"""What became of requests that are nobody's failure."""


def add_drill(app: App, task: str, fault: str, intensity: float, *, initiator: str) -> Version:
    """The live version's bundle behind a fault, as a version; the same fault is the same version.

    Raises:
        Refused: nothing is live.
        BadInput: no such fault, or an intensity that it cannot have.
    """
    live = live_version(app.store, task)
    if live is None:
        raise Refused(f"{task}: nothing is live, so there is nothing to rehearse on")
    runtime = drill.runtime_of(live.runtime, fault, intensity)
    made_by: dict[str, Any] = {
        name: live.lineage[name] for name in ("run", "dataset") if name in live.lineage
    }
    newcomer = adding.Newcomer(
        task=task,
        bundle=live.bundle,
        runtime=runtime,
        lineage={
            **made_by,
            "source": drill.KIND,
            "of": live.digest,
            "by": initiator,
            "why": f"a drill on {live.label}: {drill.told(runtime)}",
        },
    )
    there = app.store.get(Version, newcomer.digest)
    if there is not None:
        return there
    app.act()
    labelled = msgspec.structs.replace(newcomer, label=_free_label(app, task, fault))
    return adding.add(app.store, labelled, initiator=initiator, now=app.clock.now())


def _free_label(app: App, task: str, fault: str) -> str:
    """`TASK@drill-FAULT`, with a number where that is another one's."""
    taken = {version.label for version in everything(app.store, Version, {"task": task})}
    label = f"{task}@{drill.KIND}-{fault}"
    if label not in taken:
        return label
    return next(f"{label}-{n}" for n in itertools.count(2) if f"{label}-{n}" not in taken)


def judge_for_drill(app: App, version: Version, progress: Progress) -> str | None:
    """Evaluate a version from its bundle and hold it against the gates, once.

    Returns:
        Why it did not pass them; None: it did, now or before.
    """
    if passed_evaluations(app.store, version):
        return None
    with tempfile.TemporaryDirectory() as folder:
        measure_parts(app, version, folder=Path(folder), progress=progress)
        gates = seal_evaluation(app, version, folder=Path(folder)).gates
    if passed(gates):
        return None
    failed = [f"{gate.metric}: {gate.reason}" for gate in gates if gate.outcome == "fail"]
    return "; ".join(failed) or f"tasks.{version.task}.gates: there is none"


def start_drill(
    app: App, version: Version, *, initiator: str, trigger: Trigger
) -> tuple[Rollout, dict[str, Any]]:
    """Begin the rollout of a drill.

    Args:
        app: the open store and settings.
        version: the faulty candidate, approved.
        initiator: who holds the drill.
        trigger: what must roll it back. With `alarm` the guardrails of the evidence are off, and an
            alarm that sees the fault is declared where the task has none.

    Returns:
        The rollout, and the alarm that was declared for it, if any.

    Raises:
        Refused: see `stages.roll_out.start`.
        BadInput: see `core.drill.alarms`.
    """
    policy = app.settings.task(version.task).policy
    declared: dict[str, Any] = {}
    if trigger == "alarm":
        fault = FAULTS[version.runtime["fault"]]
        intensity = version.runtime["intensity"]
        alarms, added = drill.alarms(fault, policy.alarms, intensity, _bad_share(app, version.task))
        policy = msgspec.structs.replace(policy, trigger=trigger, alarms=alarms)
        declared = {} if added is None else msgspec.to_builtins(added)
    rollout = DeploymentManager(app).start(
        version,
        initiator=initiator,
        policy=policy,
        drill=drill.told(version.runtime, trigger),
    )
    return rollout, declared


def _bad_share(app: App, task: str) -> float | None:
    """The share of BAD in what was last said of control's answers; None: too few were judged."""
    now = app.clock.now()
    found = app.store.answers(task, since=now - DAY, until=now, limit=_JUDGED)
    said = []
    for one, words in found:
        if one.variant is not Variant.CONTROL:
            continue
        said += [word.value for word in words if word.metric == "quality"][-1:]
    return 1 - sum(said) / len(said) if len(said) >= ENOUGH_JUDGED else None


def measure_drill(app: App, rollout: Rollout, *, user_errors: int | None = None) -> Findings:
    """What was seen of a drill so far.

    Args:
        app: the open store and settings.
        rollout: of the drill.
        user_errors: requests that nobody answered, where the clients counted them; else those that
            the gateways put on record count.
    """
    store = app.store
    arms = [arm for arm in store.summarise(rollout.id) if arm.variant == Variant.CANDIDATE]
    decision, before = _last_words(app, rollout)
    alarm, alarm_at = None, None
    if decision is not None and decision.code == "alarm":
        read = decision.evidence["situation"]["alarms"]
        alarm = next(name for name, found in read.items() if found["judgement"] == "rollback")
        alarm_at = read[alarm]["at"]
    if user_errors is None:
        nobody = {"rollout": rollout.id, "served_version": ""}
        unanswered = everything(store, Inference, nobody)
        user_errors = sum(one.status not in _NOBODYS for one in unanswered)
    return Findings(
        exposed_at=exposed_at(app, rollout),
        alarm=alarm,
        alarm_at=alarm_at,
        decided_at=None if decision is None else decision.at,
        action=None if decision is None else decision.action.value,
        code=None if decision is None else decision.code,
        reason=None if decision is None else decision.reason,
        before=before,
        applied_at=applied_at(app, rollout),
        requests=sum(arm.requests for arm in arms),
        served=sum(arm.served for arm in arms),
        units=max((arm.units for arm in arms), default=0),
        failed=sum(arm.failed for arm in arms),
        bad=sum(arm.bad for arm in arms),
        user_errors=user_errors,
    )


def _last_words(app: App, rollout: Rollout) -> tuple[Decision | None, str | None]:
    """The decision that ended a rollout, if one has, and the verdict before it."""
    found = app.store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=2)
    if not found or found[0].action not in ENDS:
        return None, None
    before = found[1] if found[1:] else None
    told = None if before is None else f"{before.action.value} ({before.code}): {before.reason}"
    return found[0], told


def exposed_at(app: App, rollout: Rollout) -> int | None:
    """When the first request met the candidate (µs since 1970); None: none has."""
    own = {"rollout": rollout.id, "variant": Variant.CANDIDATE.value}
    # Ids are in the order of time: whatever is of this rollout comes after its own.
    first = app.store.scan(Inference, own, after=(rollout.id,), limit=1)
    return first[0].at if first else None


def applied_at(app: App, rollout: Rollout) -> int | None:
    """When the last gateway took a rollback over (µs since 1970); None while one has not, or there
    is none."""
    decision, _ = _last_words(app, rollout)
    incident = None if decision is None else app.store.get(Incident, rollout.id)
    if decision is None or incident is None:
        return None
    found = following.propagation(app.store, incident, app.clock.now())
    if found is None or found["result"] != "everywhere":
        return None
    applied: list[int] = [replica["applied_at"] for replica in found["replicas"]]
    return max(decision.at, *applied)


def file_drill(app: App, body: dict[str, Any]) -> None:
    """Put what a drill came to on the ledger."""
    app.act()
    record(app.store, [(drill.ENTRY, body)], now=app.clock.now())


def add_to_incident(app: App, rollout: Rollout, body: dict[str, Any]) -> None:
    """Put what a drill came to beside what followed its rollback; nothing where there was none."""
    incident = app.store.get(Incident, rollout.id)
    if incident is not None:
        word = "passed" if body["passed"] else "failed"
        outcome = {"result": word, "says": f"the drill {word}: {body['why']}", **body}
        following.advance(app.store, incident, aftermath.DRILL, outcome, app.clock.now())


def drills(app: App, task: str | None, most: int) -> list[dict[str, Any]]:
    """What the last drills came to, the newest first."""
    entries = everything(app.store, LedgerEntry, {"kind": drill.ENTRY}, newest_first=True)
    found = (entry.body for entry in entries if task in (None, entry.body["task"]))
    return list(itertools.islice(found, most))
