"""Controllers and people in the small world: what they may write who have seen this of it.

Each function says which stage it stands for. The order of a pass is that of `stages.loop`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec

from greenlight.core import killing, routing
from greenlight.core.errors import Refused
from greenlight.core.killing import KillEntry
from greenlight.core.lifecycle import Event, check_rollout, phase_of
from greenlight.core.records import Epoch, Rollout
from greenlight.core.states import Action, Phase, RolloutStatus
from tests.exploration.model import (
    EARLY,
    EPOCHS,
    LATE,
    POLICY,
    SIGNED,
    TASK,
    Row,
    Rules,
    Store,
    Word,
    intern,
    remembered,
    standing,
)


class Look(NamedTuple):
    """What somebody goes by: they have seen the store, and read the kill file or not."""

    seen: Store
    word: Word
    """As `stages.catch_up.last_word` has it: the file's, or the ledger's where that knows more."""
    at: int
    """When they write."""

    def following(self, what: str, kill: int) -> Epoch:
        """The epoch after the newest one."""
        return routing.successor(
            self.seen.newest,
            acknowledged=max(self.seen.heard),
            kill=kill,
            decision=f"{what} on {self.seen.newest.number}",
            at=self.at,
        )


class Change(NamedTuple):
    """What a commit would write."""

    what: str
    epoch: int | None
    swap: tuple[int, Row, Row] | None
    append: Row | None
    word: Word


@remembered
def choices(seen: Store, known: Word, signed: bool, person: bool) -> tuple[Change, ...]:
    """Everything that may be written.

    Args:
        seen: what they have seen of the store.
        known: what they have read of the kill file.
        signed: whether somebody has signed a kill by now, known to them or not.
        person: a person, rather than a controller.
    """
    word = seen.word if seen.word.generation > known.generation else known
    look = Look(seen, word, LATE if signed else EARLY)
    return tuple(_by_person(look) if person else _by_controller(look))


def _by_person(look: Look) -> Iterator[Change]:
    """`stages.steer` and `stages.roll_out.start`."""
    active = look.seen.active
    if active is not None:
        yield from _decided(look, active, Action.ROLLBACK)
    elif not routing.barred(look.seen.newest.kill, standing(look.word)):
        row = Row(look.seen.newest.control, f"v{len(look.seen.rollouts) + 2}", "running", 0)
        yield _begun(look, row, "start")._replace(append=row)
        waits = row._replace(status="pending")
        same = look.following("start, to wait", look.seen.newest.kill)
        yield Change("start, to wait", intern(same), None, waits, look.seen.word)


def _by_controller(look: Look) -> Iterator[Change]:
    """`stages.loop.reconcile`, under any evidence whatever."""
    seen, active = look.seen, look.seen.active
    if active is not None and routing.barred(seen.newest.kill, standing(look.word)):
        yield from _decided(look, active, Action.ROLLBACK)
    elif active is None or max(seen.heard) > seen.newest.number:
        yield from _caught_up(look)
    elif seen.rollouts[active].status == "pending":
        row = seen.rollouts[active]
        begun = row._replace(status="running")
        yield _begun(look, begun, "begin")._replace(swap=(active, row, begun))
        yield from _decided(look, active, Action.INCONCLUSIVE)
    else:
        for action in (Action.WIDEN, Action.PROMOTE, Action.ROLLBACK):
            yield from _decided(look, active, action)


def _decided(look: Look, active: int, action: Action) -> Iterator[Change]:
    """`stages.decide`, where the table allows the action."""
    row = look.seen.rollouts[active]
    ended = {
        Action.WIDEN: row._replace(step=row.step + 1),
        Action.PROMOTE: row._replace(status="promoted"),
        Action.ROLLBACK: row._replace(status="rolled_back"),
        Action.INCONCLUSIVE: row._replace(status="inconclusive"),
    }[action]
    try:
        check_rollout(_phase(row), action.value, _phase(ended))
    except Refused:
        return
    following = look.following(action.value, look.word.generation)
    epoch = routing.routed(following, action, _rollout(row), POLICY)
    assert epoch is not None
    if epoch.weight < 1:
        yield Change(action.value, intern(epoch), (active, row, ended), None, look.word)


def _begun(look: Look, row: Row, what: str) -> Change:
    """`stages.roll_out._first_split`."""
    check_rollout(Phase.PENDING, Event.BEGIN, _phase(row))
    epoch = msgspec.structs.replace(
        look.following(what, 0),
        rollout=row.candidate,
        control=row.control,
        candidate=row.candidate,
        weight=POLICY.rollout.ladder[0].weight,
    )
    return Change(what, intern(epoch), None, None, look.seen.word)


def _caught_up(look: Look) -> Iterator[Change]:
    """`stages.catch_up`."""
    seen, newest = look.seen, look.seen.newest
    if look.word.generation <= newest.kill and max(seen.heard) <= newest.number:
        return
    following = look.following("catch up", look.word.generation)
    undone = _overtaken(seen, look.word)
    if undone is None:
        yield Change("catch up", intern(following), None, None, look.word)
        return
    row = seen.rollouts[undone]
    back = msgspec.structs.replace(following, control=row.control)
    swap = (undone, row, row._replace(status="rolled_back"))
    yield Change("undo", intern(back), swap, None, look.word)


def _overtaken(seen: Store, word: Word) -> int | None:
    """The rollout whose promotion made what is live, if it came after the kill."""
    newest = seen.newest
    if word.generation <= newest.kill or newest.rollout is not None:
        return None
    line = [EPOCHS[one] for one in seen.epochs]
    first = len(line) - 1
    while first > 0 and line[first - 1].control == newest.control:
        first -= 1
    if first == 0 or line[first - 1].candidate != newest.control:
        return None
    if not killing.overtaken(line[first], _entry(word)):
        return None
    made = [n for n, row in enumerate(seen.rollouts) if row.candidate == newest.control]
    return made[-1] if seen.rollouts[made[-1]].status == "promoted" else None


def commit(store: Store, change: Change, rules: Rules) -> Store | None:
    """The store after a commit; None: it is a conflict."""
    rollouts = list(store.rollouts)
    if change.swap is not None:
        place, old, new = change.swap
        if place >= len(rollouts) or rollouts[place] != old:
            return None
        rollouts[place] = new
    if change.append is not None:
        rollouts.append(change.append)
    epochs = store.epochs
    if change.epoch is not None:
        epoch, held = EPOCHS[change.epoch], [EPOCHS[one] for one in epochs]
        if any(one.number == epoch.number for one in held):
            return None
        if rules.cas and any(one.follows == epoch.follows for one in held):
            return None
        epochs = tuple(sorted((*epochs, change.epoch), key=lambda one: EPOCHS[one].number))
    return Store(epochs, tuple(rollouts), store.heard, max(store.word, change.word))


@cache
def _phase(row: Row) -> Phase:
    return phase_of(RolloutStatus(row.status), row.step, POLICY.rollout)


@cache
def _rollout(row: Row) -> Rollout:
    plain: dict[str, Any] = {"salt": "", "policy": {}, "policy_digest": "", "aa": False, "at": 0}
    return Rollout(
        id=row.candidate,
        task=TASK,
        control=row.control,
        candidate=row.candidate,
        initiator="ana",
        status=RolloutStatus(row.status),
        step=row.step,
        **plain,
    )


@cache
def _entry(word: Word) -> KillEntry:
    return KillEntry(
        task=TASK,
        generation=word.generation,
        state="killed" if word.killed else "lifted",
        by="kim",
        why="it is wrong",
        since=SIGNED,
        at=SIGNED,
        signature="",
    )
