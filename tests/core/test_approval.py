"""Quorums: whose signature counts, for what, and for how long."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.approval import Person, Quorum, check, fill, statement
from greenlight.core.policy import ApprovalPolicy
from greenlight.core.records import DAY, Approval

VERSION, OTHER = "sha256:v", "sha256:w"
NOW = 100 * DAY
PEOPLE = {
    person.name: person
    for person in (
        Person(name="ana", roles=("ml_lead",), key="key-ana"),
        Person(name="ben", roles=("product_owner",), key="key-ben"),
        Person(name="cai", roles=("ml_lead", "product_owner"), key="key-cai"),
        Person(name="dia", roles=("intern",), key="key-dia"),
    )
}
POLICY = ApprovalPolicy()


def sign(key: str, data: bytes) -> str:
    """Stands in for a signature scheme: nobody can make it without the key."""
    return hashlib.sha256(key.encode() + data).hexdigest()


def verify(key: str, data: bytes, signature: str) -> bool:
    return sign(key, data) == signature


def word(
    person: str,
    decision: str = "approve",
    *,
    role: str | None = None,
    evaluation: str = "sha256:e",
    version: str = VERSION,
    at: int = NOW - DAY,
    key: str | None = None,
    id: str | None = None,
) -> Approval:
    known = PEOPLE.get(person)
    draft = Approval(
        id=id or f"{person}-{decision}-{evaluation}-{at}",
        version=version,
        evaluation=evaluation,
        role=role or (",".join(known.roles) if known else "ml_lead"),
        person=person,
        decision=decision,
        why="because",
        at=at,
        signature="",
    )
    return msgspec.structs.replace(draft, signature=sign(key or f"key-{person}", statement(draft)))


def judge(words: Sequence[Approval], **changes: object) -> Quorum:
    given = {
        "version": VERSION,
        "initiators": frozenset({"eve"}),
        "policy": POLICY,
        "people": PEOPLE,
        "verify": verify,
        "now": NOW,
        **changes,
    }
    return check(words, **given)  # type: ignore[arg-type]  # a dict of mixed types


GOOD = [word("ana"), word("ben")]


def test_a_quorum_of_two_people_is_met() -> None:
    """G1: ML lead 1 and product owner 1, distinct people, on one evaluation."""
    quorum = judge(GOOD)
    assert quorum.ok
    assert quorum.evaluation == "sha256:e"
    assert quorum.counted == (("ml_lead", "ana"), ("product_owner", "ben"))
    assert quorum.missing == ()
    assert str(quorum) == "approved by ana (ml_lead), ben (product_owner)"


@pytest.mark.parametrize(
    ("words", "changes", "lacks", "problem"),
    [
        ([], {}, "1 × ml_lead", None),
        ([word("ana")], {}, "1 × product_owner", None),
        ([word("ana"), word("ana", id="again")], {}, "1 × product_owner", None),
        ([word("cai")], {}, "1 × product_owner", None),
        ([word("ana"), word("dia")], {}, "1 × product_owner", "holds no role"),
        ([word("ana"), word("zoe")], {}, "1 × product_owner", "nobody of that name"),
        ([word("ana"), word("ben", key="key-ana")], {}, "product_owner", "does not verify"),
        ([word("ana"), word("ben", version=OTHER)], {}, "product_owner", "is about sha256:w"),
        ([word("ana"), word("ben", evaluation="sha256:f")], {}, "ml_lead", None),
        (GOOD, {"initiators": frozenset({"ben"})}, "product_owner", "the initiator"),
        ([word("ana"), word("ben", at=NOW - 30 * DAY)], {}, "product_owner", "has expired"),
        ([word("ana"), word("ben", at=NOW + 1)], {}, "product_owner", "in the future"),
        (GOOD, {"since": NOW}, "1 × ml_lead", "before the version was last taken out"),
        ([word("ana"), word("ben", role="ml_lead")], {}, "product_owner", "holds no role"),
        ([*GOOD, word("ben", "revoke", at=NOW)], {}, "1 × product_owner", None),
        ([word("ana"), word("ben", "nod")], {}, "1 × product_owner", "no decision"),
        (
            GOOD,
            {"policy": ApprovalPolicy(quorum={"ml_lead": 2, "product_owner": 1})},
            "1 × ml_lead",
            None,
        ),
        (
            GOOD,
            {"people": {"ana": PEOPLE["ana"], "ben": Person(name="ben", roles=(), key="key-ben")}},
            "1 × product_owner",
            "holds no role",
        ),
    ],
)
def test_what_does_not_count(
    words: list[Approval], changes: dict[str, object], lacks: str, problem: str | None
) -> None:
    """G1: by their own key, in a role held now, never the initiator, bound to digests, expiry."""
    quorum = judge(words, **changes)
    assert not quorum.ok
    assert lacks in str(quorum)
    if problem is None:
        assert quorum.problems == ()
    else:
        assert any(problem in line for line in quorum.problems)


def test_a_rejection_blocks_until_it_is_taken_back() -> None:
    blocked = [*GOOD, word("cai", "reject")]
    assert judge(blocked).rejected_by == ("cai",)
    assert str(judge(blocked)) == "rejected by cai"
    assert judge([*blocked, word("cai", "revoke", at=NOW)]).ok
    assert judge([*blocked, word("cai", "approve", at=NOW)]).ok


def test_a_rejection_never_expires() -> None:
    assert not judge([*GOOD, word("cai", "reject", at=NOW - 60 * DAY)]).ok


def test_a_rejection_blocks_its_own_evaluation_only() -> None:
    quorum = judge([*GOOD, word("cai", "reject", evaluation="sha256:f", at=NOW)])
    assert quorum.ok and quorum.evaluation == "sha256:e"


def test_a_rejection_by_a_stranger_blocks_nothing() -> None:
    assert judge([*GOOD, word("zoe", "reject"), word("dia", "reject")]).ok


def test_at_the_same_instant_the_word_that_withholds_wins() -> None:
    words = [*GOOD, word("ben", "revoke", id="0")]
    assert not judge(words).ok


def test_the_evaluation_last_spoken_of_is_reported() -> None:
    quorum = judge([word("ana"), word("cai", evaluation="sha256:f", at=NOW)])
    assert quorum.evaluation == "sha256:f"
    assert quorum.missing == (("product_owner", 1),)


def test_what_is_live_is_not_refused_for_expiry() -> None:
    """G1: a version live as control is never refused for expiry."""
    old = [word("ana", at=0), word("ben", at=0)]
    assert not judge(old).ok
    assert judge(old, expires=False).ok


@pytest.mark.parametrize(
    ("people", "open_places"),
    [
        ({"ana": ["ml_lead"], "cai": ["ml_lead", "product_owner"]}, {}),
        ({"cai": ["ml_lead", "product_owner"], "zed": ["ml_lead"]}, {}),
        ({"cai": ["ml_lead", "product_owner"]}, {"product_owner": 1}),
        ({}, {"ml_lead": 1, "product_owner": 1}),
    ],
)
def test_places_are_given_so_that_most_are_filled(
    people: dict[str, list[str]], open_places: dict[str, int]
) -> None:
    """G1: one person fills one place, whichever serves the quorum."""
    filled, lacking = fill(POLICY.quorum, people)
    assert lacking == open_places
    assert len({person for _, person in filled}) == len(filled)


@pytest.mark.parametrize(
    "field", ["id", "version", "evaluation", "role", "person", "decision", "why", "at"]
)
def test_the_signature_covers_every_field(field: str) -> None:
    signed = word("ana")
    changed = msgspec.structs.replace(
        signed, **{field: 7 if field == "at" else getattr(signed, field) + "x"}
    )
    assert statement(changed) != statement(signed)
    assert statement(signed).startswith(b"greenlight-approval-v1\n")


ADOPTED = word("ana", "adopt", evaluation="adoption", id="first")


def adopted(*words: Approval, **changes: object) -> Quorum:
    return judge([ADOPTED, *words], **{"adoption": "first", **changes})


def test_an_adoption_stands_by_itself() -> None:
    """G1: one person's word, for what is asked about as the first control of its task."""
    quorum = adopted()
    assert quorum.ok and quorum.evaluation == "adoption" and quorum.problems == ()
    assert str(quorum) == "adopted by ana (ml_lead)"


def test_who_brings_the_baseline_in_may_adopt_it() -> None:
    assert adopted(initiators=frozenset({"ana"})).ok


def test_an_adoption_never_expires() -> None:
    assert adopted(now=NOW + 400 * DAY).ok


@pytest.mark.parametrize(
    ("words", "changes", "says"),
    [
        ([], {"adoption": None}, "an adoption speaks only for what it made live"),
        ([], {"adoption": "another"}, "an adoption speaks only for what it made live"),
        ([], {"now": NOW - 2 * DAY}, "lacks"),
        ([], {"people": {"ben": PEOPLE["ben"]}}, "nobody of that name"),
        ([], {"people": {"ana": Person(name="ana", roles=(), key="key-ana")}}, "holds no role"),
        ([], {"version": OTHER}, "is about sha256:v"),
        ([word("ben", "reject", evaluation="adoption")], {}, "rejected by ben"),
        ([word("ben", "reject")], {}, "rejected by ben"),
        ([word("ana", "revoke", evaluation="adoption", at=NOW)], {}, "lacks"),
        ([word("ben"), word("ben", "revoke", at=NOW)], {}, "lacks"),
        (
            [
                word("ana", "revoke", evaluation="adoption", at=NOW),
                word("ana", "adopt", evaluation="adoption", at=NOW + 1, id="second"),
            ],
            {"now": NOW + 2},
            "lacks",
        ),
    ],
)
def test_what_an_adoption_does_not_outlive(
    words: list[Approval], changes: dict[str, object], says: str
) -> None:
    """G1: only as control, only the first one, only while nobody says otherwise."""
    quorum = adopted(*words, **changes)
    assert not quorum.ok
    assert says in "\n".join([str(quorum), *quorum.problems])


def test_a_rejection_of_an_adoption_can_be_taken_back() -> None:
    no = word("ben", "reject", evaluation="adoption")
    assert adopted(no, word("ben", "revoke", evaluation="adoption", at=NOW)).ok


@pytest.mark.parametrize(
    "stranger", [word("zoe", "reject"), word("dia", "reject", evaluation="adoption")]
)
def test_strangers_take_no_adoption_away(stranger: Approval) -> None:
    assert adopted(stranger).ok


def test_a_forged_adoption_counts_for_nothing() -> None:
    forged = msgspec.structs.replace(ADOPTED, person="ben", role="product_owner")
    assert not judge([forged], adoption="first").ok


@pytest.mark.parametrize(
    "mixed",
    [
        [word("ana", evaluation="adoption"), word("ben", evaluation="adoption")],
        [word("ana", "adopt", id="first"), word("ben")],
    ],
)
def test_adoptions_and_approvals_do_not_mix(mixed: list[Approval]) -> None:
    """G1: nobody approves an adoption, and nobody adopts an evaluation."""
    quorum = judge(mixed, adoption="first")
    assert not quorum.ok
    assert any("cannot be said of" in problem for problem in quorum.problems)


def test_a_quorum_goes_before_an_adoption() -> None:
    quorum = adopted(*GOOD)
    assert quorum.ok and quorum.evaluation == "sha256:e"
    assert adopted(*GOOD, word("ben", "reject", evaluation="adoption")).ok


WORDS = st.builds(
    word,
    person=st.sampled_from(["ana", "ben", "cai", "dia", "eve", "zoe"]),
    decision=st.sampled_from(["approve", "reject", "revoke", "adopt"]),
    evaluation=st.sampled_from(["sha256:e", "sha256:f", "adoption"]),
    version=st.sampled_from([VERSION, VERSION, OTHER]),
    at=st.integers(NOW - 40 * DAY, NOW + DAY),
)


@given(st.lists(WORDS, max_size=8), st.lists(WORDS, min_size=1, max_size=4))
def test_forged_words_change_nothing(words: list[Approval], forged: list[Approval]) -> None:
    """G1: nobody who can only write to the store can speak for a person."""
    fakes = [msgspec.structs.replace(fake, signature="0" * 64) for fake in forged]
    before, after = judge(words), judge([*words, *fakes])
    assert msgspec.structs.replace(after, problems=()) == msgspec.structs.replace(
        before, problems=()
    )
    assert len(after.problems) == len(before.problems) + len(fakes)


@given(st.lists(WORDS, max_size=8), st.randoms(use_true_random=False))
def test_the_order_in_which_words_arrive_does_not_matter(
    words: list[Approval], random: object
) -> None:
    mixed = list(words)
    random.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis hands out random.Random
    assert judge(mixed).ok == judge(words).ok


@given(st.lists(WORDS, max_size=8))
def test_an_approved_version_has_distinct_people_and_no_initiator(words: list[Approval]) -> None:
    quorum = judge(words)
    if quorum.ok:
        signers = [person for _, person in quorum.counted]
        assert len(set(signers)) == len(signers) == sum(POLICY.quorum.values())
        assert "eve" not in signers
        assert all(role in PEOPLE[person].roles for role, person in quorum.counted)


@given(st.lists(WORDS, max_size=8), st.sampled_from(["ana", "ben"]))
def test_a_later_rejection_takes_approval_away(words: list[Approval], person: str) -> None:
    quorum = judge(words)
    if quorum.ok and quorum.evaluation:
        late = word(person, "reject", evaluation=quorum.evaluation, at=NOW + 2 * DAY)
        after = judge([*words, late])
        assert not after.ok or after.evaluation != quorum.evaluation
