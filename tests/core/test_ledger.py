"""The hash chain: whatever is changed, taken out, put in or moved shows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.adapters import signing
from greenlight.core.ledger import GENESIS, SignedHead, Walk, chain, fault, problems, statement
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


SECRET = signing.new_secret(lambda count: b"a" * count, signing.LEDGER_PREFIX)
STRANGER = signing.new_secret(lambda count: b"e" * count, signing.LEDGER_PREFIX)
KEY = signing.public_key(SECRET)


def head(made: list[LedgerEntry], secret: str = SECRET) -> SignedHead:
    """The signed head of a ledger."""
    seq, digest = (made[-1].seq, made[-1].digest) if made else (0, GENESIS)
    draft = SignedHead(seq=seq, digest=digest, at=5, key=signing.public_key(secret), signature="")
    return msgspec.structs.replace(draft, signature=signing.sign(secret, statement(draft)))


def walked(made: list[LedgerEntry], heads: list[SignedHead]) -> tuple[list[str], Walk]:
    """What a walk finds."""
    walk = Walk(heads)
    found = [line for entry in made for line in walk.step(entry)]
    return [*found, *walk.end()], walk


def rechained(bodies: list[tuple[str, dict[str, object]]]) -> list[LedgerEntry]:
    """A ledger with a chain that fits."""
    return chain(None, bodies, at=0)


class TestHeads:
    """G5: the head is signed; a cut tail and a full rewrite are found by it."""

    def test_a_ledger_agrees_with_every_head_that_it_has_had(self) -> None:
        made = entries()
        heads = [head(made[:count]) for count in (3, 6, 0, 1, 3)]
        found, walk = walked(made, heads)
        assert found == []
        assert (walk.entries, walk.heads, walk.agreed, walk.last) == (6, 4, 6, made[-1])

    def test_an_empty_ledger_has_a_head(self) -> None:
        found, walk = walked([], [head([])])
        assert found == [] and walk.agreed == 0 and walk.last is None

    def test_a_cut_tail(self) -> None:
        made = entries()
        for left in range(6):
            found, walk = walked(made[:left], [head(made), head(made[:left])])
            assert len(found) == 1
            assert f"ends with entry {left}, but the head of entry 6 was signed" in found[0]
            assert walk.agreed == left

    @pytest.mark.parametrize("place", range(6))
    def test_a_rewrite_from_any_entry_on(self, place: int) -> None:
        """A changed, an inserted and a removed entry, each with a chain that fits."""
        bodies = [(entry.kind, entry.body) for entry in rechained([*BODIES, *BODIES])]
        kept = [head(rechained(bodies[:count])) for count in range(1, 7)]
        forged = ("approval", {"who": "eve"})
        for change in (
            [*bodies[:place], forged, *bodies[place + 1 :]],
            [*bodies[:place], forged, *bodies[place:]],
            [*bodies[:place], *bodies[place + 1 :], forged],
        ):
            made = rechained(change)
            assert problems(made) == []
            found, walk = walked(made, kept)
            assert any("the ledger was rewritten" in line for line in found)
            assert any(f"entry {place + 1} is not the one" in line for line in found)
            assert walk.agreed == place

    def test_rewritten_and_cut(self) -> None:
        made = entries()
        found, _ = walked(rechained([("note", {})]), [head(made[:count]) for count in range(1, 7)])
        assert "rewritten (1 head does not agree" in found[0]
        assert "cut off (5 heads do not find" in found[1]

    def test_a_missing_entry_is_no_stumbling_block(self) -> None:
        """The chain says what is missing; heads of later entries still agree."""
        made = entries()
        found, walk = walked([*made[:2], *made[3:]], [head(made[:3]), head(made)])
        assert walk.agreed == 6
        assert "entries are missing" in found[0] and "entry 3 is not the one" in found[-1]

    def test_only_trusted_keys_sign(self) -> None:
        made = entries()
        assert fault(head(made), {KEY}, signing.verify) is None
        assert fault(head(made), {KEY, "ed25519:older"}, signing.verify) is None
        said = fault(head(made, STRANGER), {KEY}, signing.verify)
        assert said is not None and f"which is not {KEY}" in said

    @pytest.mark.parametrize(
        "change",
        [{"seq": 5}, {"digest": GENESIS}, {"at": 6}, {"signature": ""}, {"signature": "AAAA"}],
        ids=str,
    )
    def test_a_changed_head_is_forged(self, change: dict[str, object]) -> None:
        forged = msgspec.structs.replace(head(entries()), **change)
        said = fault(forged, {KEY}, signing.verify)
        assert said is not None and "does not verify" in said

    def test_a_signature_for_anything_else_is_no_head(self) -> None:
        """Its own domain: whoever gets the key to sign something has not signed a head."""
        draft = head(entries())
        bare = statement(draft).partition(b"\n")[2]
        other = msgspec.structs.replace(draft, signature=signing.sign(SECRET, bare))
        assert fault(other, {KEY}, signing.verify) is not None

    @pytest.mark.parametrize("change", [{"seq": -1}, {"digest": "sha256:x"}, {"seq": 2**60}])
    def test_what_could_not_be_a_head_is_not_read(self, change: dict[str, object]) -> None:
        raw = msgspec.structs.asdict(head(entries())) | change
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(raw, SignedHead)
