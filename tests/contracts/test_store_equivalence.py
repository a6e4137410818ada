"""Whatever is done to them, both stores give the same answers."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from greenlight.adapters.stores.common import EVENT_KINDS
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.answers import Lease
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.records import Epoch, Feedback, Inference, JournalEntry, Shadow, Version
from greenlight.core.retention import Erasure
from greenlight.core.states import Status, Variant, VersionStatus
from greenlight.ports import Store
from tests.contracts.making import (
    ROLLOUT,
    entry,
    epoch,
    feedback,
    inference,
    rollout,
    shadow,
    version,
)

small = st.integers(0, 12)
names = st.sampled_from(["a", "é", "Z"])
rollouts = st.sampled_from([ROLLOUT, ROLLOUT, ROLLOUT, "r2", None])
metrics = st.sampled_from(["quality", "quality", "stars"])
tests = st.sampled_from(["exposure", "fast", "presence", "quality", *EVENT_KINDS])

inferences = st.builds(
    lambda id, **fields: inference(f"i{id:02}", **fields),
    id=small,
    at=small,
    unit=names,
    epoch=st.integers(1, 2),
    rollout=rollouts,
    variant=st.sampled_from(Variant),
    served_version=st.sampled_from(["sha256:v1", "sha256:v2"]),
    status=st.sampled_from(Status),
    bucket=st.floats(0, 1),
    oos=st.sampled_from([None, True, False]),
    latency_ms=st.floats(0, 60) | st.floats(0, 1e6),
)
copied = st.builds(
    lambda n, status: inference(
        f"s{n:02}", at=n, unit="aéZ"[n % 3], epoch=1 + n % 2, status=status
    ),
    n=small,
    status=st.sampled_from(Status),
)
"""Requests that copies are of: what they have in common follows from the number."""
shadows = st.builds(
    lambda n, **fields: shadow(f"s{n:02}", at=n, unit="aéZ"[n % 3], epoch=1 + n % 2, **fields),
    n=small,
    status=st.sampled_from(Status),
    alone=st.sampled_from([None, *Variant]),
    agreed=st.sampled_from([None, True, False]),
    latency_ms=st.floats(0, 60),
    input_tokens=st.sampled_from([None, 7]),
)
words = st.builds(
    lambda id, of, value, **fields: feedback(f"f{id:02}", f"i{of:02}", value, **fields),
    id=small,
    of=small,
    value=st.sampled_from([0.0, 1.0, 0.5]),
    at=small,
    metric=metrics,
    reviewer=st.sampled_from([None, "kim"]),
)
entries = st.builds(
    entry,
    seq=st.integers(0, 99),
    rollout=st.sampled_from([ROLLOUT, ROLLOUT, "r2"]),
    test=tests,
    unit=names,
    epoch=st.integers(1, 2),
    y=st.floats(allow_nan=False, allow_infinity=False),
    excluded=st.sampled_from([None, "late"]),
    source=st.sampled_from([None, "s-1"]),
)
documents = st.dictionaries(
    st.text(max_size=3), st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1)
)
versions = st.builds(
    version,
    digest=st.sampled_from(["v1", "v2"]),
    lineage=documents,
    status=st.sampled_from(VersionStatus),
    at=st.integers(0, 1),
)
started = st.builds(rollout, id=st.sampled_from([ROLLOUT, "r2"]))
epochs = st.builds(epoch, number=st.integers(1, 3), task=names, rollout=rollouts)
leases = st.builds(
    Lease,
    name=st.just("leader"),
    holder=st.sampled_from(["x", "y"]),
    token=st.integers(1, 3),
    expires_at=small,
)
commits = st.fixed_dictionaries(
    {
        "append": st.lists(
            st.one_of(entries, entries, entries, versions, epochs, started), max_size=3
        ),
        "fence": st.one_of(st.none(), st.none(), leases),
        "now": small,
        "changes": st.lists(
            st.tuples(st.integers(0, 1), st.sampled_from(VersionStatus), st.booleans()), max_size=2
        ),
    }
)
erasures = st.builds(
    Erasure,
    task=st.just("intent"),
    before=small,
    unit=st.one_of(st.none(), names),
    spare=st.sampled_from([frozenset(), frozenset({ROLLOUT})]),
    strays_before=st.one_of(st.none(), small),
)
steps = st.one_of(
    st.tuples(
        st.just("ingest"),
        st.lists(inferences | copied, max_size=6),
        st.lists(words, max_size=6),
        st.lists(shadows, max_size=6),
    ),
    st.tuples(st.just("commit"), commits),
    st.tuples(st.just("lease"), st.sampled_from(["x", "y"]), small, small),
    st.tuples(st.just("erase"), erasures),
)


def swaps(store: Store, changes: list[tuple[int, VersionStatus, bool]]) -> list[tuple[Any, Any]]:
    """Changes of stored versions, some of them from a state that is not there."""
    held = store.scan(Version)
    chosen = [(held[n], status, stale) for n, status, stale in changes if n < len(held)]
    replace = msgspec.structs.replace
    return [
        (replace(old, at=99) if stale else old, replace(old, status=status))
        for old, status, stale in chosen
    ]


def do(store: Store, step: tuple[Any, ...]) -> object:
    """One operation; its answer, or the error that it met."""
    kind, *arguments = step
    try:
        if kind == "lease":
            holder, now, ttl = arguments
            return store.lease("leader", holder, now, ttl)
        if kind == "ingest":
            return store.ingest(*arguments)
        if kind == "erase":
            (what,) = arguments
            names = (bytes([n] * 16) for n in range(256))
            total: Counter[str] = Counter()
            for counts in store.erase(what, lambda _: next(names), batch=2):
                total.update(counts)
            return store.erasable(what), +total
        given = dict(arguments[0])
        return store.commit(swap=swaps(store, given.pop("changes")), **given)
    except (Conflict, LostLease) as error:
        return type(error).__name__, str(error)


def answers(store: Store) -> Iterator[object]:
    """Every question, in a few ways."""
    for kind in (Inference, Feedback, Shadow, JournalEntry, Version, Epoch):
        yield store.scan(kind)
        yield store.scan(kind, newest_first=True, limit=2)
    yield store.scan(Inference, {"rollout": None, "oos": True})
    yield store.scan(Epoch, {"rollout": ROLLOUT}, after=("a", 2))
    for on in (ROLLOUT, "r2"):
        yield store.summarise(on)
        yield store.minutes("intent", on, since=0, until=9, labels=True)
        yield store.past(on, ["a", "é", "Z", "nobody"])
        for until in (5, 99):
            for kind in EVENT_KINDS:
                yield store.first_events(on, kind=kind, until=until, limit=2)
            for test in ("exposure", "fast", "presence"):
                found = store.exposures(on, lacking=test, until=until, limit=4)
                yield found
                yield store.feedback_on(on, "quality", found, 3)
                yield store.failed_within(on, found, 3)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to be copied instead of made anew."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    SqlStore(f"sqlite:///{path}").close()
    return path


@settings(
    max_examples=120,
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes of disk work
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(script=st.lists(steps, min_size=5, max_size=15))
def test_both_stores_answer_alike(template: Path, script: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(template, folder)
        with (
            contextlib.closing(MemoryStore()) as memory,
            contextlib.closing(SqlStore(f"sqlite:///{path}")) as sql,
        ):
            for step in script:
                assert do(memory, step) == do(sql, step)
            for expected, found in zip(answers(memory), answers(sql), strict=True):
                assert expected == found
