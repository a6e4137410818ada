"""A bar for work that takes more than a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

WIDTH = 24


@contextmanager
def bar(console: Console, what: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar, told the share done in [0, 1] and a few words; silent without a terminal."""
    if not console.is_terminal:
        yield lambda *_: None
        return
    columns = TextColumn("    {task.description}"), BarColumn(WIDTH), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=1.0)

        def update(share: float, words: str) -> None:
            bars.update(task, completed=share, description=f"{what}: {words}")

        yield update
