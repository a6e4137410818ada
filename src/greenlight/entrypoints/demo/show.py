"""What the demo says while it runs: a line per step, and a live view of a rollout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from greenlight.core.records import Decision
from greenlight.core.states import Action
from greenlight.core.words import power
from greenlight.entrypoints.progress import bar
from greenlight.reporting.summary import Summary

BAR = 24
LOG_WIDTH = 110
"""Columns where there is no terminal to ask."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a rollout: the newest epoch's weight, and all decisions up to it."""

    weight: float
    decisions: tuple[Decision, ...]
    log_e: Mapping[str, float]
    log_threshold: Mapping[str, float]
    outcomes: Mapping[str, int]
    seconds: float

    @property
    def share(self) -> float:
        """The share of users who meet the candidate: all of them once it is promoted."""
        promoted = self.decisions and self.decisions[-1].action is Action.PROMOTE
        return 1.0 if promoted else self.weight


class Stage:
    """Speaks on a console; with `quiet` nothing is said (the caller wants JSON)."""

    def __init__(self, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False)
        if not self._console.is_terminal:
            self._console.width = LOG_WIDTH

    def headline(self, text: str) -> None:
        """The beginning of a chapter."""
        self._console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        """A finished step."""
        self._console.print(f"  [green]✓[/green] {text}")

    def warn(self, text: str) -> None:
        """Something that the reader should know before they trust a number."""
        # Whole words: an address or a path that is cut in two cannot be copied.
        self._console.print(f"  [yellow]![/yellow] {text}", overflow="ignore", crop=False)

    def paths(self, paths: Mapping[str, object]) -> None:
        """Where everything is."""
        self.headline("Where everything is")
        for what, path in paths.items():
            self._console.print(f"  {what:<14} {path}", soft_wrap=True)

    def progress(self, what: str) -> AbstractContextManager[Callable[[float, str], None]]:
        """A bar for work that takes more than a moment; nothing where there is no terminal."""
        return bar(self._console, what)

    @contextmanager
    def watching(self) -> Iterator[Callable[[Look], None]]:
        """A live table where there is a terminal; else a line for every decision."""
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=4, transient=True) as live:
                yield lambda look: live.update(_table(look))
            return
        said: set[str] = set()

        def line(look: Look) -> None:
            for decision in look.decisions:
                if decision.id in said:
                    continue
                said.add(decision.id)
                self._console.print(
                    f"    {look.seconds:6.1f} s  {look.share:4.0%}  "
                    f"{decision.action.value:<9} {decision.reason}",
                    soft_wrap=True,
                )

        yield line

    def summary(self, summary: Summary) -> None:
        """The tables that the demo ends with."""
        self._console.print()
        self._console.print(_versions(summary))
        self._console.print(_rollouts(summary))


def _table(look: Look) -> Table:
    filled = round(look.share * BAR)
    share = "█" * filled + "░" * (BAR - filled)
    table = Table(title=f"{look.seconds:.0f} s   {share} {look.share:.0%}", min_width=70)
    table.add_column("test")
    table.add_column("E", justify="right")
    table.add_column("acts at", justify="right")
    table.add_column("of the way", justify="left")
    for test, threshold in look.log_threshold.items():
        log_e = look.log_e.get(test, 0.0)
        way = max(0.0, min(1.0, log_e / threshold))
        done = round(way * BAR)
        table.add_row(
            test.replace("_", " "), power(log_e), power(threshold), "█" * done + "░" * (BAR - done)
        )
    outcomes = ", ".join(f"{arm} {count}" for arm, count in look.outcomes.items())
    table.caption = f"outcomes: {outcomes}"
    if look.decisions:
        latest = look.decisions[-1]
        table.caption += f"\n{latest.action.value}: {latest.reason}"
    return table


def _versions(summary: Summary) -> Table:
    table = Table(title="Versions")
    for name in ("version", "model", "offline accuracy (95 %)", "live GOOD (95 %)", "now"):
        table.add_column(name)
    for version in summary.versions:
        table.add_row(
            version.label,
            version.backend,
            _proportion(version.accuracy),
            _proportion(version.live),
            version.status.replace("_", " "),
        )
    return table


def _rollouts(summary: Summary) -> Table:
    table = Table(
        title="Rollouts",
        caption="An outcome counts once its feedback window is over; early harm need not wait.",
    )
    columns = "candidate", "ended", "by", "outcomes", "requests it answered", "users", "seconds"
    for name in columns:
        table.add_column(name)
    for rollout in summary.rollouts:
        table.add_row(
            rollout.candidate + (" (A/A)" if rollout.aa else ""),
            rollout.status.replace("_", " "),
            rollout.code or "",
            str(rollout.outcomes),
            str(rollout.requests_served),
            str(rollout.units_exposed),
            f"{rollout.seconds:.1f}",
        )
    return table


def _proportion(found: object) -> str:
    value, low, high = (getattr(found, name, None) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "none yet"
    return f"{value:.3f}  ({low:.3f}–{high:.3f})"


def stopwatch() -> Callable[[], float]:
    """Seconds since now, for display."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
