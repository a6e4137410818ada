"""Rows of what people said of answers: newest first, page by page (REQUIREMENTS D2, D3, D5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from greenlight.core import labelling
from greenlight.core.curation import Row
from greenlight.core.errors import NotFound
from greenlight.core.labelling import PROMPT_UNKNOWN, LabelPolicy
from greenlight.core.records import Feedback, Inference
from greenlight.ports import Events, Progress
from greenlight.ports.source import Prompts, Source
from greenlight.sources.rows import OVER, Bounds

PAGE = 1000
"""Answers that are asked for at a time, at most."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When the answers were given, in [since, until), and how the window is written."""

    since: int
    until: int
    filter: str | None = None


class Asked(NamedTuple):
    """What a version at a provider was asked with."""

    prompt: str
    """Digest of the bundle that holds it."""
    contents: Mapping[str, Any]


class DataCollector:
    """Implements `ports.Source`: what people said of answers, joined to what was asked and by whom.

    An answer of a model somewhere else comes with the instructions that it was asked for with, for
    those are what is learnt (REQUIREMENTS D4).

    With a base that has a split of its own, feedback is learnt from and the base's test rows stay
    the benchmark; otherwise curation splits all rows.
    """

    def __init__(
        self,
        events: Events,
        *,
        task: str,
        window: Window,
        policy: LabelPolicy,
        bounds: Bounds,
        licence: str,
        citation: str,
        progress: Progress,
        base: Source | None = None,
        asked: Callable[[str], Asked | None] = lambda version: None,
    ) -> None:
        """Set up the source; the store is asked with the first chunk.

        Args:
            events: the store.
            task: whose answers they are.
            window: when they were given; fixed, so that the same run finds the same rows again.
            policy: how feedback becomes labels.
            bounds: the least and the most rows, those of `base` apart.
            licence: what the rows may be used for.
            citation: whose work they are.
            progress: told the share of the answers that were looked at.
            base: a source whose rows go along.
            asked: version that answered → what it was asked with; None for a model that reads the
                text alone. It raises `NotFound` where nobody can tell any more: such answers are
                left out, and counted.
        """
        self.name = f"feedback-{task}" if base is None else f"{base.name}+feedback-{task}"
        self.origin = f"feedback on task {task}"
        self.licence = _both(licence, base.licence if base else None)
        self.citation = _both(citation, base.citation if base else None)
        self.own_split = base.own_split if base else False
        self._events, self._task, self._window, self._policy = events, task, window, policy
        self._bounds, self._progress, self._base = bounds, progress, base
        self._how: Counter[str] = Counter()
        self._exclusions: Counter[str] = Counter()
        self._queries = 0
        self._versions: dict[str, Asked | NotFound | None] = {}
        self._find_asked = asked
        self._prompts: dict[str, Mapping[str, Any]] = dict(base.prompts if base else {})

    @property
    def details(self) -> Mapping[str, Any]:
        """The window, how labels came about, and the base."""
        about: dict[str, Any] = {
            "window": {"since": self._window.since, "until": self._window.until},
            "filter": self._window.filter,
            "flip": sorted(self._policy.flip),
            "labelled": {how: self._how[how] for how in labelling.TAKEN},
        }
        if self._base is not None:
            about["base"] = {
                "name": self._base.name,
                "origin": self._base.origin,
                "licence": self._base.licence,
                **self._base.details,
            }
        return about

    @property
    def exclusions(self) -> Mapping[str, int]:
        """Answers of the window without a row, by reason, and those of the base."""
        base = self._base.exclusions if self._base else {}
        return dict(+(self._exclusions + Counter(base)))

    @property
    def queries(self) -> int:
        """One that counts, and two for a page."""
        return self._queries + (self._base.queries if self._base else 0)

    @property
    def prompts(self) -> Prompts:
        """What the answers that were taken were asked for with."""
        return dict(self._prompts)

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        """See `ports.Source.chunks`.

        Raises:
            MissingData: fewer rows than the least, or no base.
        """
        if self._base is not None:
            yield from self._base.chunks(size)
        split = "train" if self.own_split else "rows"
        taken = 0
        for rows in self.rows(size):
            taken += len(rows)
            yield split, rows
        self._bounds.check(self.name, taken)

    def rows(self, size: Callable[[], int]) -> Iterator[list[Row]]:
        """The labelled answers alone, in chunks of at most `size()`."""
        window = self._window
        made, answered = self._events.count_answers(
            self._task, since=window.since, until=window.until
        )
        self._queries += 1
        most = self._bounds.most
        taken, seen, after = 0, 0, None
        while taken != most:
            limit = max(1, min(size(), PAGE))
            page = self._events.answers(
                self._task, since=window.since, until=window.until, after=after, limit=limit
            )
            self._queries += 2
            rows = []
            for inference, words in page:
                if taken == most:
                    break
                seen += 1
                row = self._row(inference, words)
                if row is not None:
                    taken += 1
                    rows.append(row)
            self._progress(_share(seen, answered), f"{seen} answers with feedback")
            if rows:
                yield rows
            if len(page) < limit:
                break
            after = page[-1][0].id
        # What was stored since it was counted may be among the seen, and is counted there alone.
        over = max(0, answered - seen) if taken == most else 0
        self._exclusions[OVER] = over
        self._exclusions["no_feedback"] = max(0, made - seen - over)

    def _row(self, inference: Inference, words: Sequence[Feedback]) -> Row | None:
        """What an answer teaches; None where it is counted as left out."""
        found = labelling.label(inference, words, self._policy)
        version = inference.served_version or inference.version  # nobody may have answered
        asked = self._served_by(version) if found.label else None
        if isinstance(asked, NotFound):
            found, asked = labelling.Labelled(None, PROMPT_UNKNOWN), None
        if found.label is None:
            self._exclusions[found.how] += 1
            return None
        self._how[found.how] += 1
        if asked is not None:
            self._prompts[asked.prompt] = asked.contents
        return Row(
            inference.input,
            found.label,
            labelling.unit_of(inference),
            inference.id,
            prompt="" if asked is None else asked.prompt,
            answer=found.answer,
        )

    def _served_by(self, version: str) -> Asked | NotFound | None:
        if version not in self._versions:
            try:
                self._versions[version] = self._find_asked(version)
            except NotFound as error:
                self._versions[version] = error
        return self._versions[version]


def _share(seen: int, answered: int) -> float:
    return min(1.0, seen / answered) if answered else 1.0


def _both(own: str, other: str | None) -> str:
    return own if other is None else f"{other} (base); {own} (feedback)"
