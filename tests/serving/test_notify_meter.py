"""The channels of notifications on /metrics (M5)."""

from __future__ import annotations

from pathlib import Path

from greenlight.core.errors import StoreError
from greenlight.core.notices import Backlog
from greenlight.serving.notify_meter import NotifyMeter
from tests.serving.harness import World, asynchronous, serving

FOUND = [
    Backlog(channel="new", kind="slack", begun=False),
    Backlog(
        channel="ops",
        kind="webhook",
        begun=True,
        entries=2,
        seconds=12.5,
        attempts=3,
        error="the answer is 503",
        delivered=7,
        given_up=1,
    ),
]


@asynchronous
async def test_every_channel_that_has_begun_is_scraped(tmp_path: Path) -> None:
    world, away = World(tmp_path), False

    def backlogs() -> list[Backlog]:
        if away:
            raise StoreError("away")
        return FOUND

    gateway = world.gateway()
    gateway.meters.show(NotifyMeter(backlogs))
    async with serving(gateway) as client:

        async def series() -> list[str]:
            status, text = await client.get("/metrics")
            assert status == 200 and "greenlight_spool_pending_bytes" in text
            return [line for line in text.splitlines() if line.startswith("greenlight_notify_")]

        assert await series() == [
            'greenlight_notify_behind_seconds{channel="ops"} 12.5',
            'greenlight_notify_attempts{channel="ops"} 3.0',
            'greenlight_notify_delivered_total{channel="ops"} 7.0',
            'greenlight_notify_given_up_total{channel="ops"} 1.0',
        ]
        away = True
        assert await series() == []
