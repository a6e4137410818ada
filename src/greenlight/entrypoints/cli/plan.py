"""`plan`: how many outcomes and how many days a rollout of a task takes."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from greenlight.core.errors import BadInput
from greenlight.entrypoints.cli.common import json_option, opened, show_json, table


@click.command("plan")
@click.argument("task")
@click.option(
    "--effect",
    default=0.05,
    show_default=True,
    help="How much better or worse a candidate is that should be told from control.",
)
@click.option("--rate", type=float, help="Control's rate of GOOD (default: as it was lately).")
@click.option("--per-day", type=float, help="Judged answers per day (default: as it was lately).")
@click.option("--seed", default=1, show_default=True, help="Seed of the simulation.")
@json_option
@click.pass_context
def plan(
    context: click.Context,
    task: str,
    effect: float,
    rate: float | None,
    per_day: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """How many outcomes, and days, a rollout of TASK takes at each of its splits.

    The engine's own tests are run on simulated outcomes. Example:

        greenlight plan intent --effect 0.03
    """
    import numpy as np
    from rich.console import Console

    from greenlight.entrypoints.progress import bar
    from greenlight.stages import plan as stage

    if not 0 < effect < 1:
        raise BadInput(f"--effect {effect}: expected a share between 0 and 1, such as 0.05")
    if rate is not None and not 0 < rate < 1:
        raise BadInput(f"--rate {rate}: expected a share between 0 and 1, such as 0.9")
    if per_day is not None and not per_day > 0:
        raise BadInput(f"--per-day {per_day}: expected more than 0")
    with opened(context) as app:
        policy = app.settings.task(task).policy
        seen = stage.traffic(app.store, task, app.clock.now())
    if rate is not None:
        seen = msgspec.structs.replace(seen, rate=rate, known="as given")
    if per_day is not None:
        seen = msgspec.structs.replace(seen, per_day=per_day)
    with bar(Console(stderr=True, quiet=as_json), f"plan {task}") as progress:
        estimate = stage.plan(
            policy, seen, effect=effect, rng=np.random.default_rng(seed), progress=progress
        )
    if as_json:
        show_json(_public(estimate))
    else:
        click.echo(_text(estimate))


def _public(estimate: Any) -> dict[str, Any]:
    from greenlight.stages.plan import days

    found: dict[str, Any] = msgspec.to_builtins(estimate)
    for need, made in zip(estimate.needs, found["needs"], strict=True):
        made["days"] = days(need.q80, estimate.traffic.per_day)
    return found


def _text(estimate: Any) -> str:
    from greenlight.core.planning import LIMIT
    from greenlight.stages.plan import days

    def count(value: int | None) -> str:
        return f"> {LIMIT:,}" if value is None else f"{value:,}"

    rows = []
    for need in estimate.needs:
        took = days(need.q80, estimate.traffic.per_day)
        rows.append(
            (
                f"{need.question.weight:.0%}",
                need.question.text,
                count(need.median),
                count(need.q80),
                count(need.q90),
                "–" if took is None else f"{took:.2g}",
            )
        )
    per_day = estimate.traffic.per_day
    head = (
        f"control is GOOD {estimate.traffic.rate:.1%} of the time ({estimate.traffic.known}); "
        + ("judged answers per day: not known" if per_day is None else f"{per_day:,.0f} a day")
    )
    parts = [
        head,
        "",
        table(("SPLIT", "TO BE SHOWN", "MEDIAN", "80 %", "90 %", "DAYS (80 %)"), rows),
        "",
        "Outcomes of both arms together; so many suffice for 50, 80 and 90 % of rollouts.",
        *estimate.besides,
        *(f"warning: {warning}" for warning in estimate.warnings),
    ]
    return "\n".join(parts)
