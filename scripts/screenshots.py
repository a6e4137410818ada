"""`make screenshots`: pictures of the pages, as a browser without a screen draws them.

A small shop (`scripts.shop`) lives through its history, a gateway shows it, and what the browser
sees is written to docs/images/page-*.png.
"""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import uvicorn
from PIL import Image
from selenium import webdriver

from greenlight import wiring
from greenlight.core.records import Rollout
from greenlight.testing.world import Quality
from scripts.shop import Shop, opened

OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
COLOURS = 256
"""Of a picture: enough for a page, and a fraction of its bytes."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
DESK, PHONE = (1240, 1.5), (390, 2.0)
"""Width in CSS pixels, and pixels of the picture for each of them."""


class Picture(NamedTuple):
    """What to draw: a page, from its top down to a height (0: all of it)."""

    name: str
    path: str
    size: tuple[int, float] = DESK
    dark: bool = False
    height: int = 0


class History(NamedTuple):
    """A shop that has lived, and what there is to see."""

    shop: Shop
    running: Rollout
    lost: Rollout


def live_through(shop: Shop) -> History:
    """v1 is live, v2 earns its traffic, v3 loses it, v4 is on its way, v5 waits for a signature."""
    shop.open(Quality(good=0.80, latency_ms=21))
    shop.finish(shop.start(shop.approved(Quality(good=0.88, latency_ms=24))))
    shop.live(4)
    lost = shop.finish(shop.start(shop.approved(Quality(good=0.35, error=0.002, latency_ms=30))))
    shop.live(4)
    fourth, fifth = shop.approved(Quality(good=0.91, latency_ms=23)), shop.make(Quality(good=0.9))
    shop.sign(fifth, "ana", "fewer confusions between the two refunds")
    running = shop.start(fourth)
    shop.live(41)
    return History(shop, running, lost)


def pictures(told: History) -> Sequence[Picture]:
    """Every picture; another page is another line."""
    running, lost = f"/rollouts/{told.running.id}", f"/rollouts/{told.lost.id}"
    return (
        Picture("overview", "/"),
        Picture("rollout", running, height=1500),
        Picture("rollout-dark", lost, dark=True, height=1150),
        Picture("rollout-phone", running, size=PHONE, height=1500),
        Picture("approvals", "/approvals"),
        Picture("version", "/versions/intent@4", height=1100),
    )


@asynccontextmanager
async def serving(app: wiring.App) -> AsyncIterator[str]:
    """The address at which a gateway shows the pages meanwhile."""
    gateway = wiring.build_gateway(app, replica="gateway-1", pages=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(gateway, log_level="warning", ws="none"))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                await asyncio.sleep(0.05)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            gateway.leave()
            server.should_exit = True
            await running


def draw(driver: webdriver.Chrome, url: str, picture: Picture) -> bytes:
    """The picture as a PNG file's content."""
    width, scale = picture.size
    device = {"width": width, "height": 900, "deviceScaleFactor": scale, "mobile": width < 500}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if picture.dark else "light"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(url + picture.path)
    whole = driver.execute_script(
        "return document.querySelector('footer').getBoundingClientRect().bottom"
    )
    clip = {"x": 0, "y": 0, "width": width, "height": picture.height or whole, "scale": 1}
    taken = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
    )
    image = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    file = io.BytesIO()
    image.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


async def main() -> None:
    """Draw all of them."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "shop") as shop:
        told = await asyncio.to_thread(live_through, shop)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            async with serving(shop.app) as url:
                for picture in pictures(told):
                    drawn = await asyncio.to_thread(draw, driver, url, picture)
                    path = OUT / f"page-{picture.name}.png"
                    path.write_bytes(drawn)
                    print(f"{path.relative_to(OUT.parents[1])}: {len(drawn) // 1000} kB")
        finally:
            driver.quit()


if __name__ == "__main__":
    asyncio.run(main())
