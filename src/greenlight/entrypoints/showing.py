"""What a demo or a drill says while it runs: a line per step, and a live view of a rollout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from greenlight.core.records import Decision
from greenlight.core.states import Action
from greenlight.core.words import power
from greenlight.entrypoints.progress import bar

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

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values, one pair per line."""
        for name, value in pairs:
            self._console.print(f"  {name:<16} {value}", soft_wrap=True)

    def tables(self, *tables: Table) -> None:
        """Tables, one below the other."""
        self._console.print()
        for table in tables:
            self._console.print(table)

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


def stopwatch() -> Callable[[], float]:
    """Seconds since now, for display."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
