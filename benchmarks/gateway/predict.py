"""A gateway with a model that costs nothing, as a process: what is left is the gateway's own.

    python -m benchmarks.gateway.predict FOLDER PORT

On a SQLite store it routes 10 % to a candidate, with everything that goes on beside the answers:
spool, store, polling, heartbeats.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import Epoch, Version
from greenlight.core.states import VersionStatus
from greenlight.entrypoints.gateway import serve
from greenlight.ports import Prediction
from greenlight.serving.app import Gateway

TASK = "intent"
LABEL = "card_arrival"
DIGESTS = tuple(f"sha256:{digit * 64}" for digit in "12")


class Constant:
    """A model that costs nothing."""

    open_since: int | None = None

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        """One label for everything."""
        return [Prediction(LABEL, 0.9, False) for _ in texts]

    async def close(self) -> None:
        """Nothing to release."""


def gateway(folder: Path, port: int) -> None:
    """Serve until SIGTERM."""
    store = SqlStore(f"sqlite:///{folder}/store.db")
    versions = [
        Version(
            digest=digest,
            task=TASK,
            label=f"v{number}",
            bundle="",
            runtime={},
            lineage={},
            initiator="benchmark",
            status=VersionStatus.LIVE,
            at=0,
        )
        for number, digest in enumerate(DIGESTS, start=1)
    ]
    epoch = Epoch(
        task=TASK,
        number=1,
        follows=0,
        rollout="r",
        control=DIGESTS[0],
        candidate=DIGESTS[1],
        weight=0.1,
        salt="5a" * 16,
        decision="d",
        at=0,
    )
    store.commit(append=[*versions, epoch])
    app = Gateway(
        records=store,
        events=store,
        authorise=lambda digest, variant: None,
        open_runtime=lambda version: Constant(),
        clock=SystemClock(),
        random=os.urandom,
        spool_folder=folder / "spool",
        replica="benchmark",
        config_digest="sha256:benchmark",
    )
    serve(app, "127.0.0.1", port)
    store.close()


if __name__ == "__main__":
    gateway(Path(sys.argv[1]), int(sys.argv[2]))
