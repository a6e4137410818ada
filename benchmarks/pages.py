"""Documents that show a benchmark's results: a block between two markers, and figures.

Nothing in a block is typed: without results there is nothing to show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import CHANGED, RESULTS, ROOT

IMAGES = ROOT / "docs" / "images"

Found = dict[str, Any]
"""Results as they were saved."""


def made_by(found: Found) -> str:
    """How results came about: command, machine, commit and day."""
    came = found["provenance"]
    return f"`{came['command']}` on {came['cores']} cores ({came['cpu']}), {commit_of(came)}"


def commit_of(came: Found) -> str:
    """A commit, whether the tree was another, and the day."""
    changed = " with changes" if came["commit"].endswith(CHANGED) else ""
    return f"commit `{came['commit'][:12]}`{changed}, {came['at'][:10]}"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One such document."""

    path: Path
    name: str
    """Of the results; the markers and the files of the figures begin with it."""
    block: Callable[[Found], Sequence[str]]
    """The parts of the block, from results."""
    drawn: Callable[[Found], dict[str, str]]
    """Every figure as SVG by the name of its file, from results."""

    @property
    def begin(self) -> str:
        """The marker before the block."""
        return f"<!-- {self.name}:begin -->"

    @property
    def end(self) -> str:
        """The marker after the block."""
        return f"<!-- {self.name}:end -->"

    @property
    def command(self) -> str:
        """What writes the document and its figures."""
        return f"python -m benchmarks.{self.name}.page"

    def results(self) -> Found | None:
        """The results as they were saved; None: there are none yet."""
        file = RESULTS / f"{self.name}.json"
        if not file.exists():
            return None
        found: Found = json.loads(file.read_text(encoding="utf-8"))
        return found

    def written(self, text: str, found: Found | None) -> str:
        """The document with the block as the results have it; empty without results.

        Raises:
            ValueError: a marker is missing.
        """
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            raise ValueError(f"{self.path.name} needs the markers {self.begin} and {self.end}")
        block = "" if found is None else "\n".join(("", *self.block(found), ""))
        return f"{before}{begin}\n{block}{end}{after}"

    def made(self) -> dict[Path, str]:
        """What the command writes: the document and every figure, by path."""
        found = self.results()
        text = self.written(self.path.read_text(encoding="utf-8"), found)
        images = {} if found is None else self.drawn(found)
        return {self.path: text, **{image_path(name): image for name, image in images.items()}}

    def images(self) -> set[Path]:
        """The files of its figures as they are there now."""
        return set(IMAGES.glob(f"{self.name}-*.svg"))

    def write(self) -> None:
        """Write the block and the figures."""
        for path, text in self.made().items():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


def image_path(name: str) -> Path:
    """Where a figure is kept."""
    return IMAGES / f"{name}.svg"


def image(name: str, says: str) -> str:
    """A figure in a document; `says` is for those who do not see it."""
    return f"![{says}](images/{name}.svg)\n"


def number(value: float) -> str:
    """Three digits that count, and thousands in full."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
