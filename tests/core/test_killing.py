"""The kill switch (O4): whose word counts, which word is the last, and what a routing may do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from greenlight.adapters import signing
from greenlight.core import killing
from greenlight.core.approval import Person
from greenlight.core.errors import BadInput, Refused
from greenlight.core.killing import SLACK, Judge, KillEntry, merge
from greenlight.core.records import SECOND, Epoch
from greenlight.core.routing import NEVER, Standing, barred, lasting, newer

SECRETS = {
    name: signing.new_secret(lambda count, byte=byte: bytes([byte]) * count)
    for byte, name in enumerate(("ana", "ben", "kim"))
}
ROLES = {"ana": ("ml_lead",), "ben": ("product_owner",), "kim": ("operations",)}
PEOPLE = {
    name: Person(name=name, roles=ROLES[name], key=signing.public_key(secret))
    for name, secret in SECRETS.items()
}
JUDGE = Judge(
    project="acme",
    people=PEOPLE,
    quorums={"intent": ("ml_lead", "product_owner")},
    verify=signing.verify,
)


def word(
    by: str = "kim",
    known: KillEntry | None = None,
    *,
    lift: bool = False,
    least: int = 0,
    task: str = "intent",
    now: int = 5 * SECOND,
    project: str = "acme",
    signer: str | None = None,
) -> KillEntry:
    made = killing.draft(
        task, lift=lift, known=known, least=least, person=PEOPLE[by], why="flooded", now=now
    )
    secret = SECRETS[signer or by]
    return msgspec.structs.replace(
        made, signature=signing.sign(secret, killing.statement(made, project))
    )


def told(offered: dict[str, KillEntry], known: dict[str, KillEntry] | None = None) -> list[str]:
    """What is said of entries that are not taken; they change nothing."""
    before = known or {}
    merged, refused = merge(before, offered, JUDGE)
    assert merged == before
    return refused


def test_anybody_kills_and_a_role_of_the_quorum_lifts() -> None:
    killed = word("kim")
    assert (killed.generation, killed.since, killed.at) == (1, 5 * SECOND, 5 * SECOND)
    known, refused = merge({}, {"intent": killed}, JUDGE)
    assert (known, refused) == ({"intent": killed}, [])
    assert known["intent"].standing == Standing(generation=1, killed=True)
    lifted = word("ana", killed, lift=True, now=9 * SECOND)
    assert (lifted.generation, lifted.since, lifted.at) == (2, 5 * SECOND, 9 * SECOND)
    known, refused = merge(known, {"intent": lifted}, JUDGE)
    assert (known["intent"].standing, refused) == (Standing(generation=2), [])
    [why] = told({"intent": word("kim", killed, lift=True)}, {"intent": killed})
    assert "kim has no role of intent's quorum, which lifting takes: one of ml_lead" in why


def test_a_word_needs_a_reason_and_a_lift_something_to_lift() -> None:
    with pytest.raises(BadInput, match="say why"):
        killing.draft(
            "intent", lift=False, known=None, least=0, person=PEOPLE["ana"], why=" ", now=0
        )
    for known in (None, word("ana", word("kim"), lift=True)):
        with pytest.raises(Refused, match="intent is not killed"):
            word("ana", known, lift=True)


def test_generations_grow_by_what_is_known_of_them() -> None:
    first = word()
    assert word(known=first).generation == 2
    assert word(known=first, least=7).generation == 8
    assert word(known=first, now=9 * SECOND).since == first.since, "it has been killed all along"
    lifted = word("ana", first, lift=True, now=9 * SECOND)
    assert word(known=lifted, now=12 * SECOND).since == 12 * SECOND


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (word(signer="ana"), "the signature is not kim's, or the entry was changed"),
        (word(project="another"), "the signature is not kim's"),
        (msgspec.structs.replace(word(), generation=9), "the signature is not kim's"),
        (msgspec.structs.replace(word(), by="eve"), "nobody in [people] is called 'eve'"),
        (word(task="tone"), "it is about 'tone'"),
        (msgspec.structs.replace(word(), signature="bm8="), "the signature is not kim's"),
    ],
)
def test_a_forged_word_is_none(entry: KillEntry, says: str) -> None:
    """Whoever can write to the file cannot speak for a person, nor replay another project's."""
    [why] = told({"intent": entry})
    assert says in why


def test_the_greatest_generation_ever_seen_stands() -> None:
    """An older file that comes back, or one without the entry, takes nothing back."""
    first = word()
    second = word("ana", first, lift=True)
    third = word(known=second)
    known = {"intent": third}
    for older in (first, second):
        [why] = told({"intent": older}, known)
        assert "older than what is known (killed, generation 3)" in why
    [why] = told({}, known)
    assert "its entry is gone" in why and "stands all the same" in why
    assert told({"intent": third}, known) == []


def test_of_two_words_of_one_generation_the_kill_stands() -> None:
    first = word()
    killed, lifted = word("ana", first), word("ben", first, lift=True)
    for one, other in ((killed, lifted), (lifted, killed)):
        merged, _ = merge({"intent": one}, {"intent": other}, JUDGE)
        assert merged["intent"] == killed


def test_who_was_heard_stays_heard() -> None:
    """Who leaves [people] takes no kill along."""
    known = {"intent": word("kim")}
    gone = msgspec.structs.replace(JUDGE, people={"ana": PEOPLE["ana"]})
    assert merge(known, known, gone) == (known, [])


@pytest.mark.parametrize(
    ("kill", "standing", "is_barred"),
    [
        (0, NEVER, False),
        (0, Standing(generation=1, killed=True), True),
        (1, Standing(generation=1, killed=True), True),
        (2, Standing(generation=1, killed=True), True),
        (1, Standing(generation=2), True),
        (2, Standing(generation=2), False),
        (3, Standing(generation=2), False),
    ],
)
def test_what_a_routing_may_do_under_the_kill_switch(
    kill: int, standing: Standing, is_barred: bool
) -> None:
    assert barred(kill, standing) is is_barred


def test_generations_go_before_numbers() -> None:
    assert newer((1, 3), (0, 99)) and not newer((0, 99), (1, 3))
    assert newer((1, 4), (1, 3)) and not newer((1, 3), (1, 3))


def test_what_may_start() -> None:
    killed = word()
    lifted = word("ana", killed, lift=True)
    killing.check_may_start("intent", None, epoch(1, "a"))
    with pytest.raises(
        Refused, match=r"killed by kim .* flooded; .* greenlight kill intent --lift"
    ):
        killing.check_may_start("intent", killed, None)
    with pytest.raises(Refused, match="never comes back"):
        killing.check_may_start("intent", lifted, epoch(1, "a", kill=1))
    killing.check_may_start("intent", lifted, epoch(2, "a", kill=2))
    killing.check_may_start("intent", lifted, None)


def test_a_promotion_is_overtaken_where_the_kill_came_first() -> None:
    """The clock of who kills may be ahead by `SLACK`."""
    killed = word(now=100 * SECOND)
    at = 100 * SECOND - SLACK
    assert killing.overtaken(epoch(3, "b", at=100 * SECOND), killed)
    assert killing.overtaken(epoch(3, "b", at=at), killed)
    assert not killing.overtaken(epoch(3, "b", at=at - 1), killed)
    assert not killing.overtaken(epoch(3, "b", at=100 * SECOND, kill=1), killed)
    lifted = word("ana", killed, lift=True, now=900 * SECOND)
    assert killing.overtaken(epoch(3, "b", at=100 * SECOND), lifted), "since the kill it lifts"


def test_epochs_that_were_undone_are_not_lasting() -> None:
    """G1: an adopted version that is live again after an undone promotion has never been away."""
    split = epoch(2, "a", "b")
    line = [epoch(1, "a"), split, epoch(3, "b"), epoch(4, "b"), epoch(7, "a", kill=1)]
    assert [one.number for one in lasting(line)] == [1, 2, 7]
    assert len(lasting([*line[:4], epoch(7, "a")])) == 5, "nothing but the kill switch undoes"
    again = [*line, epoch(8, "a", "b", kill=1), epoch(9, "b", kill=1)]
    assert [one.control for one in lasting(again)] == ["a", "a", "a", "a", "b"]


def epoch(number: int, control: str, candidate: str | None = None, **more: Any) -> Epoch:
    given = {"at": 0, **more}
    return Epoch(
        task="intent",
        number=number,
        rollout="r" if candidate else None,
        control=control,
        candidate=candidate,
        weight=0.1 if candidate else 0.0,
        salt="",
        decision="d",
        follows=number - 1,
        **given,
    )
