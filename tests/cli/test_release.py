"""`greenlight release`: change control, and what stands between a checkout and a release (G6)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.checkout import Checkout

CHANGES = {
    "a target": ("ACCEPTANCE.md", "required = 0.9", "required = 0.8"),
    "a deliverable": ("ACCEPTANCE.md", '"README.md", ', ""),
    "the protocol": ("src/eval/rules.py", "0.5", "0.4"),
}
EVALUATION = "artifacts/eval/eval.json"
UNSIGNED = {"sign-off of ACCEPTANCE.md": "unsigned"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def checkout(made: Checkout) -> Checkout:
    """The same checkout for every test, as it was committed."""
    made.git("reset", "-q", "--hard")
    made.git("clean", "-qfd")
    return made


@pytest.fixture
def signed(checkout: Checkout) -> Checkout:
    """Everything is there, met and signed."""
    checkout.everything_signed()
    return checkout


def test_a_draft_is_no_release(checkout: Checkout) -> None:
    """G6: draft, unsigned, until people have signed; nobody signs for them."""
    found = checkout.check()
    assert found["state"] == "draft, unsigned"
    assert checkout.open_rows() == {
        "sign-off of governance/policy.md": "unsigned",
        "digest of targets and protocol": "changed",
        **UNSIGNED,
    }
    said = checkout.release("check").stdout
    assert "release check: draft, unsigned; deliverables 1 of 1; 3 of 9 stand in the way" in said
    assert re.search(r"accuracy +0\.9500 +≥ 0\.9 +met", said)


def test_two_people_make_a_release(checkout: Checkout) -> None:
    """G6, G4: one ML lead and one product owner; for the policy three others; each by their key."""
    assert "section 7" in checkout.refused("ana", "-m", "why")
    checkout.release("renew")
    assert "draft; signed by ana (ml_lead); lacks 1 × product_owner" in checkout.sign("ana")
    assert "Status: **draft; signed by ana (ml_lead)" in checkout.read("ACCEPTANCE.md")
    assert checkout.open_rows()["sign-off of ACCEPTANCE.md"] == "unsigned"
    assert "signed by ana (ml_lead), ben (product_owner)" in checkout.sign("ben")
    for name in ("ana", "ida", "kim"):
        checkout.sign(name, "policy")
    found = checkout.check()
    assert found["ok"] and found["problems"] == []
    assert "may be released" in checkout.release("check").stdout
    log = checkout.read("governance/sign_off_log.md")
    assert log.count("| signed ACCEPTANCE.md | as agreed (") == 2
    assert log.count("| signed governance/policy.md |") == 3 and log.endswith("\nThat is all.\n")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_takes_new_signatures_of_both(signed: Checkout, change: str) -> None:
    """G6: a bar or a rule that was moved, until both have signed the new digest."""
    assert signed.check()["ok"]
    signed.edit(*CHANGES[change])
    found = signed.check()
    assert not found["ok"] and found["state"] == "draft, unsigned"
    assert signed.open_rows()["digest of targets and protocol"] == "changed"
    assert len(found["problems"]) == 2 and "does not count: it is of" in found["problems"][0]
    assert "targets or protocol have changed" in signed.refused("ana", "-m", "why")
    signed.release("renew")
    assert "Status: **draft, unsigned**" in signed.read("ACCEPTANCE.md")
    anew = {"protocol of the evaluation": "changed"} if change == "the protocol" else {}
    assert signed.open_rows() == {**UNSIGNED, **anew}
    signed.sign("ben")
    assert signed.open_rows() == {**UNSIGNED, **anew}
    signed.sign("ana")
    assert signed.open_rows() == anew


def test_a_digest_written_by_hand_brings_no_signature_back(signed: Checkout) -> None:
    """G6: who moves a bar and the digest and the status with it still lacks the signatures."""
    old = signed.check()["digest"]
    signed.edit("ACCEPTANCE.md", "required = 0.9", "required = 0.8")
    new = signed.check()["digest"]
    signed.edit("ACCEPTANCE.md", old, new)
    found = signed.check()
    assert "the signature does not verify" in found["problems"][0]
    assert signed.open_rows() == {
        **UNSIGNED,
        "status that ACCEPTANCE.md gives itself": "changed",
    }


def test_nobody_counts_twice(checkout: Checkout) -> None:
    """G6: distinct people, each once, whatever their roles."""
    checkout.release("renew")
    assert "lacks 1 × product_owner" in checkout.sign("cai")
    said = checkout.refused("cai", "-m", "once more")
    assert "cai has signed ACCEPTANCE.md already, and a person counts once" in said
    row = re.findall(r"^\| 20.*\|\n", checkout.read("ACCEPTANCE.md"), re.MULTILINE)[0]
    checkout.edit("ACCEPTANCE.md", row, row + row)
    assert checkout.check()["state"] == "draft; signed by cai (ml_lead); lacks 1 × product_owner"
    key = re.search(r'people\.cai\]\n.*\nkey = "(.*)"', checkout.read("ACCEPTANCE.md"))
    assert key is not None
    twin = f'[people.cain]\nroles = ["product_owner"]\nkey = "{key[1]}"\n```\n\n| date'
    checkout.edit("ACCEPTANCE.md", "```\n\n| date", twin)
    assert "this is also the key of cai" in checkout.release("check").stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("| ml_lead |", "| ml_lead,product_owner |", "the signature does not verify"),
        ("| as agreed |", "| as never agreed |", "the signature does not verify"),
        ("| ana |", "| ben |", "the signature does not verify"),
        ("| ana |", "| zoe |", "nobody of that name may sign"),
        ("| 20", "| 30", "the signature does not verify"),
        ('roles = ["ml_lead"]', 'roles = ["intern"]', "holds no role that signs"),
    ],
)
def test_a_line_that_was_changed_does_not_count(
    checkout: Checkout, old: str, new: str, says: str
) -> None:
    """G6"""
    checkout.release("renew")
    checkout.sign("ana")
    checkout.edit("ACCEPTANCE.md", old, new)
    found = checkout.check()
    assert found["state"] == "draft, unsigned"
    assert says in found["problems"][0]


def test_a_signature_of_one_paper_is_none_of_another(checkout: Checkout) -> None:
    checkout.release("renew")
    checkout.sign("ana", "policy")
    checkout.edit("governance/policy.md", "Nothing ships", "Everything ships")
    found = checkout.check()
    assert "governance/policy.md: ana" in found["problems"][0]
    line = re.findall(r"^\| 20.*\|\n", checkout.read("governance/policy.md"), re.MULTILINE)[0]
    digest = found["digest"]
    moved = re.sub(r"`sha256:[0-9a-f]+`", f"`{digest}`", line)
    checkout.write("ACCEPTANCE.md", checkout.read("ACCEPTANCE.md") + moved)
    assert checkout.check()["state"] == "draft, unsigned"


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("eve", ("-m", "why"), "eve (intern) does not sign ACCEPTANCE.md"),
        ("ben", ("policy", "-m", "why"), "ben (product_owner) does not sign governance/policy.md"),
        ("ana", ("-m", " "), "a signature needs a reason"),
        (None, ("-m", "why"), "GREENLIGHT_PERSON_KEY is not set"),
        ("zoe", ("-m", "why"), "nobody in [people] has the key"),
    ],
)
def test_who_may_not_sign(
    checkout: Checkout, name: str | None, words: tuple[str, ...], says: str
) -> None:
    """G6: nobody signs for a person."""
    checkout.release("renew")
    checkout.secrets.setdefault("zoe", "glp_" + "A" * 43)
    assert says in checkout.refused(name, *words)


def test_a_log_that_is_not_in_order_is_told_before_anything_is_written(checkout: Checkout) -> None:
    checkout.release("renew")
    checkout.edit("governance/sign_off_log.md", "| date |", "| when |")
    assert "no table with the head" in checkout.refused("ana", "-m", "why")


def test_a_reason_is_kept_as_it_was_said(checkout: Checkout) -> None:
    """A cell holds no cell of its own, and what is signed is what was said."""
    checkout.release("renew")
    why = r"a | b `c` \ <!-- \| [d](e)" + "\nand more"
    done = checkout.release("sign", "-m", why, "--json", by="ana")
    assert json.loads(done.stdout)["word"]["why"] == r"a | b `c` \ <!-- \| [d](e) and more"
    assert checkout.check()["state"] == "draft; signed by ana (ml_lead); lacks 1 × product_owner"


@pytest.mark.parametrize("name", ["README.md", "docs/a.md", "governance/policy.md"])
def test_a_missing_deliverable(signed: Checkout, name: str) -> None:
    """G6"""
    (signed.folder / name).unlink()
    open_rows = signed.open_rows()
    assert list(open_rows.values()) == ["absent"]
    if name == "README.md":
        assert "§5  read first (X1): lacks README.md\n" in signed.release("check").stdout


def test_what_is_not_committed_is_not_delivered(signed: Checkout) -> None:
    signed.git("mv", "README.md", "READ.md")
    signed.git("rm", "-q", "--cached", "artifacts/eval/eval.json")
    signed.write("README.md", "another")
    assert signed.open_rows() == {"read first": "absent", "artifacts/eval/eval.json": "absent"}


def test_commands_and_targets_of_make_are_looked_for(signed: Checkout) -> None:
    signed.edit(
        "ACCEPTANCE.md", '["release check"]\nmake = ["eval"]', '["release fly"]\nmake = ["NAME"]'
    )
    [row] = [row for row in signed.check()["rows"] if row["section"] == 5]
    assert row["found"] == "lacks greenlight release fly, make NAME"


def test_without_an_evaluation_every_target_is_absent(signed: Checkout) -> None:
    """G6, E2"""
    (signed.folder / "artifacts/eval/eval.json").unlink()
    assert signed.open_rows() == {"artifacts/eval/eval.json": "absent", "accuracy": "absent"}


@pytest.mark.parametrize("what", ["a better number", "no document"])
def test_a_tampered_evaluation_is_not_believed(signed: Checkout, what: str) -> None:
    """E2, G6: sealed means immutable."""
    if what == "no document":
        signed.write("artifacts/eval/eval.json", "{")
    else:
        signed.edit("artifacts/eval/eval.json", "0.95", "0.99")
    assert signed.open_rows() == {"artifacts/eval/eval.json": "changed", "accuracy": "absent"}


def test_a_missed_target(signed: Checkout) -> None:
    """G6: an overfit model is a warning and no more (T7)."""
    signed.measure(0.89)
    assert signed.open_rows() == {"accuracy": "missed"}
    gap: dict[str, Any] = {
        "intent": {"test": {"accuracy": {"value": 0.95}}, "train_val_gap": {"value": 0.2}}
    }
    signed.measure(**gap)
    found = signed.check()
    assert found["ok"] and "warned" in {row["verdict"] for row in found["rows"]}


def test_by_which_rules_and_at_which_commit_it_was_measured(signed: Checkout) -> None:
    """E2: the commit named is a clean one of this history, and the protocol is this one."""
    signed.measure(protocol={"module": "eval.rules", "digest": "sha256:0"})
    assert signed.open_rows() == {"protocol of the evaluation": "changed"}
    signed.measure(protocol={})
    assert signed.open_rows() == {"protocol of the evaluation": "changed"}
    for commit in ("unknown", "0" * 40):
        signed.measure(environment={"code_commit": commit, "code": ""})
        assert signed.open_rows() == {"commit evaluated": "absent"}
    evaluated, left = signed.evaluated, signed.commit()
    signed.git("reset", "-q", "--hard", "HEAD~1")
    signed.everything_signed()
    try:
        signed.evaluated = left
        signed.measure()
    finally:
        signed.evaluated = evaluated
    [row] = [row for row in signed.check()["rows"] if row["what"] == "commit evaluated"]
    assert row["verdict"] == "absent" and row["found"].endswith(", not in this history")
    signed.write("src/greenlight/model.py", "x = 2\n")
    signed.measure()
    [row] = [row for row in signed.check()["rows"] if row["what"] == "commit evaluated"]
    assert row["verdict"] == "absent" and row["found"].endswith(", with changes")
    signed.measure(environment={"code": "sha256:0"})
    assert signed.open_rows() == {"commit evaluated": "absent"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("src/greenlight/model.py", "x = 1", "x = 2"), ("src/eval/rules.py", "0.5", "0.4")],
)
def test_other_rules_than_at_the_commit_evaluated(
    checkout: Checkout, name: str, old: str, new: str
) -> None:
    """E2, G6: what of the protocol the document does not name, or names as it is here alone."""
    checkout.edit("ACCEPTANCE.md", '["src/eval/*.py"]', '["src/eval/*.py", "src/greenlight/*.py"]')
    checkout.edit(name, old, new)
    environment: dict[str, Any] = json.loads(checkout.read(EVALUATION))["environment"]
    checkout.measure(environment=environment)
    checkout.everything_signed()
    [row] = [row for row in checkout.check()["rows"] if not row["ok"]]
    assert (row["what"], row["verdict"]) == ("protocol of the evaluation", "changed")
    assert row["found"] == f"other rules: {name}"


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("src/eval/more.py", set()),
        ("src/eval/rules/__init__.py", {"protocol of the evaluation"}),
    ],
)
def test_rules_that_came_since_judged_nothing(
    checkout: Checkout, name: str, verdicts: set[str]
) -> None:
    """E2, G6: a new module of the protocol is signed for, and makes no evaluation out of date; one
    that the digest to be signed does not cover may stand in the place of another."""
    checkout.write(name, "x = 1\n")
    checkout.git("add", "--all")
    environment: dict[str, Any] = json.loads(checkout.read(EVALUATION))["environment"]
    checkout.measure(environment=environment)
    checkout.everything_signed()
    assert {row["what"] for row in checkout.check()["rows"] if not row["ok"]} == verdicts


def test_sources_that_changed_since_are_told(signed: Checkout) -> None:
    signed.write("src/greenlight/model.py", "x = 2\n")
    found = signed.check()
    [row] = [row for row in found["rows"] if row["what"] == "commit evaluated"]
    assert found["ok"] and row["verdict"] == "warned"
    assert row["found"].endswith(", 1 files of src changed since")


def test_where_there_is_no_page(tmp_path: Path, checkout: Checkout) -> None:
    done = checkout._call(["release", "check", "--root", str(tmp_path)])
    assert done.exit_code == 2 and "--root names the folder of a checkout" in done.stderr
    done = checkout._call(["-C", str(checkout.folder), "release", "check"])
    assert done.exit_code == 1 and "draft, unsigned" in done.stdout
