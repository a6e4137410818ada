"""What docs/rollback.md shows of the results: tables between two markers, and figures.

    python -m benchmarks.rollback.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from benchmarks.harness import ROOT
from benchmarks.pages import Found, Page, image, made_by
from benchmarks.rollback import figures
from benchmarks.rollback.results import (
    alarms_table,
    faults_table,
    goals_table,
    kills_table,
    takeovers_table,
)


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    parts = [_head(found), "### Goals\n", goals_table(found)]
    if found["runs"]:
        parts += ["### By the evidence\n", *_figure(figures.DETECTION, found), faults_table(found)]
    if found["alarms"]:
        parts += ["### By alarms alone\n", alarms_table(found)]
    parts += ["### Until every replica obeys\n", *_figure(figures.PROPAGATION, found)]
    if found["takeovers"]:
        parts += ["### When the leading controller dies\n", takeovers_table(found)]
    if found["kills"]:
        parts += ["### The kill switch, while the store is away\n", kills_table(found)]
    return parts


def _figure(name: str, found: Found) -> list[str]:
    return [image(name, figures.SAYS[name])] if figures.can_be_drawn(name, found) else []


def _head(found: Found) -> str:
    setting = found["setting"]
    met = sum(goal["met"] is True for goal in found["goals"])
    windows = ", ".join(f"`{name}` {value}" for name, value in setting["windows"].items())
    return (
        f"{made_by(found)}: {setting['gateways']} gateways of "
        f"{setting['workers']} processes, {setting['controllers']} controllers, "
        f"{setting['requests_per_s']:g} requests a second of {setting['users']:,} users who judge "
        f"{setting['feedback_rate']:.0%} of the answers after {setting['feedback_delay_s']:g} s on "
        f"average; a canary of {setting['canary']:.0%}, α {setting['alpha_harm']:g}, {windows}. "
        "Every rollout is in [results/rollback.json](../benchmarks/results/rollback.json). "
        f"{met} of {len(found['goals'])} goals are met.\n"
    )


def summary(found: Found) -> str:
    """What benchmarks/README.md shows of it."""
    where = "All of it, with the figures: [docs/rollback.md](../docs/rollback.md).\n"
    return "\n".join((where, goals_table(found), faults_table(found)))


PAGE = Page(path=ROOT / "docs" / "rollback.md", name="rollback", block=block, drawn=figures.drawn)


if __name__ == "__main__":
    PAGE.write()
