"""How events leave the store in memory: `MemoryStore`'s half of `adapters.stores.purging`."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from greenlight.adapters.stores import common
from greenlight.adapters.stores.common import UnitKey
from greenlight.core import retention
from greenlight.core.records import Feedback, Inference, JournalEntry, Record, Rollout, Shadow
from greenlight.core.retention import Erasure

Key = tuple[str | int, ...]
Evidence = tuple[str, str, str, int]
"""(rollout, test, unit, epoch)."""


def evidence_of(entry: JournalEntry) -> Evidence:
    """What makes an entry unique."""
    return (entry.rollout, entry.test, entry.unit, entry.epoch)


class Forgetting:
    """Erases from what `MemoryStore` keeps."""

    _lock: threading.RLock
    _records: defaultdict[type[Record], dict[Key, Record]]
    _evidence: set[Evidence]
    _exposures: dict[UnitKey, Inference]
    _firsts: dict[str, dict[UnitKey, Inference | Shadow]]
    _pending: defaultdict[tuple[str, str], set[UnitKey]]
    _by_unit: defaultdict[tuple[str, str], list[Inference]]
    _feedback: defaultdict[tuple[str, str], list[Feedback]]

    def erasable(self, what: Erasure) -> dict[str, int]:
        """See `ports.Events.erasable`."""
        with self._lock:
            found = self._matching(what)
            going = [inference for inference in found if inference.rollout not in what.spare]
            words = len(self._words_on(going))
            strays = len(self._strays(what.strays_before))
            kept = len(found) - len(going)
        return {"inferences": len(going), "feedback": words + strays, "kept": kept}

    def erase(
        self, what: Erasure, random: Callable[[int], bytes], *, batch: int = 500
    ) -> Iterator[Mapping[str, int]]:
        """See `ports.Events.erase`."""
        with self._lock:
            found = [i for i in self._matching(what) if i.rollout not in what.spare]
        for start in range(0, len(found), batch):
            with self._lock:
                counts = self._forget(found[start : start + batch], random)
            yield counts
        with self._lock:
            places = self._ended(what)
        for start in range(0, len(places), batch):
            with self._lock:
                renamed = self._rename(places[start : start + batch], random)
            yield {"evidence_journal": renamed}
        with self._lock:
            strays = self._strays(what.strays_before)
        for start in range(0, len(strays), batch):
            with self._lock:
                gone = sum(self._drop(word) for word in strays[start : start + batch])
            yield {"feedback": gone}

    def _matching(self, what: Erasure) -> list[Inference]:
        """In order of their ids."""
        held = cast(dict[Key, Inference], self._records[Inference])
        return [
            inference
            for _, inference in sorted(held.items())
            if inference.task == what.task
            and inference.at < what.before
            and what.unit in (None, inference.unit)
        ]

    def _words_on(self, inferences: Sequence[Inference]) -> list[Feedback]:
        ids = {inference.id for inference in inferences}
        return [word for (id, _), said in self._feedback.items() if id in ids for word in said]

    def _strays(self, before: int | None) -> list[Feedback]:
        """Feedback on unknown inferences, in order of its ids."""
        held = cast(dict[Key, Feedback], self._records[Feedback])
        return [
            word
            for _, word in sorted(held.items())
            if before is not None
            and word.at < before
            and (word.inference_id,) not in self._records[Inference]
        ]

    def _forget(
        self, inferences: Sequence[Inference], random: Callable[[int], bytes]
    ) -> Counter[str]:
        """Take inferences away with all that was derived from them."""
        counts: Counter[str] = Counter(inferences=len(inferences))
        counts["feedback"] = sum(self._drop(word) for word in self._words_on(inferences))
        places = set()
        for inference in inferences:
            del self._records[Inference][inference.key]
            counts["shadows"] += self._records[Shadow].pop(inference.key, None) is not None
            if inference.rollout is not None:
                places.add((inference.rollout, inference.unit))
                self._by_unit[inference.rollout, inference.unit].remove(inference)
                self._forget_firsts(inference, counts)
        counts["evidence_journal"] = self._rename(sorted(places), random)
        return counts

    def _forget_firsts(self, inference: Inference, counts: Counter[str]) -> None:
        key = common.unit_key(inference)
        exposure = self._exposures.get(key)
        if exposure is not None and exposure.id == inference.id:
            del self._exposures[key]
            counts["exposures"] += 1
            for test in common.EXPOSURE_TESTS:
                self._settle(test, key, counts)
        for kind, firsts in self._firsts.items():
            first = firsts.get(key)
            if first is not None and first.id == inference.id:
                del firsts[key]
                counts["firsts"] += 1
                self._settle(kind, key, counts)

    def _settle(self, test: str, key: UnitKey, counts: Counter[str]) -> None:
        waiting = self._pending[key[0], test]
        counts["pending"] += key in waiting
        waiting.discard(key)

    def _drop(self, word: Feedback) -> bool:
        """Take a piece of feedback away; whether it was there."""
        if self._records[Feedback].pop(word.key, None) is None:
            return False
        self._feedback[word.inference_id, word.metric].remove(word)
        return True

    def _ended(self, what: Erasure) -> list[tuple[str, str]]:
        """Names in the journals of rollouts that ended before then, as (rollout, unit)."""
        rollouts = {
            rollout.id
            for rollout in cast(dict[Key, Rollout], self._records[Rollout]).values()
            if rollout.task == what.task
            and rollout.id not in what.spare
            and rollout.ended_at is not None
            and rollout.ended_at < what.before
        }
        return sorted(
            {
                (entry.rollout, entry.unit)
                for entry in cast(dict[Key, JournalEntry], self._records[JournalEntry]).values()
                if entry.rollout in rollouts
                and not entry.unit.startswith(retention.PREFIX)
                and what.unit in (None, entry.unit)
            }
        )

    def _rename(self, places: Sequence[tuple[str, str]], random: Callable[[int], bytes]) -> int:
        """Give journal entries a name of nobody's where no exposure of the unit is left, and
        forget who judged them."""
        exposed = {(rollout, unit) for rollout, unit, _ in self._exposures}
        names = {place: retention.nobody(random) for place in places if place not in exposed}
        table = cast(dict[Key, JournalEntry], self._records[JournalEntry])
        renamed = 0
        for key, entry in table.items():
            name = names.get((entry.rollout, entry.unit))
            if name is not None:
                self._evidence.discard(evidence_of(entry))
                table[key] = msgspec.structs.replace(entry, unit=name, source=None)
                self._evidence.add(evidence_of(table[key]))
                renamed += 1
        return renamed
