"""The page of an evidence folder in a real browser: on a phone, in the dark, for everybody (O3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight.reporting.incident import folder
from tests.browser.conftest import Browser
from tests.browser.test_pages import DESK, PHONE, axe, look, screen, violations
from tests.reporting.rolled_back import rolled_back
from tests.serving.harness import asynchronous

pytestmark = [pytest.mark.needs("browser"), pytest.mark.timeout(300)]

__all__ = ["axe", "screen"]


@asynchronous
async def test_it_can_be_read_by_everybody(screen: Browser, axe: str, tmp_path: Path) -> None:
    """Contrast, names, order and focus, by axe-core; and it is no wider than its screen."""
    folder.write(tmp_path, rolled_back().found, [("page.html", "the page of the rollout")])
    for width, scheme in ((DESK, "dark"), (PHONE, "light")):
        look(screen, width, scheme)
        await screen.open((tmp_path / "index.html").as_uri())
        assert await violations(screen, axe) == [], (width, scheme)
        wide = "return document.documentElement.scrollWidth - innerWidth"
        assert await screen.run(wide) <= 0, f"wider than {width}"
        asked = "return performance.getEntriesByType('resource').length"
        assert await screen.run(asked) == 0, "nothing is fetched"
