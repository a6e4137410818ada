"""`greenlight drill` as a user runs it, from a clean store: real processes, real HTTP (O6)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from greenlight import artifacts, config, wiring
from greenlight.core.records import Rollout, Version
from greenlight.entrypoints.cli import main
from greenlight.lookup import everything

CALL = (sys.executable, "-m", "greenlight.entrypoints.cli")


def drill(folder: Path, *words: str, **environ: str) -> Any:
    """What a drill comes to; it must pass."""
    environment = {k: v for k, v in os.environ.items() if k != "GREENLIGHT_PERSON_KEY"}
    done = subprocess.run(
        [*CALL, "-C", str(folder), "drill", "desk", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=170,
        env=environment | environ,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


@pytest.mark.timeout(180)
def test_a_fault_is_rolled_back_and_filed(tmp_path: Path) -> None:
    """O3, O6: trained, approved, put before users, found out, gone; the evidence is on file.

    A variable names the real installation's store, which the drill's own must not touch. There is
    no browser on this path, which takes no picture.
    """
    assert CliRunner().invoke(main, ["-C", str(tmp_path), "init"]).exit_code == 0
    store = tmp_path / "elsewhere" / "greenlight.db"
    given = {"GREENLIGHT_STORE_URL": f"sqlite:///{store}"}
    found = drill(
        tmp_path,
        *("--fault", "errors", "--intensity", "0.5", "--rate", "80"),
        **given,
        GREENLIGHT_CONTROLLER_INTERVAL="200ms",
        PATH=str(tmp_path),
    )
    assert (found["passed"], found["code"], found["trigger"]) == (True, "errors", "evidence")
    assert found["user_errors"] == found["traffic"]["failed"] == 0
    assert 0 < found["detection_s"] <= found["whole_s"] <= found["within_s"] == 120
    assert 0 <= found["propagation_ms"] < 5000
    assert found["requests"] >= found["units"] > 0 < found["failed_calls"]
    assert found["shortened_s"]["feedback_window"] == 5

    evidence = tmp_path / found["folder"]
    assert found["evidence"] == artifacts.file_digest(evidence / artifacts.MANIFEST)
    artifacts.unseal(evidence)
    written = json.loads((evidence / "evidence.json").read_text(encoding="utf-8"))
    assert written["drill"]["drill"] == found["drill"]
    assert "rollback" in (evidence / "log.txt").read_text(encoding="utf-8")

    assert not any((store.parent / "drills").iterdir()), "what a drill that passed needed is gone"
    with wiring.open_app(config.load(tmp_path / config.FILE, given)) as app:
        assert wiring.drills(app, "desk", 2) == [found]
        assert not list(everything(app.store, Version))
        assert not list(everything(app.store, Rollout))
        audited = wiring.verify_ledger(
            app, heads=None, keys=(), folders=False, progress=lambda *_: None
        )
        assert audited.report.ok
