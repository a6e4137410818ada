"""Purge: erase what people wrote, by age or by unit, and say on the ledger that it was done.

    begun (ledger) → rows, in small transactions → folders → the file written anew → done (ledger)

What is to be erased is put on the ledger before anything is touched, so that a purge which was
killed can be gone on with by calling it again, and still names every folder that it took. Nothing
on the ledger is personal: a unit stands there under its pseudonym (REQUIREMENTS D11).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core import ids
from greenlight.core.errors import Conflict, Refused
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import DAY, SECOND, LedgerEntry, Rollout
from greenlight.core.retention import Erasure, Order
from greenlight.lookup import PURGE, everything
from greenlight.ports import Blobs, Progress, Records, Store
from greenlight.recording import record
from greenlight.stages import traces

_ROUNDS = 3
_ROWS, _FOLDERS = 0.7, 0.2


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What an order comes to."""

    rows: dict[str, int]
    """Table → rows; before the erasure only `inferences` and `feedback` are known."""
    kept: int
    """Inferences that stay, because the evidence of a running rollout rests on them."""
    folders: list[str]
    """Digests of the datasets whose rows go."""
    kept_folders: list[str]
    """Those that stay, because a run under way needs them."""
    versions: list[str]
    """Labels of the versions that were trained on them."""
    silent: list[str]
    """Gateways that fell silent without having said that all they received is stored."""


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """A purge that is complete."""

    id: str
    """Names it on the ledger."""
    entry: int
    """Number of its entry there."""
    found: Findings
    continued: list[str]
    """Purges that were interrupted and are complete with this one."""


def look(
    store: Store,
    shelves: Sequence[Blobs],
    order: Order,
    *,
    drills: Path,
    now: int,
    progress: Progress,
) -> Findings:
    """What a purge would erase; nothing is changed.

    Raises:
        Refused: the unit's evidence is in use, a run of the task is under way, or a drill keeps a
            copy.
    """
    what = _erasure(store, order, now)
    _refuse_while_in_use(store, order, what)
    _refuse_while_rehearsed(drills, order)
    counts = store.erasable(what)
    kept = counts.pop("kept")
    going, staying = traces.datasets(store, shelves, order, progress)
    return Findings(
        rows=counts,
        kept=kept,
        folders=going,
        kept_folders=staying,
        versions=traces.trained_on(store, going),
        silent=traces.silent(store, order, now),
    )


def purge(
    store: Store,
    shelves: Sequence[Blobs],
    order: Order,
    *,
    places: Sequence[Path],
    drills: Path,
    now: Callable[[], int],
    random: Callable[[int], bytes],
    progress: Progress,
) -> Purged:
    """Erase, and put it on the ledger. Whoever was interrupted calls it again.

    Args:
        store: records and events.
        shelves: where datasets lie.
        order: what is to be erased.
        places: folders in which nothing of a unit may be left, beside the shelves.
        drills: where the installations of drills lie.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (ids, and names in place of erased ones).
        progress: told the share done, and what is being done.

    Raises:
        Refused: it may not be done now, or it cannot be completed; the message says what is left.
        StoreError: the store could not be written to; call it again.
    """
    found = look(store, shelves, order, drills=drills, now=now(), progress=lambda *_: None)
    begun = _unfinished(store, order)
    named = {digest for entry in begun for digest in entry.body["folders"]}
    id = ids.fresh(now(), random)
    about = {
        "id": id,
        "task": order.task,
        "unit": order.pseudonym,
        "before": order.before,
        "initiator": order.initiator,
    }
    body = {**about, "state": "begun", "rows": found.rows, "folders": found.folders}
    record(store, [(PURGE, body)], now=now())
    rows = _erase_rows(store, order, found, now(), random, progress)
    gone = _erase_folders(store, shelves, order, sorted({*found.folders, *named}), progress)
    progress(_ROWS + _FOLDERS, "writing the store anew")
    store.compact()
    _check(store, order, places, drills, now())
    complete = msgspec.structs.replace(
        found, rows=rows, folders=gone, versions=traces.trained_on(store, gone)
    )
    continued = [entry.body["id"] for entry in begun]
    said = msgspec.to_builtins(complete)
    said["kept_folders"] = len(complete.kept_folders)
    body = {**about, "state": "done", "continued": continued, **said}
    record(store, [(PURGE, body)], now=now())
    progress(1.0, "done")
    return Purged(id=id, entry=_entry(store, id), found=complete, continued=continued)


def _erasure(records: Records, order: Order, now: int) -> Erasure:
    """The order, as the store carries it out: what is running is spared."""
    running = everything(records, Rollout, {"task": order.task, "ended_at": None})
    return Erasure(
        task=order.task,
        before=order.before,
        unit=order.unit,
        spare=frozenset(rollout.id for rollout in running),
        strays_before=min(order.before, now - DAY) if order.unit is None else None,
    )


def _refuse_while_in_use(store: Store, order: Order, what: Erasure) -> None:
    """A unit is erased whole or not at all, so nothing that holds rows of it may be at work."""
    if order.unit is None:
        return
    for id in sorted(what.spare):
        rollout = store.get(Rollout, id)
        if rollout is not None and order.unit in store.past(id, [order.unit]):
            horizon = msgspec.convert(rollout.policy, DecisionPolicy).rollout.horizon
            raise Refused(
                f"{order.task}: rollout {id} is running, and its evidence rests on what this unit "
                f"did; nothing was erased. It ends by {_day(rollout.at + horizon)} at the latest: "
                "purge again then"
            )
    for run in traces.under_way(store, order.task):
        raise Refused(
            f"{order.task}: run {run.id} is under way and may be working with rows of this unit; "
            f"nothing was erased. Purge again once it has ended, or end it: greenlight runs abort "
            f"'{run.id}'"
        )


def _refuse_while_rehearsed(drills: Path, order: Order) -> None:
    """An installation of a drill is nobody's to erase but theirs who kept it to look into it."""
    found = traces.rehearsals(drills, order)
    if found:
        raise Refused(
            f"{order.task}: a drill keeps a copy of what is to be erased: "
            f"{', '.join(map(str, found))}; nothing was erased. Once no drill is under way and "
            "nobody needs to look into it any more, delete the folder and purge again"
        )


def _erase_rows(
    store: Store,
    order: Order,
    found: Findings,
    now: int,
    random: Callable[[int], bytes],
    progress: Progress,
) -> dict[str, int]:
    rows: Counter[str] = Counter()
    expected = max(1, found.rows["inferences"])
    for counts in store.erase(_erasure(store, order, now), random):
        rows.update(counts)
        share = min(1.0, rows["inferences"] / expected)
        progress(_ROWS * share, f"{rows['inferences']:,} answers erased")
    return {name: count for name, count in sorted(rows.items()) if count}


def _erase_folders(
    store: Store, shelves: Sequence[Blobs], order: Order, wanted: list[str], progress: Progress
) -> list[str]:
    """Erase the folders, and those that a run has made of the rows meanwhile."""
    gone: set[str] = set()
    for _ in range(_ROUNDS):
        for number, digest in enumerate(wanted):
            progress(_ROWS + _FOLDERS * number / len(wanted), "erasing datasets")
            for shelf in shelves:
                shelf.remove(digest)
        gone.update(wanted)
        wanted, _ = traces.datasets(store, shelves, order, lambda *_: None)
        if not wanted:
            break
    return sorted(gone)


def _check(store: Store, order: Order, places: Sequence[Path], drills: Path, now: int) -> None:
    """Refuse to call complete what is not.

    Raises:
        Refused: something is left; the message says where.
    """
    left = []
    counts = store.erasable(_erasure(store, order, now))
    if counts["inferences"]:
        left.append(f"{counts['inferences']} answers that came in meanwhile")
    if order.unit is not None:
        _refuse_while_in_use(store, order, _erasure(store, order, now))
        left += [str(path) for place in places for path in traces.files(place, order)]
    left += [f"{folder}, which a drill has made" for folder in traces.rehearsals(drills, order)]
    if left:
        raise Refused(
            f"the purge is not complete; left are: {', '.join(left)}. See to them and call it again"
        )


# The ledger


def _unfinished(records: Records, order: Order) -> list[LedgerEntry]:
    """Earlier purges of the same that were begun and never completed."""
    begun: dict[str, LedgerEntry] = {}
    for entry in everything(records, LedgerEntry, {"kind": PURGE}):
        body: dict[str, Any] = entry.body
        if (body["task"], body["unit"]) != (order.task, order.pseudonym):
            continue
        if body["state"] == "begun" and body["before"] <= order.before:
            begun[body["id"]] = entry
        elif body["state"] == "done":
            for id in (body["id"], *body["continued"]):
                begun.pop(id, None)
    return list(begun.values())


def _entry(records: Records, id: str) -> int:
    """The number of the entry that completed a purge."""
    for entry in everything(records, LedgerEntry, {"kind": PURGE}, newest_first=True):
        if entry.body["id"] == id:
            return entry.seq
    raise Conflict(f"purge {id} is not on the ledger")


def _day(at: int) -> str:
    return datetime.fromtimestamp(at // SECOND, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
