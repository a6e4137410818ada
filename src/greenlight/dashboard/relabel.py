"""The pages of reviewers: answers that feedback alone cannot label, and what their label is.

Nothing here says which version or which variant answered: who judges answers must not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from greenlight.core.errors import BadInput, NotFound, Refused
from greenlight.dashboard.http import Answer, Page, Redirect, Request
from greenlight.dashboard.people import Door
from greenlight.serving.http import fault_of

PATH = "/relabel"
MOST = 20
"""Answers on one page; those behind them move up as labels are given."""

REASONS = {
    "relabel": "Somebody said that this answer is wrong, and not what is right.",
    "conflicting": "People contradict each other on this answer.",
    "unknown_label": "Somebody gave a label that there is none of.",
    "misfit": "Somebody gave tags that do not fit the words of the text.",
}
"""Why an answer waits (`core.labelling.WAITING`), for people."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that waits for a label, without a word on who gave it."""

    inference: str
    text: str
    answer: str
    reason: str
    reason_code: str | None
    comment: str | None
    corrections: Sequence[str]
    at: int
    labels: Sequence[str]
    """What it may be labelled with; empty where nobody has said what there is."""
    draft: str = ""
    """What the field of the label holds at first, where there is nothing to choose from."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer has sent."""

    inference: str
    label: str
    why: str


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What these pages ask of an installation."""

    tasks: Callable[[], Sequence[str]]
    queue: Callable[[str, int], Sequence[Waiting]]
    """The answers of a task that wait, the newest first, at most so many; raises NotFound."""
    label: Callable[[str, Given, str], None]
    """Gives an answer of a task its label, in somebody's name; raises BadInput, NotFound or
    Refused."""


class Relabelling:
    """Answers for `/relabel` and `/relabel/{task}`."""

    def __init__(self, desk: Desk, door: Door) -> None:
        """Know whom to ask, and who is signed in."""
        self._desk = desk
        self._door = door

    def tasks(self, request: Request) -> Answer:
        """GET: how much waits in which task."""
        counts = [(task, len(self._desk.queue(task, MOST + 1))) for task in self._desk.tasks()]
        return Page("relabel_tasks.html", {"counts": counts, "most": MOST})

    def queue(self, request: Request) -> Answer:
        """GET: the answers of a task that wait."""
        return self._page(request.query["task"])

    def label(self, request: Request) -> Answer:
        """POST: a label for one answer; what is refused stays on the page."""
        session = self._door.signed_in(request)
        task = request.query["task"]
        given = Given(
            inference=request.form.get("inference", ""),
            label=request.form.get("label", ""),
            why=request.form.get("why", ""),
        )
        try:
            self._desk.label(task, given, session.person.name)
        except (BadInput, NotFound, Refused) as error:
            return self._page(task, given, str(error), fault_of(error)[0])
        session.notice = f"Labelled {given.label}."
        return Redirect(f"{PATH}/{quote(task)}")

    def _page(
        self, task: str, given: Given | None = None, fault: str = "", status: int = 200
    ) -> Page:
        found = self._desk.queue(task, MOST + 1)
        values = {
            "task": task,
            "waiting": found[:MOST],
            "more": len(found) > MOST,
            "reasons": REASONS,
            "given": given,
            "fault": fault,
            "adrift": given is not None and given.inference not in {it.inference for it in found},
        }
        return Page("relabel.html", values, status)
