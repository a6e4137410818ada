"""The kill switch: a person's signed word that a task's candidate leaves traffic, now and for good.

It travels in a file of its own, past the store and the controller, and every gateway obeys it by
itself (`core.routing`): control answers everybody, and no copy is made, whatever the store says.
Each word has a generation, greater than all before it, so that an older file is an older word.

Anybody in `[people]` may kill. Lifting takes a role of the task's quorum, and only lets a new
rollout start: what was killed never comes back.

A reader keeps, for each task, the valid entry with the greatest generation that it has ever seen.
An entry that vanishes, or that is replaced by an older or a forged one, takes nothing back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import msgspec

from greenlight.core import fingerprint, routing
from greenlight.core.approval import Person, Verify
from greenlight.core.errors import BadInput, Refused
from greenlight.core.records import SECOND, Epoch
from greenlight.core.routing import Standing
from greenlight.core.situation import Order
from greenlight.core.states import Action

DOMAIN = b"greenlight-kill-v1\n"
"""Goes before what is signed, so that a signature made for anything else is never a kill."""

CODE = "kill"
"""Of a decision that the kill switch made, and the kind of its entry on the ledger."""

SLACK = 10 * SECOND
"""How far the clock of who kills may be ahead of the controller's. A promotion that was decided
less than this before a kill counts as decided after it: who kills has not seen it yet."""

_GREATEST = 2**53
_FILE = "the kill file"


class KillEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was last said of a task. The signature covers every other field, and the project."""

    task: str
    generation: Annotated[int, msgspec.Meta(ge=1, le=_GREATEST)]
    state: Literal["killed", "lifted"]
    by: str
    """The person's name."""
    why: str
    since: int
    """Since when the task is killed, or had been when it was lifted: microseconds since 1970-01-01
    UTC."""
    at: int
    """When it was signed."""
    signature: str

    @property
    def killed(self) -> bool:
        """Whether the task is killed now."""
        return self.state == "killed"

    @property
    def standing(self) -> Standing:
        """What it means for routing."""
        return Standing(generation=self.generation, killed=self.killed)

    def __str__(self) -> str:
        return f"{self.state} by {self.by} (generation {self.generation}): {self.why}"


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """Whose word counts in one installation."""

    project: str
    """Its name. A word that was signed for another one is none here."""
    people: Mapping[str, Person]
    quorums: Mapping[str, Collection[str]]
    """Task → the roles of its quorum."""
    verify: Verify

    def fault(self, name: str, entry: KillEntry) -> str | None:
        """Why an entry that stands under a task's name carries no weight; None if it does."""
        person = self.people.get(entry.by)
        if entry.task != name:
            return f"it is about {entry.task!r}"
        if person is None:
            return f"nobody in [people] is called {entry.by!r}"
        if not self.verify(person.key, statement(entry, self.project), entry.signature):
            return f"the signature is not {entry.by}'s, or the entry was changed"
        return None if entry.killed else self.unfit_to_lift(name, person)

    def unfit_to_lift(self, task: str, person: Person) -> str | None:
        """Why a person may not lift a task's kill; None if they may."""
        roles = self.quorums.get(task, ())
        if set(roles) & set(person.roles):
            return None
        named = f"one of {', '.join(sorted(roles))}" if roles else "and greenlight.toml names none"
        return f"{person.name} has no role of {task}'s quorum, which lifting takes: {named}"


def statement(entry: KillEntry, project: str) -> bytes:
    """What a person signs: the project's name and every field but the signature, in canonical
    form."""
    body = msgspec.structs.asdict(entry)
    del body["signature"]
    return DOMAIN + fingerprint.canonical({"project": project, **body})


def draft(
    task: str,
    *,
    lift: bool,
    known: KillEntry | None,
    least: int,
    person: Person,
    why: str,
    now: int,
) -> KillEntry:
    """The next word on a task, to be signed.

    Args:
        task: the task's name.
        lift: take the kill back, rather than kill.
        known: the last valid word on it.
        least: a generation that it must be greater than besides.
        person: whose word it is.
        why: the reason, on record.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        BadInput: no reason.
        Refused: nothing is killed that could be lifted.
    """
    if not why.strip():
        raise BadInput("say why: a word without a reason helps nobody who reads it", "why")
    if lift and (known is None or not known.killed):
        raise Refused(f"{task} is not killed, so there is nothing to lift")
    going_on = known is not None and known.killed
    return KillEntry(
        task=task,
        generation=1 + max(0 if known is None else known.generation, least),
        state="lifted" if lift else "killed",
        by=person.name,
        why=why.strip(),
        since=min(known.since, now) if known is not None and going_on else now,
        at=now,
        signature="",
    )


def merge(
    known: Mapping[str, KillEntry], offered: Mapping[str, KillEntry], judge: Judge
) -> tuple[dict[str, KillEntry], list[str]]:
    """What is known once a file was read, and what of the file was not taken, with the reason.

    Of two words with one generation, which two people signed who did not know of each other, the
    kill stands.
    """
    merged = dict(known)
    refused = []
    for task, entry in sorted(offered.items()):
        held = known.get(task)
        fault = judge.fault(task, entry) if entry != held else None
        if fault is None and held is not None and _place(entry) < _place(held):
            fault = f"it is older than what is known ({held.state}, generation {held.generation})"
        if fault is None:
            merged[task] = entry
        else:
            refused.append(f"{task}: generation {entry.generation} ({entry.state}): {fault}")
    for task in sorted(known.keys() - offered.keys()):
        refused.append(f"{task}: its entry is gone from {_FILE}; {known[task]} stands all the same")
    return merged, refused


def order(entry: KillEntry) -> Order:
    """What the kill switch wants done with a rollout."""
    return Order(action=Action.ROLLBACK, by=_source(entry), why=entry.why, code=CODE)


def refusal(task: str, entry: KillEntry) -> str:
    """Why nothing may be started or given traffic, and what to do about it."""
    if entry.killed:
        return (
            f"{task} is killed by {entry.by} (generation {entry.generation}): {entry.why}; once "
            f"that is settled: greenlight kill {task} --lift -m WHY"
        )
    return (
        f"{task}: what ran before the kill that {entry.by} lifted (generation {entry.generation}) "
        "never comes back; the controller is about to take it out, then start a new rollout"
    )


def check_may_start(task: str, entry: KillEntry | None, epoch: Epoch | None) -> None:
    """Refuse to put anything before users that the kill switch forbids.

    Args:
        task: the task's name.
        entry: the last word on it, if there is any.
        epoch: the task's newest one; None where nothing is live.

    Raises:
        Refused: the task is killed, or what ran before is not cleared away yet.
    """
    if entry is None:
        return
    behind = epoch is not None and routing.barred(epoch.kill, entry.standing)
    if entry.killed or behind:
        raise Refused(refusal(task, entry))


def words(entry: KillEntry | None, epoch: Epoch | None) -> list[tuple[str, dict[str, Any]]]:
    """What the ledger is told (kind, body) together with the first epoch of a generation.

    Args:
        entry: the last word on a task.
        epoch: the task's newest one; None where nothing is live.
    """
    if entry is None or (epoch is not None and epoch.kill >= entry.generation):
        return []
    return [(CODE, msgspec.structs.asdict(entry))]


def overtaken(promotion: Epoch, entry: KillEntry) -> bool:
    """Whether a promotion was decided by somebody who did not know of a kill that came first."""
    return promotion.kill < entry.generation and promotion.at >= entry.since - SLACK


def _place(entry: KillEntry) -> tuple[int, bool]:
    return entry.generation, entry.killed


def _source(entry: KillEntry) -> str:
    if entry.killed:
        return f"the kill switch, {entry.by}"
    return f"the kill switch (lifted meanwhile by {entry.by}; what ran before stays out)"
