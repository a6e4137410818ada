"""The ledger's head on /metrics."""

from __future__ import annotations

from pathlib import Path

from greenlight.recording import head, record
from tests.serving.harness import World, asynchronous, serving

NAME = "greenlight_ledger_head"


@asynchronous
async def test_the_newest_entry_is_scraped(tmp_path: Path) -> None:
    """G5: exported as a metric, one series at a time; a store that is away has none."""
    world = World(tmp_path)
    async with serving(world.gateway()) as client:

        async def series() -> list[str]:
            status, text = await client.get("/metrics")
            assert status == 200 and "greenlight_spool_pending_bytes" in text
            return [line for line in text.splitlines() if line.startswith(NAME)]

        assert await series() == []
        for seq in (1, 2):
            record(world.store, [("note", {})], now=seq)
            newest = head(world.store)
            assert newest is not None
            assert await series() == [f'{NAME}{{digest="{newest.digest}"}} {seq}.0']
        world.store.down = True
        assert await series() == []
        world.store.down = False
