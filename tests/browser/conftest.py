"""A real browser without a screen, for tests of what pages do."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
)
PATIENCE_S = 20
"""For a page to load, and for a script to come to its end."""


class Browser:
    """The one window of the browser, for one test."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    async def open(self, url: str) -> None:
        """Go to a page, and return once it has loaded."""
        await asyncio.to_thread(self.driver.get, url)

    async def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns in the page; if that is a promise, what it is kept with."""
        return await asyncio.to_thread(self.driver.execute_script, script, *arguments)

    def complaints(self) -> list[str]:
        """Errors and warnings on the console since the last look."""
        said = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in said if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own; starting one takes a second, so tests share it."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        made.set_page_load_timeout(PATIENCE_S)
        made.set_script_timeout(PATIENCE_S)
        yield made
    finally:
        made.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Iterator[Browser]:
    """The browser, for a test that ends on an empty page and with nothing on the console but what
    it has looked at."""
    made = Browser(driver)
    yield made
    driver.get("about:blank")
    assert made.complaints() == []
