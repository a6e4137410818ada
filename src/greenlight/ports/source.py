"""Where rows come from, and what their answers were asked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from greenlight.core.curation import Row

Prompts = Mapping[str, Mapping[str, Any]]
"""What models somewhere else were asked with: digest of their bundle → its contents, as
`models.conversation` reads them."""

NO_PROMPTS: Prompts = {}
"""Of rows whose answers nobody was asked for."""


class Source(Protocol):
    """Where rows come from. It hands them over in chunks and never holds them all."""

    @property
    def name(self) -> str:
        """What the data set is called."""
        ...

    @property
    def origin(self) -> str:
        """Where it was published."""
        ...

    @property
    def licence(self) -> str:
        """What it may be used for."""
        ...

    @property
    def citation(self) -> str:
        """Whose work it is."""
        ...

    @property
    def own_split(self) -> bool:
        """Whether the rows come as train and test, and maybe validation; otherwise curation splits
        them by unit."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """How the rows were chosen (window, filter), for the manifest; complete after the last
        chunk."""
        ...

    @property
    def exclusions(self) -> Mapping[str, int]:
        """Reason → rows that were not handed over; complete after the last chunk."""
        ...

    @property
    def queries(self) -> int:
        """How often the store was asked; complete after the last chunk."""
        ...

    @property
    def prompts(self) -> Prompts:
        """What the rows' answers were asked with, by the names that the rows have (`Row.prompt`);
        complete after the last chunk."""
        ...

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        """Split (`train`, `validation`, `test`, or `rows`) and rows, at most `size()` at a time.

        Raises:
            BadInput: a row that cannot be read; the message names it.
        """
        ...
