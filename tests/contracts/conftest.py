"""The stores that every test of the contract runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.ports import Store
from tests.contracts.receiving import make_certificate


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    made: Store = (
        MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path}/store.db")
    )
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of a server for mail."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "mail.pem")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between a notifier and its receiver."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
