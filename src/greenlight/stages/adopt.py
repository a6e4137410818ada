"""Adopt, and add: versions that no run of the pipeline made.

A model of one's own or a prompt is *added* and then goes the way of every candidate. What ran
before Greenlight did is *adopted*: it becomes the baseline of a task that has nothing live yet, on
one person's word (REQUIREMENTS G1; `core.approval` says how little that word is good for).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from greenlight.core import approval, ids, killing, ledger
from greenlight.core.approval import Person
from greenlight.core.errors import BadInput, Conflict, Refused
from greenlight.core.killing import KillEntry
from greenlight.core.lifecycle import FIRST_VERSION_STATUS, Event, next_status
from greenlight.core.policy import ApprovalPolicy
from greenlight.core.records import Approval, Epoch, Version
from greenlight.lookup import everything, free_label, version_digest
from greenlight.ports import Records
from greenlight.recording import record

_BOOTSTRAP = "bootstrap: it ran before; no evaluation and no quorum stand behind it"


class Newcomer(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be: what it is for, what it consists of, and where it comes from."""

    task: str
    bundle: str
    """The bundle's digest."""
    runtime: dict[str, Any]
    """How the bundle is run, see `records.Version`."""
    lineage: dict[str, Any]
    """What is known of its origin; with `source` and `by` at least."""
    label: str | None = None
    """What people call it; by default `TASK@N` with the next free number."""

    @property
    def digest(self) -> str:
        """What will name the version."""
        return version_digest(self.task, self.bundle, self.runtime)


def add(records: Records, newcomer: Newcomer, *, initiator: str, now: int) -> Version:
    """Register a bundle that was made elsewhere; the same content again is the same version.

    Args:
        records: the store.
        newcomer: the version to be.
        initiator: who adds it; they cannot sign for it.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        BadInput: the label has not the form NAME@SOMETHING.
        Refused: the label is another version's.
    """
    there = records.get(Version, newcomer.digest)
    if there is not None:
        return there
    version = _registered(records, newcomer, initiator, now)
    record(records, [("version", ledger.body_of(version))], append=[version], now=now)
    return version


def adopt(
    records: Records,
    newcomer: Newcomer,
    *,
    signer: Person,
    why: str,
    policy: ApprovalPolicy,
    sign: Callable[[bytes], str],
    kill: KillEntry | None = None,
    now: int,
    random: Callable[[int], bytes],
) -> tuple[Version, Approval]:
    """Take what runs today as a task's baseline: version, word and first epoch in one transaction.

    The signer may be the one who brings the version in. Their word is bound to the version's
    digest, which covers the task, and the first epoch names it: no other word of that kind counts.

    Args:
        records: the store.
        newcomer: what runs today.
        signer: who adopts it, proved by their key.
        why: the reason, for those who read it later.
        policy: the quorum, of which the signer holds a role.
        sign: signs with the signer's key.
        kill: what the kill file says of the task, if anything.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for the id).

    Raises:
        BadInput: no reason, or a label that is none.
        Refused: something is live already, the signer holds no role that signs, the label is
            another version's, a run of the pipeline made the bundle, or the version is there and
            has been judged already.
    """
    if not why.strip():
        raise BadInput("an adoption needs a reason: say why with -m", "why")
    roles = _roles(signer, newcomer.task, policy)
    _refuse_second(records, newcomer.task)
    killing.check_may_start(newcomer.task, kill, None)
    _refuse_trained(records, newcomer)
    before = records.get(Version, newcomer.digest)
    there = before or _registered(records, newcomer, signer.name, now)
    live = msgspec.structs.replace(there, status=next_status(there.status, Event.ADOPT))
    word = _word(live, signer, roles, why, sign, now, random)
    epoch = Epoch(
        task=live.task,
        number=1,
        follows=0,
        rollout=None,
        control=live.digest,
        candidate=None,
        weight=0.0,
        salt="",
        decision=word.id,
        at=now,
        kill=0 if kill is None else kill.generation,
    )
    said = {
        "task": live.task,
        "version": live.digest,
        "label": live.label,
        "approval": word.id,
        "person": signer.name,
        "initiator": there.initiator,
        "why": _BOOTSTRAP,
    }
    try:
        record(
            records,
            [
                *([] if before else [("version", ledger.body_of(there))]),
                ("approval", ledger.body_of(word)),
                ("adopt", said),
                ledger.moved(there, live, f"adopted by {signer.name}"),
                *killing.words(kill, None),
                ("epoch", ledger.body_of(epoch)),
            ],
            append=[*([] if before else [live]), word, epoch],
            swap=[(before, live)] if before else [],
            now=now,
        )
    except Conflict:
        _refuse_second(records, live.task)
        raise
    return live, word


def _roles(signer: Person, task: str, policy: ApprovalPolicy) -> list[str]:
    roles = [role for role in signer.roles if role in policy.quorum]
    if not roles:
        raise Refused(
            f"{signer.name} ({', '.join(signer.roles)}) does not sign for {task}; these roles do: "
            f"{', '.join(sorted(policy.quorum))}"
        )
    return roles


def _registered(records: Records, newcomer: Newcomer, initiator: str, now: int) -> Version:
    return Version(
        digest=newcomer.digest,
        task=newcomer.task,
        label=free_label(records, newcomer.task, newcomer.label),
        bundle=newcomer.bundle,
        runtime=newcomer.runtime,
        lineage=newcomer.lineage,
        initiator=initiator,
        status=FIRST_VERSION_STATUS,
        at=now,
    )


def _word(
    version: Version,
    signer: Person,
    roles: list[str],
    why: str,
    sign: Callable[[bytes], str],
    now: int,
    random: Callable[[int], bytes],
) -> Approval:
    draft = Approval(
        id=ids.fresh(now, random),
        version=version.digest,
        evaluation=approval.ADOPTION,
        role=",".join(roles),
        person=signer.name,
        decision=approval.ADOPT,
        why=why.strip(),
        at=now,
        signature="",
    )
    return msgspec.structs.replace(draft, signature=sign(approval.statement(draft)))


def _refuse_trained(records: Records, newcomer: Newcomer) -> None:
    """What a run made never ran before: gates and a quorum decide on it, however it is run."""
    for version in everything(records, Version, {"bundle": newcomer.bundle}):
        run = version.lineage.get("run")
        if run is not None:
            raise Refused(
                f"{version.label} was made by run {run} and never ran before, so it cannot be "
                f"adopted; see: greenlight versions show {version.label}"
            )


def _refuse_second(records: Records, task: str) -> None:
    newest = records.scan(Epoch, {"task": task}, newest_first=True, limit=1)
    if not newest:
        return
    live = records.get(Version, newest[0].control)
    name = newest[0].control if live is None else live.label
    raise Refused(
        f"{task}: {name} is live already, so nothing can be adopted; bring it in as a candidate "
        f"that earns its traffic: greenlight versions add {task} …, then greenlight rollout start"
    )
