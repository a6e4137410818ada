"""The pages of sign-off: what `greenlight approve` does, with its refusals beside the form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from greenlight import wiring
from greenlight.core.records import Approval, LedgerEntry
from greenlight.lookup import everything
from tests.dashboard.house import AFAR, evaluated, house, visiting
from tests.serving.harness import asynchronous

SCRIPT = "<script>alert(1)</script> & 'quotes'"


@asynchronous
async def test_two_people_approve(tmp_path: Path) -> None:
    """G1: as on the command line, with the same records and the same entries on the ledger."""
    project = evaluated(tmp_path)
    async with (
        house(project) as place,
        visiting(place) as ana,
        visiting(place) as ben,
    ):
        await ana.sign_in("ana")
        assert "lacks 1 × ml_lead, 1 × product_owner" in ana.text
        await ana.decide("approve", "good on test")
        assert (ana.status, ana.path) == (200, "/approvals/intent@1")
        assert 'role="status">ana approved intent@1.</p>' in ana.text
        assert "lacks 1 × product_owner; signed: ana (ml_lead)" in ana.text
        assert "ana approved intent@1." not in await ana.get("/approvals/intent@1"), "said once"
        await ben.sign_in("ben")
        await ben.decide("approve", "worth trying")
        assert "approved by ana (ml_lead), ben (product_owner)" in ben.text
        version = place.version()
        assert version.status == "approved"
        words = list(everything(place.app.store, Approval, {"version": version.digest}))
        assert {(word.person, word.why) for word in words} == {
            ("ana", "good on test"),
            ("ben", "worth trying"),
        }
        assert "Nothing waits." in await ben.get("/approvals")
        assert '<a href="/approvals/intent%401">intent@1</a>' in ben.text
        kinds = [entry.kind for entry in everything(place.app.store, LedgerEntry)]
        assert kinds.count("approval") == 2 and kinds.count("configuration") == 1
        assert kinds[-1] == "status", "the second signature settled it"
        heads = (tmp_path / ".greenlight" / "heads.jsonl").read_text(encoding="utf-8")
        assert f'"seq":{len(kinds)}' in heads.splitlines()[-1], "published before the page came"
    told = json.loads(project.call("audit", "verify", "--json").stdout)
    assert told["problems"] == [
        "bundle of intent@1: the folder b1 is gone; restore it from a backup"
    ]


@asynchronous
async def test_rejecting_and_taking_it_back(tmp_path: Path) -> None:
    async with house(evaluated(tmp_path)) as place, visiting(place) as ben:
        await ben.sign_in("ben")
        await ben.decide("reject", "not yet")
        assert "rejected by ben" in ben.text and place.version().status == "rejected"
        await ben.decide("revoke", "I was wrong")
        assert "ben took back their word on intent@1." in ben.text
        assert place.version().status == "evaluated"


@pytest.mark.parametrize(
    ("name", "decision", "why", "status", "says"),
    [
        ("eve", "approve", "mine", 409, "eve brought intent@1 about; somebody else must decide"),
        ("ana", "approve", " ", 400, "a decision needs a reason"),
        ("ana", "revoke", "why not", 409, "ana has no standing word on intent@1 to take back"),
        ("ana", "adopt", "as it is", 400, "decision 'adopt': use one of approve, reject, revoke"),
        ("ana", "", "nothing", 400, "decision '': use one of"),
    ],
)
@asynchronous
async def test_refusals_stand_beside_the_form(
    tmp_path: Path, name: str, decision: str, why: str, status: int, says: str
) -> None:
    """G1: with what was typed."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as one:
        await one.sign_in(name)
        await one.decide(decision, why)
        assert one.status == status and says in one.alert()
        assert 'aria-describedby="fault-1"' in one.text
        assert f">{why}</textarea>" in one.text
        assert place.version().status == "evaluated"
        assert wiring.standing(place.app, place.version()).counted == ()


@asynchronous
async def test_somebody_whose_role_does_not_sign(tmp_path: Path) -> None:
    project = evaluated(tmp_path)
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace('["ml_lead"]', '["intern"]', 1), encoding="utf-8")
    async with house(project) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        await ana.decide("approve", "read it")
        assert ana.status == 409 and "ana (intern) does not sign for intent" in ana.alert()


@asynchronous
async def test_gates_that_failed(tmp_path: Path) -> None:
    """What has not passed waits for nobody, and cannot be approved past its page."""
    project = evaluated(tmp_path)
    with project.opened() as (_, office):
        office.gate(office.register(office.run("b2")), 0.5)
    async with house(project) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        assert "intent@2" not in await ana.get("/approvals")
        assert "none that passed its gates" in await ana.get("/approvals/intent@2")
        form = {"decision": "approve", "why": "please", "evaluation": ""}
        await ana.send("/approvals/intent@2", form)
        assert ana.status == 409 and "people are asked once an evaluation has" in ana.alert()


@asynchronous
async def test_a_form_that_is_sent_twice_signs_once(tmp_path: Path) -> None:
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        await ana.decide("approve", "read it")
        await ana.decide("approve", "read it")
        assert ana.status == 409 and "ana has approved intent@1 already" in ana.alert()
        assert len(list(everything(place.app.store, Approval))) == 1


@asynchronous
async def test_nobody_signs_what_they_were_not_shown(tmp_path: Path) -> None:
    """Another evaluation has passed since the page was loaded."""
    project = evaluated(tmp_path)
    async with house(project) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        shown = await ana.get("/approvals/intent@1")
        with project.opened() as (_, office):
            office.clock.advance(60_000_000)
            office.gate(place.version(), 0.97)
        form = {"decision": "approve", "why": "read it"}
        seen = shown.partition('name="evaluation" value="')[2].partition('"')[0]
        await ana.send("/approvals/intent@1", {**form, "evaluation": seen})
        assert ana.status == 409 and "another evaluation of intent@1 counts now" in ana.alert()
        await ana.decide("approve", "read that one, too")
        assert ana.status == 200 and place.version().status == "evaluated"


@asynchronous
async def test_a_reason_is_text_whatever_it_is(tmp_path: Path) -> None:
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        await ana.decide("approve", SCRIPT)
        for path in ("/approvals", "/approvals/intent@1", "/versions/intent@1"):
            page = await ana.get(path)
            assert "<script>alert" not in page, path
            assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#39;quotes&#39;" in page, path
        await ana.decide("approve", SCRIPT)
        assert "<script>alert" not in ana.text, "nor in a form that comes back"


@asynchronous
async def test_an_adopted_version_can_be_rejected(tmp_path: Path) -> None:
    """It has no evaluation, and says so."""
    project = evaluated(tmp_path)
    project.ok("adopt", "intent", "--url", "http://127.0.0.1:9/", "-m", "runs today", by="ana")
    async with house(project) as place, visiting(place) as ben:
        await ben.sign_in("ben")
        assert "adopted by ana (ml_lead)" in await ben.get("/approvals")
        await ben.decide("reject", "not this one", "intent@2")
        assert ben.status == 200 and "rejected by ben" in ben.text


@asynchronous
async def test_looking_takes_no_key_here(tmp_path: Path) -> None:
    """From this machine everybody looks, and nobody acts."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as guest:
        for path in ("/approvals", "/approvals/intent@1"):
            page = await guest.get(path)
            assert guest.status == 200 and "brought about by" in page.lower()
            assert "<textarea" not in page and "Sign in</a> to decide" in page
        await guest.get("/approvals/intent@9")
        assert guest.status == 404 and "there are: intent@1" in guest.text


@asynchronous
async def test_from_another_machine(tmp_path: Path) -> None:
    """Over TLS, and with a key."""
    async with house(evaluated(tmp_path)) as place, visiting(place, AFAR) as ana:
        await ana.get("/approvals/intent@1")
        await ana.send("/sign-in", {"key": place.key("ana"), "next": "/approvals/intent@1"})
        await ana.decide("approve", "read it from home")
        assert ana.status == 200 and "signed: ana (ml_lead)" in ana.text
