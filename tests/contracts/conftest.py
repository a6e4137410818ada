"""The stores that every test of the contract runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.ports import Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    made: Store = (
        MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path}/store.db")
    )
    yield made
    made.close()
