"""Which routing follows from a verdict, and which of two routings is the newer one.

A routing's place is (generation of the kill switch, number of the epoch), compared in this order:
whatever was decided before a kill is older than it, however late it arrives, so that no WIDEN in
flight undoes a kill. Numbers may leave some out: after a restore of the store the next epoch is
numbered above all that any gateway has acknowledged. What keeps one line of epochs is that each
names the one that it follows, and none is followed twice.

| the kill switch says   | an epoch that comes             | a gateway                        |
|------------------------|---------------------------------|----------------------------------|
| nothing, or `lifted` g | with generation ≥ g, and newer  | routes by it                     |
| `killed` g             | with generation ≥ g, and newer  | routes by its control alone      |
| `killed` or `lifted` g | with a generation < g           | keeps what it has, control alone |
| `killed` or `lifted` g | the same; it has no routing yet | routes by its control alone      |
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import Epoch, Replica, Rollout
from greenlight.core.states import Action

ENDS = (Action.PROMOTE, Action.ROLLBACK, Action.WITHDRAW, Action.INCONCLUSIVE)
"""The actions that end a rollout."""

Place = tuple[int, int]
"""(generation of the kill switch, number of the epoch): the order of routings."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the kill switch says of a task."""

    generation: int = 0
    """Grows whenever it is used, lifting included; 0: it never was."""
    killed: bool = False
    """Whether the task is killed now; what was killed before stays out of traffic for good."""


NEVER = Standing()
"""Of a task on which the kill switch was never used."""


def place(epoch: Epoch) -> Place:
    """Where an epoch stands in the order of routings."""
    return epoch.kill, epoch.number


def newer(one: Place, other: Place) -> bool:
    """Whether a routing at `one` goes before a routing at `other`."""
    return one > other


def barred(kill: int, standing: Standing) -> bool:
    """Whether a routing may give a candidate neither traffic nor copies.

    Args:
        kill: the generation that the routing was written under.
        standing: what the kill switch says of its task.
    """
    return standing.killed or kill < standing.generation


def lasting(epochs: Iterable[Epoch]) -> list[Epoch]:
    """A task's epochs, in their order, without those that a later one has undone.

    Control changes by a promotion, to what was the candidate just before, or by the undoing of one,
    which the kill switch brings about.
    """
    found: list[Epoch] = []
    for epoch in epochs:
        last = found[-1] if found else epoch
        changed = epoch.control not in (last.control, last.candidate)
        if changed and epoch.kill > last.kill:
            while found and found[-1].control != epoch.control:
                found.pop()
        found.append(epoch)
    return found


def acknowledged(replicas: Iterable[Replica], task: str) -> int:
    """The highest epoch of a task that any gateway routes by; 0 where none does."""
    return max((replica.epochs.get(task, 0) for replica in replicas), default=0)


def successor(epoch: Epoch, *, acknowledged: int, kill: int, decision: str, at: int) -> Epoch:
    """The same routing as the one after `epoch`, as something to be changed.

    Args:
        epoch: the newest one in the store.
        acknowledged: the highest that any gateway routes by.
        kill: the generation of the kill switch that is known.
        decision: the id of what begins it.
        at: microseconds since 1970-01-01 UTC.
    """
    return msgspec.structs.replace(
        epoch,
        number=max(epoch.number, acknowledged) + 1,
        follows=epoch.number,
        kill=max(epoch.kill, kill),
        decision=decision,
        at=at,
    )


def routed(
    following: Epoch, action: Action, rollout: Rollout, policy: DecisionPolicy
) -> Epoch | None:
    """The routing that an action on a rollout asks for; None leaves it as it is.

    Args:
        following: the successor of the newest epoch.
        action: what was decided.
        rollout: as it stood before.
        policy: frozen at its start.
    """
    if action == Action.WIDEN:
        weight = policy.rollout.ladder[rollout.step + 1].weight
        return msgspec.structs.replace(following, weight=weight)
    if action in ENDS:
        promoted = action == Action.PROMOTE
        return msgspec.structs.replace(
            following,
            rollout=None,
            control=rollout.candidate if promoted else following.control,
            candidate=None,
            weight=0.0,
            salt="",
        )
    return None
