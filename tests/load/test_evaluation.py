"""From a version under load to its sealed evaluation, with nothing in between made up."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from greenlight.entrypoints.processes import free_port
from tests.cli.project import Project
from tests.load.run import main
from tests.serving.test_processes import process


@pytest.mark.needs("locust")
def test_what_locust_measured_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2, S4: a live version behind a gateway, ten seconds of Locust, `eval load`, `eval seal`."""
    project = Project(tmp_path)
    text = project.file.read_text(encoding="utf-8").replace("min = 0.9 ", "min = 0.6 ")
    project.file.write_text(text, encoding="utf-8")
    project.ok("run", "intent")
    for who in ("ana", "ben"):
        project.ok("approve", "intent@1", "-m", "read it", by=who)
    project.ok("rollout", "start", "intent", "intent@1")
    key = project.json("keys", "create", "load", "--scope", "predict", "--scope", "admin")
    monkeypatch.setenv("GREENLIGHT_API_KEY", key["secret"])
    monkeypatch.setenv("GREENLIGHT_GATEWAY_PORT", str(free_port()))
    out = tmp_path / "slo.json"
    command = ("greenlight.entrypoints.cli", "-C", str(tmp_path), "gateway")
    with process(*command) as (_, url):
        pace = ["--rate", "10", "--ramp", "0.03", "--minutes", "0.15"]
        main(["--url", url, *pace, "--out", str(out)])
    measured = json.loads(out.read_bytes())
    project.ok("eval", "run", "intent@1")
    said = project.ok("eval", "load", "intent@1", str(out))
    assert "10 requests/s for 9 s after 1.8 s is a trial" in said
    project.json("eval", "seal", "intent@1")
    path = tmp_path / "artifacts" / "evaluations" / "intent@1" / "eval.json"
    found = msgspec.json.decode(path.read_bytes())["load"]
    assert found["version"] == {"verified": True}
    assert (found["requests"], found["error_rate"]) == (measured["versions"]["intent@1"], 0.0)
    assert found["p95_ms"] == measured["p95_ms"] > 0
    assert (found["met"], found["whole"]) == (measured["met"], False)
