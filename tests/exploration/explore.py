"""Breadth first over every interleaving of the small world, with its invariants."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

from greenlight.core import routing
from tests.exploration.model import (
    EPOCHS,
    NEW,
    Gateway,
    Left,
    Rules,
    Store,
    Word,
    World,
    Writer,
    obey,
    standing,
    take,
)
from tests.exploration.writers import choices, commit

KEPT = Rules()

ROUNDS = 12
"""In so many rounds everybody is done, once nothing new happens."""


class Actors(NamedTuple):
    """Who writes: so many controllers, then people."""

    controllers: int
    people: int

    def name(self, number: int) -> str:
        if number < self.controllers:
            return f"controller {number + 1}"
        return f"person {number - self.controllers + 1}"


class Found(NamedTuple):
    """How an exploration ended."""

    states: int
    steps: int
    fault: str | None
    """The first invariant that does not hold; None: all do everywhere."""
    trace: list[str]
    """The shortest way there, a line for each step."""

    kinds: frozenset[str]
    """What ever happened, without who and which epoch."""

    def __str__(self) -> str:
        if self.fault is None:
            return f"{self.states:,} states, {self.steps:,} steps: every invariant holds"
        lines = [f"{number:3}. {step}" for number, step in enumerate(self.trace, start=1)]
        return "\n".join([self.fault, *lines])


def explore(
    first: World, actors: Actors, rules: Rules = KEPT, most: int = 10**7, alike: bool = True
) -> Found:
    """Every state that can be reached, the nearest first.

    Args:
        first: where it begins.
        actors: who writes.
        rules: what they keep to.
        most: stop with an error after so many states.
        alike: take worlds for one that differ in nothing but which controller, and which gateway,
            is called the first. Where a fault is found it is looked for once more without, so that
            the way there can be read.
    """
    came: dict[World, tuple[World, str] | None] = {first: None}
    waiting, kinds, steps = deque([first]), set[str](), 0
    settled: dict[World, str | None] = {}
    while waiting:
        world = waiting.popleft()
        fault, last = _wrong(world, rules) or _unsettled(world, rules, settled), []
        for name, after in () if fault else moves(world, actors, rules):
            steps += 1
            kinds.add(_kind(name))
            fault = _went_back(world, after)
            if alike:
                after = _alike(after, actors)
            if fault is not None:
                last = [name]
                break
            if after not in came:
                came[after] = (world, name)
                waiting.append(after)
        if fault is not None:
            if alike:
                return explore(first, actors, rules, most, alike=False)
            return Found(len(came), steps, fault, [*_trace(came, world), *last], frozenset(kinds))
        assert len(came) <= most, f"more than {most} states: choose smaller bounds"
    return Found(len(came), steps, None, [], frozenset(kinds))


# Steps


def moves(world: World, actors: Actors, rules: Rules) -> Iterator[tuple[str, World]]:
    """Everything that may happen next, as (what, world)."""
    for number in range(len(world.writers)):
        yield from _writing(world, number, actors, rules)
    for number in range(len(world.gateways)):
        yield from _routing(world, number)
    yield from _around(world, rules)


def _writing(
    world: World, number: int, actors: Actors, rules: Rules
) -> Iterator[tuple[str, World]]:
    writer, name = world.writers[number], actors.name(number)
    person = number >= actors.controllers
    if writer.seen is None:
        known = world.file if person else writer.known
        # Of what gateways have said only the highest number counts.
        seen = Writer(known, world.store._replace(heard=(max(world.store.heard),)))
        if _has_choices(seen, world, person):
            yield f"{name} looks", _with_writer(world, number, seen)
    else:
        idle = _with_writer(world, number, Writer(writer.known, None))
        for change in choices(writer.seen, writer.known, world.file.generation > 0, person):
            left = world.left
            if change.epoch is not None and len(world.store.epochs) >= left.epochs:
                continue
            if change.append is not None:
                waits = change.append.status == "pending"
                left = left._replace(starts=left.starts - 1, waits=left.waits - waits)
            if left.starts < 0 or left.waits < 0:
                continue
            after = commit(world.store, change, rules)
            said = f"{name}: {change.what}" + ("" if after else " (conflict)")
            yield said, idle if after is None else idle._replace(store=after, left=left)
    if not person and writer.known != world.file:
        yield (
            f"{name} reads the kill file",
            _with_writer(world, number, Writer(world.file, writer.seen)),
        )


def _has_choices(writer: Writer, world: World, person: bool) -> bool:
    assert writer.seen is not None
    if person and world.left.starts == 0 and writer.seen.active is None:
        return False
    return bool(choices(writer.seen, writer.known, world.file.generation > 0, person))


def _routing(world: World, number: int) -> Iterator[tuple[str, World]]:
    gateway, name = world.gateways[number], f"gateway {number + 1}"
    newest = world.store.epochs[-1]
    if gateway.polled != newest and (gateway.due or gateway.source != newest):
        yield f"{name} polls", _with_gateway(world, number, gateway._replace(polled=newest))
    if gateway.polled is not None:
        epoch = EPOCHS[gateway.polled]
        after = take(gateway)
        said = "takes over" if after.source == gateway.polled else "refuses"
        yield f"{name} {said} epoch {epoch.number}", _with_gateway(world, number, after)
    if gateway.standing != world.file:
        yield f"{name} obeys the kill file", _with_gateway(world, number, obey(gateway, world.file))
    if gateway.source is not None:
        routed = EPOCHS[gateway.source].number
        if world.store.heard[number] != routed:
            yield f"{name} says that it routes by {routed}", _heard(world, number, routed)
    if world.left.restarts:
        fresh = NEW._replace(standing=world.file)
        left = world.left._replace(restarts=world.left.restarts - 1)
        yield f"{name} restarts", _with_gateway(world, number, fresh)._replace(left=left)


def _around(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    left, word = world.left, world.file
    if left.kills and not word.killed:
        killed = Word(word.generation + 1, True)
        yield (
            "somebody kills",
            world._replace(file=killed, left=left._replace(kills=left.kills - 1)),
        )
    elif left.lifts and word.killed:
        word, fewer = Word(word.generation + 1, False), left._replace(lifts=left.lifts - 1)
        yield "it is lifted", world._replace(file=word, left=fewer)
    if left.backups and world.backup is None:
        yield "a backup is made", world._replace(backup=world.store)
    if left.backups and world.backup not in (None, world.store):
        yield "the backup is restored", _restored(world, rules)


def _restored(world: World, rules: Rules) -> World:
    """The store as it was. Whoever had it open has to open it anew, and looks anew."""
    store = world.backup
    assert store is not None
    if rules.heard_first:
        told = zip(world.gateways, store.heard, strict=True)
        heard = tuple(old if g.source is None else EPOCHS[g.source].number for g, old in told)
        store = store._replace(heard=heard)
    writers = tuple(Writer(writer.known, None) for writer in world.writers)
    gateways = tuple(gateway._replace(polled=None) for gateway in world.gateways)
    left = world.left._replace(backups=world.left.backups - 1)
    return World(store, None, world.file, writers, gateways, left)


def _with_writer(world: World, number: int, writer: Writer) -> World:
    writers = world.writers
    return world._replace(writers=(*writers[:number], writer, *writers[number + 1 :]))


def _with_gateway(world: World, number: int, gateway: Gateway) -> World:
    gateways = world.gateways
    return world._replace(gateways=(*gateways[:number], gateway, *gateways[number + 1 :]))


def _heard(world: World, number: int, epoch: int) -> World:
    heard = world.store.heard
    told = (*heard[:number], epoch, *heard[number + 1 :])
    return world._replace(store=world.store._replace(heard=told))


def _alike(world: World, actors: Actors) -> World:
    """Of the worlds that differ in nothing but who is called the first, one."""
    store, backup = world.store, world.backup
    controllers = sorted(world.writers[: actors.controllers], key=hash)
    kept = store if backup is None else backup
    places = sorted(zip(world.gateways, store.heard, kept.heard, strict=True), key=hash)
    gateways, heard, before = zip(*places, strict=True)
    return world._replace(
        store=store._replace(heard=heard),
        backup=None if backup is None else backup._replace(heard=before),
        writers=(*controllers, *world.writers[actors.controllers :]),
        gateways=gateways,
    )


def _kind(name: str) -> str:
    return re.sub(r"\b(controller|person|gateway) \d+:? |\d+", "", name).strip()


# Invariants


def _wrong(world: World, rules: Rules) -> str | None:
    """Which invariant does not hold in a state; None: all do."""
    return _of_store(world.store) or _of_gateways(world, rules)


def _of_store(store: Store) -> str | None:
    line = [EPOCHS[one] for one in store.epochs]
    for old, new in pairwise(line):
        if new.follows != old.number:
            return f"two epochs in one line: {new.number} follows {new.follows}, not {old.number}"
        if new.control not in (old.control, old.candidate) and new.kill <= old.kill:
            return f"epoch {new.number} changes control to {new.control}, which nobody promoted"
    going = [row for row in store.rollouts if row.status in ("pending", "running")]
    if len(going) > 1:
        return f"two rollouts at once: of {going[0].candidate} and of {going[1].candidate}"
    newest, running = line[-1], [row for row in going if row.status == "running"]
    routed = [] if newest.candidate is None else [(newest.control, newest.candidate)]
    if routed != [(row.control, row.candidate) for row in running]:
        return f"epoch {newest.number} routes {routed}, the rollouts that run are {running}"
    return None


def _of_gateways(world: World, rules: Rules) -> str | None:
    for one, other in combinations(world.gateways, 2) if rules.one_content else ():
        if one.shown is None or other.shown is None or one.shown.place != other.shown.place:
            continue
        less = one.due or other.due or _bars(one) or _bars(other)
        if one.shown.control != other.shown.control or not (one.shown == other.shown or less):
            return f"two gateways differ at one place: {one.shown} and {other.shown}"
    for number, gateway in enumerate(world.gateways, start=1):
        if gateway.shown is None or gateway.source is None:
            continue
        if gateway.shown.candidate is not None and _bars(gateway):
            return f"gateway {number} gives {gateway.shown.candidate} traffic and has read the kill"
        kept = gateway.held in (None, gateway.shown.control)
        if not kept and EPOCHS[gateway.source].kill < gateway.standing.generation:
            return f"gateway {number} obeys a promotion that knows nothing of the kill it has read"
    return None


def _bars(gateway: Gateway) -> bool:
    """Whether what it has read of the kill switch leaves the epoch that it routes by no
    candidate."""
    if gateway.source is None:
        return False
    return routing.barred(EPOCHS[gateway.source].kill, standing(gateway.standing))


def _went_back(before: World, after: World) -> str | None:
    for number, (old, new) in enumerate(zip(before.gateways, after.gateways, strict=True), start=1):
        if old.shown and new.shown and routing.newer(old.shown.place, new.shown.place):
            return f"gateway {number} goes back from {old.shown.place} to {new.shown.place}"
    return None


def _unsettled(world: World, rules: Rules, known: dict[World, str | None]) -> str | None:
    """What is still wrong once everybody has done everything that there is to do, in turns."""
    calm = world._replace(
        backup=None,
        writers=(Writer(world.file, None),),
        gateways=tuple(gateway._replace(polled=None) for gateway in world.gateways),
        left=Left(epochs=99),
    )
    if calm not in known:
        known[calm] = _settle(calm, rules)
    return known[calm]


def _settle(world: World, rules: Rules) -> str | None:
    for _ in range(ROUNDS):
        before = world
        for number in range(len(world.gateways)):
            if world.gateways[number].standing != world.file:
                world = _with_gateway(world, number, obey(world.gateways[number], world.file))
            polled = world.gateways[number]._replace(polled=world.store.epochs[-1])
            world = _with_gateway(world, number, take(polled))
            source = world.gateways[number].source
            if source is not None:
                world = _heard(world, number, EPOCHS[source].number)
        barred = routing.barred(world.store.newest.kill, standing(world.file))
        for change in choices(world.store, world.file, world.file.generation > 0, False):
            if change.what in ("catch up", "undo") or barred:
                world = world._replace(store=commit(world.store, change, rules) or world.store)
                break
        if world == before:
            break
    return _not_agreed(world)


def _not_agreed(world: World) -> str | None:
    newest = world.store.newest
    for number, gateway in enumerate(world.gateways, start=1):
        if gateway.source != world.store.epochs[-1] or gateway.shown is None:
            held = None if gateway.shown is None else gateway.shown.place
            return f"gateway {number} never takes over epoch {newest.number}: it stays at {held}"
        barred = routing.barred(newest.kill, standing(world.file))
        routed = (newest.control, None if barred else newest.candidate)
        if (gateway.shown.control, gateway.shown.candidate) != routed:
            return f"gateway {number} never comes to route {routed}: {gateway.shown}"
    if newest.kill != world.file.generation:
        return f"the store never comes to know of the kill: {newest.kill}, {world.file.generation}"
    if world.file.killed and newest.candidate is not None:
        return f"{newest.candidate} is killed, and its rollout never ends"
    return None


def _trace(came: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    steps: list[str] = []
    while (before := came[world]) is not None:
        world, step = before
        steps.append(step)
    return steps[::-1]
