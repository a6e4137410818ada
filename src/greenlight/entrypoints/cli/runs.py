"""Runs of the pipeline: list them, watch one, end one."""

from __future__ import annotations

from time import sleep
from typing import Any

import click

from greenlight import wiring
from greenlight.core.records import SECOND
from greenlight.core.states import RunStatus
from greenlight.entrypoints.cli.common import (
    facts,
    json_option,
    moment,
    opened,
    show_json,
    table,
)
from greenlight.lookup import find_run, run_view
from greenlight.stages.runs import UNDER_WAY
from greenlight.wiring.pipeline import SILENCE

WATCH_SECONDS = 1.0
MEGABYTE = 1_000_000


@click.group()
def runs() -> None:
    """List runs of the pipeline, show one, or end one."""


@runs.command("list")
@click.argument("task", required=False)
@click.option("--limit", default=20, show_default=True, help="At most so many.")
@json_option
@click.pass_context
def list_runs(context: click.Context, task: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first."""
    with opened(context) as app:
        views = wiring.newest_runs(app, task, limit)
    if as_json:
        show_json(views)
        return
    rows = [
        (
            view["id"],
            view["status"],
            _at(view),
            view["trigger"],
            view["initiator"],
            moment(view["at"]),
            _duration(view),
        )
        for view in views
    ]
    head = ("RUN", "STATUS", "STAGE", "TRIGGER", "BY", "BEGAN", "TOOK")
    click.echo(table(head, rows) if rows else "no run yet; begin one: greenlight run TASK")


@runs.command("show")
@click.argument("run")
@click.option("--watch", is_flag=True, help="Follow it until it ends.")
@json_option
@click.pass_context
def show_run(context: click.Context, run: str, watch: bool, as_json: bool) -> None:
    """Show a run: its stages, what they made, how far it is."""
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    with opened(context) as app:
        found = find_run(app.store, run)
        if watch:
            with bar(Console(quiet=as_json), found.id) as progress:
                while found.status in UNDER_WAY:
                    progress(*_words(run_view(app.store, found), app.clock.now()))
                    sleep(WATCH_SECONDS)
                    found = find_run(app.store, run)
        view, now = run_view(app.store, found), app.clock.now()
    if as_json:
        show_json(view)
        return
    lines: list[tuple[str, object]] = [
        ("run", view["id"]),
        ("status", view["status"]),
        ("stage", _at(view)),
        ("trigger", f"{view['trigger']}, by {view['initiator']}"),
        ("began", moment(view["at"])),
        ("ended", moment(view["ended_at"])),
    ]
    if view["status"] in UNDER_WAY:
        lines.append(("sign of life", _sign_of_life(view, now)))
    if view["error"]:
        lines.append(("error", view["error"]))
    if view["progress"] is not None:
        lines.append(("most memory", f"{view['progress']['peak_memory'] / MEGABYTE:.0f} MB"))
    click.echo(facts(lines))
    if view["stages"]:
        click.echo()
        click.echo(table(("STAGE", "TOOK", "MADE", "TAKEN OVER FROM"), _stages(view)))


@runs.command("abort")
@click.argument("run")
@json_option
@click.pass_context
def abort_run(context: click.Context, run: str, as_json: bool) -> None:
    """End a run. Whoever carries it out clears up what it had half made."""
    with opened(context) as app:
        ended = wiring.open_pipeline(app).abort(run)
        view = run_view(app.store, ended)
    if as_json:
        show_json(view)
    elif ended.status is RunStatus.ABORTED:
        click.echo(f"{ended.id} is aborted; its finished stages stay, and the next run uses them")
    else:
        click.echo(f"{ended.id} will end in a moment; see: greenlight runs show '{ended.id}'")


def _at(view: dict[str, Any]) -> str:
    """Where the run is, or was last."""
    told = view["progress"]
    if view["status"] == RunStatus.FINISHED or told is None:
        return "–"
    done = [stage["name"] for stage in view["stages"]]
    if told["stage"] in done:  # nobody has told of the next one, and perhaps nobody will
        return f"after {done[-1]}"
    return f"{told['stage']} {told['share']:.0%}"


def _sign_of_life(view: dict[str, Any], now: int) -> str:
    """When the process that carries a run out was last heard of, and what to do if it is gone."""
    told = view["progress"]
    if told is None:
        return f"none yet; greenlight run {view['task']} carries it out"
    silence = now - told["at"]
    if silence < SILENCE:
        return moment(told["at"])
    gone = f"its process is gone, and greenlight run {view['task']} goes on"
    return f"{_seconds(silence)} ago: {gone}"


def _words(view: dict[str, Any], now: int) -> tuple[float, str]:
    """How far a run is that is under way, as a bar shows it."""
    told = view["progress"]
    if told is None or now - told["at"] >= SILENCE:
        return 0.0, f"sign of life {_sign_of_life(view, now)}"
    return told["share"], f"{told['stage']}: {told['words']}"


def _duration(view: dict[str, Any]) -> str:
    ended = view["ended_at"]
    return "–" if ended is None else _seconds(ended - view["at"])


def _seconds(duration: int) -> str:
    return f"{duration / SECOND:.1f} s"


def _stages(view: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [
        (
            stage["name"],
            _seconds(stage["at"] - stage["started_at"]),
            ", ".join(f"{name} {value[7:19]}" for name, value in stage["output"].items()),
            stage["reused"] or "–",
        )
        for stage in view["stages"]
    ]
