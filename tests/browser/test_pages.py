"""The pages in a real browser: live, by keyboard, on a phone, in the dark, and for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from scripts.shop import TASK, Shop, opened
from tests.browser.conftest import Browser
from tests.dashboard.shops import begun, rollouts, shown, told
from tests.dashboard.test_pages import paths_of
from tests.serving.harness import asynchronous, eventually

pytestmark = [pytest.mark.needs("browser"), pytest.mark.timeout(300)]

DESK, PHONE = 1280, 360
STATES = ("empty", "live", "running", "ended")


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker, a script."""
    return (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def screen(browser: Browser) -> Iterator[Browser]:
    """The browser, with its screen as it was at the end."""
    yield browser
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def look(browser: Browser, width: int = DESK, scheme: str = "light") -> None:
    """Another screen, and another taste."""
    device = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
    taste = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", taste)


def looking(shop: Shop) -> list[str]:
    """The pages that only look; those of people are in test_signing.py."""
    tasks = [f"/tasks/{task}" for task in shop.app.settings.tasks]
    return ["/", *tasks, *(f"/rollouts/{rollout.id}" for rollout in rollouts(shop))]


async def violations(browser: Browser, axe: str) -> list[str]:
    """What the checker finds, each with its place."""
    await browser.run(axe)
    found: Any = await browser.run("return axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['html'][:120]} ({node['failureSummary'][:300]})"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@asynchronous
async def test_pages_are_for_everybody(
    screen: Browser, axe: str, state: str, scheme: str, width: int
) -> None:
    """Contrast, names, order and landmarks, by axe-core; and no page is wider than its screen."""
    shop = told(state)
    look(screen, width, scheme)
    async with shown(shop) as client:
        for path in (*looking(shop), "/nowhere"):
            await screen.open(client.url + path)
            await screen.run("document.querySelectorAll('details').forEach((it) => it.open = true)")
            assert await violations(screen, axe) == [], path
            wide = "return document.documentElement.scrollWidth - innerWidth"
            assert await screen.run(wide) <= 0, f"{path} is wider than {width}"
        complaints = screen.complaints()
        assert all("404" in line for line in complaints), complaints


@asynchronous
async def test_no_request_leaves_the_machine(browser: Browser) -> None:
    """Every file is of this very server, and nothing is stored in the browser."""
    shop = told("running")
    async with shown(shop) as client:
        for path in paths_of(shop):
            await browser.open(client.url + path)
            asked: Any = await browser.run(
                "return performance.getEntriesByType('resource').map((it) => it.name)"
            )
            assert asked and all(name.startswith(client.url + "/") for name in asked), asked
            kept = "return localStorage.length + sessionStorage.length"
            assert await browser.run(kept) == 0


@asynchronous
async def test_a_page_follows_what_happens(tmp_path: Path, browser: Browser) -> None:
    """P2: without a reload, and without losing place, focus, or what somebody has opened."""
    with opened(tmp_path / "shop") as shop:
        begun(shop)
        async with shown(shop) as client:
            await browser.open(f"{client.url}/rollouts/{rollouts(shop)[0].id}")
            await eventually(lambda: said(browser, "#live", "Live"))
            await browser.run(
                """window.mark = 1;
                document.querySelector("#split-table").open = true;
                document.querySelector("#decisions .scroll").focus();
                scrollTo(0, 300);"""
            )
            # What is above may take more room or less; what is looked at stays where it is.
            place = """Math.round(document.querySelector("#split").getBoundingClientRect().top)"""
            before = await browser.run(f"return {place}")
            await asyncio.to_thread(shop.live, 3)
            await eventually(lambda: said(browser, "#decisions", "soaking"))
            await eventually(lambda: said(browser, "#news", "this split has not been in force"))
            kept: Any = await browser.run(
                f"""return [window.mark, document.querySelector("#split-table").open,
                document.activeElement.getAttribute("aria-labelledby"), {place}]"""
            )
            assert kept == [1, True, "decisions-table", before]


@asynchronous
async def test_a_form_that_somebody_fills_in_is_left_alone(
    tmp_path: Path, browser: Browser
) -> None:
    """What is typed is never taken away; the sections around it go on."""
    with opened(tmp_path / "shop") as shop:
        begun(shop)
        async with shown(shop) as client:
            await browser.open(f"{client.url}/rollouts/{rollouts(shop)[0].id}")
            await browser.run(
                """const field = document.createElement("input");
                field.id = "field";
                document.querySelector("#verdict").append(field);
                field.value = "half a sen";"""
            )
            await asyncio.to_thread(shop.live, 3)
            await eventually(lambda: said(browser, "#decisions", "soaking"))
            assert await browser.run("return document.querySelector('#field').value") == (
                "half a sen"
            )


@asynchronous
async def test_a_page_says_when_it_is_not_live_any_more(browser: Browser) -> None:
    """A server that is gone is no calm."""
    async with shown(told("begun")) as client:
        await browser.open(f"{client.url}/tasks/{TASK}")
        await eventually(lambda: said(browser, "#live", "Live"))
    await eventually(lambda: said(browser, "#live", "Not live"))
    assert all("net::ERR" in line for line in browser.complaints())


@asynchronous
async def test_everything_is_reached_by_keyboard(screen: Browser) -> None:
    """Tab by tab, in the order of the page, and one sees where one is."""
    shop = told("running")
    look(screen)
    async with shown(shop) as client:
        for path in ("/", f"/tasks/{TASK}", f"/rollouts/{rollouts(shop)[0].id}"):
            await screen.open(client.url + path)
            await screen.run(
                """const reached = "a[href], button, summary, [tabindex='0']";
                window.all = [...document.querySelectorAll(reached)]
                .filter((it) => it.checkVisibility());"""
            )
            count: Any = await screen.run("return window.all.length")
            order, outlined = [], []
            for _ in range(count):
                await asyncio.to_thread(ActionChains(screen.driver).send_keys(Keys.TAB).perform)
                place, outline = await screen.run(
                    """const it = document.activeElement;
                    return [window.all.indexOf(it), getComputedStyle(it).outlineStyle];"""
                )
                order.append(place)
                outlined.append(outline)
            assert order == list(range(count)), path
            assert set(outlined) == {"solid"}


@asynchronous
async def test_the_skip_link_leads_past_the_head(screen: Browser) -> None:
    """The first thing that Tab reaches, and it shows itself then."""
    look(screen)
    async with shown(told("live")) as client:
        await screen.open(f"{client.url}/")
        await asyncio.to_thread(ActionChains(screen.driver).send_keys(Keys.TAB).perform)
        link: Any = await screen.run(
            "const it = document.activeElement.getBoundingClientRect(); return [it.width, it.top]"
        )
        assert link[0] > 50 and link[1] >= 0
        await asyncio.to_thread(ActionChains(screen.driver).send_keys(Keys.ENTER).perform)
        assert await screen.run("return document.activeElement.id") == "main"


async def said(browser: Browser, place: str, words: str) -> bool:
    """Whether a part of the page says something."""
    found = await browser.run("return document.querySelector(arguments[0])?.textContent", place)
    return words in (found or "")
