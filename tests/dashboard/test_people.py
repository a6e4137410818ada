"""Signing in with one's own key, sessions, and forms that nobody else can send (ADR 0018)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenlight import wiring
from greenlight.core.approval import Person
from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.dashboard.people import ATTEMPTS, IDLE, LONGEST, MOST, Sessions
from greenlight.testing import FakeClock
from tests.dashboard.house import AFAR, evaluated, house, scanned, visiting
from tests.serving.harness import asynchronous

ANA = Person(name="ana", roles=("ml_lead",), key="k")


@asynchronous
async def test_signing_in_and_out(tmp_path: Path) -> None:
    """M3: the key says who one is; the cookie is no business of scripts or other sites."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        assert "Sign in</a> to decide" in await ana.get("/approvals")
        await ana.get("/sign-in?next=/approvals")
        assert "no-store" in ana.answer["cache-control"]
        [before] = ana.cookies()
        await ana.send("/sign-in", {"key": f" {place.key('ana')}\n", "next": "/approvals"})
        assert (ana.status, ana.path) == (200, "/approvals")
        assert "Decide on intent@1" in ana.text and "<span>ana</span>" in ana.text
        [after] = ana.cookies()
        assert after != before, "an id that was known before the signing in is worth nothing"
        [given] = [sent for sent in place.sent if after.encode() in sent]
        assert b"; Path=/; HttpOnly; SameSite=Strict\n" in given and b"Secure" not in given
        await ana.send("/sign-out", {})
        assert ana.cookies() == [] and "Sign in</a>" in await ana.get("/approvals")


@asynchronous
async def test_a_session_ends_with_its_signing_out(tmp_path: Path) -> None:
    """Who has kept the id can do nothing with it, on the server it is gone."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        [id], token = ana.cookies(), ana.token()
        await ana.send("/sign-out", {})
        port = place.url.rpartition(":")[2]
        form = {"csrf": token, "decision": "approve", "why": "x"}
        await ana.post("/approvals/intent@1", form, cookie=f"greenlight-{port}={id}")
        assert ana.status == 403 and "your session has ended" in ana.alert()


@asynchronous
async def test_who_signs_in_as_somebody_else_is_nobody_else_any_more(tmp_path: Path) -> None:
    """The session before ends, so that nothing of it is left to be used."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as one:
        await one.sign_in("ana")
        [before] = one.cookies()
        await one.sign_in("ben")
        assert "<span>ben</span>" in one.text
        port = place.url.rpartition(":")[2]
        async with visiting(place) as other:
            page = await other.get("/approvals", cookie=f"greenlight-{port}={before}")
            assert "<span>" not in page.partition("<main")[0].partition("</nav>")[2]


@pytest.mark.parametrize("key", ["", "glp_", "glp_" + "A" * 43, "gll_" + "A" * 43, "ana", "\0" * 9])
@asynchronous
async def test_a_wrong_key(tmp_path: Path, key: str) -> None:
    """Whatever is wrong with it, the answer is the same, and does not repeat it."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as guest:
        await guest.get("/sign-in")
        await guest.send("/sign-in", {"key": key, "next": "/"})
        assert guest.status == 403 and guest.alert().startswith("This is nobody's key here.")
        assert not key or key not in guest.text or key in "glp_"
        assert 'aria-invalid="true"' in guest.text and 'value=""' not in guest.text


@asynchronous
async def test_an_expired_session_says_so_and_loses_nothing(tmp_path: Path) -> None:
    """What was typed is there to be sent again."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        place.clock.advance(IDLE - SECOND)
        await ana.get("/approvals")
        place.clock.advance(IDLE - SECOND)
        await ana.get("/approvals/intent@1")
        place.clock.advance(IDLE)
        form = {"decision": "approve", "why": "read <all> of it", "from": "/approvals/intent@1"}
        await ana.send("/approvals/intent@1", form)
        assert ana.status == 403 and "your session has ended" in ana.alert()
        assert "read &lt;all&gt; of it</pre>" in ana.text
        assert 'name="next" value="/approvals/intent@1"' in ana.text
        assert wiring.standing(place.app, place.version()).counted == ()


@asynchronous
async def test_what_a_page_fetches_by_itself_keeps_nobody_signed_in(tmp_path: Path) -> None:
    """Nor does it take the word away that the next page is to say."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        page = await ana.get("/approvals/intent@1")
        seen = page.partition('name="evaluation" value="')[2].partition('"')[0]
        form = {"csrf": ana.token(), "decision": "approve", "why": "x", "evaluation": seen}
        await ana.session.post("/approvals/intent@1", data=form, allow_redirects=False)
        for _ in range(2):
            place.clock.advance(IDLE // 2 - SECOND)
            assert "ana approved" not in await ana.get("/approvals", sec_fetch_dest="empty")
        assert "ana approved" in await ana.get("/approvals", sec_fetch_dest="document")
        for _ in range(2):
            place.clock.advance(IDLE // 2)
            await ana.get("/approvals", sec_fetch_dest="empty")
        assert "<span>ana</span>" not in await ana.get("/approvals")


@asynchronous
async def test_no_session_outlasts_a_working_day(tmp_path: Path) -> None:
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        for _ in range(LONGEST // (20 * MINUTE) - 1):
            place.clock.advance(20 * MINUTE)
            assert "<span>ana</span>" in await ana.get("/approvals")
        place.clock.advance(20 * MINUTE)
        assert "<span>ana</span>" not in await ana.get("/approvals")


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"csrf": ""}, {}),
        ({"csrf": "0" * 64}, {}),
        ({}, {"sec_fetch_site": "cross-site"}),
        ({}, {"sec_fetch_site": "same-site"}),
        ({}, {"origin": "http://evil.example"}),
        ({}, {"origin": "null"}),
        ({}, {"origin": "http://127.0.0.1:1"}),
    ],
)
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/approvals/intent@1", {"decision": "approve", "why": "x"}),
        ("/relabel/intent", {"inference": "i", "label": "x"}),
        ("/sign-out", {}),
    ],
)
@asynchronous
async def test_forms_of_others_do_nothing(
    tmp_path: Path,
    path: str,
    form: dict[str, str],
    change: dict[str, str],
    headers: dict[str, str],
) -> None:
    """M3: neither without the session's token, nor with it from another site."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        token = ana.token()
        await ana.post(path, {"csrf": token, **form, **change}, **headers)
        assert ana.status == 403 and "nothing was done" in ana.text
        assert wiring.standing(place.app, place.version()).counted == ()
        assert "<span>ana</span>" in await ana.get("/approvals")


@asynchronous
async def test_a_browser_says_that_a_form_is_ours(tmp_path: Path) -> None:
    """By where it comes from, or by the page's origin where it is an old one."""
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        await ana.send("/relabel/intent", {}, sec_fetch_site="same-origin", origin="null")
        assert ana.status == 404
        await ana.get("/approvals")
        await ana.send("/relabel/intent", {}, origin=place.url)
        assert ana.status == 404


@asynchronous
async def test_the_token_of_one_session_is_worth_nothing_in_another(tmp_path: Path) -> None:
    async with (
        house(evaluated(tmp_path)) as place,
        visiting(place) as ana,
        visiting(place) as eve,
    ):
        await ana.sign_in("ana")
        await eve.sign_in("eve")
        await ana.post("/sign-out", {"csrf": eve.token()})
        assert ana.status == 403


@asynchronous
async def test_a_form_without_a_cookie_signs_nobody_in(tmp_path: Path) -> None:
    """Nobody can be made to sign in as somebody else."""
    async with (
        house(evaluated(tmp_path)) as place,
        visiting(place) as mallory,
        visiting(place) as ana,
    ):
        await mallory.get("/sign-in")
        form = {"csrf": mallory.token(), "key": place.key("eve"), "next": "/"}
        await ana.post("/sign-in", form)
        assert ana.status == 403 and ana.cookies() == []


@asynchronous
async def test_other_machines_need_a_session(tmp_path: Path) -> None:
    """Over TLS people sign in from afar; the cookie then never travels without."""
    async with house(evaluated(tmp_path)) as place, visiting(place, AFAR) as ana:
        for path in ("/approvals", "/versions/intent@1", "/relabel/intent", "/live"):
            page = await ana.get(path)
            assert ana.path == "/sign-in" and "lacks" not in page, path
        await ana.get("/approvals")
        [form] = re.findall('name="next" value="(.*?)"', ana.text)
        await ana.send("/sign-in", {"key": place.key("ana"), "next": form})
        assert (ana.status, ana.path) == (200, "/approvals")
        [given] = [sent for sent in place.sent if b"location: /approvals" in sent]
        assert b"SameSite=Strict; Secure\n" in given


@pytest.mark.parametrize("headers", [{"x-forwarded-for": "203.0.113.7"}, {"host": "mail.example"}])
@asynchronous
async def test_a_key_does_not_travel_in_the_clear(tmp_path: Path, headers: dict[str, str]) -> None:
    """Nor to a page whose name was pointed here."""
    async with house(evaluated(tmp_path)) as place, visiting(place, headers) as ana:
        page = await ana.get("/sign-in")
        assert "must not travel" in page and "<form" not in page
        async with visiting(place) as other:
            await other.get("/sign-in")
            form = {"csrf": other.token(), "key": place.key("ana")}
            port = place.url.rpartition(":")[2] if "host" not in headers else "session"
            cookie = f"greenlight-{port}={other.cookies()[0]}"
        await ana.post("/sign-in", form, cookie=cookie)
        assert ana.status == 403 and "must not travel" in ana.text


@asynchronous
async def test_one_of_several_processes_signs_nobody_in(tmp_path: Path) -> None:
    """The next request might go to another one."""
    async with house(evaluated(tmp_path), alone=False) as place, visiting(place) as ana:
        page = await ana.get("/sign-in")
        assert "Several processes answer" in page and 'name="key"' not in page


@pytest.mark.parametrize(
    "next", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "javascript:1"]
)
@asynchronous
async def test_nobody_is_sent_elsewhere(tmp_path: Path, next: str) -> None:
    async with house(evaluated(tmp_path)) as place, visiting(place) as ana:
        await ana.get("/sign-in")
        await ana.send("/sign-in", {"key": place.key("ana"), "next": next})
        [sent] = [sent for sent in place.sent if b"location: " in sent]
        assert b"location: /\n" in sent


@asynchronous
async def test_attempts_are_counted(tmp_path: Path) -> None:
    """Whoever tries from elsewhere cannot lock out who sits here."""
    async with (
        house(evaluated(tmp_path)) as place,
        visiting(place, AFAR) as mallory,
        visiting(place) as ana,
    ):
        await mallory.get("/sign-in")
        for _ in range(ATTEMPTS):
            await mallory.send("/sign-in", {"key": "x"})
            assert mallory.status == 403
        await mallory.send("/sign-in", {"key": place.key("ana")})
        assert mallory.status == 429 and mallory.answer["retry-after"] == "8"
        assert "try again in 8 s" in mallory.alert()
        await ana.sign_in("ana")
        place.clock.advance(8 * SECOND)
        await mallory.send("/sign-in", {"key": "x"})
        assert mallory.status == 403


def test_there_are_only_so_many_sessions() -> None:
    """The one that was idle for longest makes room."""
    clock = FakeClock()
    random = iter(range(1000))
    sessions = Sessions(clock.now, lambda count: next(random).to_bytes(count, "big"))
    ids = []
    for _ in range(MOST):
        clock.advance(SECOND)
        ids.append(sessions.begin(ANA, "s"))
    assert sessions.find(ids[0]) is not None
    newest = sessions.begin(ANA, "s")
    assert sessions.find(ids[1]) is None
    assert all(sessions.find(id) is not None for id in (ids[0], *ids[2:], newest))
    assert "glp" not in repr(sessions.find(newest))


def test_a_clock_that_is_put_back_ends_a_session() -> None:
    """Not by a correction, but by what would make it last longer than it may."""
    now = [10 * HOUR]
    sessions = Sessions(lambda: now[0], lambda count: bytes(count))
    id = sessions.begin(ANA, "s")
    now[0] -= SECOND
    assert sessions.find(id) is not None
    now[0] -= 2 * MINUTE
    assert sessions.find(id) is None


@asynchronous
async def test_a_key_stays_where_it_was_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M3, G1: it is in no answer, no log and no file; the id of the session neither."""
    caplog.set_level(0)
    project = evaluated(tmp_path)
    async with house(project) as place, visiting(place) as ana:
        await ana.sign_in("ana")
        [id] = ana.cookies()
        await ana.decide("approve", "read it")
        await ana.decide("approve", "read it twice")
        await ana.get("/versions/intent@1")
        await ana.get("/nowhere")
        await ana.get("/sign-in")
        await ana.send("/sign-in", {"key": place.key("ana"), "next": "/versions"})
        await ana.send("/sign-out", {})
        secret = place.key("ana")
        heads = [sent for sent in place.sent if id.encode() in sent]
        assert len(heads) == 1 and heads[0].startswith(b"location"), "its cookie"
        bodies = b"".join(place.sent)
    assert secret.encode() not in bodies and secret[4:].encode() not in bodies
    assert secret not in caplog.text and id not in caplog.text
    assert scanned(tmp_path, secret) == [] == scanned(tmp_path, id)
