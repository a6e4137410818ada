"""The pages on which reviewers judge answers GOOD or BAD.

Nothing here says which version or which variant answered: who judges answers must not know. What is
said goes the way of all feedback, through the gateway's spool, for evidence waits for what is
there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec

from greenlight.core.errors import BadInput, NotFound, Refused
from greenlight.dashboard.http import Answer, Page, Redirect, Request
from greenlight.dashboard.people import Door
from greenlight.serving.http import NotReady, fault_of

PATH = "/judge"
MOST = 20
"""Answers on one page; those behind them move up as answers are judged."""
REMEMBERED = 10_000
"""Answers judged here of which it is remembered, until the store has heard of it."""
VALUES = ("GOOD", "BAD")


class Unjudged(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that nobody has judged, without a word on who gave it."""

    inference: str
    asked: Sequence[tuple[str, str]]
    """Who said what, in order; one text of nobody's where it is no conversation."""
    answer: str
    at: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer has sent."""

    inference: str
    value: str
    reason_code: str
    comment: str


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """What these pages ask of an installation."""

    tasks: Callable[[], Sequence[str]]
    unjudged: Callable[[str, int], Sequence[Unjudged]]
    """The answers of a task that nobody has judged, the newest first, at most so many; raises
    NotFound."""
    hear: Callable[[Verdict, str], None]
    """Takes a verdict in somebody's name, durably; raises BadInput, NotFound, Refused,
    or NotReady where it cannot be kept now."""


class Judging:
    """Answers for `/judge` and `/judge/{task}`."""

    def __init__(self, panel: Panel, door: Door) -> None:
        """Know whom to ask, and who is signed in."""
        self._panel = panel
        self._door = door
        self._judged: OrderedDict[str, None] = OrderedDict()

    def tasks(self, request: Request) -> Answer:
        """GET: the tasks whose answers can be judged."""
        return Page("judge_tasks.html", {"tasks": self._panel.tasks()})

    def queue(self, request: Request) -> Answer:
        """GET: the answers of a task that nobody has judged."""
        return self._page(request.query["task"])

    def judge(self, request: Request) -> Answer:
        """POST: a verdict on one answer; what is refused stays on the page."""
        session = self._door.signed_in(request)
        task = request.query["task"]
        given = Verdict(
            inference=request.form.get("inference", ""),
            value=request.form.get("value", ""),
            reason_code=request.form.get("reason_code", ""),
            comment=request.form.get("comment", ""),
        )
        try:
            if given.value not in VALUES:
                raise BadInput(f"value: {given.value!r} is neither GOOD nor BAD", "value")
            self._panel.hear(given, session.person.name)
        except (BadInput, NotFound, NotReady, Refused) as error:
            return self._page(task, given, str(error), fault_of(error)[0])
        self._remember(given.inference)
        session.notice = f"Judged {given.value}."
        return Redirect(f"{PATH}/{quote(task)}")

    def _remember(self, inference: str) -> None:
        """The store hears of it in a moment; until then it is not shown again."""
        self._judged[inference] = None
        while len(self._judged) > REMEMBERED:
            self._judged.popitem(last=False)

    def _page(
        self, task: str, given: Verdict | None = None, fault: str = "", status: int = 200
    ) -> Page:
        found = self._panel.unjudged(task, MOST + 1)
        values = {
            "task": task,
            "waiting": [it for it in found if it.inference not in self._judged][:MOST],
            "more": len(found) > MOST,
            "given": given,
            "fault": fault,
            "adrift": given is not None and given.inference not in {it.inference for it in found},
        }
        return Page("judge.html", values, status)
