"""Writing records together with their entries on the ledger, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight import artifacts
from greenlight.core import ledger
from greenlight.core.answers import Lease
from greenlight.core.errors import Conflict
from greenlight.core.records import Dataset, LedgerEntry, Record, StageResult
from greenlight.ports import Blobs, Records

ATTEMPTS = 20
"""How often to extend the chain anew when another writer extended it first."""


def record(
    records: Records,
    entries: Sequence[tuple[str, dict[str, Any]]],
    *,
    now: int,
    append: Sequence[Record] = (),
    swap: Sequence[tuple[Record, Record]] = (),
    fence: Lease | None = None,
) -> None:
    """Commit records and their ledger entries (kind, body), all or nothing.

    Raises:
        Conflict: a record's key is taken or a record to swap has changed.
        LostLease: the fence no longer holds.
    """
    for attempt in range(ATTEMPTS):
        last = head(records)
        links = ledger.chain(last, entries, at=now)
        try:
            records.commit(append=[*append, *links], swap=swap, fence=fence, now=now)
            return
        except Conflict:
            if head(records) == last or attempt == ATTEMPTS - 1:
                raise


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a run, under way: what `finish` writes together with what the stage made."""

    run: str
    task: str
    stage: str
    inputs: str
    """Digest of everything that goes into the stage, code included."""
    started_at: int
    fence: Lease | None = None
    """The right to carry out the run; whoever lost it cannot finish a stage."""


def finish(
    records: Records,
    step: Step,
    output: Mapping[str, str],
    report: Mapping[str, Any],
    *,
    now: int,
    entries: Sequence[tuple[str, dict[str, Any]]] = (),
    append: Sequence[Record] = (),
    swap: Sequence[tuple[Record, Record]] = (),
    reused: str | None = None,
) -> StageResult:
    """Commit what a stage made together with the fact that it is finished.

    One transaction: a process that is killed has either finished the stage or not, and a finished
    one is never repeated.

    Args:
        records: the store.
        step: the stage.
        output: what came out, by name: digests.
        report: what is worth knowing of it; goes on record, not into any digest.
        now: microseconds since 1970-01-01 UTC.
        entries: ledger entries (kind, body) of what was made.
        append: records of what was made.
        swap: records that changed.
        reused: the run whose result is taken over.

    Raises:
        Conflict: the stage is finished already, or a record is not as expected.
        LostLease: somebody else carries out the run now.
    """
    result = StageResult(
        run=step.run,
        name=step.stage,
        task=step.task,
        inputs=step.inputs,
        output=dict(output),
        report=dict(report),
        reused=reused,
        started_at=step.started_at,
        at=now,
    )
    record(
        records,
        [*entries, ("stage", msgspec.to_builtins(result))],
        now=now,
        append=[*append, result],
        swap=swap,
        fence=step.fence,
    )
    return result


def finish_dataset(
    records: Records,
    blobs: Blobs,
    folder: str | Path,
    body: Mapping[str, Any],
    *,
    step: Step,
    report: Mapping[str, Any],
    now: int,
) -> StageResult:
    """Seal a folder of rows under the name of its content, and finish the stage that made it.

    The same content again is the same dataset and is recorded once.

    Args:
        records: where the dataset and its ledger entry go.
        blobs: takes the folder, one file of JSON lines per split.
        folder: holds the files.
        body: what the manifest says beside the files; `name`, `task`, `counts`, and `parent` if
            any. Nothing in it may depend on anything but the rows and how they were chosen.
        step: the stage.
        report: what is worth knowing of it besides.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        Conflict: the stage is finished already.
        LostLease: somebody else carries out the run now.
    """
    artifacts.seal(folder, dict(body))
    digest = blobs.add(str(folder))
    output = {"dataset": digest}
    if records.get(Dataset, digest) is not None:
        return finish(records, step, output, report, now=now)
    manifest = artifacts.unseal(blobs.path(digest), digest)
    named = {"task": body["task"], "name": body["name"]}
    dataset = Dataset(digest=digest, manifest=manifest, at=now, **named)
    entry = {"dataset": digest, "parent": body.get("parent"), **named}
    return finish(
        records,
        step,
        output,
        report,
        now=now,
        entries=[("dataset", entry)],
        append=[dataset],
    )


def head(records: Records) -> LedgerEntry | None:
    """The newest ledger entry."""
    newest = records.scan(LedgerEntry, newest_first=True, limit=1)
    return newest[0] if newest else None
