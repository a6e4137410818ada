"""`status`: what is live now, how the evidence stands, and what the next step waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from greenlight import wiring
from greenlight.core import aftermath
from greenlight.core.incidents import Incident
from greenlight.core.killing import KillEntry
from greenlight.core.lifecycle import phase_of
from greenlight.core.records import Decision, Replica, Rollout, Version
from greenlight.core.states import VersionStatus
from greenlight.core.waiting import way
from greenlight.entrypoints.cli.common import (
    json_option,
    labels,
    name_of,
    opened,
    public,
    show_json,
)
from greenlight.entrypoints.cli.looking import follow
from greenlight.entrypoints.cli.watching import text
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.reporting.purposes import bars
from greenlight.reporting.underway import Underway, alive, reached, underway
from greenlight.stages.catch_up import last_word
from greenlight.stages.release_windows import opens_at
from greenlight.stages.roll_out import active, current_epoch
from greenlight.wiring.next_step import next_step

_WAITING = (VersionStatus.EVALUATED, VersionStatus.APPROVED)


@click.command()
@click.argument("task", required=False)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@json_option
@click.pass_context
def status(context: click.Context, task: str | None, watch: bool, as_json: bool) -> None:
    """Show what is live, the running rollout, its evidence, and what its next step waits for.

    Evidence is log E, the natural logarithm, against the threshold at which its test acts.
    """
    with opened(context) as app:
        names = [app.settings.task(task).name] if task else sorted(app.settings.tasks)
        if watch:
            follow(lambda: look(app, names), app.clock.now, as_json=as_json)
        elif as_json:
            show_json(look(app, names))
        else:
            click.echo(text(look(app, names)))


def look(app: wiring.App, names: Sequence[str]) -> dict[str, Any]:
    """Everything that status shows, as plain values."""
    now = app.clock.now()
    settings = app.settings
    kill_faults = list(wiring.kill_faults(app.kills, settings))
    gateways = alive(app.store, now)
    return {
        "project": settings.project.name,
        "environment": settings.project.environment,
        "at": now,
        "gateways": len(gateways),
        "gateway": settings.gateway_url,
        "kill_faults": kill_faults,
        "tasks": {name: _task(app, name, gateways, now) for name in names},
    }


def _task(app: wiring.App, name: str, gateways: Sequence[Replica], now: int) -> dict[str, Any]:
    store = app.store
    known = labels(store)
    epoch = current_epoch(store, name)
    running = active(store, name)
    waiting = [
        {"version": v.label, "status": v.status, "sign_off": str(wiring.standing(app, v))}
        for v in everything(store, Version, {"task": name})
        if v.status in _WAITING
    ]
    return {
        "live": name_of(epoch.control, known) if epoch else None,
        "epoch": epoch.number if epoch else None,
        "gateways_reached": reached(gateways, name, epoch.number) if epoch else 0,
        "kill": _kill(last_word(store, name, app.kills.entries().get(name)), gateways),
        "rollout": _under_way(app, running, now) if running else None,
        "ended": None if running else _ended(store, name, known),
        "waiting": waiting,
        "next": next_step(app, name),
    }


def _kill(entry: KillEntry | None, gateways: Sequence[Replica]) -> dict[str, Any] | None:
    """What the kill switch last said of a task, and how many gateways obey; None: nothing yet."""
    if entry is None:
        return None
    obeying = sum(replica.kills.get(entry.task, 0) >= entry.generation for replica in gateways)
    said = msgspec.structs.asdict(entry)
    del said["signature"]
    return {**said, "gateways_reached": obeying}


def _ended(store: Records, task: str, known: dict[str, str]) -> dict[str, Any] | None:
    """How a task's last rollout ended, and why; None if there was none."""
    newest = store.scan(Rollout, {"task": task}, newest_first=True, limit=1)
    if not newest:
        return None
    [rollout] = newest
    last = store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)
    incident = store.get(Incident, rollout.id)
    return {
        "id": rollout.id,
        "candidate": name_of(rollout.candidate, known),
        "status": rollout.status,
        "at": rollout.ended_at,
        "decision": public(last[0]) if last else None,
        "incident": None
        if incident is None
        else {**public(incident), "standing": aftermath.standing(incident)},
    }


def _under_way(app: wiring.App, rollout: Rollout, now: int) -> dict[str, Any]:
    """A rollout that has not ended, and what comes next for it."""
    found = underway(app.store, rollout, lookout=app.lookout, now=now)
    ahead = wiring.DeploymentManager(app).ahead(rollout.task)
    return {
        **_rollout(found),
        "window_opens_at": opens_at(found.policy.release_window, now),
        # It may have ended since it was read; then the next look says so.
        "next_step": None if ahead is None else ahead.step,
        "waits_for": [] if ahead is None else msgspec.to_builtins(ahead.waits_for),
        "ends": [] if ahead is None else msgspec.to_builtins(ahead.ends),
    }


def _rollout(found: Underway) -> dict[str, Any]:
    rollout, policy = found.rollout, found.policy
    rules = policy.rollout
    return {
        "id": rollout.id,
        "candidate": found.candidate,
        "control": found.control,
        "aa": rollout.aa,
        "drill": rollout.drill,
        "since": rollout.at,
        "phase": phase_of(rollout.status, rollout.step, rules),
        "way": msgspec.to_builtins(way(rollout.status, rollout.step, policy)),
        "step": rollout.step + 1,
        "steps": len(rules.ladder) - 1,
        "weight": found.weight,
        "arms": {variant.value: counts for variant, counts in found.counts.items()},
        "copies": msgspec.to_builtins(found.copies),
        "evidence": {
            bar.test: {
                "log_e": bar.log_e,
                "log_threshold": bar.log_threshold,
                "purpose": bar.purpose,
                "counts": bar.counts,
            }
            for bar in bars(found)
        },
        "alarms": msgspec.to_builtins(found.alarms),
        "difference": found.difference,
        "cannot_compute": {gap.test: gap.reason for gap in found.missing},
        "excluded": found.evidence.excluded,
        "launch": policy.launch,
        "trigger": policy.trigger,
        "paused": rollout.paused,
        "decision": public(found.decision) if found.decision else None,
    }
