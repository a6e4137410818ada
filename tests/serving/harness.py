"""A gateway over real HTTP in the test's own event loop, with small real models behind it."""

from __future__ import annotations

import asyncio
import functools
import io
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

import aiohttp
import msgspec
import uvicorn
import uvloop

from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.errors import ModelFailed, Refused, StoreError
from greenlight.core.records import MILLISECOND, Epoch, Feedback, Inference, Shadow, Version
from greenlight.core.states import Variant, VersionStatus
from greenlight.ports import Prediction, Runtime
from greenlight.ports.kill_switch import KillSwitch
from greenlight.serving.app import Gateway
from greenlight.serving.routing import Plan
from greenlight.serving.settings import Settings, SpoolSettings

P = ParamSpec("P")
SALT = "5a" * 16
V1, V2, V3 = (f"sha256:{digit * 64}" for digit in "123")
QUICK = Settings(
    poll=10 * MILLISECOND,
    heartbeat=10 * MILLISECOND,
    recheck=20 * MILLISECOND,
    spool=SpoolSettings(linger=MILLISECOND, retry_first=5 * MILLISECOND),
)


def asynchronous(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine, in the event loop that the gateway has."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        uvloop.run(test(*args, **kwargs))

    return run


class Echo:
    """Answers with its own name as the label; raises what it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.closed = False
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.answers = 1
        self.open_since: int | None = None
        self.reason: str | None = None

    async def predict(self, texts: Sequence[str], within: float | None = None) -> list[Prediction]:
        self.calls += 1
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.closed:
            raise ModelFailed("closed under a running request")
        if self.failure is not None:
            raise self.failure
        said = Prediction(self.name, 0.75, False, -1.5, self.reason)
        return [said for _ in texts] * self.answers

    async def close(self) -> None:
        self.closed = True


class Flaky(MemoryStore):
    """A store that can be down."""

    down = False

    def _check(self) -> None:
        if self.down:
            raise StoreError("down")

    def get(self, kind: Any, *key: str | int) -> Any:
        self._check()
        return super().get(kind, *key)

    def scan(self, kind: Any, *args: Any, **options: Any) -> Any:
        self._check()
        return super().scan(kind, *args, **options)

    def ingest(
        self,
        inferences: Sequence[Inference],
        feedback: Sequence[Feedback],
        shadows: Sequence[Shadow] = (),
    ) -> None:
        self._check()
        super().ingest(inferences, feedback, shadows)


class World:
    """A store with versions and epochs, and what a gateway needs beside it."""

    def __init__(self, folder: Path) -> None:
        self.store = Flaky()
        self.clock = SystemClock()
        self.folder = folder
        self.models: dict[str, Any] = {}
        self.unapproved: set[str | tuple[str, Variant]] = set()
        self.opened: list[str] = []
        self.random: Callable[[int], bytes] = random.Random(2025).randbytes
        self.luck: Callable[[], float] = lambda: 0.0
        for digest, label in ((V1, "v1"), (V2, "v2"), (V3, "v3")):
            self.models[digest] = Echo(label)
            version = Version(
                digest=digest,
                task="intent",
                label=label,
                bundle="",
                runtime={"kind": "in_process"},
                lineage={},
                initiator="ana",
                status=VersionStatus.LIVE,
                at=0,
            )
            self.store.commit(append=[version])

    def authorise(self, digest: str, variant: Variant) -> None:
        if digest in self.unapproved or (digest, variant) in self.unapproved:
            raise Refused(f"{digest} is not approved")

    def open_runtime(self, version: Version) -> Runtime:
        self.opened.append(version.label)
        return self.models[version.digest]

    def epoch(
        self,
        number: int,
        control: str = V1,
        candidate: str | None = None,
        weight: float = 0.0,
        task: str = "intent",
        kill: int = 0,
    ) -> None:
        self.store.commit(
            append=[
                Epoch(
                    task=task,
                    number=number,
                    follows=number - 1,
                    rollout="r1" if candidate else None,
                    control=control,
                    candidate=candidate,
                    weight=weight,
                    salt=SALT,
                    decision="d",
                    at=0,
                    kill=kill,
                )
            ]
        )

    def gateway(
        self,
        settings: Settings = QUICK,
        replica: str = "gateway-1",
        plan: Callable[[str], Plan] = lambda task: Plan(),
        kill_switch: KillSwitch | None = None,
    ) -> Gateway:
        return Gateway(
            records=self.store,
            events=self.store,
            authorise=self.authorise,
            open_runtime=self.open_runtime,
            clock=self.clock,
            random=lambda count: self.random(count),
            spool_folder=self.folder,
            replica=replica,
            config_digest="sha256:config",
            settings=settings,
            plan=plan,
            kill_switch=kill_switch,
            luck=lambda: self.luck(),
        )

    def inferences(self) -> dict[str, Inference]:
        return {record.id: record for record in self.store.scan(Inference, limit=100_000)}

    def shadows(self) -> dict[str, Shadow]:
        return {record.id: record for record in self.store.scan(Shadow, limit=100_000)}

    def feedback(self) -> dict[str, Feedback]:
        return {record.id: record for record in self.store.scan(Feedback, limit=100_000)}


class Client:
    """Talks to a gateway and reads JSON."""

    def __init__(self, session: aiohttp.ClientSession, url: str = "") -> None:
        self.session = session
        self.url = url

    async def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        data = io.BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))
        async with self.session.post(path, data=data, headers=headers) as response:
            answer = msgspec.json.decode(await response.read())
            return response.status, answer, dict(response.headers)

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(path) as response:
            return response.status, await response.text()

    async def predict(self, unit: str, text: str = "hello") -> tuple[int, Any, dict[str, str]]:
        return await self.post("/v1/tasks/intent/predict", {"input": text, "unit": unit})

    async def ask(self, unit: str) -> tuple[str, str]:
        """The inference id and the label of one answered prediction."""
        status, answer, _ = await self.predict(unit)
        assert status == 200, answer
        return answer["id"], answer["output"]["label"]


class Server(uvicorn.Server):
    """Stops when told to, not at the next tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stop.wait()


@asynccontextmanager
async def serving(app: Any, within: int = 10) -> AsyncIterator[Client]:
    """Serve an ASGI application on a free port; leaving stops it as SIGTERM would.

    `within`: seconds that it may take to begin.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    server = Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started or task.done(), within)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with aiohttp.ClientSession(url) as session:
            yield Client(session, url)
    finally:
        server.stop.set()
        await task
        listener.close()


async def eventually(condition: Callable[[], Any | Awaitable[Any]], within: int = 10) -> None:
    """Ask again and again until the condition holds; fail if it never does."""
    async with asyncio.timeout(within):
        while True:
            held = condition()
            if await held if isinstance(held, Awaitable) else held:
                return
            await asyncio.sleep(0.002)
