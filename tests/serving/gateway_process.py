"""A gateway on a SQLite store with trivial models, as a process to be killed.

python -m tests.serving.gateway_process FOLDER LINGER_MS [PROVIDER]

A version of the task `support` is asked at PROVIDER/LABEL/v1; all others answer with their label.
It obeys FOLDER/kill.json.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from greenlight.adapters.clock import SystemClock
from greenlight.adapters.kill_file import KillFile
from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.records import MILLISECOND, Version
from greenlight.entrypoints.gateway import serve
from greenlight.models.chat import ChatModel
from greenlight.ports import Prediction, Runtime
from greenlight.ports.chat import Chat
from greenlight.serving.app import Gateway
from greenlight.serving.settings import MIB, Settings, SpoolSettings
from tests.core.test_killing import JUDGE


class Constant:
    """Answers everything with one label."""

    open_since: int | None = None

    def __init__(self, label: str) -> None:
        self._label = label

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        return [Prediction(self._label, 0.9, False) for _ in texts]

    async def close(self) -> None:
        """Nothing to release."""


def main(folder: Path, linger: int, provider: str = "") -> None:
    store = SqlStore(f"sqlite:///{folder}/store.db")
    clock = SystemClock()

    def open_runtime(version: Version) -> Runtime | Chat:
        if version.task != "support":
            return Constant(version.label)
        model = ChatModel(model=version.label)
        return OpenAIProxyRuntime(f"{provider}/{version.label}/v1", model, clock=clock)

    gateway = Gateway(
        records=store,
        events=store,
        authorise=lambda digest, variant: None,
        open_runtime=open_runtime,
        clock=clock,
        random=os.urandom,
        spool_folder=folder / "spool",
        replica="gateway-1",
        config_digest="sha256:config",
        # Small segments, so that kills and full disks meet their ends, too.
        settings=Settings(spool=SpoolSettings(linger=linger, segment=MIB // 2)),
        kill_switch=KillFile(folder / "kill.json", JUDGE),
    )
    serve(gateway, "127.0.0.1", 0)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) * MILLISECOND, *sys.argv[3:])
