"""What the sources share: which columns hold what, and how many rows there may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from greenlight.core.curation import Row
from greenlight.core.errors import MissingData
from greenlight.core.labelling import pseudonym
from greenlight.core.nearest import suggest

OVER = "over_max_rows"
"""The reason of rows beyond the most that are wanted."""

Cells = tuple[str, str, str]
"""Text, label and unit as they came; the unit is empty where there is none."""


class Columns(NamedTuple):
    """The names of the columns."""

    text: str = "text"
    label: str = "label"
    unit: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that a row must have, in order."""
        return tuple(name for name in self if name is not None)

    def missing(self, there: Iterable[str]) -> str | None:
        """Which columns are not there and what might be meant, or None."""
        known = list(there)
        wanted = [name for name in self.names if name not in known]
        return "; ".join(f"no column {n!r}{suggest(n, known)}" for n in wanted) or None

    def ambiguous(self, there: Iterable[str]) -> str | None:
        """Which of them more than one column goes by, or None."""
        counts = Counter(there)
        name = next((name for name in self.names if counts[name] > 1), None)
        return name and f"{counts[name]} columns go by the name {name!r}"


class Bounds(NamedTuple):
    """The least and the most rows; None where anything goes."""

    least: int | None = None
    most: int | None = None

    def check(self, name: str, taken: int) -> None:
        """Refuse what is too little to learn from.

        Raises:
            MissingData: fewer rows than `least`.
        """
        if self.least is not None and taken < self.least:
            raise MissingData(
                f"{name}: {taken} rows, min_rows asks for {self.least}; "
                "wait for more, look further back, or ask for less"
            )


def chunked(
    cells: Iterable[Cells],
    *,
    task: str,
    name: str,
    size: Callable[[], int],
    bounds: Bounds,
    exclusions: Counter[str],
) -> Iterator[list[Row]]:
    """Rows in chunks of at most `size()`; those beyond the bounds are counted, not handed over.

    Raises:
        MissingData: fewer rows than the least.
    """
    taken, limit, most = 0, size(), bounds.most
    chunk: list[Row] = []
    for text, label, unit in cells:
        if taken == most:
            exclusions[OVER] += 1
            continue
        taken += 1
        chunk.append(Row(text, label, pseudonym(task, unit) if unit else ""))
        if len(chunk) >= limit:
            yield chunk
            chunk, limit = [], size()
    if chunk:
        yield chunk
    bounds.check(name, taken)
