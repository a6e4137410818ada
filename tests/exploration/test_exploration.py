"""Controllers, people, gateways, the kill switch, a restore, in every order (O0, O1, O3, O4).

Breadth first over a small world (`tests/exploration/model.py`), with the real rules of routing:
never two lines of epochs, never two rollouts, no gateway goes back, none gives traffic to what it
has read to be killed, nor takes over a promotion that knows nothing of the kill, and from every
state whatever everybody comes to route what the store says. Then some rule is broken, and the
shortest way to the harm is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenlight.core import routing
from greenlight.serving import routing as serving
from tests.exploration import model
from tests.exploration.explore import Actors, Found, explore
from tests.exploration.model import Left, Rules, begin

KEPT = Rules()
UNHEARD = Rules(heard_first=False, one_content=False)
LAST = 1
"""The step from which a promotion is the next."""


def found(
    actors: tuple[int, int],
    left: Left,
    step: int = 0,
    rules: Rules = KEPT,
    gateways: int = 2,
) -> Found:
    """What is found with so many controllers and people."""
    return explore(begin(left, sum(actors), gateways, step), Actors(*actors), rules)


SMALL: dict[str, tuple[Any, ...]] = {
    "two controllers and a person": ((2, 1), Left(epochs=5)),
    "two people who start rollouts": ((1, 2), Left(epochs=4, starts=2)),
    "a rollout that waits for its window": (
        (1, 1),
        Left(epochs=5, starts=1, waits=1),
        0,
        KEPT,
        1,
    ),
    "killed and lifted": ((1, 0), Left(epochs=3, kills=1, lifts=1), LAST),
    "killed beside two controllers": ((2, 0), Left(epochs=4, kills=1), LAST),
    "killed, and a gateway restarts": ((1, 0), Left(epochs=4, kills=1, restarts=1), LAST),
    "restored from a backup": ((1, 1), Left(epochs=5, backups=1), LAST),
    "restored, nobody heard yet": ((1, 0), Left(epochs=4, backups=1), 0, UNHEARD),
}
LARGE: dict[str, tuple[Any, ...]] = {
    "two controllers and two starts": ((2, 1), Left(epochs=5, starts=2, waits=1)),
    "killed, lifted, started anew": ((1, 1), Left(epochs=4, kills=1, lifts=1, starts=1), LAST),
    "killed and lifted at leisure": ((1, 0), Left(epochs=4, kills=1, lifts=1), LAST),
    "killed twice": ((1, 0), Left(epochs=5, kills=2, lifts=1), LAST),
    "killed and restored": ((1, 0), Left(epochs=4, kills=1, backups=1), LAST),
    "killed, restored, restarted": ((1, 0), Left(epochs=4, kills=1, backups=1, restarts=1), LAST),
    "restored, nobody heard yet": ((1, 1), Left(epochs=5, backups=1), 0, UNHEARD),
    "restored beside two controllers": ((2, 0), Left(epochs=5, backups=1), 0, UNHEARD),
}
HAPPENS = {
    "begin",
    "catch up",
    "catch up (conflict)",
    "it is lifted",
    "obeys the kill file",
    "promote",
    "promote (conflict)",
    "refuses epoch",
    "restarts",
    "rollback (conflict)",
    "start, to wait",
    "takes over epoch",
    "the backup is restored",
    "undo",
    "widen (conflict)",
}
"""What must have happened somewhere, or the worlds are too small to say anything."""


def test_every_interleaving_of_small_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    """Every state of each world keeps every invariant, and everything worth fearing happens."""
    kinds: set[str] = set()
    for name, world in SMALL.items():
        ended = found(*world)
        with capsys.disabled():
            print(f"\n  {name}: {ended}", end="")
        assert ended.fault is None, f"{name}\n{ended}"
        assert ended.states > 500
        kinds |= ended.kinds
    assert kinds >= HAPPENS


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LARGE)
def test_every_interleaving_of_larger_worlds(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same with more that may happen: hundreds of thousands of states."""
    ended = found(*LARGE[name])
    with capsys.disabled():
        print(f"\n  {name}: {ended}", end="")
    assert ended.fault is None, str(ended)
    model.forget()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts a wrong rule in the place of a right one."""
    model.forget()

    def put(module: Any, name: str, rule: Callable[..., Any]) -> None:
        monkeypatch.setattr(module, name, rule)
        model.forget()

    yield put
    monkeypatch.undo()
    model.forget()


KILL = ((1, 0), Left(epochs=4, kills=1), LAST)


def test_gateways_that_compare_epochs_only_take_over_what_a_kill_forbids(
    broken: Callable[..., None],
) -> None:
    """Why a place is (generation, epoch): a promotion in flight arrives after the kill."""
    broken(serving, "newer", lambda one, other: one[1] > other[1])
    ended = found(*KILL)
    assert str(ended).splitlines() == [
        "gateway 1 obeys a promotion that knows nothing of the kill it has read",
        "  1. controller 1 looks",
        "  2. controller 1: promote",
        "  3. gateway 1 polls",
        "  4. somebody kills",
        "  5. gateway 1 obeys the kill file",
        "  6. gateway 1 takes over epoch 3",
    ]


def test_a_line_of_epochs_forks_where_two_may_follow_the_same(
    broken: Callable[..., None],
) -> None:
    """Why an epoch names the one before: after a restore two controllers, of whom one has heard of
    a later epoch and one has not, choose different numbers, and both commit."""
    small = ((2, 0), Left(epochs=5, backups=1), 0)
    ended = found(*small, UNHEARD._replace(cas=False))
    assert ended.fault == "two epochs in one line: 4 follows 2, not 3"
    assert "the backup is restored" in ended.trace
    assert ended.trace[-2:] == ["controller 1: widen", "controller 2: catch up"]


def test_gateways_that_do_not_bar_go_on_with_what_is_killed(broken: Callable[..., None]) -> None:
    broken(serving, "barred", lambda kill, standing: False)
    ended = found(*KILL)
    assert ended.fault == "gateway 1 gives v2 traffic and has read the kill"
    assert ended.trace == ["somebody kills", "gateway 1 obeys the kill file"]


def wrong_successor(**fixed: int) -> Callable[..., Any]:
    right = routing.successor
    return lambda epoch, **given: right(epoch, **{**given, **fixed})


def test_after_a_restore_a_number_means_two_things_unless_it_is_above_all_that_were_heard(
    broken: Callable[..., None],
) -> None:
    """Why the next epoch is above all that any gateway has acknowledged: one gateway routes by the
    epoch 3 that was lost, another takes over a new one."""
    broken(routing, "successor", wrong_successor(acknowledged=0))
    ended = found((1, 0), Left(epochs=5, backups=1))
    assert ended.fault is not None and ended.fault.startswith("two gateways differ at one place")
    assert "the backup is restored" in ended.trace


def test_epochs_that_do_not_name_the_kill_are_never_taken_over(broken: Callable[..., None]) -> None:
    """Why an epoch says under which generation it was written."""
    broken(routing, "successor", wrong_successor(kill=0))
    ended = found(*KILL)
    assert ended.fault is not None and "never takes over epoch" in ended.fault


def test_the_limit_after_a_restore_is_known() -> None:
    """Whoever orders something in the second before the gateways have said what they route by may
    choose a number that one of them has for something else. It heals: from every state everybody
    comes to route what the store says (`restored, nobody heard yet`)."""
    ended = found((1, 0), Left(epochs=5, backups=1), 0, UNHEARD._replace(one_content=True))
    assert ended.fault is not None and ended.fault.startswith("two gateways differ at one place")


def test_two_people_who_start_at_once_outside_the_window() -> None:
    """O0: one rollout of a task at a time, those that wait included."""
    ended = found((1, 2), Left(epochs=4, starts=2, waits=2))
    assert ended.fault is None, str(ended)
