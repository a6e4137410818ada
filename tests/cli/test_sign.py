"""`greenlight approve`, `reject` and `keys`."""

from __future__ import annotations

import pytest

from tests.cli.project import Project


def status(project: Project) -> str:
    return str(project.json("versions", "show", "intent@1")["version"]["status"])


def test_two_people_approve(evaluated: Project) -> None:
    """G1: the person and the roles come from the key."""
    first = evaluated.ok("approve", "intent@1", "-m", "good on test", by="ana")
    assert "ana (ml_lead): approve intent@1 on evaluation " in first
    assert "intent@1 is evaluated: lacks 1 × product_owner; signed: ana (ml_lead)" in first
    second = evaluated.json("approve", "intent@1", "-m", "worth trying", "--as", "ben", by="ben")
    assert second["version"]["status"] == "approved" == status(evaluated)
    assert second["quorum"]["ok"] and second["approval"]["why"] == "worth trying"


def test_a_version_goes_by_label_digest_or_its_beginning(evaluated: Project) -> None:
    digest = evaluated.json("versions", "show", "intent@1")["version"]["digest"]
    evaluated.ok("approve", digest, "-m", "yes", by="ana")
    evaluated.ok("approve", digest.removeprefix("sha256:")[:8], "-m", "yes", by="ben")
    assert status(evaluated) == "approved"


def test_rejecting_and_taking_it_back(evaluated: Project) -> None:
    assert "rejected by ben" in evaluated.ok("reject", "intent@1", "-m", "no", by="ben")
    assert status(evaluated) == "rejected"
    evaluated.ok("approve", "intent@1", "--revoke", "-m", "I was wrong", by="ben")
    assert status(evaluated) == "evaluated"


@pytest.mark.parametrize(
    ("by", "words", "says"),
    [
        (None, ["approve", "intent@1", "-m", "x"], "GREENLIGHT_PERSON_KEY is not set"),
        ("eve", ["approve", "intent@1", "-m", "x"], "eve brought intent@1 about"),
        ("ana", ["approve", "intent@1", "-m", "x", "--as", "ben"], "is ana's, not ben's"),
        ("ana", ["approve", "intent@1", "-m", " "], "a decision needs a reason"),
        ("ana", ["approve", "intent@7", "-m", "x"], "there are: intent@1"),
        ("ana", ["reject", "intent@1", "-m", "x", "--evaluation", "sha256:0"], "none of intent@1"),
        ("ana", ["approve", "intent@1", "--revoke", "-m", "x"], "no standing word"),
    ],
)
def test_refusals_say_why(evaluated: Project, by: str | None, words: list[str], says: str) -> None:
    environ = {} if by else {"GREENLIGHT_PERSON_KEY": ""}
    assert says in evaluated.refused(2, *words, by=by, **environ)
    assert status(evaluated) == "evaluated"


def test_a_strangers_key(evaluated: Project) -> None:
    stranger = evaluated.json("keys", "person", "zoe")["secret"]
    words = ["approve", "intent@1", "-m", "x"]
    message = evaluated.refused(2, *words, GREENLIGHT_PERSON_KEY=stranger)
    assert "nobody in [people] has the key ed25519:" in message
    assert stranger not in message


def test_a_key_for_a_person(project: Project) -> None:
    text = project.ok("keys", "person", "zoe", "--role", "operations", "--role", "ml_lead")
    assert '[people.zoe]\nroles = ["operations", "ml_lead"]\nkey = "ed25519:' in text
    secret = text.rpartition("GREENLIGHT_PERSON_KEY=")[2].strip()
    assert secret.startswith("glp_")
    assert text.count(secret) == 1
