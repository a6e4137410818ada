"""A store that forgets: for tests, simulations and a first look."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from greenlight.adapters.stores import common, in_memory
from greenlight.adapters.stores.common import Arm, E, UnitKey
from greenlight.adapters.stores.forgetting import Evidence, Forgetting, Key, evidence_of
from greenlight.core.answers import ArmMinute, ArmSummary, Event, Exposure, Lease, Said
from greenlight.core.budget import ERROR
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.metrics import BAD, GOOD
from greenlight.core.records import (
    Epoch,
    Feedback,
    Inference,
    JournalEntry,
    Record,
    Replica,
    Rollout,
    Shadow,
)
from greenlight.core.states import Variant

R = TypeVar("R", bound=Record)


def _arm(inference: Inference) -> Arm:
    assert inference.rollout is not None
    return (inference.rollout, inference.epoch, inference.variant)


class MemoryStore(Forgetting):
    """Implements `ports.Store` with dictionaries; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._records: defaultdict[type[Record], dict[Key, Record]] = defaultdict(dict)
        self._evidence: set[Evidence] = set()
        self._leases: dict[str, Lease] = {}
        self._exposures: dict[UnitKey, Inference] = {}
        self._firsts: dict[str, dict[UnitKey, Inference | Shadow]] = {
            kind: {} for kind in common.EVENT_KINDS
        }
        self._pending: defaultdict[tuple[str, str], set[UnitKey]] = defaultdict(set)
        self._by_unit: defaultdict[tuple[str, str], list[Inference]] = defaultdict(list)
        self._tallies: defaultdict[Arm, Counter[str]] = defaultdict(Counter)
        self._feedback: defaultdict[tuple[str, str], list[Feedback]] = defaultdict(list)

    # Records

    def get(self, kind: type[R], *key: str | int) -> R | None:
        """See `ports.Records.get`."""
        common.check_key(kind, key)
        with self._lock:
            found = self._records[kind].get(key)
        return None if found is None else common.normal(cast(R, found))

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str | int | None] | None = None,
        *,
        after: tuple[str | int, ...] | None = None,
        newest_first: bool = False,
        limit: int = 1000,
    ) -> list[R]:
        """See `ports.Records.scan`."""
        wanted = dict(where or {})
        common.check_where(kind, wanted)
        if after is not None:
            common.check_key(kind, after)
        with self._lock:
            table = self._records[kind]
            keys: Iterable[Any] = sorted(table, reverse=newest_first)
            if after is not None:
                keys = (k for k in keys if (k < after if newest_first else k > after))
            found: list[R] = []
            for key in keys:
                if len(found) >= limit:
                    break
                record = cast(R, table[key])
                if all(getattr(record, name) == value for name, value in wanted.items()):
                    found.append(common.normal(record))
            return found

    def commit(
        self,
        *,
        append: Sequence[Record] = (),
        swap: Sequence[tuple[Record, Record]] = (),
        fence: Lease | None = None,
        now: int | None = None,
    ) -> None:
        """See `ports.Records.commit`."""
        common.check_commit(append, swap, fence, now)
        appended = [common.normal(record) for record in append]
        swapped = [(common.normal(old), common.normal(new)) for old, new in swap]
        with self._lock:
            if fence is not None and now is not None:
                reason = common.lost(self._leases.get(fence.name), fence, now)
                if reason is not None:
                    raise LostLease(reason)
            staged, evidence = self._stage(appended, swapped)
            for (kind, key), record in staged.items():
                self._records[kind][key] = record
            self._evidence |= evidence
            for rollout, test, unit, epoch in evidence:
                self._pending[rollout, test].discard((rollout, unit, epoch))

    def _stage(
        self, append: Sequence[Record], swap: Sequence[tuple[Record, Record]]
    ) -> tuple[dict[tuple[type[Record], Key], Record], set[Evidence]]:
        """What a commit would change, with nothing changed yet."""
        staged: dict[tuple[type[Record], Key], Record] = {}
        evidence: set[Evidence] = set()
        for record in append:
            place = (type(record), record.key)
            if place in staged or record.key in self._records[type(record)]:
                raise Conflict(f"{common.name_of(record)} is there already")
            staged[place] = record
            if isinstance(record, JournalEntry):
                if evidence_of(record) in evidence or evidence_of(record) in self._evidence:
                    raise Conflict(f"{common.evidence_name(record)} is in the journal already")
                evidence.add(evidence_of(record))
            if isinstance(record, Epoch):
                self._check_follows(record)
        for old, new in swap:
            place = (type(old), old.key)
            held = staged.get(place) or self._records[type(old)].get(old.key)
            if held != old:
                raise Conflict(common.changed(old, held))
            staged[place] = new
        return staged, evidence

    def _check_follows(self, epoch: Epoch) -> None:
        for held in self._records[Epoch].values():
            assert isinstance(held, Epoch)
            if (held.task, held.follows) == (epoch.task, epoch.follows):
                raise Conflict(common.followed(epoch))

    def lease(self, name: str, holder: str, now: int, ttl: int) -> Lease | None:
        """See `ports.Records.lease`."""
        with self._lock:
            taken = common.take_lease(self._leases.get(name), name, holder, now, ttl)
            if taken is not None:
                self._leases[name] = taken
            return taken

    def leased(self, name: str) -> Lease | None:
        """See `ports.Records.leased`."""
        with self._lock:
            return self._leases.get(name)

    # Events

    def ingest(
        self,
        inferences: Sequence[Inference],
        feedback: Sequence[Feedback],
        shadows: Sequence[Shadow] = (),
    ) -> None:
        """See `ports.Events.ingest`."""
        for record in (*inferences, *feedback, *shadows):
            common.check_finite(record)
        with self._lock:
            bars = self._bars(inferences)
            for inference in inferences:
                if self._keep(inference) and inference.rollout is not None:
                    self._index(inference, bars.get(inference.rollout, {}))
            for word in feedback:
                if self._keep(word):
                    self._hear(word)
            for shadow in shadows:
                if (shadow.id,) in self._records[Inference] and self._keep(shadow):
                    self._compare(shadow)

    def _bars(self, inferences: Iterable[Inference]) -> dict[str, dict[str, float]]:
        """The latency bars of the known rollouts that these inferences are in."""
        found = (self._records[Rollout].get((on,)) for on in {i.rollout for i in inferences} if on)
        return {
            rollout.id: common.bars_of(rollout.policy)
            for rollout in found
            if isinstance(rollout, Rollout)
        }

    def _keep(self, event: Record) -> bool:
        """Store an event; whether it was new."""
        table = self._records[type(event)]
        if event.key in table:
            return False
        table[event.key] = event
        return True

    def _index(self, inference: Inference, bars: Mapping[str, float]) -> None:
        key = common.unit_key(inference)
        rollout, unit, _ = key
        self._by_unit[rollout, unit].append(inference)
        before = self._exposures.get(key)
        self._advance(self._exposures, common.EXPOSURE_TESTS, key, inference)
        for kind in common.kinds_of(inference, bars):
            self._advance(self._firsts[kind], (kind,), key, inference)
        if before is not None:
            self._tallies[_arm(before)]["units"] -= 1
        self._tallies[_arm(self._exposures[key])]["units"] += 1
        tally = self._tallies[_arm(inference)]
        tally.update(common.tallied(inference))
        tally.update(self._verdict(inference.id))

    def _compare(self, shadow: Shadow) -> None:
        arm = (shadow.rollout, shadow.epoch, Variant.CANDIDATE.value)
        self._tallies[arm].update(common.tallied_copy(shadow))
        if shadow.alone is not None:
            kind = common.SHADOW
            self._advance(self._firsts[kind], (kind,), common.unit_key(shadow), shadow)

    def _hear(self, word: Feedback) -> None:
        """File a piece of feedback; of several on one inference the latest is what is counted."""
        inference = self._records[Inference].get((word.inference_id,))
        counted = (
            isinstance(inference, Inference)
            and inference.rollout is not None
            and word.metric == common.QUALITY
        )
        if counted:
            self._tallies[_arm(cast(Inference, inference))].subtract(
                self._verdict(word.inference_id)
            )
        self._feedback[word.inference_id, word.metric].append(word)
        if counted:
            self._tallies[_arm(cast(Inference, inference))].update(self._verdict(word.inference_id))

    def _verdict(self, inference: str) -> dict[str, int]:
        """What the latest quality feedback on an inference adds to a tally."""
        words = self._feedback.get((inference, common.QUALITY))
        if not words:
            return {}
        latest = max(words, key=lambda word: (word.at, word.id)).value
        return {"good": int(latest == GOOD), "bad": int(latest == BAD)}

    def _advance(
        self,
        firsts: dict[UnitKey, E],
        tests: Sequence[str],
        key: UnitKey,
        inference: E,
    ) -> None:
        """Keep a unit's earliest inference or copy in an epoch, and the tests that wait for it."""
        rollout, unit, epoch = key
        known = firsts.get(key)
        if known is None:
            for test in tests:
                if (rollout, test, unit, epoch) not in self._evidence:
                    self._pending[rollout, test].add(key)
        if known is None or (inference.at, inference.id) < (known.at, known.id):
            firsts[key] = inference

    def heartbeat(self, replica: Replica) -> None:
        """See `ports.Events.heartbeat`."""
        kept = common.normal(replica)
        with self._lock:
            self._records[Replica][kept.key] = kept

    def exposures(
        self, rollout: str, *, lacking: str, until: int, limit: int = 5000
    ) -> list[Exposure]:
        """See `ports.Events.exposures`."""
        common.check_test(lacking)
        with self._lock:
            waiting = self._waiting(self._exposures, rollout, lacking, until)
        return [common.exposure_of(inference) for inference in waiting[:limit]]

    def first_events(
        self, rollout: str, *, kind: str, until: int, limit: int = 5000
    ) -> list[Event]:
        """See `ports.Events.first_events`."""
        common.check_event(kind)
        with self._lock:
            waiting = self._waiting(self._firsts[kind], rollout, kind, until)
        return [common.event_of(kind, inference) for inference in waiting[:limit]]

    def failed_within(
        self, rollout: str, exposures: Sequence[Exposure], window: int
    ) -> set[tuple[str, int]]:
        """See `ports.Events.failed_within`."""
        found: set[tuple[str, int]] = set()
        with self._lock:
            for exposure in exposures:
                key = (rollout, exposure.unit, exposure.epoch)
                first = self._firsts[ERROR].get(key)
                if first is not None and exposure.at <= first.at < exposure.at + window:
                    found.add((exposure.unit, exposure.epoch))
        return found

    def _waiting(self, firsts: Mapping[UnitKey, E], rollout: str, test: str, until: int) -> list[E]:
        found = [firsts[key] for key in self._pending[rollout, test] if firsts[key].at <= until]
        return sorted(found, key=lambda i: (i.at, i.unit, i.epoch))

    def past(self, rollout: str, units: Sequence[str]) -> dict[str, list[Exposure]]:
        """See `ports.Events.past`."""
        found: dict[str, list[Exposure]] = {}
        with self._lock:
            for unit in units:
                epochs = sorted({i.epoch for i in self._by_unit.get((rollout, unit), ())})
                firsts = (self._exposures.get((rollout, unit, epoch)) for epoch in epochs)
                met = [common.exposure_of(first) for first in firsts if first is not None]
                if met:
                    found[unit] = met
        return found

    def feedback_on(
        self, rollout: str, metric: str, exposures: Sequence[Exposure], window: int
    ) -> dict[tuple[str, int], list[Said]]:
        """See `ports.Events.feedback_on`."""
        found: dict[tuple[str, int], list[Said]] = {}
        with self._lock:
            for exposure in exposures:
                until = exposure.at + window
                words = [
                    word
                    for inference in self._by_unit.get((rollout, exposure.unit), ())
                    if inference.epoch == exposure.epoch
                    for word in self._feedback.get((inference.id, metric), ())
                    if exposure.at <= word.at < until
                ]
                if words:
                    words.sort(key=lambda word: (word.at, word.id))
                    found[exposure.unit, exposure.epoch] = [common.said(word) for word in words]
        return found

    def summarise(self, rollout: str) -> list[ArmSummary]:
        """See `ports.Events.summarise`."""
        with self._lock:
            arms = sorted(arm for arm in self._tallies if arm[0] == rollout)
            return [common.summary(arm, self._tallies[arm]) for arm in arms]

    def compact(self) -> None:
        """Do nothing: what was taken away is gone."""

    def minutes(
        self, task: str, rollout: str, *, since: int, until: int, labels: bool = False
    ) -> list[ArmMinute]:
        """See `ports.Events.minutes`."""
        with self._lock:
            return in_memory.minutes(
                cast(dict[Key, Inference], self._records[Inference]),
                cast(Iterable[Feedback], self._records[Feedback].values()),
                cast(Iterable[Shadow], self._records[Shadow].values()),
                (task, rollout),
                (since, until),
                labels,
            )

    def answers(
        self, task: str, *, since: int, until: int, after: str | None = None, limit: int = 1000
    ) -> list[tuple[Inference, list[Feedback]]]:
        """See `ports.Events.answers`."""
        inferences, feedback = self._events()
        made = in_memory.window(inferences, task, since, until)
        return in_memory.answers(made, in_memory.said_before(feedback, until), after, limit)

    def count_answers(self, task: str, *, since: int, until: int) -> tuple[int, int]:
        """See `ports.Events.count_answers`."""
        inferences, feedback = self._events()
        made = in_memory.window(inferences, task, since, until)
        return len(made), len(in_memory.said_before(feedback, until).keys() & {i.id for i in made})

    def count_feedback(self, task: str, since: int) -> int:
        """See `ports.Events.count_feedback`."""
        return in_memory.count_feedback(*self._events(), task, since)

    def _events(self) -> tuple[list[Inference], list[Feedback]]:
        with self._lock:
            return (
                cast(list[Inference], list(self._records[Inference].values())),
                cast(list[Feedback], list(self._records[Feedback].values())),
            )

    def close(self) -> None:
        """Forget nothing: there is nothing to release."""
