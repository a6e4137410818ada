"""Looking out for declared alarms: which minutes are over, and what the store says of them.

What was seen is kept between two looks, so that a minute is asked for once. Nothing is lost with
it: whoever begins anew asks for the minutes that count, and sees the same (`core.watches`).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from greenlight.core.alarms import Reading, Unseen
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import Epoch, Replica, Rollout
from greenlight.core.watches import Watches
from greenlight.lookup import everything
from greenlight.ports import Store

log = logging.getLogger(__name__)

GONE = 10
"""A replica silent for this many times `stale_after` has been taken down, not delayed."""

_MOST = 64
"""Rollouts that are remembered; of more the one looked at least recently is forgotten."""


def heard(replicas: Iterable[Replica], stale_after: int, now: int) -> list[Replica]:
    """The gateways that are not gone."""
    since = now - GONE * stale_after
    return [replica for replica in replicas if replica.at > since]


class _Known:
    """What was seen of a rollout, in the shadow or out of it."""

    def __init__(self, watches: Watches) -> None:
        self.watches = watches
        self.failing = False
        """Whether the last question was not answered."""


class Lookout:
    """Keeps what was seen of rollouts between two looks; threads may share it."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._known: OrderedDict[tuple[str, bool], _Known] = OrderedDict()
        self._lock = threading.Lock()

    def look(
        self,
        store: Store,
        rollout: Rollout,
        policy: DecisionPolicy,
        now: int,
        replicas: Iterable[Replica] | None = None,
    ) -> dict[str, Reading]:
        """How the alarms of a running rollout stand, by name; those that do not apply are absent.

        Copies only exist in the shadow, and users only meet the candidate out of it. A store that
        does not answer makes alarms failing, and nothing else.

        Args:
            store: records and events; only read.
            rollout: it has not ended.
            policy: frozen at its start.
            now: microseconds since 1970-01-01 UTC.
            replicas: every gateway that the store knows; without them it is asked.
        """
        if not policy.alarms:
            return {}
        with self._lock:
            known = self._of(store, rollout, policy)
            if known is None:
                return {}
            gateways = everything(store, Replica) if replicas is None else replicas
            there = heard(gateways, policy.rollout.stale_after, now)
            unseen = _see(store, rollout, policy, known, there, now)
            return known.watches.read(now, unseen)

    def _of(self, store: Store, rollout: Rollout, policy: DecisionPolicy) -> _Known | None:
        """What is known of a rollout at its present step; None: that has not begun."""
        shadow = policy.rollout.ladder[rollout.step].weight == 0
        key = (rollout.id, shadow)
        if key not in self._known:
            own = everything(store, Epoch, {"task": rollout.task, "rollout": rollout.id})
            began = min((epoch.at for epoch in own if (epoch.weight == 0) == shadow), default=None)
            if began is None:
                return None
            self._known[key] = _Known(Watches(policy.alarms, origin=began, shadow=shadow))
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return self._known[key]


def _see(
    store: Store,
    rollout: Rollout,
    policy: DecisionPolicy,
    known: _Known,
    there: Sequence[Replica],
    now: int,
) -> Unseen | None:
    """Ask for the minutes that are over since the last look; returns what keeps them from view."""
    rules, watches = policy.rollout, known.watches
    flushed = [replica.flushed_through for replica in there]
    if not flushed:
        return "stale"
    # A copy may be as much later than its request as `grace` allows.
    lag = rules.grace if policy.rollout.ladder[rollout.step].weight == 0 else 0
    span = watches.due(min(flushed) - lag)
    if span is not None:
        try:
            since, until = span
            found = store.minutes(
                rollout.task, rollout.id, since=since, until=until, labels=watches.labels
            )
        except Exception:
            # Whatever the matter is, it must not keep errors from being rolled back.
            if not known.failing:
                log.exception("%s: the alarms cannot be measured", rollout.task)
            known.failing = True
            return "failing"
        watches.feed(span, found)
    known.failing = False
    return "stale" if now - min(flushed) > rules.stale_after else None
