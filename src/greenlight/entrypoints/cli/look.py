"""`versions`, `rollouts` and `decisions`: what is on record."""

from __future__ import annotations

import click
import msgspec

from greenlight import wiring
from greenlight.core import fingerprint
from greenlight.core.records import (
    Approval,
    Decision,
    Epoch,
    Evaluation,
    Inference,
    LedgerEntry,
    Rollout,
    Shadow,
    Version,
)
from greenlight.core.situation import copies
from greenlight.core.words import told
from greenlight.entrypoints.cli.common import (
    facts,
    inline,
    json_option,
    labels,
    limit_option,
    moment,
    name_of,
    opened,
    public,
    show_json,
    table,
    task_argument,
)
from greenlight.entrypoints.cli.incidents import write_evidence
from greenlight.entrypoints.cli.registry import add_version, show_lineage
from greenlight.lookup import everything, find_by_id, find_version
from greenlight.ports import Records
from greenlight.reporting.latency import latencies

DIFFERENT = 5
"""Copies shown of those that were answered differently in the shadow."""
WIDE = 40
"""Letters shown of each."""


@click.group()
def versions() -> None:
    """List versions, show one, or add one that needs no training."""


versions.add_command(add_version)


@versions.command("list")
@task_argument
@json_option
@click.pass_context
def list_versions(context: click.Context, task: str | None, as_json: bool) -> None:
    """List the versions of all tasks, or of one."""
    with opened(context) as app:
        where = {"task": app.settings.task(task).name} if task else {}
        found = sorted(everything(app.store, Version, where), key=lambda v: (v.task, v.at))
    if as_json:
        show_json([public(version) for version in found])
        return
    rows = [
        (v.label, v.status, fingerprint.short(v.digest), v.initiator, moment(v.at)) for v in found
    ]
    click.echo(table(("VERSION", "STATUS", "DIGEST", "INITIATOR", "REGISTERED"), rows))


@versions.command("show")
@click.argument("version")
@click.option("--lineage", is_flag=True, help="Where it comes from, down to the inference ids.")
@json_option
@click.pass_context
def show_version(context: click.Context, version: str, lineage: bool, as_json: bool) -> None:
    """Show a version: lineage, evaluations, gates, approvals and what is missing.

    VERSION is a label (intent@2), a digest, or the beginning of a digest.
    """
    with opened(context) as app:
        found = find_version(app.store, version)
        if lineage:
            show_lineage(app, found, as_json)
            return
        where = {"version": found.digest}
        evaluations = sorted(everything(app.store, Evaluation, where), key=lambda e: e.at)
        approvals = sorted(everything(app.store, Approval, where), key=lambda a: a.at)
        judged = [
            entry.body
            for entry in everything(app.store, LedgerEntry, {"kind": "gates"})
            if entry.body["version"] == found.digest
        ]
        known = found.task in app.settings.tasks
        warnings = wiring.warnings_of(app, found)
        quorum = wiring.standing(app, found, as_control=True) if known else None
    if as_json:
        show_json(
            {
                "version": public(found),
                "evaluations": [public(evaluation) for evaluation in evaluations],
                "gates": judged,
                "warnings": warnings,
                "approvals": [public(word) for word in approvals],
                "quorum": msgspec.to_builtins(quorum),
            }
        )
        return
    lines = [
        ("version", found.label),
        ("status", found.status),
        ("digest", found.digest),
        ("bundle", found.bundle),
        ("runtime", inline(found.runtime)),
        *((name, value) for name, value in found.lineage.items()),
        ("registered", f"{moment(found.at)} by {found.initiator}"),
        ("sign-off", quorum or f"task {found.task} is no longer in greenlight.toml"),
    ]
    click.echo(facts(lines))
    for body in judged:
        verdict = "passed" if body["passed"] else "failed"
        click.echo(f"\ngates {verdict} on evaluation {body['evaluation']}")
        rows = [(r["metric"], r["outcome"], r["reason"]) for r in body["results"]]
        click.echo(table(("METRIC", "OUTCOME", "REASON"), rows))
    for warning in warnings:
        click.echo(f"warning: {warning['reason']}")
    if approvals:
        click.echo()
        words = [
            (moment(a.at), a.decision, a.person, a.role, fingerprint.short(a.evaluation), a.why)
            for a in approvals
        ]
        click.echo(table(("WHEN", "DECISION", "PERSON", "ROLE", "EVALUATION", "WHY"), words))
    for problem in quorum.problems if quorum else ():
        click.echo(problem)


@click.group()
def rollouts() -> None:
    """List rollouts, show one, or write its evidence."""


rollouts.add_command(write_evidence)


@rollouts.command("list")
@task_argument
@limit_option
@json_option
@click.pass_context
def list_rollouts(context: click.Context, task: str | None, limit: int, as_json: bool) -> None:
    """List rollouts, the newest first."""
    with opened(context) as app:
        where = {"task": app.settings.task(task).name} if task else {}
        found = app.store.scan(Rollout, where, newest_first=True, limit=limit)
        known = labels(app.store)
    if as_json:
        show_json([public(rollout) for rollout in found])
        return
    rows = [
        (
            r.id,
            r.status,
            name_of(r.candidate, known),
            name_of(r.control, known),
            moment(r.at),
            moment(r.ended_at),
        )
        for r in found
    ]
    click.echo(table(("ROLLOUT", "STATUS", "CANDIDATE", "CONTROL", "STARTED", "ENDED"), rows))


@rollouts.command("show")
@click.argument("rollout")
@json_option
@click.pass_context
def show_rollout(context: click.Context, rollout: str, as_json: bool) -> None:
    """Show a rollout: its splits, its decisions and its policy. ROLLOUT may be shortened.

    A task's name is its newest rollout.
    """
    with opened(context) as app:
        found = find_by_id(app.store, Rollout, rollout)
        epochs = list(everything(app.store, Epoch, {"rollout": found.id}))
        decided = list(everything(app.store, Decision, {"rollout": found.id}))
        known = labels(app.store)
        slow = latencies(app.store, found)
        made = copies(app.store.summarise(found.id))
        different = _different(app.store, found.id)
    if as_json:
        show_json(
            {
                "rollout": public(found),
                "p95_ms": {arm.value: msgspec.to_builtins(one) for arm, one in slow.items()},
                "copies": msgspec.to_builtins(made),
                "different": different,
                "epochs": [public(epoch) for epoch in epochs],
                "decisions": [public(decision) for decision in decided],
            }
        )
        return
    lines = [
        ("rollout", found.id),
        ("task", found.task),
        ("status", found.status),
        ("candidate", name_of(found.candidate, known)),
        ("control", name_of(found.control, known)),
        ("A/A", "yes" if found.aa else "no"),
        *([("drill", found.drill)] if found.drill else []),
        ("started", f"{moment(found.at)} by {found.initiator}"),
        ("ended", moment(found.ended_at)),
        ("policy", found.policy_digest),
    ]
    click.echo(facts(lines) + "\n")
    rows = [(epoch.number, f"{epoch.weight:.0%}", moment(epoch.at)) for epoch in epochs]
    click.echo(table(("EPOCH", "CANDIDATE", "SINCE"), rows) + "\n")
    if slow:
        ends = [(a, one.answers, _ms(one.low), _ms(one.high)) for a, one in slow.items()]
        head = ("P95 LATENCY", "ANSWERS", "FROM", "TO (95 %, MAY BE WATCHED)")
        click.echo(table(head, ends) + "\n")
    if made.made:
        click.echo(f"in the shadow: {told(made)}\n")
    if different:
        heads = ("ANSWERED DIFFERENTLY", "CONTROL", "CANDIDATE")
        click.echo(table(heads, [tuple(map(_short, row.values())) for row in different]) + "\n")
    click.echo(_decisions(decided))


def _different(store: Records, rollout: str) -> list[dict[str, str]]:
    """The newest copies to which the two versions said different things, as far as it is kept."""
    found = []
    where: dict[str, str | int | None] = {"rollout": rollout, "agreed": False}
    for shadow in store.scan(Shadow, where, newest_first=True, limit=DIFFERENT):
        asked = store.get(Inference, shadow.id)
        if asked is not None:
            row = {"input": asked.input, "control": asked.output, "candidate": shadow.output}
            found.append(row)
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDE else line[: WIDE - 1] + "…"


def _ms(value: float | None) -> str:
    return "not known yet" if value is None else f"{value:.1f} ms"


@click.group()
def decisions() -> None:
    """List decisions, show one, or take them all once more."""


@decisions.command("list")
@task_argument
@click.option("--rollout", help="Only those of this rollout (its id may be shortened).")
@limit_option
@json_option
@click.pass_context
def list_decisions(
    context: click.Context, task: str | None, rollout: str | None, limit: int, as_json: bool
) -> None:
    """List decisions, the newest first."""
    with opened(context) as app:
        where = {"task": app.settings.task(task).name} if task else {}
        if rollout:
            where["rollout"] = find_by_id(app.store, Rollout, rollout).id
        found = app.store.scan(Decision, where, newest_first=True, limit=limit)
    if as_json:
        show_json([public(decision) for decision in found])
    else:
        click.echo(_decisions(found))


@decisions.command("show")
@click.argument("decision")
@json_option
@click.pass_context
def show_decision(context: click.Context, decision: str, as_json: bool) -> None:
    """Show a decision with the evidence that it rests on. DECISION may be shortened."""
    with opened(context) as app:
        found = find_by_id(app.store, Decision, decision)
    if as_json:
        show_json(public(found))
        return
    lines = [
        ("decision", found.id),
        ("rollout", found.rollout),
        ("task", found.task),
        ("action", found.action),
        ("code", found.code),
        ("reason", found.reason),
        ("epoch seen", found.epoch_seen),
        ("policy", found.policy_digest),
        ("at", moment(found.at)),
        *((name, inline(value)) for name, value in found.evidence.items()),
    ]
    click.echo(facts(lines))


@decisions.command("replay")
@click.argument("rollout")
@json_option
@click.pass_context
def replay_decisions(context: click.Context, rollout: str, as_json: bool) -> None:
    """Take every decision of a ROLLOUT once more from its journal; they must be equal.

    Exit code 1 if one is not. ROLLOUT may be shortened; a task's name is its newest rollout.
    """
    from greenlight.stages.replay import replay

    with opened(context) as app:
        found = replay(app.store, find_by_id(app.store, Rollout, rollout))
    unequal = sum(not again.equal for again in found)
    if as_json:
        show_json(
            [
                {
                    "decision": again.decision.id,
                    "action": again.decision.action,
                    "code": again.decision.code,
                    "equal": again.equal,
                    "exact": again.exact,
                    "difference": again.difference,
                }
                for again in found
            ]
        )
    else:
        rows = [
            (
                again.decision.id,
                moment(again.decision.at),
                again.decision.action,
                again.decision.code,
                "bit for bit" if again.exact else "equal" if again.equal else again.difference,
            )
            for again in found
        ]
        click.echo(table(("DECISION", "WHEN", "ACTION", "CODE", "REPLAYED"), rows))
        click.echo(f"{len(found)} decisions taken once more, {unequal} not equal")
    if unequal:
        context.exit(1)


def _decisions(found: list[Decision]) -> str:
    rows = [(d.id, moment(d.at), d.action, d.code, d.reason) for d in found]
    return table(("DECISION", "WHEN", "ACTION", "CODE", "REASON"), rows)
