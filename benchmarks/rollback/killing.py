"""The kill switch while the store is away: how soon every gateway process obeys it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.rollback import runs
from benchmarks.rollback.house import CLI, GATEWAYS, WORKERS, House, seconds, seen_between
from benchmarks.rollback.measures import violations
from greenlight.core.errors import GreenlightError
from greenlight.core.records import MILLISECOND, SECOND, Version
from greenlight.testing.outages import file_away, locked

BEFORE_S, AFTER_S = 5.0, 3.0
"""How long the candidate has users before the word, and how long the store is away after it."""
_LINE = re.compile(
    r"^(\S+ \S+),(\d{3}) .*kill switch: (\S+) is killed .*\(generation (\d+)\)", re.M
)


OUTAGES: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "its file is moved away": file_away,
    "its file is locked": locked,
}
"""What is wrong with the store → makes it so."""


def kill(house: House, candidate: Version, outage: str, book: Path) -> dict[str, Any]:
    """One candidate that a person takes out of traffic while the store is away."""
    clock, task = house.app.clock, candidate.task
    rollout = house.start(candidate)
    house.rest(BEFORE_S)
    with OUTAGES[outage](house.app.settings.store_path):
        ordered_at = clock.now()
        word = _command(house, "kill", task, "-m", "it must go", "--json")
        done_at = clock.now()
        word_at = house.app.settings.kill_path.stat().st_mtime_ns // 1000

        def all_obey() -> list[int]:
            logs = "\n".join(house.log(name) for name in GATEWAYS)
            return obeyed(logs, task, json.loads(word)["generation"])

        house.until(lambda: len(all_obey()) == len(GATEWAYS) * WORKERS)
        last = all_obey()
        house.rest(AFTER_S)
    back_at = clock.now()
    house.until(lambda: runs.ended(house, rollout))
    on_record_at = clock.now()
    ending = runs.wait_for_end(house, rollout, runs.GIVE_UP_S)
    runs.settle(house, ending)
    log = runs.inferences_since(house, task, rollout.at)
    seen = seen_between(book, ordered_at, max(ending.applied.values()) + runs.AFTERWARDS)
    _command(house, "kill", task, "--lift", "-m", "the next one, please")
    return {
        "fault": "kill",
        "outage": outage,
        "command_s": seconds(done_at - ordered_at),
        "word_ms": (word_at - ordered_at) / MILLISECOND,
        "obeyed_ms": [round((at - word_at) / MILLISECOND, 1) for at in last],
        "last_s": seconds(max(last) - ordered_at),
        "away_s": seconds(back_at - ordered_at),
        "on_record_s": seconds(on_record_at - back_at),
        "code": ending.decision.code,
        "requests": sum(one.kind == "predict" for one in seen),
        "errors_seen": sum(one.failed for one in seen if one.kind == "predict"),
        "violations": violations(
            log,
            rollout.candidate,
            ending.epoch,
            {str(number): at for number, at in enumerate(last)},
        ),
    }


def obeyed(log: str, task: str, generation: int) -> list[int]:
    """When each process that wrote a log began to obey a word of the kill switch (µs)."""
    return [
        _moment(at, thousandths)
        for at, thousandths, *word in _LINE.findall(log)
        if word == [task, str(generation)]
    ]


def _moment(at: str, thousandths: str) -> int:
    """A time of a log, which is local, as microseconds since 1970-01-01 UTC."""
    local = datetime.strptime(at, "%Y-%m-%d %H:%M:%S").astimezone()
    return int(local.timestamp()) * SECOND + int(thousandths) * MILLISECOND


def _command(house: House, *words: str) -> str:
    """What a command prints that a person types, with a key of theirs.

    Raises:
        GreenlightError: it failed.
    """
    environ = {**os.environ, "GREENLIGHT_PERSON_KEY": house.secret("ben")}
    command = [sys.executable, "-m", CLI, "--config", str(house.file), *words]
    made = subprocess.run(command, capture_output=True, text=True, env=environ)
    if made.returncode:
        raise GreenlightError(f"greenlight {' '.join(words)}: {made.stderr.strip()}")
    return made.stdout
