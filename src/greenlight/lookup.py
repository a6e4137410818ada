"""Finding records by the names they go by, and together with what they stand on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from greenlight.core import approval, fingerprint, keys, routing
from greenlight.core.approval import Person, Quorum, Verify
from greenlight.core.errors import BadInput, NotFound, Refused, Tampered
from greenlight.core.evidence import Evidence, begin, fold, thaw
from greenlight.core.policy import ApprovalPolicy, DecisionPolicy
from greenlight.core.records import (
    SECOND,
    ApiKey,
    Approval,
    Dataset,
    Decision,
    Epoch,
    EvidenceState,
    Feedback,
    Inference,
    JournalEntry,
    LedgerEntry,
    Record,
    Rollout,
    Run,
    RunProgress,
    StageResult,
    Version,
)
from greenlight.core.states import VersionStatus
from greenlight.ports import Blobs, Records

R = TypeVar("R", bound=Record)
I = TypeVar("I", Rollout, Decision)  # noqa: E741 (records that go by an id)

PAGE = 1000
RECENT = 500
"""Answers among which those that nobody has judged are looked for."""
PURGE = "purge"
"""The kind of the ledger's entries on what was erased."""
SHORTEST_PREFIX = 4
_LABEL = re.compile(r"[\w.-]+@[\w.-]+")


def evidence_of(
    records: Records, rollout: Rollout, policy: DecisionPolicy
) -> tuple[Evidence, EvidenceState | None]:
    """What a rollout's journal comes to, and the state that is stored of it (None before the first
    entry).

    A state that another version of the engine wrote is folded anew.
    """
    stored = records.get(EvidenceState, rollout.id)
    if stored is None:
        return begin(policy), None
    try:
        return thaw(stored.state), stored
    except msgspec.ValidationError:
        entries = everything(records, JournalEntry, {"rollout": rollout.id})
        return fold(begin(policy), entries, policy, splits(records, rollout)), stored


def splits(records: Records, rollout: Rollout) -> dict[int, float]:
    """The candidate's share of units in each epoch of a rollout."""
    epochs = everything(records, Epoch, {"task": rollout.task, "rollout": rollout.id})
    return {epoch.number: epoch.weight for epoch in epochs}


def unjudged_answers(records: Records, task: str, most: int) -> list[Inference]:
    """The newest answers of a task whose texts are kept and that nobody has judged.

    Args:
        records: the store.
        task: the task's name.
        most: at most so many; they are looked for among the `RECENT` newest.
    """
    found: list[Inference] = []
    newest = everything(records, Inference, {"task": task}, newest_first=True, size=most)
    for answer in itertools.islice(newest, RECENT):
        if len(found) == most:
            break
        judged = {"inference_id": answer.id, "metric": "quality"}
        if answer.output and not records.scan(Feedback, judged, limit=1):
            found.append(answer)
    return found


def everything(
    records: Records,
    kind: type[R],
    where: Mapping[str, str | int | None] | None = None,
    *,
    newest_first: bool = False,
    size: int = PAGE,
) -> Iterator[R]:
    """All records of a kind whose fields equal `where`, in key order, fetched `size` at a time."""
    after = None
    while True:
        page = records.scan(kind, where, after=after, newest_first=newest_first, limit=size)
        yield from page
        if len(page) < size:
            return
        after = page[-1].key


def find_version(records: Records, name: str) -> Version:
    """A version by its label (`intent@2`), its digest, or the beginning of its digest.

    Raises:
        NotFound: nothing goes by that name; the message lists what there is.
        BadInput: it fits more than one version.
    """
    exact = records.get(Version, name)
    if exact is not None:
        return exact
    versions = list(everything(records, Version))
    found = [version for version in versions if version.label == name]
    prefix = name.removeprefix("sha256:")
    if not found and len(prefix) >= SHORTEST_PREFIX:
        found = [v for v in versions if v.digest.removeprefix("sha256:").startswith(prefix)]
    labels = ", ".join(sorted(version.label for version in versions))
    if not found:
        there = (
            f"there are: {labels}" if labels else "there is none yet; greenlight run TASK makes one"
        )
        raise NotFound(f"version {name!r}: nothing goes by that label or digest; {there}")
    if len(found) > 1:
        fits = ", ".join(f"{v.label} ({fingerprint.short(v.digest)})" for v in found)
        raise BadInput(f"version {name!r} fits {fits}: give more of the digest", "version")
    return found[0]


def version_digest(task: str, bundle: str, runtime: Mapping[str, Any]) -> str:
    """What names a version: the task, the bundle, and how the bundle is run."""
    return fingerprint.digest({"task": task, "bundle": bundle, "runtime": dict(runtime)})


def genuine(version: Version) -> Version:
    """The version, if its record holds what its digest names: that is what people signed.

    Raises:
        Tampered: its task, its bundle or how it is run was changed in the store.
    """
    if version_digest(version.task, version.bundle, version.runtime) != version.digest:
        raise Tampered(
            f"{version.label}: the record is not what its digest {version.digest} names; see: "
            "greenlight audit verify"
        )
    return version


def free_label(records: Records, task: str, wanted: str | None) -> str:
    """The label wanted if nobody has it, else `TASK@N` with the next free number.

    Raises:
        BadInput: it has not the form NAME@SOMETHING.
        Refused: it is another version's.
    """
    labels = {version.label for version in everything(records, Version)}
    if wanted is None:
        numbers = [_number(label, task) for label in labels]
        return f"{task}@{max(numbers, default=0) + 1}"
    if not _LABEL.fullmatch(wanted):
        raise BadInput(f"label {wanted!r}: write NAME@SOMETHING, such as {task}@7", "label")
    if wanted in labels:
        raise Refused(f"label {wanted!r} is another version's; choose a new one")
    return wanted


def find_by_id(records: Records, kind: type[I], name: str) -> I:
    """A rollout or a decision by its id or the beginning of it.

    A task's name is its newest rollout.

    Raises:
        NotFound: nothing goes by that id.
        BadInput: it fits more than one.
    """
    what = kind.__name__.lower()
    exact = records.get(kind, name)
    if exact is not None:
        return exact
    if kind is Rollout:
        newest = records.scan(kind, {"task": name}, newest_first=True, limit=1)
        if newest:
            return newest[0]
    found = []
    if len(name) >= SHORTEST_PREFIX:
        found = [item for item in everything(records, kind) if item.id.startswith(name)]
    if not found:
        raise NotFound(f"{what} {name!r}: no such id; see: greenlight {what}s list")
    if len(found) > 1:
        raise BadInput(f"{what} {name!r} fits {len(found)} of them: give more of the id", "id")
    return found[0]


def find_dataset(records: Records, name: str) -> Dataset:
    """A dataset by its digest or the beginning of it.

    Raises:
        NotFound: nothing goes by that digest.
        BadInput: it fits more than one.
    """
    exact = records.get(Dataset, name)
    if exact is not None:
        return exact
    found = []
    prefix = name.removeprefix("sha256:")
    if len(prefix) >= SHORTEST_PREFIX:
        known = everything(records, Dataset)
        found = [d for d in known if d.digest.removeprefix("sha256:").startswith(prefix)]
    if not found:
        raise NotFound(f"dataset {name!r}: no such digest; see: greenlight datasets list")
    if len(found) > 1:
        raise BadInput(f"dataset {name!r} fits {len(found)} of them: give more of it", "dataset")
    return found[0]


def newest_prepared(records: Records, task: str) -> Dataset | None:
    """What was prepared last for a task, not only collected; None where nothing was."""
    found = everything(records, Dataset, {"task": task})
    prepared = (dataset for dataset in found if dataset.manifest.get("parent") is not None)
    return max(prepared, key=lambda dataset: dataset.at, default=None)


def ancestry(records: Records, digest: str) -> list[Dataset]:
    """A dataset, the one that it was made of, and so on to the one that was collected."""
    found: list[Dataset] = []
    dataset = records.get(Dataset, digest)
    while dataset is not None and dataset not in found:
        found.append(dataset)
        dataset = records.get(Dataset, str(dataset.manifest.get("parent")))
    return found


def erasures(records: Records) -> dict[str, LedgerEntry]:
    """Digests of the datasets whose folders a purge took → the ledger's entry of it."""
    entries = everything(records, LedgerEntry, {"kind": PURGE})
    return {digest: entry for entry in entries for digest in entry.body["folders"]}


def folder_of(records: Records, blobs: Blobs, digest: str) -> str:
    """Where a dataset's folder lies.

    Raises:
        NotFound: it is not there; the message says if it was erased, and where that stands.
    """
    try:
        return blobs.path(digest)
    except NotFound:
        entry = erasures(records).get(digest)
        if entry is None:
            raise
    day = datetime.fromtimestamp(entry.at // SECOND, tz=UTC).strftime("%Y-%m-%d")
    raise NotFound(
        f"dataset {fingerprint.short(digest)}: erased by purge on {day}, ledger entry {entry.seq}; "
        "collect anew"
    )


def initiators(records: Records, version: Version) -> frozenset[str]:
    """Who must not sign for a version: who caused its run, its registration, or a rollout of it."""
    found = {version.initiator}
    run = records.get(Run, str(version.lineage.get("run", "")))
    if run is not None:
        found.add(run.initiator)
    found |= {r.initiator for r in everything(records, Rollout, {"candidate": version.digest})}
    return frozenset(found)


def find_run(records: Records, name: str) -> Run:
    """A run by its id (`intent#7`).

    Raises:
        NotFound: nothing goes by that id.
    """
    run = records.get(Run, name)
    if run is None:
        raise NotFound(f"run {name!r}: no such id; see: greenlight runs list")
    return run


def find_key(records: Records, name: str) -> ApiKey:
    """An API key by its id or its name; of several of one name, the one that is not revoked.

    Raises:
        NotFound: nothing goes by that id or name.
        BadInput: it fits more than one, or is a key's whole text (the message does not repeat it).
    """
    if name.startswith(keys.PREFIX):
        id = keys.id_of(name)
        hint = f"its id is {id}" if id else "see: greenlight keys list"
        raise BadInput(f"that is a key itself, a secret; give its id or name ({hint})", "key")
    exact = records.get(ApiKey, name)
    if exact is not None:
        return exact
    named = [key for key in everything(records, ApiKey) if key.name == name]
    found = [key for key in named if key.revoked_at is None]
    if not named:
        raise NotFound(f"key {name!r}: no such id or name; see: greenlight keys list")
    if len(found) > 1:
        fits = ", ".join(key.id for key in found)
        raise BadInput(f"key {name!r} fits {fits}: give the id", "key")
    return found[0] if found else max(named, key=lambda key: key.at)


def run_view(records: Records, run: Run) -> dict[str, Any]:
    """A run as plain values, with its finished stages in order and how far it is."""
    told = records.get(RunProgress, run.id)
    stages = everything(records, StageResult, {"run": run.id})
    return {
        **msgspec.to_builtins(run),
        "stages": [msgspec.to_builtins(done) for done in sorted(stages, key=lambda s: s.at)],
        "progress": None if told is None else msgspec.to_builtins(told),
    }


def standing(
    records: Records,
    version: Version,
    *,
    policy: ApprovalPolicy,
    people: Mapping[str, Person],
    verify: Verify,
    now: int,
    expires: bool = True,
    initiator: str | None = None,
    as_control: bool = False,
) -> Quorum:
    """What the approvals of a version amount to now; see `core.approval.check`.

    What has left traffic comes back only by signatures given since then, whatever its status has
    become meanwhile (rejected, reopened). `initiator` is somebody who is about to bring about a
    rollout of it and so must not have signed. Only where the version is asked about `as_control`
    can its adoption speak for it.
    """
    return approval.check(
        everything(records, Approval, {"version": version.digest}),
        version=version.digest,
        initiators=initiators(records, version) | ({initiator} if initiator else frozenset()),
        policy=policy,
        people=people,
        verify=verify,
        now=now,
        expires=expires,
        since=None if version.status == VersionStatus.LIVE else left_traffic(records, version),
        adoption=made_live_by(records, version) if as_control else None,
    )


def made_live_by(records: Records, version: Version) -> str | None:
    """What made a version the first of its task to be live: the id of a decision or an adoption.

    None if it was not the first, or if anything else has been live since and was not undone.
    """
    epochs = everything(records, Epoch, {"task": version.task})
    first = next(epochs, None)
    if first is None or first.number != 1 or first.control != version.digest:
        return None
    lasting = routing.lasting([first, *epochs])
    if any(epoch.control != version.digest for epoch in lasting):
        return None
    return first.decision


def passed_evaluations(records: Records, version: Version) -> list[str]:
    """The evaluations of a version that pass their gates as last judged, newest first."""
    found: dict[str, bool] = {}
    for entry in everything(records, LedgerEntry, {"kind": "gates"}, newest_first=True):
        if entry.body["version"] == version.digest:
            found.setdefault(entry.body["evaluation"], entry.body["passed"])
    return [evaluation for evaluation, passed in found.items() if passed]


def left_traffic(records: Records, version: Version) -> int | None:
    """When the last rollout with this version in it ended; None if none has."""
    rollouts = [
        *everything(records, Rollout, {"candidate": version.digest}),
        *everything(records, Rollout, {"control": version.digest}),
    ]
    return max((r.ended_at for r in rollouts if r.ended_at is not None), default=None)


def _number(label: str, task: str) -> int:
    name, _, number = label.rpartition("@")
    return int(number) if name == task and number.isdecimal() else 0
