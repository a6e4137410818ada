"""The real gateway's `/api` and /metrics over the real store: runs and relabelling (T5, D11)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from greenlight import config, wiring
from greenlight.core.ids import uuid7
from greenlight.wiring.pipeline import open_pipeline, plan_of
from tests.contracts.making import feedback, inference
from tests.pipeline.killing import CONFIG
from tests.serving.harness import asynchronous, serving

JSON = {"content-type": "application/json"}


@asynchronous
async def test_runs_and_relabelling(tmp_path: Path) -> None:
    path = tmp_path / config.FILE
    path.write_text(CONFIG, encoding="utf-8")
    with wiring.open_app(config.load(path, {})) as app:
        plan = plan_of(app.settings.task("intent"))
        open_pipeline(app).begin("intent", plan, trigger="manual", initiator="ana")
        now = app.clock.now()
        wrong = uuid7(now - 1_000_000, bytes(10))
        asked = inference(wrong, at=now - 1_000_000, rollout=None)
        said = feedback(uuid7(now, bytes(10)), wrong, 0.0, at=now)
        app.store.ingest([asked], [said])
        async with serving(wiring.build_gateway(app, "gateway-1")) as client:
            status, text = await client.get("/api/runs?task=intent")
            (run,) = msgspec.json.decode(text)
            assert (status, run["id"], run["status"]) == (200, "intent#1", "running")
            assert "salt" not in text
            _, metrics = await client.get("/metrics")
            assert 'greenlight_pipeline_run_status{status="running",task="intent"} 1.0' in metrics
            assert (await client.get("/api/runs?task=else"))[0] == 404

            status, text = await client.get("/api/tasks/intent/relabel")
            (waiting,) = msgspec.json.decode(text)
            assert (status, waiting["inference"]) == (200, wrong)
            given = {"inference_id": wrong, "label": "lost_card", "reviewer": "ana"}
            status, answer, _ = await client.post("/api/tasks/intent/relabel", given, JSON)
            assert (status, answer["label"]) == (200, "lost_card")
            assert (await client.get("/api/tasks/intent/relabel"))[1] == "[]"
            nobody = {**given, "reviewer": " "}
            assert (await client.post("/api/tasks/intent/relabel", nobody, JSON))[0] == 400

            status, ended, _ = await client.post("/api/runs/intent%231/abort", {}, JSON)
            assert (status, ended["status"]) == (200, "aborted")
            assert (await client.post("/api/runs/intent%231/abort", {}, JSON))[0] == 409
