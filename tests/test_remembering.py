"""E5: predictions that need not be made again, and never a stale one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import notes
from benchmarks.cache import pattern
from greenlight.adapters.caches.memory import MemoryCache
from greenlight.core import fingerprint
from greenlight.core.chat import Tokens
from greenlight.ports import Prediction
from greenlight.remembering import NOTED, PARTS, code_digest, forget, remembered_predictions

KEY = {name: fingerprint.digest(name) for name in PARTS}
SOME = [Prediction(label="card_swallowed", score=0.9), Prediction(label="refund", score=0.25)]
OTHERS = [Prediction(label="refund", score=1.0)]

digests = st.binary(min_size=1, max_size=8).map(fingerprint.digest_bytes)
keys = st.fixed_dictionaries(dict.fromkeys(PARTS, digests))
predictions = st.builds(
    Prediction,
    label=st.text(),
    score=st.none() | st.floats(0, 1),
    oos=st.none() | st.booleans(),
    oos_score=st.none() | st.floats(0, 10),
    reason=st.none() | st.text(),
    tokens=st.none() | st.builds(Tokens, st.none() | st.integers(0, 2**53), st.integers(0, 9)),
    took=st.none() | st.floats(0, 1e6),
)


def gives(found: list[Prediction]) -> Callable[[], list[Prediction]]:
    return lambda: list(found)


def never() -> list[Prediction]:
    raise AssertionError("this was remembered, so it must not be computed")


@given(keys, st.lists(predictions, max_size=30))
def test_what_is_remembered_is_what_was_predicted(
    key: dict[str, str], found: list[Prediction]
) -> None:
    cache = MemoryCache(2**20)
    assert remembered_predictions(cache, key, gives(found)) == found
    assert remembered_predictions(cache, dict(reversed(key.items())), never) == found


@given(keys, st.sampled_from(PARTS), digests)
def test_another_part_is_another_entry(key: dict[str, str], part: str, digest: str) -> None:
    """E5: never a stale hit, whichever part has changed."""
    cache = MemoryCache(2**20)
    remembered_predictions(cache, key, gives(SOME))
    changed = {**key, part: digest}
    found = remembered_predictions(cache, changed, gives(OTHERS))
    assert found == (SOME if changed == key else OTHERS)
    assert cache.stats().hits == (changed == key)


@given(st.permutations(PARTS))
def test_parts_do_not_stand_in_for_each_other(order: list[str]) -> None:
    cache = MemoryCache(2**20)
    remembered_predictions(cache, KEY, gives(SOME))
    swapped = dict(zip(order, (KEY[name] for name in PARTS), strict=True))
    assert remembered_predictions(cache, swapped, gives(OTHERS)) == (
        SOME if swapped == KEY else OTHERS
    )


def test_what_else_predictions_depend_on_joins_the_key() -> None:
    cache = MemoryCache(2**20)
    remembered_predictions(cache, KEY, gives(SOME))
    assert remembered_predictions(cache, {**KEY, "device": "x"}, gives(OTHERS)) == OTHERS


@pytest.mark.parametrize("part", PARTS)
def test_a_key_that_could_find_what_is_stale_is_refused(part: str) -> None:
    cache = MemoryCache(2**20)
    for key in ({**KEY, part: ""}, {name: KEY[name] for name in PARTS if name != part}):
        with pytest.raises(ValueError, match=f"no digest of {part}"):
            remembered_predictions(cache, key, gives(SOME))
    assert cache.stats().entries == 0


def test_a_failure_is_not_remembered() -> None:
    cache = MemoryCache(2**20)
    with pytest.raises(AssertionError):
        remembered_predictions(cache, KEY, never)
    assert remembered_predictions(cache, KEY, gives(SOME)) == SOME


@given(st.binary(max_size=60))
def test_bytes_that_are_no_predictions_are_a_miss(garbage: bytes) -> None:
    """A cache hands out what was put there; should another program put something, it is no hit."""
    cache = MemoryCache(2**20)
    kept: list[str] = []

    class Odd(MemoryCache):
        def put(self, key: str, value: bytes) -> None:
            kept.append(key)
            super().put(key, garbage)

    odd = Odd(2**20)
    for _ in range(2):
        assert remembered_predictions(odd, KEY, gives(SOME)) == SOME
    cache.put(kept[0], b"\x94\x91\xa1a\x91\xff\x91\x00\x90")  # place -1
    assert remembered_predictions(cache, KEY, gives(SOME)) == SOME


def test_a_bundle_is_forgotten_alone() -> None:
    """O3: what is kept of a version that was rolled back goes."""
    cache = MemoryCache(2**20)
    other = {**KEY, "bundle": fingerprint.digest("other")}
    for key in (KEY, {**KEY, "rows": fingerprint.digest("new rows")}, other):
        remembered_predictions(cache, key, gives(SOME))
    assert forget(cache, KEY["bundle"]) == 2
    assert remembered_predictions(cache, other, never) == SOME
    assert remembered_predictions(cache, KEY, gives(OTHERS)) == OTHERS


def test_the_documented_reads_find_nineteen_of_twenty_remembered() -> None:
    """E5: 50 versions on one data set; `make bench-cache` measures it at full size and on Redis."""
    cache = MemoryCache(2**20)
    taken = pattern(cache, versions=50, rows=20, rng=random.Random(2025))
    stats = cache.stats()
    assert (len(taken["miss"]), stats.hits + stats.misses) == (50, 1000)
    assert stats.hit_ratio is not None and stats.hit_ratio >= 0.95


def test_it_takes_little_room() -> None:
    """The 3,080 rows of BANKING77's test set take about ten bytes each."""
    cache = MemoryCache(2**20)
    many = [Prediction(label=f"label_{n % 77}", score=n / 3080) for n in range(3080)]
    remembered_predictions(cache, KEY, gives(many))
    size = cache.stats().bytes
    assert size is not None and size < 36_000


def test_code_is_known_by_its_bytes_and_places(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    source = tmp_path / "inner" / "a.py"
    source.write_text("x = 1\n", encoding="utf-8")
    first = code_digest(tmp_path)
    (tmp_path / "inner" / "a.pyc").write_bytes(b"compiled")
    assert code_digest(tmp_path) == first
    source.write_text("x = 2\n", encoding="utf-8")
    changed = code_digest(tmp_path)
    source.rename(tmp_path / "inner" / "b.py")
    assert len({first, changed, code_digest(tmp_path)}) == 3


def test_a_killed_evaluation_finds_what_it_paid_for() -> None:
    """E5, T2: at a provider, under the documented pattern; without notes it pays for all again."""
    noted, bare = notes.measured(12, 1000)
    assert noted["twice_most"] <= NOTED
    assert bare["hit_ratio"] == 0.0 and noted["hit_ratio"] > 0.85
