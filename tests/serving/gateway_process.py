"""A gateway on a SQLite store with one trivial model, as a process to be killed.

python -m tests.serving.gateway_process FOLDER LINGER_MS
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import MILLISECOND
from greenlight.entrypoints.gateway import serve
from greenlight.ports import Prediction
from greenlight.serving.app import Gateway
from greenlight.serving.settings import Settings, SpoolSettings


class Constant:
    """Answers everything with one label."""

    open_since: int | None = None

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        return [Prediction("card_arrival", 0.9, False) for _ in texts]

    async def close(self) -> None:
        """Nothing to release."""


def main(folder: Path, linger: int) -> None:
    store = SqlStore(f"sqlite:///{folder}/store.db")
    gateway = Gateway(
        records=store,
        events=store,
        authorise=lambda digest, variant: None,
        open_runtime=lambda version: Constant(),
        clock=SystemClock(),
        random=os.urandom,
        spool_folder=folder / "spool",
        replica="gateway-1",
        config_digest="sha256:config",
        settings=Settings(spool=SpoolSettings(linger=linger)),
    )
    serve(gateway, "127.0.0.1", 0)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) * MILLISECOND)
