"""`greenlight keys create`, `list` and `revoke`: keys for applications that ask the gateway."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from greenlight.core import keys
from greenlight.core.errors import Unauthorized
from greenlight.core.records import DAY, ApiKey, LedgerEntry
from greenlight.serving.gatekeeper import Gatekeeper
from tests.cli.project import Project

KEY = re.compile(r"glk_([0-9a-f]{16})_[\w-]{32}")


def traces(project: Project, text: str) -> list[str]:
    """Files of the installation in whose bytes a text stands, the store's and its log included."""
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    return [path.name for path in files if text.encode() in path.read_bytes()]


def test_from_creation_to_revocation(project: Project) -> None:
    """S8: scopes and a rate, an end, and a state that everybody can look up."""
    words = ["--scope", "feedback", "--scope", "predict", "--rate", "20/s", "--burst", "40"]
    said = project.ok("keys", "create", "shop", *words, "--expires", "90d", by="ana")
    found = KEY.search(said)
    assert found is not None and said.endswith(f"export GREENLIGHT_API_KEY={found[0]}\n")
    assert said.count(found[0]) == 1
    assert f"# shop ({found[1]}): predict, feedback; 20/s, 40 at once; until 20" in said

    [one] = project.json("keys", "list")
    assert one["expires_at"] == one["at"] + 90 * DAY
    rest = {name: value for name, value in one.items() if name not in ("at", "expires_at")}
    assert rest == {
        "id": found[1],
        "name": "shop",
        "scopes": ["predict", "feedback"],
        "rate": 20.0,
        "burst": 40,
        "created_by": "ana",
        "revoked_at": None,
        "state": "active",
    }
    head, row = project.ok("keys", "list").splitlines()
    assert head.split() == ["KEY", "NAME", "SCOPES", "RATE", "CREATED", "EXPIRES", "STATE"]
    ends = datetime.fromtimestamp(one["at"] // 1_000_000, tz=UTC) + timedelta(days=90)
    for cell in (found[1], "shop", "20/s, 40 at once", f"{ends:%Y-%m-%dT%H:%M}", "active"):
        assert cell in row

    told = project.ok("keys", "revoke", "shop", "-m", "leaked", by="ben")
    assert told.startswith(f"shop ({found[1]}) is revoked")
    [one] = project.json("keys", "list")
    assert one["state"] == "revoked" and one["revoked_at"] >= one["at"]
    assert "is revoked already" in project.refused(2, "keys", "revoke", "shop", "-m", "again")


def test_the_secret_is_kept_nowhere(project: Project) -> None:
    """S8: neither the store's bytes nor the ledger, its heads or a log hold it."""
    made = project.json("keys", "create", "shop", "--scope", "admin")
    project.ok("keys", "revoke", made["key"]["id"], "-m", "never used")
    secret = made["secret"]
    assert keys.id_of(secret) == made["key"]["id"]
    assert traces(project, made["key"]["id"])
    assert traces(project, secret) == []
    assert traces(project, secret[21:]) == []
    with project.opened() as (_, office):
        [key] = office.store.scan(ApiKey)
        ledger = str(office.store.scan(LedgerEntry))
    assert key.digest == keys.digest(secret)
    assert key.digest not in ledger
    assert key.digest not in project.ok("keys", "list", "--json")


def test_who_did_what_is_on_the_ledger(project: Project) -> None:
    """G5: and an audit sees a key that was exchanged, brought back or put in."""
    made = project.json("keys", "create", "shop", "--scope", "predict", by="ana")["key"]
    project.ok("keys", "revoke", "shop", "-m", "the shop has closed", by="ben")
    with project.opened() as (_, office):
        created, revoked = office.store.scan(LedgerEntry)
        assert (created.kind, revoked.kind) == ("key", "key_status")
        assert created.body["created_by"] == "ana" and created.body["scopes"] == "predict"
        assert revoked.body == {
            "key": made["id"],
            "name": "shop",
            "scopes": "predict",
            "revoked_at": revoked.at,
            "by": "ben",
            "why": "the shop has closed",
        }
    assert project.json("audit", "verify")["ok"]


def test_what_is_printed_opens_and_no_longer_after_its_revocation(project: Project) -> None:
    secret = project.json("keys", "create", "shop", "--scope", "predict")["secret"]
    with project.opened() as (_, office):
        keeper = Gatekeeper(office.store, office.clock)
        asyncio.run(keeper.refresh())
        assert keeper.admit(f"Bearer {secret}", "predict").id == keys.id_of(secret)
        project.ok("keys", "revoke", "shop", "-m", "leaked")
        asyncio.run(keeper.refresh())
        with pytest.raises(Unauthorized, match="is revoked"):
            keeper.admit(f"Bearer {secret}", "predict")


def test_without_a_persons_key_the_user_of_the_machine_made_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "nora")
    monkeypatch.delenv("GREENLIGHT_PERSON_KEY", raising=False)
    key = project.json("keys", "create", "shop", "--scope", "predict")["key"]
    assert key["created_by"] == "nora"


def test_a_key_without_limits(project: Project) -> None:
    assert "no key yet; make one" in project.ok("keys", "list")
    said = project.ok("keys", "create", "shop", "--scope", "predict")
    assert ": predict; unlimited; does not expire" in said
    assert re.search(r"unlimited +20\S+ +– +active", project.ok("keys", "list"))


def test_a_name_is_free_again_after_its_revocation(project: Project) -> None:
    first = project.json("keys", "create", "shop", "--scope", "predict")["key"]["id"]
    message = project.refused(2, "keys", "create", "shop", "--scope", "predict")
    assert f"greenlight keys revoke {first} -m WHY" in message
    project.ok("keys", "revoke", first, "-m", "rotated")
    second = project.json("keys", "create", "shop", "--scope", "predict")["key"]["id"]
    assert project.json("keys", "revoke", "shop", "-m", "gone")["id"] == second != first
    assert [key["state"] for key in project.json("keys", "list")] == ["revoked"] * 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create", "shop"], "Missing option '--scope'"),
        (["create", "shop", "--scope", "predicts"], "did you mean 'predict'?"),
        (["create", "My Shop", "--scope", "predict"], "name 'My Shop': use up to 63"),
        (["create", "shop", "--scope", "predict", "--rate", "20"], "rate '20': write requests per"),
        (["create", "shop", "--scope", "predict", "--rate", "0/s"], "rate 0/s: use more than 0"),
        (["create", "shop", "--scope", "predict", "--burst", "5"], "burst 5: it needs a rate"),
        (["create", "shop", "--scope", "predict", "--expires", "90"], "expected a duration"),
        (["create", "shop", "--scope", "predict", "--expires", "0d"], "from now on"),
        (["create", "shop", "--scope", "predict", "--expires", "9999999999d"], "at most 3650d"),
        (["revoke", "shop", "-m", "x"], "key 'shop': no such id or name; see: greenlight keys"),
        (["revoke", "shop"], "Missing option '-m'"),
    ],
)
def test_refusals_say_what_to_do(project: Project, words: list[str], says: str) -> None:
    assert says in project.refused(2, "keys", *words)
    assert project.json("keys", "list") == []


def test_a_reason_that_says_nothing(project: Project) -> None:
    project.ok("keys", "create", "shop", "--scope", "predict")
    assert "needs a reason" in project.refused(2, "keys", "revoke", "shop", "-m", " ")


def test_a_key_instead_of_its_name_is_not_repeated(project: Project) -> None:
    """Who finds one that leaked learns from its text which one to revoke."""
    made = project.json("keys", "create", "shop", "--scope", "predict")
    for text in (made["secret"], made["secret"][:-3]):
        message = project.refused(2, "keys", "revoke", text, "-m", "found it on the net")
        assert "that is a key itself" in message and text[21:] not in message
    message = project.refused(2, "keys", "revoke", made["secret"], "-m", "x")
    assert f"its id is {made['key']['id']}" in message


def test_two_of_one_name_are_told_apart_by_their_ids(project: Project) -> None:
    """Two who make a key at the same moment may choose the same name."""
    made = project.json("keys", "create", "shop", "--scope", "predict")["key"]["id"]
    with project.opened() as (_, office):
        [key] = office.store.scan(ApiKey)
        twin = {name: getattr(key, name) for name in key.__struct_fields__} | {"id": "f" * 16}
        office.store.commit(append=[ApiKey(**twin)])
    message = project.refused(2, "keys", "revoke", "shop", "-m", "x")
    assert made in message and "f" * 16 in message and "give the id" in message
