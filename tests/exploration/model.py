"""A small world of controllers, people, gateways, a store and a kill switch, as values.

What decides is the real code: `core.routing` (the next epoch, what it routes, what is barred),
`core.lifecycle` (what may follow what), `core.killing` (which promotion a kill undoes), and the
gateway's own `RoutingTable`. The model adds who does what when: a look and a commit are two steps,
and so are a gateway's poll and its taking over; anything may happen in between.

Epochs are interned: a state holds their places in `EPOCHS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from greenlight.core import routing
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import SECOND, Epoch
from greenlight.core.routing import Standing
from greenlight.serving.routing import Route, RoutingTable, Served

TASK = "intent"
POLICY = DecisionPolicy(
    rollout=RolloutPolicy(steps=(Step(weight=0.1), Step(weight=0.5), Step(weight=1.0)))
)
EARLY, SIGNED, LATE = 0, 100 * SECOND, 200 * SECOND
"""When something was decided: before a kill was signed, the kill, and after it."""

F = TypeVar("F", bound=Callable[..., Any])
_KEPT: list[Any] = []

EPOCHS: list[Epoch] = []
_NUMBERS: dict[Epoch, int] = {}


def intern(epoch: Epoch) -> int:
    """What stands for an epoch in a state."""
    if epoch not in _NUMBERS:
        _NUMBERS[epoch] = len(EPOCHS)
        EPOCHS.append(epoch)
    return _NUMBERS[epoch]


class Word(NamedTuple):
    """What the kill switch says."""

    generation: int = 0
    killed: bool = False


class Row(NamedTuple):
    """A rollout on record."""

    control: str
    candidate: str
    status: str
    step: int


class Store(NamedTuple):
    """What is on record."""

    epochs: tuple[int, ...]
    rollouts: tuple[Row, ...]
    heard: tuple[int, ...]
    """The epoch that each gateway last said it routes by."""
    word: Word
    """What the ledger knows of the kill switch."""

    @property
    def newest(self) -> Epoch:
        return EPOCHS[self.epochs[-1]]

    @property
    def active(self) -> int | None:
        """The first rollout that has not ended."""
        going = (n for n, row in enumerate(self.rollouts) if row.status in ("pending", "running"))
        return next(going, None)


class Writer(NamedTuple):
    """Whoever writes epochs: a controller or a person."""

    known: Word
    """What they have read of the kill file."""
    seen: Store | None
    """What they have read of the store and not acted on yet."""


class Shown(NamedTuple):
    """What a gateway does with requests."""

    place: tuple[int, int]
    control: str
    candidate: str | None
    weight: float


class Gateway(NamedTuple):
    """One gateway."""

    source: int | None
    """The epoch that it routes by."""
    shown: Shown | None
    standing: Word
    polled: int | None
    """An epoch that it has read and not taken over yet."""
    held: str | None
    """Its control when the kill switch was last obeyed, if it had one."""
    due: bool
    """Whether it would take its epoch over once more, since what it now knows of the kill switch
    lets it show something else."""


NEW = Gateway(None, None, Word(), None, None, False)
"""A gateway that has read nothing yet."""


class Left(NamedTuple):
    """How much more may happen."""

    epochs: int = 0
    starts: int = 0
    waits: int = 0
    """How many of the starts may be outside the release window."""
    kills: int = 0
    lifts: int = 0
    restarts: int = 0
    backups: int = 0


class World(NamedTuple):
    """Everything at one moment."""

    store: Store
    backup: Store | None
    file: Word
    writers: tuple[Writer, ...]
    gateways: tuple[Gateway, ...]
    left: Left


class Rules(NamedTuple):
    """What the store and those around it keep to; a test breaks one and looks what happens."""

    cas: bool = True
    """No epoch is followed twice."""
    heard_first: bool = True
    """After a restore every gateway has said what it routes by before anybody writes."""
    one_content: bool = True
    """Gateways at one place show the same: whether that is looked at."""


def begin(left: Left, writers: int, gateways: int = 2, step: int = 0) -> World:
    """v1 is live, and a rollout of v2 is at a step of its ladder on every gateway."""
    first = _epoch(number=1, control="v1")
    second = msgspec.structs.replace(
        _epoch(number=2, follows=1, rollout="v2", control="v1", candidate="v2"),
        weight=POLICY.rollout.ladder[step].weight,
    )
    store = Store(
        epochs=(intern(first), intern(second)),
        rollouts=(Row("v1", "v2", "running", step),),
        heard=(2,) * gateways,
        word=Word(),
    )
    gateway = take(NEW._replace(polled=intern(second)))
    return World(
        store, None, Word(), (Writer(Word(), None),) * writers, (gateway,) * gateways, left
    )


# Gateways


def standing(word: Word) -> Standing:
    """A word of the kill switch as routing knows it."""
    return Standing(generation=word.generation, killed=word.killed)


def remembered(function: F) -> F:
    """Work a function's answers out once; `forget` lets go of all of them."""
    kept = lru_cache(maxsize=None)(function)
    _KEPT.append(kept)
    return cast(F, kept)


def forget() -> None:
    """Work everything out anew: a rule is another from now on."""
    for kept in _KEPT:
        kept.cache_clear()


@remembered
def take(gateway: Gateway) -> Gateway:
    """What a gateway makes of the epoch that it has polled."""
    assert gateway.polled is not None
    epoch = EPOCHS[gateway.polled]
    table = _table(gateway)
    if not table.admits(TASK, routing.place(epoch)):
        return gateway._replace(polled=None)
    table.apply(_route(epoch), 0)
    return gateway._replace(source=gateway.polled, shown=_shown(table), polled=None, due=False)


@remembered
def obey(gateway: Gateway, word: Word) -> Gateway:
    """What a gateway makes of the kill switch."""
    table = _table(gateway)
    table.obey(TASK, standing(word))
    held = gateway.held if gateway.shown is None else gateway.shown.control
    after = gateway._replace(standing=word, shown=_shown(table), held=held)
    if gateway.source is None:
        return after
    again = take(after._replace(polled=gateway.source))
    return after._replace(due=again.shown != after.shown)


def _table(gateway: Gateway) -> RoutingTable:
    """The gateway's routing table as it stands."""
    table = RoutingTable()
    if gateway.source is not None and gateway.shown is not None:
        route = _route(EPOCHS[gateway.source])
        (kill, _), control, candidate, weight = gateway.shown
        table.apply(
            msgspec.structs.replace(
                route,
                kill=kill,
                control=_served(control),
                candidate=None if candidate is None else _served(candidate),
                weight=weight,
            ),
            0,
        )
    if gateway.standing.generation:
        # It has been obeyed before: what is in force has been through it.
        table._standings[TASK] = standing(gateway.standing)
    return table


def _route(epoch: Epoch) -> Route:
    """As the follower builds it, where both versions may serve."""
    return Route(
        task=TASK,
        epoch=epoch.number,
        rollout=epoch.rollout,
        salt="",
        weight=epoch.weight,
        control=_served(epoch.control),
        candidate=None if epoch.candidate is None else _served(epoch.candidate),
        kill=epoch.kill,
    )


@cache
def _served(version: str) -> Served:
    return Served(version, version, None)  # type: ignore[arg-type]


def _shown(table: RoutingTable) -> Shown | None:
    entry = table.get(TASK)
    if not isinstance(entry, Route):
        return None
    candidate = None if entry.candidate is None else entry.candidate.version
    return Shown((entry.kill, entry.epoch), entry.control.version, candidate, entry.weight)


def _epoch(**given: Any) -> Epoch:
    plain = {"rollout": None, "candidate": None, "weight": 0.0, "follows": 0, "decision": "before"}
    return Epoch(task=TASK, salt="", at=EARLY, **{**plain, **given})
