"""What is filed of a drill: evidence, its place in the incident, and an entry on the ledger."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts, wiring
from greenlight.core.incidents import Incident
from greenlight.core.records import Rollout
from greenlight.entrypoints.drill.options import Held, body, lines
from greenlight.entrypoints.showing import Stage
from greenlight.ports import Progress
from greenlight.wiring.filing import FOLDER

EVIDENCE = Path(FOLDER, "drills")
"""Beside greenlight.toml; a folder for each drill in an installation of its own."""
FOLLOWED_WITHIN_S = 120.0
"""How long the controller may take for what follows a rollback before the rest is filed without."""
_PAUSE_S = 0.2


def file(
    real: wiring.App, app: wiring.App, rollout: Rollout, held: Held, stage: Stage
) -> dict[str, Any]:
    """File a drill.

    Args:
        real: the installation that it is held for, whose ledger tells of it.
        app: the installation that it was held in, where a controller still runs.
        rollout: of the drill.
        held: what came of it.
        stage: says what is waited for.

    Returns:
        What is on the ledger.
    """
    record = {**body(held), "at": real.clock.now()}
    # First, so that the controller finds it when it comes to write its evidence.
    wiring.add_to_incident(app, rollout, record)
    with stage.progress("what follows a rollback") as progress:
        _await_aftermath(app, rollout, progress)
    place = _evidence(real, app, rollout, held, record)
    record["evidence"] = artifacts.file_digest(place / artifacts.MANIFEST)
    record["folder"] = place.relative_to(real.settings.root).as_posix()
    wiring.file_drill(real, record)
    return record


def _await_aftermath(app: wiring.App, rollout: Rollout, progress: Progress) -> None:
    """Let the controller go through its steps, the last of which keeps its log."""
    began = time.monotonic()
    while (taken := time.monotonic() - began) < FOLLOWED_WITHIN_S:
        incident = app.store.get(Incident, rollout.id)
        if incident is None or incident.closed_at is not None:
            return
        progress(taken / FOLLOWED_WITHIN_S, ", ".join(incident.steps) or "gateways")
        time.sleep(_PAUSE_S)


def _evidence(
    real: wiring.App, app: wiring.App, rollout: Rollout, held: Held, record: dict[str, Any]
) -> Path:
    """The folder that the controller wrote, which alone has its log; anew where it was written
    before the drill was measured, or not at all."""
    place = Path(app.settings.root, FOLDER, rollout.id)
    if not held.live:
        written, place = place, Path(real.settings.root, EVIDENCE, held.id)
        if written.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(written, place)
    if not _tells_of(place, held):
        wiring.write_evidence(app, rollout, place, drill=record)
    return place


def _tells_of(place: Path, held: Held) -> bool:
    """Whether what the drill measured is in a folder of evidence."""
    try:
        found = msgspec.json.decode((place / "evidence.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return (found.get("drill") or {}).get("drill") == held.id


def show(record: dict[str, Any], stage: Stage) -> None:
    """Say what a drill came to."""
    word = "passed" if record["passed"] else "FAILED"
    stage.headline(f"the drill {word}: {record['why']}")
    stage.facts([*lines(record), ("evidence", record["folder"])])
