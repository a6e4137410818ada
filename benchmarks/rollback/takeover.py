"""The leading controller is killed in the middle of a fault: how soon the other one decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.rollback import runs
from benchmarks.rollback.house import CONTROLLERS, House, seconds
from benchmarks.rollback.model import Behaviour
from greenlight.core.records import JournalEntry, Version
from greenlight.lookup import everything

HEALTHY_S = 5.0
"""How long the candidate does well before."""
INTO_S = 0.5
"""How long the fault has lasted when the leader is killed: too short to be decided on."""
WITHIN_S = 20.0
FAULT = Behaviour(errors=0.5)


def take_over(house: House, candidate: Version, name: str, book: Path) -> dict[str, Any]:
    """One candidate that begins to fail, and a leader that is killed then.

    The other controller leads afterwards, and the killed one is begun again behind it.
    """
    store, clock = house.app.store, house.app.clock
    leader = house.leader
    other = next(each for each in CONTROLLERS if each != leader)
    before = house.holder()
    rollout = house.start(candidate)
    house.rest(HEALTHY_S)
    house.behave(name, FAULT)
    house.rest(INTO_S)
    decided_before = runs.ended(house, rollout)
    killed_at = clock.now()
    house.crew.kill(leader)
    ending = runs.wait_for_end(house, rollout, WITHIN_S)
    house.leader = other
    house.crew.restart(leader)
    runs.settle(house, ending)
    looks = (entry.at for entry in everything(store, JournalEntry, {"rollout": rollout.id}))
    first = min((at for at in looks if at > killed_at), default=None)
    return {
        **runs.told(house, ending, book),
        "killed": leader,
        "decided_before": decided_before,
        "other_leads": house.holder() not in (before, None),
        "first_look_s": None if first is None else seconds(first - killed_at),
        "takeover_s": seconds(ending.decision.at - killed_at),
    }
