"""Approve: a person, proved by their own key, says yes or no to a version on one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from greenlight.core import approval, ids
from greenlight.core.approval import (
    ADOPTION,
    APPROVE,
    DECISIONS,
    REJECT,
    REVOKE,
    Person,
    Quorum,
    Verify,
)
from greenlight.core.errors import BadInput, Conflict, NotFound, Refused
from greenlight.core.lifecycle import SIGNABLE, Event, allowed, next_status
from greenlight.core.policy import ApprovalPolicy
from greenlight.core.records import Approval, Version
from greenlight.core.states import VersionStatus
from greenlight.lookup import everything, initiators, left_traffic, passed_evaluations, standing
from greenlight.ports import Records
from greenlight.recording import ATTEMPTS, record

_BEFORE_SIGN_OFF = (VersionStatus.REGISTERED, VersionStatus.GATED_OUT)


def identify(secret: str, people: Mapping[str, Person], public_key: Callable[[str], str]) -> Person:
    """Whose secret this is. A name is never taken on trust.

    Raises:
        BadInput: the text is no secret.
        Refused: nobody has the key that belongs to it.
    """
    key = public_key(secret)
    for person in people.values():
        if person.key == key:
            return person
    raise Refused(f"nobody in [people] has the key {key}; add it there, or use another secret")


def decide(
    records: Records,
    *,
    version: Version,
    evaluation: str | None = None,
    secret: str,
    people: Mapping[str, Person],
    decision: str,
    why: str,
    policy: ApprovalPolicy,
    sign: Callable[[str, bytes], str],
    public_key: Callable[[str], str],
    verify: Verify,
    now: int,
    random: Callable[[int], bytes],
) -> Approval:
    """Record a person's word on a version, and move the version if that settles its sign-off.

    Args:
        records: the store.
        version: what is decided on.
        evaluation: digest of the evaluation that the person saw; by default the approved one,
            else the one that passed the gates last. A revocation takes back one's last word. What
            was adopted without an evaluation can be rejected without one.
        secret: the person's key, which proves who speaks and in which roles.
        people: everyone who may sign, by name.
        decision: `approve`, `reject`, or `revoke` (takes back one's own word).
        why: the reason, for those who read it later.
        policy: the quorum.
        sign: (secret, bytes) → signature.
        public_key: secret → public key.
        verify: (public key, bytes, signature) → whether it holds.
        now: microseconds since 1970-01-01 UTC.
        random: gives that many random bytes (for the id).

    Raises:
        BadInput: no such decision, no reason, or something that is no secret.
        Refused: an unknown key, an initiator, somebody without a role that signs, nothing to
            decide on, nothing to take back, or an approval that stands already.
    """
    if decision not in DECISIONS:
        raise BadInput(f"decision {decision!r}: use one of {', '.join(DECISIONS)}", "decision")
    if not why.strip():
        raise BadInput("a decision needs a reason: say why with -m", "why")
    person = identify(secret, people, public_key)
    words = list(everything(records, Approval, {"version": version.digest}))
    own = _latest(word for word in words if word.person == person.name)
    if decision == REVOKE:
        seen = _taken_back(own, person, version, evaluation)
    else:
        quorum = standing(
            records,
            version,
            policy=policy,
            people=people,
            verify=verify,
            now=now,
            as_control=decision == REJECT,
        )
        seen = _judged(records, version, evaluation, quorum)
    roles = _roles(records, person, version, policy, seen)
    newest = own.get(seen)
    if decision == APPROVE and newest is not None and newest.role == ",".join(roles):
        _refuse_again(records, version, newest, policy, people, verify, now)
    # Each word is later than the one before, even where a clock was put back between them.
    at = now if newest is None else max(now, newest.at + 1)
    draft = Approval(
        id=ids.fresh(at, random),
        version=version.digest,
        evaluation=seen,
        role=",".join(roles),
        person=person.name,
        decision=decision,
        why=why.strip(),
        at=at,
        signature="",
    )
    word = msgspec.structs.replace(draft, signature=sign(secret, approval.statement(draft)))
    record(records, [("approval", msgspec.to_builtins(word))], append=[word], now=now)
    settle(records, version.digest, policy=policy, people=people, verify=verify, now=at)
    return word


def settle(
    records: Records,
    digest: str,
    *,
    policy: ApprovalPolicy,
    people: Mapping[str, Person],
    verify: Verify,
    now: int,
) -> Version:
    """Bring a version's status in line with the words given so far; may be repeated at will.

    Two people who sign at the same moment each settle after writing, so that the later of them
    sees both signatures.

    Raises:
        NotFound: no such version.
        Conflict: the version kept changing.
    """
    for attempt in range(ATTEMPTS):
        version = records.get(Version, digest)
        if version is None:
            raise NotFound(f"version {digest}: not in the store")
        quorum = standing(records, version, policy=policy, people=people, verify=verify, now=now)
        events = _events(version.status, quorum)
        if not events:
            return version
        moved = version
        for event in events:
            moved = msgspec.structs.replace(moved, status=next_status(moved.status, event))
        body = {
            "version": version.digest,
            "label": version.label,
            "from": version.status.value,
            "to": moved.status.value,
            "evaluation": quorum.evaluation,
            "why": str(quorum),
        }
        try:
            record(records, [("status", body)], swap=[(version, moved)], now=now)
            return moved
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _roles(
    records: Records, person: Person, version: Version, policy: ApprovalPolicy, seen: str
) -> list[str]:
    """The roles in which a person may speak of a version; who adopted it may take that back."""
    if seen != ADOPTION and person.name in initiators(records, version):
        raise Refused(f"{person.name} brought {version.label} about; somebody else must decide")
    roles = [role for role in person.roles if role in policy.quorum]
    if not roles:
        raise Refused(
            f"{person.name} ({', '.join(person.roles)}) does not sign for {version.task}; "
            f"these roles do: {', '.join(sorted(policy.quorum))}"
        )
    return roles


def _refuse_again(
    records: Records,
    version: Version,
    word: Approval,
    policy: ApprovalPolicy,
    people: Mapping[str, Person],
    verify: Verify,
    now: int,
) -> None:
    """Refuse to say again what stands while somebody else's word is missing: a person counts once.

    Where nobody's is, a further word harms nobody, and it renews one that will expire.
    """
    found = approval.check(
        [word],
        version=version.digest,
        initiators=frozenset(),
        policy=policy,
        people=people,
        verify=verify,
        now=now,
        since=None if version.status == VersionStatus.LIVE else left_traffic(records, version),
    )
    quorum = standing(records, version, policy=policy, people=people, verify=verify, now=now)
    if word.decision == APPROVE and not found.problems and not quorum.ok:
        raise Refused(
            f"{word.person} has approved {version.label} already, and a person counts once; "
            f"{version.label}: {quorum}; somebody else must sign"
        )


def _latest(words: Iterable[Approval]) -> dict[str, Approval]:
    """The latest word on each evaluation, the one last spoken of at the end."""
    ordered = sorted(words, key=lambda word: (word.at, word.id))
    latest: dict[str, Approval] = {}
    for word in ordered:
        latest.pop(word.evaluation, None)
        latest[word.evaluation] = word
    return latest


def _taken_back(
    own: Mapping[str, Approval], person: Person, version: Version, wanted: str | None
) -> str:
    """The evaluation on which a word is taken back: the one last spoken of, if not named."""
    open_words = [word.evaluation for word in own.values() if word.decision != REVOKE]
    if wanted is not None:
        open_words = [evaluation for evaluation in open_words if evaluation == wanted]
    if not open_words:
        raise Refused(f"{person.name} has no standing word on {version.label} to take back")
    return open_words[-1]


def _judged(records: Records, version: Version, wanted: str | None, quorum: Quorum) -> str:
    """The evaluation that is decided on: the approved one, else the one that passed last."""
    passed = passed_evaluations(records, version)
    adopted = quorum.ok and quorum.evaluation == ADOPTION
    if adopted and not passed and wanted is None:
        return ADOPTION
    if version.status in _BEFORE_SIGN_OFF or not passed:
        raise Refused(
            f"{version.label} is {version.status}: people are asked once an evaluation has passed "
            f"its gates; see: greenlight versions show {version.label}"
        )
    if wanted is None:
        approved = quorum.evaluation if quorum.ok and not adopted else None
        return approved or passed[0]
    if wanted not in passed:
        raise Refused(f"evaluation {wanted} is none of {version.label} that passed its gates")
    return wanted


def _events(status: VersionStatus, quorum: Quorum) -> list[Event]:
    """What has to happen to a version whose sign-off stands like this."""
    if quorum.ok:
        if status == VersionStatus.REJECTED:
            return [Event.REOPEN, Event.QUORUM_MET]
        return [Event.QUORUM_MET] if status in SIGNABLE else []
    if quorum.rejected_by:
        return [Event.REJECT] if Event.REJECT in allowed(status) else []
    if status == VersionStatus.REJECTED:
        return [Event.REOPEN]
    return [Event.QUORUM_LOST] if status == VersionStatus.APPROVED else []
