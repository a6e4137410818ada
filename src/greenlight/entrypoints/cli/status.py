"""`status`: what is live now, and how the evidence stands."""

from __future__ import annotations

import threading
from typing import Any

import click
import msgspec

from greenlight import wiring
from greenlight.core.answers import Copies
from greenlight.core.records import Decision, Rollout, Version
from greenlight.core.states import Variant, VersionStatus
from greenlight.core.words import power, told
from greenlight.entrypoints.cli.common import (
    json_option,
    labels,
    moment,
    name_of,
    opened,
    public,
    show_json,
    table,
)
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.reporting.underway import Underway, alive, underway
from greenlight.stages.roll_out import active, current_epoch
from greenlight.wiring.next_step import next_step

WATCH_S = 1.0

_WAITING = (VersionStatus.EVALUATED, VersionStatus.APPROVED)


@click.command()
@click.argument("task", required=False)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@json_option
@click.pass_context
def status(context: click.Context, task: str | None, watch: bool, as_json: bool) -> None:
    """Show what is live, the running rollout and its evidence.

    Evidence is log E, the natural logarithm, against the threshold at which its test acts.
    """
    with opened(context) as app:
        names = [app.settings.task(task).name] if task else sorted(app.settings.tasks)
        while True:
            found = _look(app, names)
            if watch and not as_json:
                click.clear()
            if as_json:
                show_json(found)
            else:
                click.echo(_text(found))
            if not watch:
                return
            threading.Event().wait(WATCH_S)


def _look(app: wiring.App, names: list[str]) -> dict[str, Any]:
    """Everything that status shows, as plain values."""
    now = app.clock.now()
    settings = app.settings
    return {
        "project": settings.project.name,
        "environment": settings.project.environment,
        "at": now,
        "gateways": len(alive(app.store, now)),
        "gateway": settings.gateway_url,
        "tasks": {name: _task(app, name) for name in names},
    }


def _task(app: wiring.App, name: str) -> dict[str, Any]:
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
        "rollout": _rollout(underway(store, running)) if running else None,
        "ended": None if running else _ended(store, name, known),
        "waiting": waiting,
        "next": next_step(app, name),
    }


def _ended(store: Records, task: str, known: dict[str, str]) -> dict[str, Any] | None:
    """How a task's last rollout ended, and why; None if there was none."""
    newest = store.scan(Rollout, {"task": task}, newest_first=True, limit=1)
    if not newest:
        return None
    [rollout] = newest
    last = store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)
    return {
        "id": rollout.id,
        "candidate": name_of(rollout.candidate, known),
        "status": rollout.status,
        "at": rollout.ended_at,
        "decision": public(last[0]) if last else None,
    }


def _rollout(found: Underway) -> dict[str, Any]:
    rollout, policy = found.rollout, found.policy
    return {
        "id": rollout.id,
        "candidate": found.candidate,
        "control": found.control,
        "aa": rollout.aa,
        "since": rollout.at,
        "step": rollout.step + 1,
        "steps": len(policy.rollout.ladder) - 1,
        "weight": found.weight,
        "arms": {variant.value: counts for variant, counts in found.counts.items()},
        "copies": msgspec.to_builtins(found.copies),
        "evidence": {
            test: {"log_e": log_e, "log_threshold": limit}
            for test, (log_e, limit) in found.tests.items()
        },
        "difference": found.difference,
        "cannot_compute": {gap.test: gap.reason for gap in found.missing},
        "excluded": found.evidence.excluded,
        "launch": policy.launch,
        "decision": public(found.decision) if found.decision else None,
    }


def _text(found: dict[str, Any]) -> str:
    gateways = f"{found['gateways']} gateway" + ("" if found["gateways"] == 1 else "s")
    head = f"{found['project']} ({found['environment']})  {moment(found['at'])}  {gateways} alive"
    parts = [head]
    for name, task in found["tasks"].items():
        live = task["live"] or "nothing yet"
        parts.append(f"{name}: live {live}" + (f", epoch {task['epoch']}" if task["epoch"] else ""))
        if task["rollout"]:
            parts.append(_rollout_text(task["rollout"]))
        if task["ended"]:
            parts.append(_ended_text(task["ended"]))
        for version in task["waiting"]:
            parts.append(f"{version['version']} is {version['status']}: {version['sign_off']}")
        if task["next"]:
            parts.append(f"next: {task['next']}")
    return "\n\n".join(parts)


def _ended_text(ended: dict[str, Any]) -> str:
    decision = ended["decision"]
    why = f" ({decision['code']}): {decision['reason']}" if decision else ""
    word = str(ended["status"]).replace("_", " ")
    return f"{ended['candidate']} was {word} at {moment(ended['at'])}{why}"


def _rollout_text(rollout: dict[str, Any]) -> str:
    kind = "A/A test" if rollout["aa"] else "rollout"
    lines = [
        f"{kind} {rollout['id']}: {rollout['candidate']} against {rollout['control']} since "
        f"{moment(rollout['since'])}",
        f"step {rollout['step']} of {rollout['steps']}, "
        f"{rollout['weight']:.0%} of units on the candidate",
    ]
    made = msgspec.convert(rollout["copies"], Copies)
    if made.made or not rollout["weight"]:
        lines.append(f"in the shadow: {told(made)}")
    decision = rollout["decision"]
    if decision:
        lines.append(
            f"{moment(decision['at'])}  {decision['action']} ({decision['code']}): "
            f"{decision['reason']}"
        )
    arms = [(arm, rollout["arms"].get(arm, {})) for arm in Variant]
    fields = ("units", "requests", "served", "failed", "good", "bad")
    rows = [[arm, *(counts.get(f, 0) for f in fields), _share(counts)] for arm, counts in arms]
    lines += ["", table(("ARM", *(f.upper() for f in fields), "GOOD RATE"), rows)]
    if any(counts.get("input_tokens") for _, counts in arms):
        spent = [
            (arm, *(counts.get(f, 0) for f in ("input_tokens", "output_tokens")), _cost(counts))
            for arm, counts in arms
        ]
        lines += ["", table(("ARM", "TOKENS READ", "WRITTEN", "COST"), spent)]
    tests = [
        (test, power(e["log_e"]), power(e["log_threshold"]))
        for test, e in rollout["evidence"].items()
        if e["log_e"] is not None
    ]
    lines += ["", table(("EVIDENCE", "E", "ACTS AT"), tests)]
    if rollout["difference"]:
        low, high = rollout["difference"]
        lines.append(f"better answers by {low:+.1%} to {high:+.1%} (95 %, may be watched)")
    gaps = rollout["cannot_compute"].items()
    lines += [f"{test}: cannot be computed, because {reason}" for test, reason in gaps]
    counted = rollout["excluded"].items()
    lines += [f"{count} exposures entered no test: {reason}" for reason, count in counted]
    if rollout["launch"] > 1:
        lines.append(f"launch {rollout['launch']} of this pair: every threshold is higher for it")
    return "\n".join(lines)


def _cost(counts: dict[str, float]) -> str:
    """What an arm cost in all, and per request."""
    requests = counts.get("requests", 0)
    each = f" ({counts['cost'] / requests:.6f} each)" if requests else ""
    return f"{counts.get('cost', 0.0):.4f}{each}"


def _share(counts: dict[str, float]) -> str:
    total = counts.get("good", 0) + counts.get("bad", 0)
    return f"{counts['good'] / total:.3f}" if total else "–"
