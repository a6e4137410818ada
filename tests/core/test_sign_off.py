"""Lines of a paper's table, and what they amount to (G4, G6)."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from greenlight.adapters import signing
from greenlight.core import sign_off
from greenlight.core.approval import Person
from greenlight.core.errors import BadInput
from greenlight.core.sign_off import PAPERS, Standing, Word
from tests.cli.checkout import PAGE, POLICY, TABLE

DIGEST = "sha256:" + "1" * 64
NOW = "2026-11-27T18:00:00Z"
SECRET = signing.new_secret(np.random.default_rng(1).bytes)
PEOPLE = {"ana": Person(name="ana", roles=("ml_lead",), key=signing.public_key(SECRET))}


def signed(date: str = NOW, paper: str = "acceptance", why: str = "as agreed") -> Word:
    word = Word(date=date, person="ana", role="ml_lead", digest=DIGEST, why=why, signature="")
    said = signing.sign(SECRET, sign_off.statement(paper, word))
    return msgspec.structs.replace(word, signature=said)


def standing(*words: Word, digest: str = DIGEST) -> Standing:
    return sign_off.check(
        words,
        paper=PAPERS["acceptance"],
        digest=digest,
        people=PEOPLE,
        verify=signing.verify,
        now=NOW,
    )


def test_what_counts() -> None:
    """G6: a signature is of one paper, one digest, one moment that has come."""
    assert str(standing(signed())) == "draft; signed by ana (ml_lead); lacks 1 × product_owner"
    for word, says in (
        (signed("2026-11-27T18:00:01Z"), "dated in the future"),
        (signed(paper="policy"), "does not verify"),
    ):
        found = standing(word)
        assert str(found) == "draft, unsigned" and says in found.problems[0]
    assert "it is of 111111111111" in standing(signed(), digest="sha256:2").problems[0]


def test_lines_are_read_as_they_were_written() -> None:
    text = PAGE
    words = [signed(why=why) for why in ("a | b", "c\\", "\\|", "`<!--` *[x](y)*")]
    for word in words:
        text = sign_off.with_word(text, "page", word)
    assert sign_off.read(text, "page") == words
    assert text.startswith(PAGE.rstrip("\n")) and text.count("\n") == PAGE.count("\n") + len(words)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PAGE.replace(TABLE, ""), "one table with the head"),
        (PAGE + TABLE, "there are 2"),
        (PAGE.replace("|---|---|---|---|---|---|", "|---|"), "belongs under the head"),
        (PAGE + "| 2026 | ana |\n", "has 2 cells, expected 6"),
    ],
)
def test_a_table_that_is_not_in_order_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        sign_off.read(text, "page")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("people = 3", "expected tables"),
        ("[people]\nana = 3", "people.ana"),
        ("[people.ana]\nroles = ['ml_lead']", "people.ana"),
        ("[people.ana]\nroles = []\nkey = 'k'\n[people.ben]\nroles = []\nkey = 'k'", "key of ana"),
    ],
)
def test_people_who_are_not_in_order_are_refused(table: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        sign_off.people(PAGE.replace("toml people\n", f"toml people\n{table}\n"))


def test_a_policy_is_signed_without_its_status_and_its_records() -> None:
    """G4"""
    digest = sign_off.policy_digest(POLICY)
    after = sign_off.with_word(sign_off.with_status(POLICY, standing()), "policy", signed())
    assert sign_off.policy_digest(after) == digest
    assert sign_off.policy_digest(POLICY.replace("Nothing", "Little")) != digest
    assert sign_off.policy_digest(after + "\n## In a hurry\n\nNobody signs.\n") != digest
    with pytest.raises(BadInput, match="people sign there"):
        sign_off.policy_digest(PAGE)


def test_a_status_stands_once() -> None:
    assert sign_off.status(PAGE, "page") == "draft, unsigned"
    with pytest.raises(BadInput, match="there are 2"):
        sign_off.status(PAGE + "Status: **signed**\n", "page")
