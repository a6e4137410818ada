"""The hash chain: whatever is changed, taken out, put in or moved shows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.ledger import GENESIS, chain, problems
from greenlight.core.records import LedgerEntry

BODIES = [("approval", {"who": "ana"}), ("decision", {"action": "widen", "p": 0.1}), ("note", {})]


def entries(count: int = 6) -> list[LedgerEntry]:
    made: list[LedgerEntry] = []
    while len(made) < count:
        made += chain(made[-1] if made else None, BODIES[: count - len(made)], at=len(made))
    return made


def test_a_chain_starts_at_genesis_and_is_intact() -> None:
    """G5: append-only, hash-chained, verifiable offline."""
    made = entries()
    assert [entry.seq for entry in made] == [1, 2, 3, 4, 5, 6]
    assert made[0].prev == GENESIS
    assert [entry.prev for entry in made[1:]] == [entry.digest for entry in made[:-1]]
    assert problems(made) == []
    assert problems([]) == []


def test_pages_are_checked_one_after_the_other() -> None:
    made = entries()
    assert problems(made[:3]) == [] == problems(made[3:], after=made[2])
    assert problems(made[3:]) != []
    assert problems(made[4:], after=made[2]) != []


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize(
    "change",
    [
        {"body": {"who": "eve"}},
        {"kind": "other"},
        {"at": 99},
        {"prev": GENESIS[:-1] + "1"},
        {"digest": GENESIS[:-1] + "1"},
        {"seq": 40},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_field_is_found(place: int, change: dict[str, object]) -> None:
    """G5: a changed entry shows, and the fault names it."""
    made = entries()
    made[place] = msgspec.structs.replace(made[place], **change)
    found = problems(made)
    assert found
    assert any(str(made[place].seq) in line for line in found)


@pytest.mark.parametrize("place", range(5))
def test_a_removed_entry_is_found(place: int) -> None:
    """G5: an entry that was taken out shows (but for a cut tail, which takes the signed head)."""
    made = entries()
    del made[place]
    assert problems(made)


def test_a_cut_tail_is_not_found_by_the_chain_alone() -> None:
    """G5: that is what the head, kept elsewhere, is for."""
    assert problems(entries()[:4]) == []


@pytest.mark.parametrize("place", range(6))
def test_an_inserted_entry_is_found(place: int) -> None:
    """G5: an entry put in between shows, even with a digest that fits its own content."""
    made = entries()
    before = made[place - 1] if place else None
    forged = chain(before, [("approval", {"who": "eve"})], at=3)[0]
    assert problems([*made[:place], forged, *made[place:]])


def test_entries_out_of_order_are_found() -> None:
    made = entries()
    made[1], made[2] = made[2], made[1]
    assert len(problems(made)) >= 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 2**53),
)
def test_every_chain_is_intact_and_survives_storage(
    bodies: list[tuple[str, dict[str, object]]], at: int
) -> None:
    bounded = [
        (kind, {k: v for k, v in body.items() if isinstance(v, str) or abs(v) < 2**63})
        for kind, body in bodies
    ]
    stored = msgspec.json.encode(chain(None, bounded, at))
    assert problems(msgspec.json.decode(stored, type=list[LedgerEntry])) == []
