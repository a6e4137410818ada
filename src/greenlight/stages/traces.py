"""Traces: where rows that are to be erased stand outside the store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from greenlight.artifacts import MANIFEST
from greenlight.core import ids
from greenlight.core.records import SECOND, Replica, Run, StageResult, Version
from greenlight.core.retention import Order
from greenlight.core.states import RunStatus
from greenlight.lookup import ancestry, everything
from greenlight.ports import Blobs, Progress, Records

ALIVE = 10 * SECOND
"""A gateway that was heard within this time is running."""

_BLOCK = 1 << 20
_MILLISECOND = 1000
_PRODUCTION = b'"inference":"'
"""Stands in every row that came from an answer, and in no text: there the quotes are escaped."""
_ANSWER = re.compile(_PRODUCTION + rb'([^"]*)"')


def waiting(records: Records, order: Order, spool: Path, now: int) -> list[str]:
    """What must reach the store first, or it would come back after the purge; one line each."""
    found = [
        f"gateway {replica.id} has not stored everything that it received; is the store busy?"
        for replica in everything(records, Replica)
        if replica.at > now - ALIVE and replica.flushed_through < order.before - 1
    ]
    for path in sorted(spool.glob("*.jsonl")) if spool.is_dir() else ():
        if _lines_left(path, order):
            found.append(
                f"{path} holds what is not in the store; start a gateway there and it is stored "
                "(what no gateway can read lies in rejected.jsonl: look at it and remove it)"
            )
    return found


def silent(records: Records, order: Order, now: int) -> list[str]:
    """Gateways that fell silent before they had said that all they received is stored."""
    return [
        replica.id
        for replica in everything(records, Replica)
        if 0 < replica.at <= now - ALIVE and replica.flushed_through < order.before - 1
    ]


def files(place: Path, order: Order) -> list[Path]:
    """Files below a folder in which a row of the unit stands."""
    needles = _needles(order)
    there = sorted(place.rglob("*"))
    return [path for path in there if path.is_file() and _holds(path, needles)]


def rehearsals(place: Path, order: Order) -> list[Path]:
    """Installations of drills, below a folder, with a copy of rows that are to be erased."""
    there = sorted(place.iterdir()) if place.is_dir() else []
    return [folder for folder in there if _copies(folder, order)]


def _copies(folder: Path, order: Order) -> bool:
    try:
        if order.unit is not None:
            return bool(files(folder, order))
        # Where no manifest says whose rows they are, the copy was broken off, or is being made.
        return any(
            _task_of(path.parent) in (order.task, None) and _holds_older(path, order.before)
            for path in sorted(folder.rglob("*.jsonl"))
        )
    except FileNotFoundError:
        return folder.exists()  # a drill is at work in it, or has just cleared it away


def under_way(records: Records, task: str) -> list[Run]:
    """The runs of a task that have not ended, whether somebody carries them out or not."""
    runs = everything(records, Run, {"task": task})
    return [run for run in runs if run.status in (RunStatus.RUNNING, RunStatus.ABORTING)]


def datasets(
    records: Records, shelves: Sequence[Blobs], order: Order, progress: Progress
) -> tuple[list[str], list[str]]:
    """The datasets that go, and those that would but are needed by a run under way."""
    needed = _needed(records, order.task)
    going: set[str] = set()
    staying: set[str] = set()
    for shelf in shelves:
        there = shelf.digests()
        for number, digest in enumerate(there):
            progress(number / len(there), "looking through datasets")
            if _is_meant(Path(shelf.path(digest)), order):
                (staying if digest in needed else going).add(digest)
    return sorted(going), sorted(staying)


def _is_meant(folder: Path, order: Order) -> bool:
    if order.unit is not None:
        needles = _needles(order)
        return any(_holds(path, needles) for path in sorted(folder.glob("*.jsonl")))
    if _task_of(folder) != order.task:
        return False
    return any(_holds_older(path, order.before) for path in sorted(folder.glob("*.jsonl")))


def _needles(order: Order) -> list[bytes]:
    """What stands in a row of the unit: its pseudonym, or the answer's own id where the unit was
    made up for one request."""
    assert order.unit is not None
    name = msgspec.json.encode(order.unit)
    return [str(order.pseudonym).encode(), _PRODUCTION[:-1] + name]


def _task_of(folder: Path) -> object:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return manifest.get("task") if isinstance(manifest, dict) else None


def _needed(records: Records, task: str) -> set[str]:
    """Datasets that runs under way have made or stand on."""
    made = {
        digest
        for run in under_way(records, task)
        for result in everything(records, StageResult, {"run": run.id})
        for digest in result.output.values()
    }
    return made | {dataset.digest for digest in made for dataset in ancestry(records, digest)}


def trained_on(records: Records, folders: Sequence[str]) -> list[str]:
    """Labels of the versions that learnt from any of these datasets."""
    erased = set(folders)
    return sorted(
        version.label
        for version in everything(records, Version)
        if any(
            dataset.digest in erased
            for dataset in ancestry(records, str(version.lineage.get("dataset", "")))
        )
    )


def _holds(path: Path, needles: Sequence[bytes]) -> bool:
    """Whether any of these bytes stand in a file; reads it in blocks."""
    overlap = max(map(len, needles)) - 1
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block = rest + block
            if any(needle in block for needle in needles):
                return True
            rest = block[-overlap:]
    return False


def _holds_older(path: Path, before: int) -> bool:
    """Whether a row of an answer from before then stands in a file: its id tells, to the
    millisecond."""
    least = ids.floor(before + _MILLISECOND - 1).encode()
    with path.open("rb") as file:
        return any(id < least for line in file for id in _ANSWER.findall(line))


def _lines_left(path: Path, order: Order) -> bool:
    """Whether a file of the spool holds an event that is meant, or an unreadable line that names
    the unit."""
    name = None if order.unit is None else msgspec.json.encode(order.unit)
    try:
        with path.open("rb") as file:
            return any(_is_left(line, order) for line in file if name is None or name in line)
    except FileNotFoundError:  # stored and removed just now
        return False


def _is_left(line: bytes, order: Order) -> bool:
    try:
        said = msgspec.json.decode(line)
        if "feedback" in said:
            return False
        event = said["shadow"] if "shadow" in said else said["inference"]
        meant = event["task"] == order.task and event["at"] < order.before
        return bool(meant and order.unit in (None, event["unit"]))
    except (msgspec.DecodeError, LookupError, TypeError):
        return order.unit is not None


def naming(place: Path, unit: str) -> list[Path]:
    """Files below a folder, or the file itself, in which a unit's name stands, as such or in
    JSON."""
    needles = [unit.encode(), msgspec.json.encode(unit)[1:-1]]
    there = [place, *sorted(place.rglob("*"))]
    return [path for path in there if path.is_file() and _holds(path, needles)]
