"""A rollout's states, exhaustively and on the real stages (O1, O4, G1).

What the table allows is what happens, everything else is refused and changes nothing, and no way
whatever leads to all users but by approval and evidence, or a person in the place of the last
proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from greenlight.core.errors import Refused
from greenlight.core.lifecycle import ROLLOUT
from greenlight.core.orders import ORDERS
from greenlight.core.records import Decision, Epoch, LedgerEntry
from greenlight.core.situation import Order
from greenlight.core.states import Action, Phase
from greenlight.stages.decide import decide
from tests.core.machine import ANA, BEN, KIM, SKIES, V1, V2, Machine, policy, skies

__all__ = ["skies"]

ENDED = {Phase.PROMOTED, Phase.ROLLED_BACK, Phase.INCONCLUSIVE, Phase.WITHDRAWN}
MOVES = (*ORDERS, Action.INCONCLUSIVE)
"""Everything that a verdict or an order may do to a rollout that has begun."""
SHAPES = [(False, False), (True, True)]
Do = Callable[[Machine], None]


def events() -> dict[str, Do]:
    """Everything that may happen, under every sky: a start, a pass, and each order by whoever."""
    found: dict[str, Do] = {"start": Machine.start, "look": Machine.look}
    for order in ORDERS:
        for person in (BEN, ANA, KIM):
            found[f"{order.value} by {person.name}"] = lambda machine, order=order, person=person: (
                machine.order(order, person)
            )
    return found


EVENTS = events()


LIKE_OTHERS = {"silent", "unserved", "worse at night", "worse and revoked"}
"""Skies under which orders are not tried: like `stale`, `worse`, `shut` and `revoked`."""


class Step:
    """One event under one sky, in one state."""

    def __init__(self, before: Machine, sky: str, event: str) -> None:
        self.before, self.sky, self.event = before, SKIES[sky], event
        self.name = f"{before.phase} + {event} under {sky!r}"
        self.after = before.under(self.sky)
        self.refused: str | None = None

    def take(self, under: Callable[[Machine], None]) -> None:
        """Let it happen."""
        under(self.after)
        try:
            EVENTS[self.event](self.after)
        except Refused as refusal:
            self.refused = str(refusal)

    @property
    def decided(self) -> Decision | None:
        """What was decided, if it is news."""
        known = {row.id for row in self.before.rows(Decision)}
        new = [row for row in self.after.rows(Decision) if row.id not in known]
        assert len(new) <= 1, self.name
        return new[0] if new else None


class World:
    """Every step from every state that can be reached by any number of them."""

    def __init__(self, rules: Any, under: Callable[[Machine], None]) -> None:
        first = Machine(rules)
        self.reached, self.steps = {first.standing()}, []
        waiting = [first]
        while waiting:
            before = waiting.pop()
            for sky, event in due(before):
                step = Step(before, sky, event)
                step.take(under)
                self.steps.append(step)
                if step.after.standing() not in self.reached:
                    self.reached.add(step.after.standing())
                    waiting.append(step.after)

    def phases(self) -> dict[Phase, Machine]:
        """A machine at each phase, not paused."""
        found: dict[Phase, Machine] = {}
        for step in self.steps:
            rollout = step.after.rollout
            if step.after.phase is not None and rollout is not None and rollout.paused is None:
                found.setdefault(step.after.phase, step.after)
        return found


def due(before: Machine) -> Iterator[tuple[str, str]]:
    """What to try in a state: everything under a clear sky, and under each of the others whatever
    depends on it: while nothing runs a start, else passes, and the orders of who has a say."""
    yield from (("clear", event) for event in EVENTS)
    runs = before.rollout is not None and before.rollout.ended_at is None
    for sky in list(SKIES)[1:]:
        if not runs:
            yield sky, "start"
            continue
        yield sky, "look"
        orders = ORDERS if sky not in LIKE_OTHERS else ()
        yield from ((sky, f"{order.value} by ben") for order in orders)


WORLDS: dict[str, World] = {}


def world(rules: Any, under: Callable[[Machine], None]) -> World:
    """The world of a policy, explored once."""
    if rules.digest not in WORLDS:
        WORLDS[rules.digest] = World(rules, under)
    return WORLDS[rules.digest]


@pytest.fixture(params=SHAPES, ids=lambda s: f"shadow={s[0]:d} holdback={s[1]:d}")
def shape(request: pytest.FixtureRequest) -> Any:
    """The policies: with a time in the shadow or without, with units held back or without."""
    return policy(shadow=request.param[0], holdback=request.param[1])


ROWS = {(row.source, row.event.value, row.target) for row in ROLLOUT}


def test_every_step_from_every_state(
    shape: Any, skies: Callable[[Machine], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """All events under all skies in all states that these reach, with no limit on how many there
    are in a row."""
    states, steps = len(world(shape, skies).reached), world(shape, skies).steps
    with capsys.disabled():
        print(f" [{states} states, {len(steps)} steps]", end="")
    assert states >= 15
    phases = {step.after.phase for step in steps}
    wanted = set(Phase) - ({Phase.SHADOW} if not shape.rollout.shadow else set())
    wanted -= {Phase.HOLDBACK} if not shape.rollout.holdback else set()
    assert phases - {None} == wanted
    for step in steps:
        check(step)


def check(step: Step) -> None:
    """The invariants of one step."""
    before, after, decided = step.before, step.after, step.decided
    if step.refused is not None:
        assert after.content() == before.content(), step.name
        return
    if before.phase in ENDED and step.event != "start":
        assert after.content() == before.content(), step.name
    by_the_table(step, decided)
    weight = (before.epoch.weight, after.epoch.weight)
    if after.epoch.weight > before.epoch.weight or after.epoch.control != before.epoch.control:
        given(step, decided)
    if all_traffic(after) and not all_traffic(before):
        earned(step, decided)
    if decided is not None and decided.action in (Action.ROLLBACK, Action.WITHDRAW):
        assert (after.epoch.control, after.epoch.candidate) == (V1, None), step.name
    assert after.epoch.number - before.epoch.number in (0, 1), (step.name, weight)
    line = after.rows(Epoch)
    assert [epoch.follows for epoch in line] == [0, *(epoch.number for epoch in line[:-1])]
    told = [row.body["id"] for row in after.rows(LedgerEntry) if row.kind == "decision"]
    assert told == [row.id for row in after.rows(Decision)], step.name


def all_traffic(machine: Machine) -> bool:
    """Whether every user meets the candidate."""
    return machine.epoch.control == V2 or machine.epoch.weight >= 1


def by_the_table(step: Step, decided: Decision | None) -> None:
    """It went where a row of `core.lifecycle` leads, or stayed where it was."""
    source, target = step.before.phase, step.after.phase
    if step.event == "start":
        assert target in (Phase.PENDING, Phase.SHADOW, Phase.CANARY), step.name
        return
    if decided is None or decided.action in (Action.STAY, Action.HOLD):
        assert target == source, step.name
        assert step.after.epoch == step.before.epoch, step.name
        return
    event = "begin" if decided.action == Action.START else decided.action.value
    assert (source, event, target) in ROWS, step.name


def given(step: Step, decided: Decision | None) -> None:
    """Traffic was given: it was approved, nothing stood against it, and who gave it might."""
    assert decided is not None, step.name
    assert decided.action in (Action.START, Action.WIDEN, Action.PROMOTE), step.name
    assert step.sky.approved, step.name
    paused = step.before.rollout is not None and step.before.rollout.paused is not None
    running = step.before.rollout is not None and step.before.rollout.ended_at is None
    assert not (paused and running), step.name
    if decided.action == Action.START:
        assert not step.sky.shut, step.name
        return
    assert healthy(step), step.name
    assert decided.code != "order" or step.event.endswith("ben"), step.name


def healthy(step: Step) -> bool:
    """Whether the sky has nothing against more traffic that is asked for here."""
    if step.before.phase == Phase.SHADOW and step.sky in (SKIES["leaning"], SKIES["unsafe"]):
        return True  # nobody has met the candidate who could have said so
    if step.before.phase == Phase.HOLDBACK and step.sky.late:
        return True  # what is proved has no horizon
    spared = step.sky == SKIES["unsafe"] and not all_traffic(step.after)
    return step.sky.healthy or spared  # a person's word for a step spares proof, not signs of harm


def earned(step: Step, decided: Decision | None) -> None:
    """Everybody meets it: by proof, or by the word of somebody of the quorum who did not begin it
    and who spares no proof but that of being better."""
    assert decided is not None and decided.action == Action.PROMOTE, step.name
    assert step.before.phase in (Phase.LAST_STEP, Phase.HOLDBACK), step.name
    assert step.sky.approved and healthy(step), step.name
    proved = step.sky.proved or step.before.phase == Phase.HOLDBACK
    assert proved or step.event == "promote by ben", step.name


def test_whatever_a_verdict_says_the_table_has_the_last_word(
    shape: Any, skies: Callable[[Machine], None]
) -> None:
    """Every action in every phase, put straight to `decide`, past the rules of orders and verdicts:
    what is not in the table is refused, and nothing has changed."""
    tried = 0
    for phase, machine in world(shape, skies).phases().items():
        for action in MOVES:
            if not shape.rollout.holdback and (phase, action) == (Phase.LAST_STEP, Action.WIDEN):
                continue
            tried += 1
            forced = machine.fork()
            try:
                force(forced, action)
            except Refused:
                assert forced.content() == machine.content(), (phase, action)
                assert not any(row[:2] == (phase, action.value) for row in ROWS), (phase, action)
            else:
                assert forced.phase is not None
                assert (phase, action.value, forced.phase) in ROWS
    assert tried >= 7 * len(MOVES) - 1


def test_nobody_is_widened_to_everybody_where_nobody_is_held_back(
    skies: Callable[[Machine], None],
) -> None:
    """O1: all traffic is a promotion, never a step."""
    machine = world(policy(shadow=False, holdback=False), skies).phases()[Phase.LAST_STEP]
    with pytest.raises(Refused):
        force(machine.fork(), Action.WIDEN)


def force(machine: Machine, action: Action) -> None:
    """What `decide` does with an action that nobody has checked."""
    rollout = machine.rollout
    assert rollout is not None
    order = Order(action=action, by="nobody", why="because")
    decide(
        machine.store,
        rollout,
        machine.epoch,
        entries=[],
        closed={},
        splits={},
        situation=msgspec.structs.replace(machine.situation(rollout), order=order),
        fence=None,
        now=machine.now,
        random=machine.random,
    )


@pytest.mark.parametrize(
    ("order", "who"),
    [
        (Action.ROLLBACK, {"ana", "ben", "kim"}),
        (Action.WITHDRAW, {"ana", "ben", "kim"}),
        (Action.PAUSE, {"ana", "ben", "kim"}),
        (Action.RESUME, {"ana", "ben"}),
        (Action.WIDEN, {"ben"}),
        (Action.PROMOTE, {"ben"}),
    ],
)
def test_who_may_give_which_order(
    order: Action, who: set[str], skies: Callable[[Machine], None]
) -> None:
    """G1, O4: under a clear sky, in every state: ana began it, kim has no role of the quorum."""
    steps = world(policy(shadow=True, holdback=True), skies).steps
    own = [step for step in steps if step.event.startswith(f"{order.value} by ")]
    assert {step.event.rpartition(" ")[2] for step in own if step.refused is None} == who
