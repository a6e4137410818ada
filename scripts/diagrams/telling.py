"""How the calls of ports and of the pipeline are told in a diagram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from greenlight.core.answers import Lease
from greenlight.core.records import (
    Approval,
    Decision,
    LedgerEntry,
    Record,
    Rollout,
    Run,
    RunProgress,
    StageResult,
    Version,
)
from scripts.diagrams.tracing import Told, Trace, Watched

STORE = "Store"


def records(of: dict[str, Told] | None = None) -> dict[str, Told]:
    """How a store's calls are told; `of` adds to it or replaces some."""
    return {
        "get": Told(_get, "read", answer=_done),
        "scan": Told(_scan, "read", answer=_done),
        "commit": Told(_commit),
        "lease": Told(_lease, answer=_leased),
        "ingest": Told(_ingest),
        "heartbeat": Told(lambda replica: f"sign of life of {replica.id}"),
        **{
            name: Told(lambda *_, name=name, **__: name.replace("_", " "), "read")
            for name in ("exposures", "first_events", "past", "feedback_on", "summarise")
        },
        **(of or {}),
    }


def _get(kind: type[Record], *key: Any) -> str:
    return f"is {key[-1]} done?" if kind is StageResult else kind.__name__


def _scan(kind: type[Record], where: Any = None, **_: Any) -> str | None:
    """The ledger's head is read before each commit: that goes without saying."""
    if kind is StageResult and where and "inputs" in where:
        return f"any {where['name']} of the same inputs?"
    return None if kind is LedgerEntry else kind.__name__


def _done(found: Any, words: str) -> str | None:
    if not words.endswith("?"):
        return None
    runs = [found] if isinstance(found, StageResult) else found
    return f"yes, by {runs[0].run}" if runs else "no"


def _commit(
    *,
    append: Sequence[Record] = (),
    swap: Sequence[tuple[Record, Record]] = (),
    fence: Lease | None = None,
    now: int | None = None,
) -> str:
    told = dict.fromkeys(
        [_told(record) for record in append if not isinstance(record, LedgerEntry)]
        + [_moved(old, new) for old, new in swap]
    )
    linked = " + ledger" if any(isinstance(record, LedgerEntry) for record in append) else ""
    fenced = f", if token {fence.token} still leads" if fence is not None else ""
    return f"commit {', '.join(told)}{linked}{fenced}"


def _told(record: Record) -> str:
    match record:
        case StageResult():
            over = f", taken over from {record.reused}" if record.reused else ""
            return f"StageResult ({record.name}{over})"
        case Run():
            return f"Run {record.id}"
        case Version():
            return f"Version {record.label}"
        case Approval():
            return f"Approval of {record.person}"
        case Decision():
            return f"Decision {record.action}"
        case _:
            return type(record).__name__


def _moved(old: Any, new: Any) -> str:
    match new:
        case Run() | Rollout() if old.status != new.status:
            return f"{type(new).__name__} is {new.status}"
        case Version():
            return f"{new.label} is {new.status}"
        case RunProgress():
            return "RunProgress"
        case _:
            return f"{type(new).__name__} anew"


def _lease(name: str, holder: str, now: int, ttl: int) -> str:
    return f"lease {name}" if ttl else f"give back the lease {name}"


def _leased(lease: Lease | None, words: str) -> str | None:
    if words.startswith("give"):
        return None
    return "somebody else has it" if lease is None else f"token {lease.token}"


def _ingest(
    inferences: Sequence[Any], feedback: Sequence[Any], shadows: Sequence[Any] = ()
) -> str | None:
    parts = [(len(inferences), "Inference"), (len(feedback), "Feedback"), (len(shadows), "Shadow")]
    told = [name for count, name in parts if count]
    return f"ingest {', '.join(told)}" if told else None


def folder(name: str) -> dict[str, Told]:
    """How the calls of a shelf of sealed folders are told."""
    return {
        "add": Told(lambda _: f"seal a folder: {name}", answer=lambda *_: "its digest"),
        "path": Told(lambda _: name, "read"),
    }


def trainer() -> dict[str, Told]:
    """How a trainer's calls are told."""

    def words(**given: Any) -> str:
        return f"train on {len(given['train'])} rows, calibrate on {len(given['validation'])}"

    return {"train": Told(words, answer=lambda *_: "a bundle, and a report")}


def model() -> dict[str, Told]:
    """How a model's calls are told."""

    def words(texts: Sequence[str], within: float | None = None) -> str:
        return f"predict {len(texts)} text" + "s" * (len(texts) > 1)

    return {"predict": Told(words)}


def source(trace: Trace) -> dict[str, Told]:
    """How a source's rows are told: each chunk is an answer of its own."""

    def chunks(result: Any) -> Any:
        for split, rows in result:
            trace.add("Source", "Stage", f"{split} rows", "answer")
            yield split, rows

    return {"chunks": Told(lambda _: "rows, a chunk at a time", made=chunks)}


def pipeline(watch: Callable[[object, str, dict[str, Told]], Watched]) -> dict[str, Told]:
    """How the calls of a `FineTuningPipeline`, and of the run that it takes in hand, are told."""
    hand = {
        "beat": Told(lambda: "a sign of life"),
        "carry_out": Told(
            lambda _: "carry it out", answer=lambda made, _: f"{made.version.label}, gated"
        ),
        "let_go": Told(lambda: "let go"),
    }
    return {
        "begin": Told(
            lambda task, *_, trigger, **__: f"begin a run of {task} ({trigger})",
            answer=lambda run, _: f"run {run.id}",
        ),
        "take": Told(
            lambda run: f"take {run.id} in hand", made=lambda made: watch(made, "Pipeline", hand)
        ),
    }
