"""Holding a store against what users were told: nothing acknowledged is lost, nothing is there
twice, and no run or stage was done more often than once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from greenlight.core.records import Feedback, Inference, LedgerEntry, Run, StageResult
from greenlight.lookup import everything
from greenlight.ports import Records
from greenlight.stages.loop import STAGES


def acknowledged(book: Path) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """The users' book (see `greenlight.entrypoints.traffic`).

    Returns:
        The ids of answered inferences, and feedback id → (inference, value).
    """
    lines = [json.loads(line) for line in book.read_text(encoding="utf-8").splitlines()]
    said = {
        line["feedback"]: (line["inference"], line["value"]) for line in lines if "feedback" in line
    }
    return [line["inference"] for line in lines if "feedback" not in line], said


def settle(records: Records, book: Path) -> dict[str, int]:
    """How many events were acknowledged and stored, and how many are lost or double.

    `unacknowledged` are stored answers that no user got to see: they were recorded just before the
    gateway was killed, and the user asked again.
    """
    answered, said = acknowledged(book)
    inferences = [inference.id for inference in everything(records, Inference)]
    stored = {
        feedback.id: (feedback.inference_id, "GOOD" if feedback.value == 1.0 else "BAD")
        for feedback in everything(records, Feedback)
    }
    judged = Counter(inference for inference, _ in stored.values())
    return {
        "inferences_acknowledged": len(answered),
        "inferences_lost": len(set(answered) - set(inferences)),
        "inferences_doubled": _repeated(answered) + _repeated(inferences),
        "inferences_unacknowledged": len(set(inferences) - set(answered)),
        "feedback_acknowledged": len(said),
        "feedback_lost": sum(stored.get(id) != what for id, what in said.items()),
        "feedback_doubled": sum(count - 1 for count in judged.values()),
        "feedback_unacknowledged": len(stored.keys() - said.keys()),
    }


def done_twice(records: Records) -> list[str]:
    """What the pipeline did more often than once, or left off: empty if every run finished each of
    its stages once, as records and ledger have it."""
    faults = [f"{run.id} is {run.status}" for run in everything(records, Run) if not _over(run)]
    words = Counter(
        (entry.body["run"], entry.body["name"])
        for entry in everything(records, LedgerEntry, {"kind": "stage"})
    )
    faults += [
        f"{run}: {stage} stands on the ledger {n} times"
        for (run, stage), n in words.items()
        if n != 1
    ]
    for run in everything(records, Run):
        names = [done.name for done in everything(records, StageResult, {"run": run.id})]
        if sorted(names) != sorted(STAGES):
            faults.append(f"{run.id} finished {', '.join(names)}")
    return faults


def _over(run: Run) -> bool:
    return run.status == "finished"


def _repeated(ids: Sequence[str]) -> int:
    return len(ids) - len(set(ids))
