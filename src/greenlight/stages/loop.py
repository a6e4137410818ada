"""The spine: one look of the controller, from evidence to routing.

    observe → decide → (the next epoch is what gateways route by)
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from greenlight.core.errors import Refused
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import SECOND, Decision, Lease, Rollout
from greenlight.ports import Store
from greenlight.stages import roll_out
from greenlight.stages.decide import decide
from greenlight.stages.observe import observe

LEASE = "controller"
LEASE_TTL = 3 * SECOND


def lead(store: Store, holder: str, now: int) -> Lease | None:
    """Take or renew the right to decide; None while another controller has it."""
    return store.lease(LEASE, holder, now, LEASE_TTL)


def reconcile(
    store: Store,
    task: str,
    *,
    authorise: Callable[[Rollout], None],
    fence: Lease | None,
    now: int,
    random: Callable[[int], bytes],
) -> Decision | None:
    """One pass over a task: fold what is new, judge, and change the routing if need be.

    Args:
        store: records and events.
        task: the task's name.
        authorise: raises `Refused` unless the rollout's candidate is (still) approved.
        fence: the leader's lease.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for ids).

    Returns:
        The decision if it is news, else None (also when no rollout is running).

    Raises:
        Conflict: the routing changed meanwhile; the next pass sees it.
        LostLease: another controller leads now.
    """
    rollout = roll_out.active(store, task)
    epoch = roll_out.current_epoch(store, task)
    if rollout is None or epoch is None:
        return None
    rules = msgspec.convert(rollout.policy, DecisionPolicy).rollout
    seen = observe(store, rollout, epoch, rules, now)
    return decide(
        store,
        rollout,
        epoch,
        entries=seen.entries,
        complete_until=seen.complete_until,
        soaking_since=seen.soaking_since,
        arms=seen.arms,
        unapproved=_refusal(authorise, rollout),
        fence=fence,
        now=now,
        random=random,
    )


def _refusal(authorise: Callable[[Rollout], None], rollout: Rollout) -> str | None:
    try:
        authorise(rollout)
    except Refused as refusal:
        return str(refusal)
    return None
