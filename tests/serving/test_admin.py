"""`/api`: runs and relabelling over HTTP, for this machine only; the pipeline in /metrics (T5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight.core.errors import NotFound, Refused, StoreError
from greenlight.serving.admin import Admin, Labelled
from greenlight.serving.app import Gateway
from tests.serving.harness import QUICK, Client, World, asynchronous, serving

RUN = {
    "id": "intent#7",
    "task": "intent",
    "status": "running",
    "at": 2_000_000,
    "ended_at": None,
    "progress": {"stage": "train", "share": 0.25, "memory": 5, "peak_memory": 9},
    "stages": [
        {
            "name": "curate",
            "started_at": 1_000_000,
            "at": 1_500_000,
            "reused": None,
            "report": {"counts": {"train": 80, "test": 20}},
        },
        {
            "name": "evaluate",
            "started_at": 1_000_000,
            "at": 1_250_000,
            "reused": "intent#6",
            "report": {"cache": {"hits": 3, "misses": 1}},
        },
    ],
}


class Office:
    """Answers `/api` and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.down = False

    def runs(self, task: str | None, limit: int) -> list[dict[str, Any]]:
        self.asked.append(("runs", task, limit))
        return [RUN]

    def run(self, name: str) -> dict[str, Any]:
        if name != RUN["id"]:
            raise NotFound(f"run {name!r}: no such id")
        return RUN

    def abort(self, name: str) -> dict[str, Any]:
        self.asked.append(("abort", name))
        raise Refused("it has ended")

    def queue(self, task: str, limit: int) -> list[dict[str, Any]]:
        self.asked.append(("queue", task, limit))
        return []

    def label(self, task: str, given: Labelled) -> dict[str, Any]:
        self.asked.append(("label", task, given))
        return {"id": "f1"}

    def newest(self) -> list[dict[str, Any]]:
        if self.down:
            raise StoreError("away")
        return [RUN]


@pytest.fixture
def office() -> Office:
    return Office()


def gateway(folder: Path, office: Office) -> Gateway:
    world = World(folder)
    world.epoch(1)
    admin = Admin(
        runs=office.runs,
        run=office.run,
        abort=office.abort,
        queue=office.queue,
        label=office.label,
    )
    return Gateway(
        records=world.store,
        events=world.store,
        authorise=world.authorise,
        open_runtime=world.open_runtime,
        clock=world.clock,
        random=world.random,
        spool_folder=folder,
        replica="gateway-1",
        config_digest="sha256:config",
        settings=QUICK,
        admin=admin,
        pipeline=office.newest,
    )


JSON = {"content-type": "application/json"}


@asynchronous
async def test_questions_and_orders(tmp_path: Path, office: Office) -> None:
    async with serving(gateway(tmp_path, office)) as client:
        status, text = await client.get("/api/runs?task=intent&limit=3")
        assert (status, office.asked.pop()) == (200, ("runs", "intent", 3))
        assert '"intent#7"' in text
        assert (await client.get("/api/runs/intent%237"))[0] == 200
        status, text = await client.get("/api/runs/intent%238")
        assert status == 404 and "no such id" in text
        status, answer, _ = await client.post("/api/runs/intent%237/abort", {}, JSON)
        assert (status, answer["error"]["code"]) == (409, "refused")
        assert (await client.get("/api/tasks/intent/relabel"))[0] == 200
        assert office.asked.pop() == ("queue", "intent", 50)
        body = {"inference_id": "i1", "label": "card", "reviewer": "ana"}
        status, answer, _ = await client.post("/api/tasks/intent/relabel", body, JSON)
        assert (status, answer) == (200, {"id": "f1"})
        assert office.asked.pop() == ("label", "intent", Labelled("i1", "card", "ana"))


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/api/else", 404, "GET /api/runs"),
        ("POST", "/api/runs", 405, "use GET"),
        ("GET", "/api/runs/intent%237/abort", 405, "use POST"),
        ("GET", "/api/runs?limit=0", 400, "from 1 to 500"),
        ("GET", "/api/runs?limit=many", 400, "from 1 to 500"),
        ("GET", "/api/runs?limit=" + 4301 * "9", 400, "from 1 to 500"),
        ("POST", "/api/tasks/intent/relabel", 400, "missing required field `inference_id`"),
    ],
)
def test_malformed(
    tmp_path: Path, office: Office, method: str, path: str, status: int, message: str
) -> None:
    @asynchronous
    async def ask() -> None:
        async with serving(gateway(tmp_path, office)) as client:
            call = client.session.request(method, path, data=b"{}", headers=JSON)
            async with call as response:
                assert response.status == status
                assert message in await response.text()

    ask()


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example"},
        {"host": "["},
        {"x-forwarded-for": "10.0.0.1"},
        {"forwarded": "for=10.0.0.1"},
        {"x-real-ip": "10.0.0.1"},
    ],
)
def test_only_from_this_machine(tmp_path: Path, office: Office, headers: dict[str, str]) -> None:
    """A proxy's client, or a page whose name was pointed at this machine."""

    @asynchronous
    async def ask() -> None:
        async with (
            serving(gateway(tmp_path, office)) as client,
            client.session.get("/api/runs", headers=headers) as response,
        ):
            assert response.status == 403
            assert "only on this machine" in await response.text()
        assert office.asked == []

    ask()


@asynchronous
async def test_another_site_cannot_send_orders(tmp_path: Path, office: Office) -> None:
    """What a form of a foreign page may send without asking is no order."""
    async with serving(gateway(tmp_path, office)) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            status, answer, _ = await client.post(
                "/api/runs/intent%237/abort", {}, {"content-type": kind}
            )
            assert (status, answer["error"]["param"]) == (400, "content-type")
        assert office.asked == []


@asynchronous
async def test_the_pipeline_in_metrics(tmp_path: Path, office: Office) -> None:
    """T5: and metrics go on while the store is away."""
    async with serving(gateway(tmp_path, office)) as client:
        _, text = await client.get("/metrics")
        lines = [line for line in text.splitlines() if line.startswith("greenlight_pipeline_")]
        assert lines == [
            'greenlight_pipeline_run_status{status="running",task="intent"} 1.0',
            'greenlight_pipeline_run_began_timestamp_seconds{task="intent"} 2.0',
            'greenlight_pipeline_stage_share{stage="train",task="intent"} 0.25',
            'greenlight_pipeline_stage_duration_seconds{stage="curate",task="intent"} 0.5',
            'greenlight_pipeline_stage_duration_seconds{stage="evaluate",task="intent"} 0.25',
            'greenlight_pipeline_stage_taken_over{stage="curate",task="intent"} 0.0',
            'greenlight_pipeline_stage_taken_over{stage="evaluate",task="intent"} 1.0',
            'greenlight_pipeline_rows{split="train",task="intent"} 80.0',
            'greenlight_pipeline_rows{split="test",task="intent"} 20.0',
            'greenlight_pipeline_memory_bytes{task="intent"} 5.0',
            'greenlight_pipeline_peak_memory_bytes{task="intent"} 9.0',
            'greenlight_pipeline_cache_hit_ratio{task="intent"} 0.75',
        ]
        office.down = True
        status, text = await client.get("/metrics")
        assert status == 200
        assert "greenlight_requests" in text and "greenlight_pipeline_" not in text


@asynchronous
async def test_without_an_admin_there_is_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.epoch(1)
    async with serving(world.gateway()) as client:
        assert isinstance(client, Client)
        assert (await client.get("/api/runs"))[0] == 404
