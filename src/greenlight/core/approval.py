"""Sign-off: when have enough different people, each by their own key, approved one evaluation?

An approval is bound to a version and to the sealed evaluation that its signer saw. It counts
while its signature verifies, its signer is known and still holds the role, and it has not
expired. The one who initiated the version never counts (REQUIREMENTS G1).

What ran before Greenlight did enters by an adoption: one person's word, given without an evaluation
and without a quorum, that counts for as little as that warrants (`check`, `adoption`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from greenlight.core import fingerprint
from greenlight.core.policy import ApprovalPolicy
from greenlight.core.records import Approval

DOMAIN = b"greenlight-approval-v1\n"
"""Goes before what is signed, so that a signature made for anything else is never an approval."""

APPROVE, REJECT, REVOKE = "approve", "reject", "revoke"
DECISIONS = (APPROVE, REJECT, REVOKE)
"""What people may say once there is an evaluation; revoking and rejecting also an adoption."""

ADOPT = "adopt"
ADOPTION = "adoption"
"""Stands in the place of the evaluation in words on an adoption."""

_NARROW = "an adoption speaks only for what it made live, as control, until something else is live"

Verify = Callable[[str, bytes, str], bool]
"""(public key, signed bytes, signature) → whether the key's owner signed exactly these bytes."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who may sign: their roles, and the public key that proves them."""

    name: str
    roles: tuple[str, ...]
    """The roles in which they may sign, such as `["ml_lead"]`."""
    key: str
    """Their public key, `ed25519:…`."""


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """What the words given so far amount to."""

    ok: bool
    evaluation: str | None
    """The evaluation that this is about: the approved one, else the one last spoken of; `ADOPTION`
    where there is none."""
    counted: tuple[tuple[str, str], ...] = ()
    """(role, person) of every signature that fills a place in the quorum."""
    missing: tuple[tuple[str, int], ...] = ()
    """(role, how many more people) of what the quorum still lacks."""
    rejected_by: tuple[str, ...] = ()
    """People whose standing word on that evaluation is a rejection."""
    problems: tuple[str, ...] = ()
    """Words that do not count, each with its reason."""

    def __str__(self) -> str:
        if self.ok:
            done = "adopted" if self.evaluation == ADOPTION else "approved"
            return f"{done} by {_people(self.counted)}"
        if self.rejected_by:
            return "rejected by " + ", ".join(self.rejected_by)
        lacks = ", ".join(f"{count} × {role}" for role, count in self.missing)
        return f"lacks {lacks}" + (f"; signed: {_people(self.counted)}" if self.counted else "")


def statement(approval: Approval) -> bytes:
    """What a person signs: every field but the signature, in canonical form."""
    body = msgspec.structs.asdict(approval)
    del body["signature"]
    return DOMAIN + fingerprint.canonical(body)


def roles_of(approval: Approval) -> tuple[str, ...]:
    """The roles in which an approval was given (`role` joins them by commas)."""
    return tuple(approval.role.split(","))


def check(
    approvals: Iterable[Approval],
    *,
    version: str,
    initiators: frozenset[str],
    policy: ApprovalPolicy,
    people: Mapping[str, Person],
    verify: Verify,
    now: int,
    expires: bool = True,
    since: int | None = None,
    adoption: str | None = None,
) -> Quorum:
    """Judge the approvals of one version.

    The latest word of a person on an evaluation is what they say of it: a revocation takes back
    what came before, and any standing rejection blocks that evaluation. A person fills one place
    of the quorum only, whichever serves it best. The quorum must be met on one evaluation.

    Args:
        approvals: words on the version; those that do not count are named in `problems`.
        version: its digest.
        initiators: who caused its run, its registration or its rollout.
        policy: the quorum and how long a signature lasts.
        people: everyone who may sign, by name.
        verify: checks a signature.
        now: microseconds since 1970-01-01 UTC.
        expires: False for what is live as control, which is never refused for expiry (G1).
        since: approvals given before this moment do not count (a version that was taken out of
            traffic needs fresh ones).
        adoption: id of the word that made the version the first of its task to be live, if that is
            what is asked about and it has been live as control ever since. No other adoption
            counts, and this one only while nobody's rejection or revocation of anything on the
            version stands.
    """
    problems: list[str] = []
    spoken = []
    for word in approvals:
        fault = _fault(word, version, initiators, policy, people, verify)
        if fault is None:
            spoken.append(word)
        else:
            problems.append(f"{_title(word)} does not count: {fault}")
    findings = []
    judged = [word for word in spoken if word.evaluation != ADOPTION]
    for evaluation, words in _by_evaluation(judged):
        standing = []
        for word in words:
            fault = _lapse(word, policy.expiry if expires else None, since, now)
            if fault is None:
                standing.append(word)
            else:
                problems.append(f"{_title(word)} does not count: {fault}")
        findings.append(_judge(evaluation, standing, policy, people))
    for word in spoken:
        if word.decision == ADOPT and word.id == adoption:
            findings.append(_adopted(word, spoken, policy, people, now))
        elif word.decision == ADOPT:
            problems.append(f"{_title(word)} does not count: {_NARROW}")
    unmet = Quorum(ok=False, evaluation=None, missing=tuple(sorted(policy.quorum.items())))
    found = next((f for f in findings if f.ok), findings[0] if findings else unmet)
    return msgspec.structs.replace(found, problems=tuple(problems))


def fill(
    quorum: Mapping[str, int], offers: Mapping[str, Sequence[str]]
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Give each person at most one place, so that as many places as possible are filled.

    A maximum matching by augmenting paths (Kuhn 1955).

    Args:
        quorum: role → how many people.
        offers: person → roles that they may fill.

    Returns:
        (role, person) of the filled places, and role → places left open.
    """
    places = [role for role in sorted(quorum) for _ in range(quorum[role])]
    holder: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        for place, role in enumerate(places):
            if role not in offers[person] or place in tried:
                continue
            tried.add(place)
            if place not in holder or seat(holder[place], tried):
                holder[place] = person
                return True
        return False

    for person in sorted(offers):
        seat(person, set())
    lacking: dict[str, int] = {}
    for place, role in enumerate(places):
        if place not in holder:
            lacking[role] = lacking.get(role, 0) + 1
    return [(places[place], holder[place]) for place in sorted(holder)], lacking


def _fault(
    word: Approval,
    version: str,
    initiators: frozenset[str],
    policy: ApprovalPolicy,
    people: Mapping[str, Person],
    verify: Verify,
) -> str | None:
    """Why a word carries no weight at all, whatever it says."""
    person = people.get(word.person)
    if word.version != version:
        return f"it is about {word.version}"
    if word.decision not in (*DECISIONS, ADOPT):
        return f"{word.decision!r} is no decision"
    if word.decision == (APPROVE if word.evaluation == ADOPTION else ADOPT):
        return f"{word.decision!r} cannot be said of {word.evaluation!r}"
    if person is None:
        return "nobody of that name may sign"
    if not verify(person.key, statement(word), word.signature):
        return "the signature does not verify"
    if word.person in initiators and word.evaluation != ADOPTION:
        return "the initiator has no say in the sign-off"
    if not _places(word, policy, person):
        return f"{word.person} holds no role that signs ({', '.join(sorted(policy.quorum))})"
    return None


def _lapse(word: Approval, expiry: int | None, since: int | None, now: int) -> str | None:
    """Why an approval no longer, or not yet, counts. Rejections and revocations stand for ever."""
    if word.decision != APPROVE:
        return None
    if word.at > now:
        return "it is dated in the future"
    if expiry is not None and now >= word.at + expiry:
        return "it has expired"
    if since is not None and word.at < since:
        return "it was given before the version was last taken out of traffic"
    return None


def _by_evaluation(words: Iterable[Approval]) -> list[tuple[str, list[Approval]]]:
    """The latest word of each person, by evaluation; the evaluation last spoken of comes first."""
    latest: dict[str, dict[str, Approval]] = {}
    newest: dict[str, tuple[int, int, str]] = {}
    for word in sorted(words, key=_order):
        latest.setdefault(word.evaluation, {})[word.person] = word
        newest[word.evaluation] = _order(word)
    order = sorted(latest, key=lambda evaluation: newest[evaluation], reverse=True)
    return [(evaluation, list(latest[evaluation].values())) for evaluation in order]


def _order(word: Approval) -> tuple[int, int, str]:
    """By time; at the same instant the word that withholds approval has the last say."""
    return word.at, (ADOPT, APPROVE, REVOKE, REJECT).index(word.decision), word.id


def _judge(
    evaluation: str, words: Sequence[Approval], policy: ApprovalPolicy, people: Mapping[str, Person]
) -> Quorum:
    rejected_by = tuple(sorted(word.person for word in words if word.decision == REJECT))
    offers = {
        word.person: _places(word, policy, people[word.person])
        for word in words
        if word.decision == APPROVE
    }
    counted, lacking = fill(policy.quorum, offers)
    return Quorum(
        ok=not rejected_by and not lacking,
        evaluation=evaluation,
        counted=tuple(counted),
        missing=tuple(sorted(lacking.items())),
        rejected_by=rejected_by,
    )


def _adopted(
    word: Approval,
    spoken: Sequence[Approval],
    policy: ApprovalPolicy,
    people: Mapping[str, Person],
    now: int,
) -> Quorum:
    """What an adoption amounts to beside everything else that was said of the version."""
    others = [other for other in spoken if other.decision != ADOPT]
    rejected_by, taken_back_by = _withheld([word, *others])
    if word.at > now or rejected_by or taken_back_by:
        return Quorum(
            ok=False,
            evaluation=ADOPTION,
            missing=tuple(sorted(policy.quorum.items())),
            rejected_by=rejected_by,
        )
    role = _places(word, policy, people[word.person])[0]
    return Quorum(ok=True, evaluation=ADOPTION, counted=((role, word.person),))


def _withheld(spoken: Sequence[Approval]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who stands by a rejection of anything, and who has taken back an approval or an adoption."""
    said: dict[tuple[str, str], str] = {}
    for word in sorted(spoken, key=_order):
        place = word.evaluation, word.person
        if word.decision == REVOKE and said.get(place) == REJECT:
            del said[place]
        else:
            said[place] = word.decision
    rejected = {person for (_, person), decision in said.items() if decision == REJECT}
    taken_back = {person for (_, person), decision in said.items() if decision == REVOKE}
    return tuple(sorted(rejected)), tuple(sorted(taken_back))


def _places(word: Approval, policy: ApprovalPolicy, person: Person) -> list[str]:
    """The roles of the quorum in which the word was given and which its speaker still holds."""
    return [role for role in roles_of(word) if role in person.roles and role in policy.quorum]


def _title(word: Approval) -> str:
    return f"{word.decision} by {word.person} ({word.id})"


def _people(counted: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{person} ({role})" for role, person in counted)
