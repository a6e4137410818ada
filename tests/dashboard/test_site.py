"""The site by itself: what becomes of requests, forms, errors and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from greenlight.core.errors import BadInput, NotFound
from greenlight.dashboard import assets
from greenlight.dashboard.http import MOST_FORM, Answer, Page, Redirect, Request
from greenlight.dashboard.live import News
from greenlight.dashboard.site import SAFE, Site
from greenlight.serving.http import Disconnected, NotReady, Response
from tests.serving.harness import asynchronous, eventually

FORM = (b"content-type", b"application/x-www-form-urlencoded")
HERE = (b"host", b"127.0.0.1:8400")


def echo(request: Request) -> Answer:
    """A page that says what it was asked."""
    said = {
        "status": 200,
        "heading": "echo",
        "places": (),
        "message": str([request.query, request.form, request.cookies]),
    }
    return Page("error.html", said)


def broken(request: Request) -> Answer:
    raise ZeroDivisionError("secret detail")


def news(digests: dict[str, str] | None = None, **options: Any) -> News:
    known = {"": "0"} if digests is None else digests
    return News(lambda: list(known), lambda topic: known[topic], **{"pause": 0.01, **options})


def site(about: News | None = None) -> Site:
    def shared(request: Request) -> dict[str, Any]:
        return {
            "project": "acme",
            "environment": "dev",
            "now": 0,
            "nav": (("/", "Overview"),),
            "person": None,
            "csrf": "",
            "notice": "",
        }

    return Site(
        [
            ("GET", "/echo/{name}", echo),
            ("POST", "/echo/{name}", echo),
            ("GET", "/broken", broken),
            ("POST", "/away", lambda request: Redirect("/echo/a", ((b"set-cookie", b"a=b"),))),
        ],
        news=about or news(),
        shared=shared,
    )


async def ask(
    on: Site,
    path: str,
    method: str = "GET",
    body: bytes | None = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (HERE,),
    query: bytes = b"",
    client: str = "127.0.0.1",
) -> Response:
    async def receive() -> dict[str, Any]:
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": list(headers),
        "client": (client, 5),
    }
    return await on.answer(scope, receive)


@asynchronous
async def test_a_request_as_its_handler_gets_it() -> None:
    """The path's parts go before the query, the last of several values counts, text is UTF-8."""
    answer = await ask(
        site(),
        "/echo/Grüße",
        "POST",
        b"why=a+b%C3%A9&why=c&empty=",
        (HERE, FORM, (b"cookie", b'one=1; two="2"; $bad')),
        b"name=not+this&x=1&x=2",
    )
    said = answer.body.decode()
    assert answer.status == 200
    assert "Grüße" in said and "not this" not in said
    assert "&#39;x&#39;: &#39;2&#39;" in said
    assert "&#39;why&#39;: &#39;c&#39;" in said and "&#39;empty&#39;: &#39;&#39;" in said


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"a" * (MOST_FORM + 1), (HERE, FORM), 413),
        (b"a=1", (HERE,), 400),
        (b"{}", (HERE, (b"content-type", b"application/json")), 400),
        (b"a=%ff", (HERE, FORM), 400),
        (b"\xff=1", (HERE, FORM), 400),
        (b"&".join(b"a=1" for _ in range(201)), (HERE, FORM), 400),
        (b"", (HERE, FORM, (b"cookie", b"\xff")), 400),
    ],
)
@asynchronous
async def test_forms_that_cannot_be_read(
    body: bytes, headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    answer = await ask(site(), "/echo/a", "POST", body, headers)
    assert answer.status == status
    assert answer.body.startswith(b"<!doctype html>")


@asynchronous
async def test_a_fault_of_ours_is_a_page_that_keeps_its_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await ask(site(), "/broken")
    assert answer.status == 500
    assert b"secret detail" not in answer.body and "secret detail" in caplog.text
    assert set(SAFE) <= set(answer.headers)


@asynchronous
async def test_a_client_that_left_gets_no_answer() -> None:
    with pytest.raises(Disconnected):
        await ask(site(), "/echo/a", "POST", None, (HERE, FORM))


@asynchronous
async def test_a_redirect_after_a_form() -> None:
    answer = await ask(site(), "/away", "POST", b"", (HERE, FORM))
    assert answer.status == 303
    assert {(b"location", b"/echo/a"), (b"set-cookie", b"a=b"), *SAFE} <= set(answer.headers)


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("203.0.113.7", (HERE,)),
        ("127.0.0.1", ((b"host", b"evil.example"),)),
        ("127.0.0.1", (HERE, (b"x-forwarded-for", b"203.0.113.7"))),
    ],
)
@asynchronous
async def test_by_itself_it_answers_this_machine_only(
    client: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert (await ask(site(), "/echo/a", client=client, headers=headers)).status == 403
    assert (await ask(site(), assets.path("page.css"), client=client)).status == 200


def test_assets_by_name() -> None:
    assert assets.path("page.css").startswith("/static/page.")
    with pytest.raises(KeyError):
        assets.path("none.css")


@asynchronous
async def test_news_are_told_once_and_to_everybody_who_asked_for_the_topic() -> None:
    """One look at the store for all, none while nobody listens."""
    digests, looks = {"": "a", "intent": "b"}, []

    def look(topic: str) -> str:
        looks.append(topic)
        return digests[topic]

    told = News(lambda: list(digests), look, pause=0.01)
    streams = [await told.listen("") for _ in range(5)]
    other = await told.listen("intent")
    assert [await anext(rest) for _, rest in (*streams, other)] == [b"data: a\n\n"] * 5 + [
        b"data: b\n\n"
    ]
    assert looks.count("") <= 2 and looks.count("intent") <= 2
    digests[""] = "c"
    assert {await anext(rest) for _, rest in streams} == {b"data: c\n\n"}
    for _, rest in (*streams, other):
        await rest.aclose()
    assert not told._listeners
    await eventually(lambda: told._looking is None)
    before = len(looks)
    await asyncio.sleep(0.05)
    assert len(looks) == before


@asynchronous
async def test_streams_are_bounded_and_leave_room_when_they_end() -> None:
    told = news(most=2)
    first, _ = await told.listen(""), await told.listen("")
    with pytest.raises(NotReady):
        await told.listen("")
    await first[1].aclose()
    await told.listen("")
    with pytest.raises(NotFound):
        await told.listen("nothing")
    told.close()


@asynchronous
async def test_streams_end_at_once_when_the_process_does() -> None:
    told = news(pause=60.0)
    streams = [await told.listen("") for _ in range(3)]
    waiting = [asyncio.create_task(_read(rest)) for _, rest in streams]
    await asyncio.sleep(0.02)
    told.close()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    with pytest.raises(NotReady):
        await told.listen("")


@asynchronous
async def test_a_store_that_is_down_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """The stream stays; what comes after is told."""
    answers: list[Callable[[], str]] = [lambda: "a", _down, lambda: "b"]

    def look(topic: str) -> str:
        return (answers.pop(0) if len(answers) > 1 else answers[0])()

    told = News(lambda: [""], look, pause=0.01)
    _, rest = await told.listen("")
    assert [await anext(rest), await anext(rest)] == [b"data: a\n\n", b"data: b\n\n"]
    assert "the store could not be read" in caplog.text
    told.close()


def _down() -> str:
    raise BadInput("down")


async def _read(stream: Any) -> None:
    async for _ in stream:
        pass
