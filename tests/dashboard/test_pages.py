"""The pages that look, over HTTP, before real stores in every state (P1, P2)."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from greenlight.core.records import MINUTE, Decision, Run, Version
from greenlight.core.states import Action, RunStatus, VersionStatus
from greenlight.lookup import everything, find_version
from greenlight.serving.http import Response
from greenlight.testing import FakeClock
from greenlight.wiring.pages import build_pages
from scripts.shop import TASK, Shop
from tests.dashboard.house import unheard
from tests.dashboard.shops import STATES, fresh, rollouts, shown, told
from tests.dashboard.test_site import ask as request
from tests.serving.harness import Client, asynchronous

HOSTILE = "<script>alert('x')</script>\"'&"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def words(page: str) -> str:
    """What a page says, without its marks."""
    body = page[page.index("<main") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def paths_of(shop: Shop) -> list[str]:
    """Every page that this shop has."""
    labels = [version.label for version in everything(shop.app.store, Version)]
    return [
        "/",
        *(f"/tasks/{task}" for task in shop.app.settings.tasks),
        *(f"/rollouts/{rollout.id}" for rollout in rollouts(shop)),
        *(f"/versions/{label}" for label in labels),
        *("/versions", "/approvals", "/relabel", f"/relabel/{TASK}", "/sign-in"),
    ]


async def ask(client: Client, path: str, method: str = "GET", **headers: str) -> Response:
    async with client.session.request(
        method, path, headers=headers, allow_redirects=False
    ) as answer:
        found = tuple(
            (name.lower().encode(), value.encode()) for name, value in answer.headers.items()
        )
        return Response(await answer.read(), answer.status, found)


@pytest.mark.parametrize("state", STATES)
@asynchronous
async def test_every_page_of_every_state_is_there(state: str) -> None:
    """P1: whatever has happened, or has not, there is a page that says so."""
    shop = told(state)
    async with shown(shop) as client:
        for path in paths_of(shop):
            status, page = await client.get(path)
            assert status == 200, f"{path}: {words(page)}"
            assert page.count("<h1") == 1 and "Undefined" not in page
            lives = path == "/" or path.startswith("/tasks") or "It has been running" in page
            assert bool(re.search(r'data-digest="\w', page)) == lives, path


@asynchronous
async def test_the_overview_says_what_is_live_and_what_waits() -> None:
    """P1: the live version, who has signed and who is missing, the last run, the gateways."""
    async with shown(told("live")) as client:
        page = words((await client.get("/"))[1])
    assert "Live: intent@1" in page
    assert "intent@2 lacks 1 × product_owner; signed: ana (ml_lead)" in page
    assert "finished intent#2" in page and "1 gateway alive" in page
    assert "Nothing is live yet" in page, "of the other task"


@asynchronous
async def test_an_installation_without_a_gateway_says_so() -> None:
    """P1: a minute after the last sign of life nothing can be new, and silence is not health."""
    shop = told("running")
    later = FakeClock(shop.clock.now() + MINUTE)
    site = build_pages(dataclasses.replace(shop.app, clock=later), unheard)
    overview = words((await request(site, "/")).body.decode())
    rollout = words((await request(site, f"/rollouts/{rollouts(shop)[0].id}")).body.decode())
    assert "No gateway has told of itself" in overview
    assert "no gateway is alive, so nothing is known of the traffic" in rollout
    assert "no data Gateways none is alive" in rollout


@asynchronous
async def test_the_page_of_a_running_rollout() -> None:
    """P2: split, evidence against thresholds, GOOD rates with intervals, guardrails, decisions."""
    shop = told("running")
    [rollout] = rollouts(shop)
    async with shown(shop) as client:
        raw = (await client.get(f"/rollouts/{rollout.id}"))[1]
        short = (await client.get(f"/rollouts/{rollout.id[:13]}"))[1]
    page = words(raw)
    assert words(short).startswith("intent intent@2 against intent@1")
    assert "It has been running for 18 s" in page
    assert "of 700" in page and "of 20" in page and "of 1,000" in page
    assert re.search(r"intent@1 \d+\.\d% \d+\.\d% to \d+\.\d%", page)
    for name in ("Gateways", "Circuit breaker", "Freshness", "Served share", "Loudest reviewer"):
        assert name in page
    for decision in everything(shop.app.store, Decision, {"rollout": rollout.id}):
        assert decision.reason in page
    assert raw.count('<polyline class="line"') == 2, "for a screen, and for a phone"
    assert rollout.salt not in raw, "who knows it can choose their arm"


@asynchronous
async def test_how_rollouts_end() -> None:
    """P2: each with its reason, and what could not be computed says why."""
    ended = told("ended")
    won, lost = rollouts(ended)
    async with shown(ended) as client:
        promoted = words((await client.get(f"/rollouts/{won.id}"))[1])
        back = words((await client.get(f"/rollouts/{lost.id}"))[1])
        history = words((await client.get(f"/tasks/{TASK}"))[1])
    assert "It was promoted after" in promoted and "reached" in promoted
    assert "It was rolled back after" in back
    assert "the candidate drew more BAD than control soon after answering" in back
    assert "The difference cannot be computed" in back or "no feedback has matured" in back
    assert "intent@3 against intent@2 rolled back" in history
    assert "intent@2 against intent@1 promoted" in history
    undecided = told("undecided")
    async with shown(undecided) as client:
        page = words((await client.get(f"/rollouts/{rollouts(undecided)[0].id}"))[1])
    assert "It ended without a decision after 15 s" in page


@asynchronous
async def test_what_is_not_known_yet_says_why() -> None:
    """P2: cannot be computed, with the reason; never an empty place or a zero."""
    shop = told("begun")
    async with shown(shop) as client:
        page = words((await client.get(f"/rollouts/{rollouts(shop)[0].id}"))[1])
    assert "Cannot be computed: no feedback has matured" in page
    assert "Cannot be computed: too few answers" in page
    assert "eve started it at 10%" in page


@asynchronous
async def test_copies_in_the_shadow() -> None:
    """P2: what became of the copies, while no user meets the candidate."""
    shop = told("shadowed")
    [rollout] = rollouts(shop)
    async with shown(shop) as client:
        page = words((await client.get(f"/rollouts/{rollout.id}"))[1])
        overview = words((await client.get("/"))[1])
    assert re.search(r"Of \d+ copies the candidate answered \d+ and failed 0", page)
    assert "copies that only the candidate fails shadow" in page
    assert "in the shadow: intent@2 gets copies, no user meets it" in overview


@asynchronous
async def test_a_drill_says_what_it_rehearses(tmp_path: Path, stack: ExitStack) -> None:
    """O6: nobody who sees it is alarmed, or wonders why a test past its threshold did nothing."""
    shop = fresh("begun", tmp_path, stack)
    [rollout] = rollouts(shop)
    words_of = "errors: 5% of its calls fail; only an alarm may roll it back"
    held = msgspec.structs.replace(rollout, drill=words_of)
    shop.app.store.commit(swap=[(rollout, held)])
    async with shown(shop) as client:
        page = words((await ask(client, f"/rollouts/{rollout.id}")).body.decode())
    assert f"Drill {words_of}" in page


@asynchronous
async def test_what_people_write_stays_text(tmp_path: Path, stack: ExitStack) -> None:
    """Labels, names, reasons and errors are data; in a page they are never marks."""
    shop = fresh("begun", tmp_path, stack)
    store, now = shop.app.store, shop.clock.now()
    first, [rollout] = find_version(store, "intent@1"), rollouts(shop)
    odd = msgspec.structs.replace(
        first, digest="sha256:odd", label=HOSTILE, initiator=HOSTILE, status=VersionStatus.EVALUATED
    )
    run = Run(
        id=f"{TASK}#9",
        task=TASK,
        number=9,
        trigger="manual",
        initiator=HOSTILE,
        plan={},
        environment={},
        status=RunStatus.FAILED,
        at=now,
        ended_at=now,
        error=HOSTILE,
    )
    [began] = store.scan(Decision, {"rollout": rollout.id})
    decision = msgspec.structs.replace(
        began, id="f" * 36, action=Action.HOLD, code="x", reason=HOSTILE, at=now
    )
    store.commit(append=[odd, run, decision])
    async with shown(shop) as client:
        for path in ("/", f"/tasks/{TASK}", f"/rollouts/{rollout.id}", "/versions", f"/{HOSTILE}"):
            page = (await client.get(path))[1]
            assert HOSTILE in words(page) or HOSTILE in html.unescape(page), path
            assert "<script>alert" not in page, path


@asynchronous
async def test_what_is_not_there_names_what_is() -> None:
    """A page of the same kind, with a status that programs see."""
    shop = told("live")
    async with shown(shop) as client:
        for path, said in (
            ("/nowhere", "There are: / /tasks/{task} /rollouts/{id}"),
            ("/tasks/none", "there are: intent, reply"),
            ("/rollouts/none", "no such id; see: greenlight rollouts list"),
            ("/versions/none@1", "there are: intent@1, intent@2"),
            ("/live?topic=none", "there are: , intent, reply"),
        ):
            status, page = await client.get(path)
            assert status == 404 and page.startswith("<!doctype html>")
            assert said in words(page), words(page)
        wrong = await ask(client, "/", "DELETE")
        assert (wrong.status, dict(wrong.headers)[b"allow"]) == (405, b"GET")
        for path in ("/v1/nothing", "/api/nothing"):
            missing = await ask(client, path)
            assert missing.status == 404
            assert msgspec.json.decode(missing.body)["error"]["code"] == "not_found"


@asynchronous
async def test_the_headers_of_every_answer() -> None:
    """Nothing inline or from elsewhere, nothing framed, nothing kept but what never changes."""
    shop = told("running")
    async with shown(shop) as client:
        page = (await ask(client, "/")).body.decode()
        files = set(re.findall(r'"(/static/[^"]+)"', page))
        assert {name.rpartition(".")[2] for name in files} == {"css", "js", "svg"}
        for path in (*paths_of(shop), *files, "/nowhere", "/static/page.css"):
            answer = await ask(client, path)
            sent = dict(answer.headers)
            policy = sent[b"content-security-policy"].decode()
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
            assert sent[b"x-content-type-options"] == b"nosniff"
            assert sent[b"referrer-policy"] == b"same-origin"
            kept = b"public, max-age=31536000, immutable" if path in files else b"no-store"
            assert sent.get(b"cache-control", b"no-store") == kept, path
        assert (await ask(client, "/static/page.css")).status == 404, "without its digest"
        assert (await ask(client, "/static/../site.py")).status == 404


@asynchronous
async def test_pages_hold_nothing_inline_and_nothing_from_elsewhere() -> None:
    """What the policy forbids is not tried either."""
    for state in ("running", "ended", "shadowed"):
        shop = told(state)
        async with shown(shop) as client:
            for path in paths_of(shop):
                page = (await client.get(path))[1]
                assert not re.search(r'\sstyle="|<style|<script(?! src="/static/)|\son\w+="', page)
                linked = re.findall(r'(?:href|src|action)="([^"]*)"', page)
                assert all(re.match(r"/(?!/)|#", where) for where in linked), linked


@asynchronous
async def test_only_this_machine_looks_without_signing_in() -> None:
    """What a proxy hands on, or another name of this machine asks, is sent to sign in."""
    async with shown(told("live")) as client:
        for headers in ({"x-forwarded-for": "203.0.113.7"}, {"host": "evil.example"}):
            for path in ("/", f"/tasks/{TASK}", "/live?topic="):
                answer = await ask(client, path, **headers)
                assert answer.status == 303
                assert dict(answer.headers)[b"location"].startswith(b"/sign-in")


def test_pages_draw_without_what_draws_figures() -> None:
    """The gateway's process must not load what only reports need, and which takes a second."""
    heavy = ("matplotlib", "sklearn", "onnxruntime")
    code = "import sys, greenlight.wiring.people_pages, greenlight.dashboard.rollouts as _; "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_pictures_are_small() -> None:
    """What `make screenshots` has drawn is read with a page of the docs, over any line."""
    drawn = list((Path(__file__).parents[2] / "docs" / "images").glob("page-*.png"))
    assert len(drawn) >= 4
    assert {path.name for path in drawn if path.stat().st_size >= 200_000} == set()


WAYS = {
    "begun": ["canary 10 %*", "last step 50 %", "promoted"],
    "shadowed": ["shadow*", "canary 10 %", "last step 50 %", "promoted"],
    "undecided": ["canary 10 %", "inconclusive*"],
}


@pytest.mark.parametrize("state", WAYS)
@asynchronous
async def test_the_way_with_the_present_phase_marked(state: str) -> None:
    """O1: one row of phases, from the first to the promotion or to where it ended."""
    shop = told(state)
    async with shown(shop) as client:
        _, page = await client.get(f"/rollouts/{rollouts(shop)[-1].id}")
    way = page[page.index('<ol class="way"') :].partition("</ol>")[0]
    phases = re.findall(r'<li class="\w+"( aria-current="step")?>([^<]+)</li>', way)
    assert [phase + "*" * bool(current) for current, phase in phases] == WAYS[state]


@asynchronous
async def test_the_next_step_and_what_it_waits_for() -> None:
    """O1: the same list as `greenlight status` has; none once it has ended."""
    shop = told("shadowed")
    async with shown(shop) as client:
        _, page = await client.get(f"/rollouts/{rollouts(shop)[-1].id}")
        _, over = await client.get(f"/rollouts/{rollouts(told('ended'))[-1].id}")
    soaking = r"(this split stays for [\w ]+ more|every gateway takes this split over)"
    assert re.search(f"Next 10% of units Waits for {soaking}", words(page))
    assert re.search(r"Or else undecided, it ends in 4 min \d+ s", words(page))
    assert "Waits for" not in words(over)
