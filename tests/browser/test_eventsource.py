"""A page in a real browser reads streamed chats through a relay that holds the key (S1, S8)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from greenlight.core.records import Inference
from greenlight.core.states import Status
from greenlight.lookup import everything
from tests.browser.conftest import Browser
from tests.browser.relay import Place, place
from tests.serving.harness import asynchronous, eventually
from tests.serving.provider import USAGE, failing

pytestmark = pytest.mark.needs("browser")

AWKWARD = (
    "Grüße,\n\ndata: [DONE]\n\r\n: no comment\revent: error\n\n\u2028\u2029\x85\ufeff\x1f"
    '{"error": "none"} \\n </script> e\u0301 🤷🏽‍♀️ ﷽ \U0001d518 the end'
)
WHOLE = f"green: {AWKWARD}"
BITS = [WHOLE[at : at + 4] for at in range(0, len(WHOLE), 4)]
WAYS = ("listen", "read")
"""The page's functions: by EventSource, and by fetch."""


async def begin(browser: Browser, on: Place, way: str) -> None:
    """Open the page and let it ask."""
    await browser.open(on.url)
    await browser.run(f"{way}(arguments[0])", AWKWARD)


async def seen(browser: Browser, id: str = "said") -> Any:
    """What stands on the page."""
    return await browser.run("return document.getElementById(arguments[0]).textContent", id)


async def record(on: Place) -> Inference:
    """The one inference, once it is in the store."""
    store = on.scene.world.store
    await eventually(lambda: list(everything(store, Inference)))
    [found] = everything(store, Inference)
    return found


@pytest.mark.parametrize("way", WAYS)
@asynchronous
async def test_a_page_reads_a_stream_as_it_comes(
    tmp_path: Path, browser: Browser, way: str
) -> None:
    """S1: bit by bit, whatever is in it; S3: on record with the relay's key and the page's user."""
    async with place(tmp_path) as on:
        on.green.gate = asyncio.Event()
        await begin(browser, on, way)
        await browser.run("return begun.promise")
        assert await seen(browser) == BITS[0], "the provider has sent no more yet"
        on.green.gate.set()
        *chunks, end = await browser.run("return over.promise")
        assert end == "[DONE]"
        *spoken, stop, count = map(json.loads, chunks)
        assert [chunk["choices"][0]["delta"]["content"] for chunk in spoken] == BITS
        assert (stop["choices"][0]["finish_reason"], count["usage"]) == ("stop", USAGE)
        assert (await seen(browser), await seen(browser, "fault")) == (WHOLE, "")
        found = await record(on)
        assert (found.status, found.output) == (Status.OK, WHOLE)
        assert (found.caller, found.unit) == (on.key, "ana")
        assert {json.loads(chunk)["id"] for chunk in chunks} == {found.id}
        assert len(on.asked) == len(on.green.requests) == 1


@pytest.mark.parametrize("way", WAYS)
@asynchronous
async def test_a_page_is_told_that_a_stream_broke_off(
    tmp_path: Path, browser: Browser, way: str
) -> None:
    """S5: after the first bit nobody answers for the candidate; nothing says that it was all."""
    async with place(tmp_path) as on:
        on.green.dies_after = 2
        await begin(browser, on, way)
        *bits, last = map(json.loads, await browser.run("return over.promise"))
        assert [bit["choices"][0]["delta"]["content"] for bit in bits] == BITS[:2]
        assert last.keys() == {"error"} and last["error"]["code"] == "no_answer"
        assert "broke off" in await seen(browser, "fault")
        assert (await record(on)).status is Status.ERROR
        assert len(on.asked) == 1


@pytest.mark.parametrize(
    ("way", "leave"),
    [
        ("listen", "source.close()"),
        ("read", "leaving.abort()"),
        ("listen", "location.replace('about:blank')"),
    ],
)
@asynchronous
async def test_a_page_that_leaves_ends_what_it_asked_for(
    tmp_path: Path, browser: Browser, way: str, leave: str
) -> None:
    """S3: through the relay, up to the call to the provider; the inference is `cancelled`."""
    async with place(tmp_path) as on:
        on.green.gate = asyncio.Event()
        await begin(browser, on, way)
        await browser.run("return begun.promise")
        await browser.run(leave)
        await asyncio.wait_for(on.green.left.wait(), 5)
        found = await record(on)
        assert (found.status, found.output) == (Status.CANCELLED, BITS[0])


@pytest.mark.parametrize(("way", "reason"), [("listen", "lost"), ("read", "overloaded")])
@asynchronous
async def test_a_page_that_is_refused(
    tmp_path: Path, browser: Browser, way: str, reason: str
) -> None:
    """An EventSource learns no more than that; fetch reads why. Neither asks again by itself."""
    async with place(tmp_path) as on:
        for provider in on.scene.providers.values():
            provider.fault = failing(429, headers={"retry-after": "60"})
        await begin(browser, on, way)
        await browser.run("return over.promise")
        assert reason in await seen(browser, "fault")
        [complaint] = browser.complaints()
        assert "429" in complaint
        assert len(on.asked) == 1


@asynchronous
async def test_a_page_that_loses_its_connection_does_not_ask_again(
    tmp_path: Path, browser: Browser
) -> None:
    """An EventSource would by itself, and pay for a second answer."""
    async with place(tmp_path) as on:
        on.green.gate = asyncio.Event()
        await begin(browser, on, "listen")
        await browser.run("return begun.promise")
        [asked] = on.asked
        assert asked.transport is not None
        asked.transport.abort()
        assert (await browser.run("return over.promise"))[-1] == "error"
        assert "lost" in await seen(browser, "fault")
        await asyncio.wait_for(on.green.left.wait(), 5)
        assert (await record(on)).status is Status.CANCELLED
        [complaint] = browser.complaints()
        assert "net::ERR_" in complaint
