"""What every store promises of erasing (D11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.adapters.stores.common import EVENT_KINDS
from greenlight.core import retention
from greenlight.core.records import DAY, Feedback, Inference, JournalEntry, Rollout
from greenlight.core.retention import Erasure
from greenlight.core.states import RolloutStatus, Status
from greenlight.ports import Store
from tests.contracts.making import ROLLOUT, entry, feedback, inference, rollout

FOREVER = 10**15


@pytest.fixture
def random() -> Callable[[int], bytes]:
    return np.random.default_rng(1).bytes


def erased(store: Store, random: Callable[[int], bytes], **fields: Any) -> dict[str, int]:
    """Erase to the end; rows by table."""
    total: Counter[str] = Counter()
    for counts in store.erase(what(**fields), random, batch=2):
        assert counts.get("inferences", 0) <= 2
        total.update(counts)
    return {name: rows for name, rows in total.items() if rows}


def what(**fields: Any) -> Erasure:
    given: dict[str, Any] = {"task": "intent", "before": 1000} | fields
    return Erasure(**given)


def ended(id: str = ROLLOUT, **fields: Any) -> Rollout:
    """A rollout that was rolled back at 900."""
    return rollout(id, **{"status": RolloutStatus.ROLLED_BACK, "ended_at": 900} | fields)


def names(store: Store) -> list[str]:
    return [held.unit for held in store.scan(JournalEntry, {"rollout": ROLLOUT})]


def test_a_unit_goes_with_all_that_was_said_and_derived(
    store: Store, random: Callable[[int], bytes]
) -> None:
    """Others stay as they were, and so do the counts, which name nobody."""
    store.ingest(
        [
            inference("i1", at=100),
            inference("i2", at=101, status=Status.ERROR),
            inference("i3", at=102, epoch=2),
            inference("i4", at=103, rollout=None),
            inference("i5", at=104, unit="ben", status=Status.ERROR),
            inference("i6", at=105, task="other", rollout="r2"),
            inference("i7", at=1000),
        ],
        [
            feedback("f1", "i1"),
            feedback("f2", "i4", comment="call me", at=5000),
            feedback("f3", "i5"),
            feedback("f4", "i6"),
        ],
    )
    store.commit(append=[entry(1), entry(2, unit="ben"), entry(3, epoch=2)])
    before = store.summarise(ROLLOUT)
    assert store.erasable(what(unit="ana")) == {"inferences": 4, "feedback": 2, "kept": 0}
    assert erased(store, random, unit="ana") == {
        "inferences": 4,
        "feedback": 2,
        "exposures": 2,
        "firsts": 1,
        "pending": 5,
        "evidence_journal": 2,
    }
    assert [held.id for held in store.scan(Inference)] == ["i5", "i6", "i7"]
    assert [held.id for held in store.scan(Feedback)] == ["f3", "f4"]
    assert store.summarise(ROLLOUT) == before
    assert set(store.past(ROLLOUT, ["ana", "ben"])) == {"ben"}
    errors = store.first_events(ROLLOUT, kind="error", until=FOREVER)
    assert [event.unit for event in errors] == ["ben"]
    for test in ("exposure", "fast"):
        waiting = store.exposures(ROLLOUT, lacking=test, until=FOREVER)
        assert [e.unit for e in waiting] == (["ben"] if test == "fast" else [])
    assert erased(store, random, unit="ana") == {}
    assert store.erasable(what(unit="ana"))["inferences"] == 0


def test_first_events_of_every_kind_go(store: Store, random: Callable[[int], bytes]) -> None:
    """With the inference that they are, and with what waits for them; a later one stays."""
    store.commit(append=[rollout()])
    store.ingest(
        [
            inference("i1", at=100, status=Status.TIMEOUT),
            inference("i2", at=1001, epoch=2, latency_ms=30.0),
            inference("i3", at=101, unit="ben", latency_ms=50.0),
        ],
        [],
    )
    store.commit(append=[entry(1, test="latency_slo")])
    counts = erased(store, random, unit="ana")
    assert (counts["firsts"], counts["pending"]) == (4, 6)
    left = {
        kind: [
            (event.unit, event.epoch)
            for event in store.first_events(ROLLOUT, kind=kind, until=FOREVER)
        ]
        for kind in EVENT_KINDS
    }
    assert left == {
        "error": [],
        "latency_p95": [("ben", 1), ("ana", 2)],
        "latency_p99": [("ben", 1)],
        "latency_slo": [],
        "shadow": [],
    }


def test_who_judged_an_erased_unit_is_forgotten(
    store: Store, random: Callable[[int], bytes]
) -> None:
    """The entry stays for the fold; the pseudonym of the reviewer goes with the unit's name."""
    store.ingest([inference("i1"), inference("i2", unit="ben")], [])
    quality = {"test": "quality", "y": 1.0, "source": "s-1"}
    store.commit(append=[entry(1, **quality), entry(2, **quality, unit="ben", excluded="late")])
    erased(store, random, unit="ana")
    first, second = store.scan(JournalEntry)
    assert (first.source, first.y, first.seq) == (None, 1.0, 1)
    assert (second.unit, second.source, second.excluded) == ("ben", "s-1", "late")


def test_the_journal_keeps_its_entries_under_a_name_of_nobodys(
    store: Store, random: Callable[[int], bytes]
) -> None:
    """One name per unit and rollout, so that the fold is the same; another one elsewhere."""
    others = [entry(1, rollout="r2")]
    store.ingest([inference("i1"), inference("i2", unit="ben"), inference("i3", rollout="r2")], [])
    store.commit(append=[entry(1), entry(2, unit="ben"), entry(3, test="fast"), *others])
    before = store.scan(JournalEntry)
    erased(store, random, unit="ana")
    after = store.scan(JournalEntry)
    same = [msgspec.structs.replace(held, unit="") for held in before]
    assert [msgspec.structs.replace(held, unit="") for held in after] == same
    first, ben, second = names(store)
    assert first == second != "ana" and ben == "ben"
    assert first.startswith(retention.PREFIX)
    assert store.scan(JournalEntry, {"rollout": "r2"})[0].unit not in (first, "ana")
    store.ingest([inference("i4")], [])
    store.commit(append=[entry(4)])


def test_a_spared_rollout_keeps_everything(store: Store, random: Callable[[int], bytes]) -> None:
    """The evidence of a running rollout is not torn out from under it."""
    store.ingest([inference("i1"), inference("i2", rollout=None)], [feedback("f1", "i1")])
    store.commit(append=[entry(1), ended(ended_at=None)])
    spare = frozenset({ROLLOUT})
    assert store.erasable(what(spare=spare)) == {"inferences": 1, "feedback": 0, "kept": 1}
    assert erased(store, random, spare=spare) == {"inferences": 1}
    assert names(store) == ["ana"]
    assert [held.id for held in store.scan(Feedback)] == ["f1"]
    assert len(store.exposures(ROLLOUT, lacking="fast", until=FOREVER)) == 1


def test_by_age_what_came_later_stays(store: Store, random: Callable[[int], bytes]) -> None:
    """A unit that came back keeps its name until the last of its exposures is gone."""
    store.ingest(
        [
            inference("i1", at=100),
            inference("i2", at=999, unit="ben"),
            inference("i3", at=1001, epoch=2),
            inference("i4", at=1002),
        ],
        [],
    )
    store.commit(append=[entry(1), entry(2, unit="ben"), entry(3, epoch=2)])
    counts = erased(store, random)
    assert (counts["inferences"], counts["exposures"], counts["evidence_journal"]) == (2, 2, 1)
    ana, ben, again = names(store)
    assert (ana, again) == ("ana", "ana") and ben.startswith(retention.PREFIX)
    assert [(e.epoch, e.at) for e in store.past(ROLLOUT, ["ana"])["ana"]] == [(2, 1001)]
    erased(store, random, before=2000)
    first, ben_again, last = names(store)
    assert ben_again == ben and first == last and first.startswith(retention.PREFIX)


def test_names_that_only_the_journal_holds_go_with_its_rollout(
    store: Store, random: Callable[[int], bytes]
) -> None:
    """Such as those of exposures that an earlier purge took while their rollout was running."""
    store.commit(
        append=[
            *[entry(seq, unit=unit) for seq, unit in enumerate(("a", "b", "c", "a"), 1) if seq < 4],
            entry(4, unit="a", epoch=2),
            entry(1, rollout="r2"),
            entry(1, rollout="r3"),
            ended(),
            ended("r2", ended_at=1000),
            ended("r3", task="other"),
        ]
    )
    assert erased(store, random, unit="b") == {"evidence_journal": 1}
    assert erased(store, random) == {"evidence_journal": 3}
    assert len(set(names(store))) == 3 and names(store)[0] == names(store)[3]
    assert [held.unit for held in store.scan(JournalEntry) if held.rollout != ROLLOUT] == [
        "ana"
    ] * 2
    assert erased(store, random) == {}


def test_feedback_on_nothing_goes_by_age(store: Store, random: Callable[[int], bytes]) -> None:
    """A comment that came after its answer was erased must not stay for ever."""
    words = [feedback(f"f{at:05}", "gone", at=at) for at in (10, 20, 30, 40, DAY)]
    store.ingest([inference("i1", at=2000)], [*words, feedback("f0", "i1", at=10)])
    assert erased(store, random) == {}
    counted = store.erasable(what(strays_before=40))
    assert counted == {"inferences": 0, "feedback": 3, "kept": 0}
    assert erased(store, random, strays_before=40) == {"feedback": 3}
    assert [held.at for held in store.scan(Feedback)] == [10, 40, DAY]


def test_stopping_anywhere_and_starting_over_ends_the_same(
    store: Store, random: Callable[[int], bytes]
) -> None:
    """Each transaction leaves whole rows or none."""
    store.ingest(
        [inference(f"i{n}", at=n, unit=f"u{n % 3}", epoch=1 + n % 2) for n in range(9)],
        [feedback(f"f{n}", f"i{n}") for n in range(9)],
    )
    store.commit(append=[entry(n + 1, unit=f"u{n % 3}", epoch=1 + n % 2) for n in range(6)])
    while store.erasable(what())["inferences"]:
        next(iter(store.erase(what(), random, batch=2)))
        words = {held.inference_id for held in store.scan(Feedback)}
        assert words == {held.id for held in store.scan(Inference)}
        known = set(store.past(ROLLOUT, ["u0", "u1", "u2"]))
        assert {unit for unit in names(store) if not unit.startswith(retention.PREFIX)} == known
    assert len(set(names(store))) == 3
    store.compact()
