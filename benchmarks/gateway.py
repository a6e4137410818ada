"""What the gateway itself costs: CPU and latency per prediction with a model that costs nothing.

    python -m benchmarks.gateway [--requests 20000]

A gateway process on a SQLite store routes 10 % to a candidate; this process asks it over loopback
HTTP. CPU is the gateway's own (`process_cpu_seconds_total`), with everything that goes on beside
the answers: spool, store, polling, heartbeats.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from benchmarks.harness import provenance, save
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import Epoch, Version, VersionStatus
from greenlight.entrypoints.gateway import serve
from greenlight.ports import Prediction
from greenlight.serving.app import Gateway

TEXT = "My card has not arrived yet, and it has been two weeks. Where is it?"
DIGESTS = tuple(f"sha256:{digit * 64}" for digit in "12")


class Constant:
    """A model that costs nothing."""

    open_since: int | None = None

    async def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One label for everything."""
        return [Prediction("card_arrival", 0.9, False) for _ in texts]

    async def close(self) -> None:
        """Nothing to release."""


def gateway(folder: Path) -> None:
    """The gateway process."""
    store = SqlStore(f"sqlite:///{folder}/store.db")
    versions = [
        Version(
            digest=digest,
            task="intent",
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
        task="intent",
        number=1,
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
    serve(app, "127.0.0.1", 0)
    store.close()


async def drive(url: str, requests: int, users: int) -> dict[str, Any]:
    """Send everything, `users` at a time; latencies are the client's, in milliseconds."""
    latency: list[float] = []
    overhead: list[float] = []
    left = iter(range(requests))

    async def user(session: aiohttp.ClientSession) -> None:
        for number in left:
            began = time.perf_counter()
            body = {"input": TEXT, "unit": f"user-{number % 9000}"}
            async with session.post("/v1/tasks/intent/predict", json=body) as response:
                await response.read()
                assert response.status == 200
            latency.append((time.perf_counter() - began) * 1000)
            overhead.append(float(response.headers["x-greenlight-overhead-ms"]))

    async with aiohttp.ClientSession(url) as session:
        before, began = await cpu_seconds(session), time.perf_counter()
        await asyncio.gather(*(user(session) for _ in range(users)))
        taken = time.perf_counter() - began
        spent = await cpu_seconds(session) - before
    return {
        "requests": requests,
        "users": users,
        "requests_per_second": round(requests / taken),
        "cpu_us_per_request": round(spent / requests * 1e6, 1),
        "client_ms": quantiles(latency),
        "overhead_ms": quantiles(overhead),
    }


async def cpu_seconds(session: aiohttp.ClientSession) -> float:
    """What the gateway has used so far."""
    async with session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(x.split()[1]) for x in lines if x.startswith("process_cpu_seconds_total"))


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile."""
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


def main() -> None:
    """Run it."""
    began = provenance()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--gateway", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.gateway is not None:
        gateway(given.gateway)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.gateway", "--gateway", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            asyncio.run(drive(url, 500, 4))
            runs = [asyncio.run(drive(url, given.requests, users)) for users in (1, 16)]
            process.terminate()
    for run in runs:
        print(run)
    save("gateway", began, {"runs": runs})


if __name__ == "__main__":
    main()
