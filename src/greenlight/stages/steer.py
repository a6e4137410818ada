"""Steer: a person takes a running rollout in hand (REQUIREMENTS O4).

It is decided and recorded as the controller would do it, in one transaction, and needs no
controller to be there. Whoever changes the routing in the same moment goes first, and the order is
given again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from greenlight.core import killing, orders, routing
from greenlight.core.approval import Person
from greenlight.core.errors import BadInput, Refused
from greenlight.core.killing import KillEntry
from greenlight.core.records import Decision, Rollout
from greenlight.core.situation import Order
from greenlight.core.states import Action
from greenlight.lookout import Lookout
from greenlight.ports import Store
from greenlight.stages.catch_up import last_word
from greenlight.stages.decide import decide
from greenlight.stages.survey import known, survey


def steer(
    store: Store,
    task: str,
    action: Action,
    *,
    person: Person,
    why: str,
    roles: Collection[str],
    authorise: Callable[[Rollout], None],
    kill: KillEntry | None = None,
    lookout: Lookout | None = None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision:
    """Carry out an order.

    Args:
        store: records and events.
        task: the task's name.
        action: one of `orders.ORDERS`.
        person: who orders it, proved by their key.
        why: the reason, on record.
        roles: those of the task's quorum.
        authorise: raises unless the rollout's candidate is approved, and genuine.
        kill: what the kill file says of the task, if anything.
        lookout: what this process has seen of the alarms.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Raises:
        BadInput: no reason.
        Refused: no rollout is running, the person may not, or something stands against it.
        Conflict: somebody changed the routing meanwhile.
    """
    if not why.strip():
        raise BadInput("say why: an order without a reason helps nobody who reads it", "why")
    found = survey(store, task, authorise, now, lookout)
    if found is None:
        raise Refused(f"{task}: no rollout is running, so there is nothing to {action}")
    kill = last_word(store, task, kill)
    reason = orders.forbidden(action, person, roles, found.rollout.initiator)
    if reason is None and kill is not None and action not in orders.TAKES:
        barred = routing.barred(found.epoch.kill, kill.standing)
        reason = killing.refusal(task, kill) if barred else None
    if reason is None:
        reason = orders.refusal(action, found.situation, known(store, found), found.policy, now)
    if reason is not None:
        raise Refused(f"{task}: {action} is refused: {reason}")
    order = Order(action=action, by=f"{person.name} ({', '.join(person.roles)})", why=why.strip())
    made = decide(
        store,
        found.rollout,
        found.epoch,
        entries=found.seen.entries,
        closed=found.seen.closed,
        acknowledged=found.seen.acknowledged,
        splits=found.seen.splits,
        kill=kill,
        situation=msgspec.structs.replace(found.situation, order=order),
        fence=None,
        now=now,
        random=random,
    )
    assert made is not None, "an order is news"
    return made
