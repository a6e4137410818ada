"""Two people sign in with their keys in a real browser, and approve a version (M3, G1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait

from greenlight.dashboard.people import IDLE
from tests.browser.conftest import PATIENCE_S, Browser
from tests.cli.project import Project
from tests.dashboard.house import Place, evaluated, house, trained
from tests.dashboard.test_relabel import doubted, labelled
from tests.serving.harness import asynchronous

pytestmark = pytest.mark.needs("browser")

SCRIPT = "<script>document.title = 'taken over'</script>"


class Person:
    """Somebody at the browser's keyboard; each step returns once the next page is there."""

    def __init__(self, browser: Browser, place: Place) -> None:
        self.browser = browser
        self.driver = browser.driver
        self.place = place

    async def open(self, path: str) -> None:
        await self.browser.open(self.place.url + path)

    async def sign_in(self, key: str, path: str = "/approvals/intent@1") -> None:
        await self.open(f"/sign-in?next={path}")
        await self.type("key", key, Keys.ENTER)

    async def sign_out(self) -> None:
        await self.press("//button[.='Sign out']")

    async def decide(self, button: str, why: str) -> None:
        await self.write("why-1", why)
        await self.press(f"//button[.='{button}']")

    async def write(self, id: str, text: str) -> None:
        await asyncio.to_thread(self.driver.find_element(By.ID, id).send_keys, text)

    async def type(self, id: str, *keys: str) -> None:
        """Keys of which the last one sends the form."""
        await self._turn(lambda: self.driver.find_element(By.ID, id).send_keys(*keys))

    async def press(self, path: str) -> None:
        await self._turn(lambda: self.driver.find_element(By.XPATH, path).click())

    async def text(self) -> str:
        return str(await self.browser.run("return document.body.innerText"))

    async def alert(self) -> str:
        found = "return document.querySelector('[role=alert]').innerText"
        return str(await self.browser.run(found))

    async def _turn(self, act: Callable[[], None]) -> None:
        def turn() -> None:
            page = self.driver.find_element(By.TAG_NAME, "html")
            act()
            # While a page goes, the driver may say so by errors of its own.
            wait = WebDriverWait(self.driver, PATIENCE_S, ignored_exceptions=(WebDriverException,))
            wait.until(staleness_of(page))

        await asyncio.to_thread(turn)


@asynccontextmanager
async def at_work(browser: Browser, project: Project) -> AsyncIterator[Person]:
    """The pages of a project, and somebody who looks at them."""
    async with house(project) as place:
        try:
            yield Person(browser, place)
        finally:
            browser.driver.delete_all_cookies()


@asynchronous
async def test_two_people_approve(tmp_path: Path, browser: Browser) -> None:
    """G1: what they sign stands, and the ledger holds."""
    project = await asyncio.to_thread(trained, tmp_path)
    async with at_work(browser, project) as person:
        place = person.place
        await person.sign_in(place.key("ana"))
        await person.decide("Approve", f"read it {SCRIPT}")
        assert "ana approved intent@1." in await person.text()
        assert f"read it {SCRIPT}" in await person.text()
        assert "taken over" not in browser.driver.title
        await person.sign_out()
        await person.open("/approvals/intent@1")
        assert "Sign in to decide" in await person.text()
        await person.sign_in(place.key("ben"))
        await person.decide("Approve", "worth trying")
        assert "approved by ana (ml_lead), ben (product_owner)" in await person.text()
        assert place.version().status == "approved"
        for name in ("ana", "ben"):
            for page in place.sent:
                assert place.key(name).encode() not in page
    told = await asyncio.to_thread(project.json, "audit", "verify")
    assert told["ok"] and told["problems"] == []


@asynchronous
async def test_who_brought_it_about_is_refused(tmp_path: Path, browser: Browser) -> None:
    """G1: beside the form, with what was typed."""
    async with at_work(browser, evaluated(tmp_path)) as person:
        await person.sign_in(person.place.key("eve"))
        await person.decide("Approve", "mine is good")
        assert "eve brought intent@1 about" in await person.alert()
        typed = await browser.run("return document.getElementById('why-1').value")
        assert typed == "mine is good"
        [complaint] = browser.complaints()
        assert "409" in complaint


@asynchronous
async def test_a_wrong_key(tmp_path: Path, browser: Browser) -> None:
    async with at_work(browser, evaluated(tmp_path)) as person:
        await person.sign_in("glp_" + "A" * 43)
        assert "nobody's key" in await person.alert()
        typed = await browser.run("return document.getElementById('key').value")
        assert typed == "" and await browser.run("return document.activeElement.id") == "key"
        [complaint] = browser.complaints()
        assert "403" in complaint


@asynchronous
async def test_a_session_that_has_ended(tmp_path: Path, browser: Browser) -> None:
    """What was typed is shown, and one is back where one was after signing in."""
    async with at_work(browser, evaluated(tmp_path)) as person:
        await person.sign_in(person.place.key("ana"))
        person.place.clock.advance(IDLE)
        await person.decide("Approve", "read all of it")
        assert "your session has ended" in await person.alert()
        assert "read all of it" in await person.text()
        await person.type("key", person.place.key("ana"), Keys.ENTER)
        assert browser.driver.current_url.endswith("/approvals/intent@1")
        [complaint] = browser.complaints()
        assert "403" in complaint


@pytest.mark.parametrize("change", ["value = 'forged'", "remove()"])
@asynchronous
async def test_a_form_without_its_token(tmp_path: Path, browser: Browser, change: str) -> None:
    async with at_work(browser, evaluated(tmp_path)) as person:
        await person.sign_in(person.place.key("ana"))
        await browser.run(f"document.querySelectorAll('[name=csrf]').forEach(it => it.{change})")
        await person.decide("Approve", "read it")
        assert "nothing was done" in await person.text()
        assert person.place.version().status == "evaluated"
        [complaint] = browser.complaints()
        assert "403" in complaint


@asynchronous
async def test_a_page_of_another_site(tmp_path: Path, browser: Browser) -> None:
    """Neither does its form act in the name of who is signed in, nor does it see the pages."""
    async with at_work(browser, evaluated(tmp_path)) as person:
        await person.sign_in(person.place.key("ana"))
        token = await browser.run("return document.querySelector('[name=csrf]').value")
        url = person.place.url
        form = (
            f'<form id="f" method="post" action="{url}/approvals/intent@1">'
            f'<input name="csrf" value="{token}"><input name="decision" value="approve">'
            '<input name="why" value="x"><button id="go">go</button></form>'
        )
        await browser.open("data:text/html," + form.replace("#", "%23"))
        await person.press("//button")
        assert "nothing was done" in await person.text()
        assert person.place.version().status == "evaluated"
        [complaint] = browser.complaints()
        assert "403" in complaint


@asynchronous
async def test_labelling_by_keyboard(tmp_path: Path, browser: Browser) -> None:
    """D11: after a label the next answer has the focus; no mouse, and no script of ours."""
    async with at_work(browser, labelled(tmp_path)) as person:
        for number in (1, 2):
            doubted(person.place, number)
        await person.sign_in(person.place.key("eve"), "/relabel/intent")
        await person.write("label-1", "lost")
        await person.type("comment-1", "it says so", Keys.ENTER)
        assert "Labelled lost_card." in await person.text()
        assert await browser.run("return document.activeElement.id") == "label-1"
        active = browser.driver.switch_to.active_element
        active.send_keys("pin")
        await person.type("comment-1", Keys.ENTER)
        assert "Nothing waits." in await person.text()


@contextmanager
def looking(browser: Browser, scheme: str) -> Iterator[None]:
    """On a phone, in the light or in the dark."""
    driver = browser.driver
    feature = {"name": "prefers-color-scheme", "value": scheme}
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@asynchronous
async def test_everybody_can_use_them(tmp_path: Path, browser: Browser, scheme: str) -> None:
    """No rule of WCAG 2.2 AA that axe can check is broken, and 360 pixels are enough."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    project = await asyncio.to_thread(trained, tmp_path)
    async with at_work(browser, project) as person:
        doubted(person.place, comment=SCRIPT, correction="card")
        with looking(browser, scheme):
            await person.open("/sign-in")
            await check(browser, axe, "/sign-in")
            await person.sign_in(person.place.key("ana"))
            await person.decide("Approve", "read it")
            await check(browser, axe, "done")
            await person.decide("Approve", "read it twice")
            await check(browser, axe, "refused")
            assert len(browser.complaints()) == 1
            for path in (
                "approvals",
                "versions",
                "versions/intent@1",
                "relabel",
                "relabel/intent",
                "judge",
                "judge/intent",
            ):
                await person.open(f"/{path}")
                await check(browser, axe, path)


async def check(browser: Browser, axe: str, name: str) -> None:
    await browser.run("document.querySelectorAll('details').forEach(it => it.open = true)")
    await browser.run(axe)
    found = await browser.run("return axe.run(document)")
    faults = [
        (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]
    ]
    assert faults == [], (name, json.dumps(faults, indent=1))
    wide = await browser.run("return document.documentElement.scrollWidth")
    assert wide <= 360, name
