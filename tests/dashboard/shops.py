"""Shops in every state that a page has to show, each told once, and their pages over HTTP."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from greenlight import wiring
from greenlight.core.records import Rollout
from greenlight.lookup import everything
from greenlight.testing.world import Quality
from scripts.shop import Shop, opened
from tests.serving.harness import Client, serving

GOOD, BETTER, BAD = Quality(good=0.8), Quality(good=0.97), Quality(good=0.2)


def empty(shop: Shop) -> None:
    """A project in which nothing has happened."""


def live(shop: Shop) -> None:
    """A first version, and another that waits for one more signature."""
    shop.open(GOOD)
    shop.sign(shop.make(GOOD), "ana")


def running(shop: Shop) -> None:
    """A rollout on its way."""
    shop.open(GOOD)
    shop.start(shop.approved(GOOD))
    shop.live(18)


def begun(shop: Shop) -> None:
    """A rollout that no controller has looked at yet."""
    shop.open(GOOD)
    shop.start(shop.approved(GOOD))


def ended(shop: Shop) -> None:
    """One promotion, then one rollback."""
    shop.open(GOOD)
    shop.finish(shop.start(shop.approved(BETTER)))
    shop.live(2)
    shop.finish(shop.start(shop.approved(BAD)))


def undecided(shop: Shop) -> None:
    """A rollout that came to its horizon."""
    shop.open(GOOD)
    shop.finish(shop.start(shop.approved(GOOD)))


def alike(shop: Shop) -> None:
    """An A/A test of what is live."""
    shop.start(shop.open(GOOD), aa=True)
    shop.live(10)


def shadowed(shop: Shop) -> None:
    """A candidate that gets copies."""
    shop.open(GOOD)
    shop.start(shop.approved(GOOD))
    shop.live(5)


STATES: dict[str, tuple[Callable[[Shop], None], dict[str, str]]] = {
    "empty": (empty, {}),
    "live": (live, {}),
    "begun": (begun, {}),
    "running": (running, {}),
    "ended": (ended, {}),
    "undecided": (undecided, {"horizon": "15s"}),
    "alike": (alike, {}),
    "shadowed": (shadowed, {"shadow": "1m"}),
}


def fresh(state: str, folder: Path, stack: ExitStack) -> Shop:
    """A shop in that state, for a test that changes it."""
    act, options = STATES[state]
    shop = stack.enter_context(opened(folder / "shop", **options))
    act(shop)
    return shop


@functools.cache
def told(state: str) -> Shop:
    """A shop in that state; tests only read it."""
    folder, stack = tempfile.mkdtemp(prefix="greenlight-shop-"), ExitStack()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(stack.close)
    return fresh(state, Path(folder), stack)


def rollouts(shop: Shop) -> list[Rollout]:
    """Every rollout, the oldest first."""
    return sorted(everything(shop.app.store, Rollout), key=lambda rollout: rollout.at)


@asynccontextmanager
async def shown(shop: Shop) -> AsyncIterator[Client]:
    """A gateway with the pages of a shop."""
    gateway = wiring.build_gateway(shop.app, replica="gateway-1", pages=True)
    async with serving(gateway) as client:
        try:
            yield client
        finally:
            gateway.leave()
