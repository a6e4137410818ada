"""Adoptions and what they are good for: one attack per test (G1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from greenlight import lookup
from greenlight.adapters import signing
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import approval, ids
from greenlight.core.approval import Quorum
from greenlight.core.errors import BadInput, Refused, Tampered
from greenlight.core.records import DAY, SECOND, Approval, Epoch, LedgerEntry, Record, Version
from greenlight.core.states import VersionStatus
from greenlight.recording import record
from greenlight.stages.adopt import Newcomer, add, adopt
from greenlight.stages.audit import audit
from greenlight.stages.roll_out import go_live
from tests.stages.office import POLICY, Office

OURS = Newcomer(
    task="intent",
    bundle="sha256:ours",
    runtime={"kind": "in_process"},
    lineage={"source": "adopted", "by": "ana"},
)
OTHER = msgspec.structs.replace(OURS, bundle="sha256:other")


@pytest.fixture
def office() -> Office:
    return Office()


def take(office: Office, newcomer: Newcomer = OURS, who: str = "ana", **options: Any) -> Version:
    """Adopt, and say which version it became."""
    office.clock.advance(SECOND)
    given: dict[str, Any] = {
        "signer": office.people[who],
        "why": "it has run for a year",
        "policy": POLICY,
        "sign": lambda data: signing.sign(office.secrets[who], data),
        "now": office.clock.now(),
        "random": office.random,
        **options,
    }
    return adopt(office.store, newcomer, **given)[0]


def stands(office: Office, version: Version, *, as_control: bool = True) -> Quorum:
    """Whether it may serve."""
    return lookup.standing(
        office.store,
        office.status(version),
        policy=POLICY,
        people=office.people,
        verify=signing.verify,
        now=office.clock.now(),
        expires=False,
        as_control=as_control,
    )


def signed_adoption(office: Office, version: Version, who: str, key: str | None = None) -> Approval:
    """A word that nobody could tell from a real adoption, put together by hand."""
    draft = Approval(
        id=ids.fresh(office.clock.now(), office.random),
        version=version.digest,
        evaluation=approval.ADOPTION,
        role=",".join(office.people[who].roles),
        person=who,
        decision=approval.ADOPT,
        why="trust me",
        at=office.clock.now(),
        signature="",
    )
    signature = signing.sign(office.secrets[key or who], approval.statement(draft))
    return msgspec.structs.replace(draft, signature=signature)


def first_epoch(version: Version, decision: str, number: int = 1) -> Epoch:
    return Epoch(
        task=version.task,
        number=number,
        follows=number - 1,
        rollout=None,
        control=version.digest,
        candidate=None,
        weight=0.0,
        salt="",
        decision=decision,
        at=0,
    )


class TestAdopting:
    def test_what_runs_today_becomes_the_baseline(self, office: Office) -> None:
        """G1: live as control, by a ledgered bootstrap approval."""
        version = take(office)
        assert (version.label, version.status) == ("intent@1", VersionStatus.LIVE)
        assert office.status(version) == version
        [word], [epoch] = office.store.scan(Approval), office.store.scan(Epoch)
        assert (epoch.number, epoch.control, epoch.decision) == (1, version.digest, word.id)
        kinds = [entry.kind for entry in office.store.scan(LedgerEntry)]
        assert kinds == ["version", "approval", "adopt", "status", "epoch"]
        [said] = [e.body for e in office.store.scan(LedgerEntry, {"kind": "adopt"})]
        assert (said["person"], said["initiator"]) == ("ana", "ana")
        assert "no evaluation and no quorum" in said["why"]
        assert str(stands(office, version)) == "adopted by ana (ml_lead)"
        assert audit(office.store).problems == []

    def test_a_version_that_was_added_before(self, office: Office) -> None:
        before = add(office.store, OURS, initiator="eve", now=office.clock.now())
        assert take(office).digest == before.digest
        assert office.status(before).status == VersionStatus.LIVE
        assert office.status(before).initiator == "eve"
        assert audit(office.store).problems == []

    @pytest.mark.parametrize(
        ("who", "options", "error", "says"),
        [
            ("dia", {}, Refused, "does not sign for intent"),
            ("ana", {"why": " "}, BadInput, "needs a reason"),
        ],
    )
    def test_refusals_leave_nothing(
        self, office: Office, who: str, options: dict[str, str], error: Any, says: str
    ) -> None:
        with pytest.raises(error, match=says):
            take(office, who=who, **options)
        for kind in (Version, Approval, Epoch, LedgerEntry):
            assert office.store.scan(kind) == []

    def test_what_was_judged_cannot_be_adopted(self, office: Office) -> None:
        """What gates have failed does not get in through the back door."""
        office.gate(add(office.store, OURS, initiator="ana", now=office.clock.now()), 0.1)
        with pytest.raises(Refused, match="gated_out cannot take 'adopt'"):
            take(office, OURS)
        assert office.store.scan(Epoch) == []

    @pytest.mark.parametrize("runtime", [{"kind": "in_process"}, {"kind": "http", "url": "u"}])
    def test_what_a_run_made_cannot_be_adopted(
        self, office: Office, runtime: dict[str, str]
    ) -> None:
        """Not before its gates have judged it, and not as another version of the same bundle."""
        trained = msgspec.structs.replace(OURS, lineage={"run": "intent#1"})
        made = add(office.store, trained, initiator="ana", now=office.clock.now())
        with pytest.raises(Refused, match=f"{made.label} was made by run intent#1"):
            take(office, msgspec.structs.replace(OURS, runtime=runtime))
        assert office.store.scan(Epoch) == []

    def test_a_second_adoption_is_refused_with_the_way_to_go(self, office: Office) -> None:
        take(office)
        with pytest.raises(Refused, match=r"intent@1 is live already.*versions add intent"):
            take(office, OTHER, "ben")

    def test_beside_a_version_that_went_live_by_quorum_too(self, office: Office) -> None:
        go_live(
            office.store,
            office.approved(),
            authorise=lambda _: None,
            initiator="eve",
            now=office.clock.now(),
            random=office.random,
        )
        with pytest.raises(Refused, match="is live already"):
            take(office, OTHER)

    def test_of_two_at_once_one_is_first(self) -> None:
        """Both have looked before either has written."""

        class Racing(MemoryStore):
            race = True

            def commit(self, *, append: Sequence[Record] = (), **options: Any) -> None:
                if self.race and any(isinstance(new, Epoch) for new in append):
                    self.race = False
                    take(office, OTHER, "ben")
                super().commit(append=append, **options)

        office = Office(Racing())
        with pytest.raises(Refused, match="is live already"):
            take(office)
        [version] = office.store.scan(Version)
        assert version.bundle == OTHER.bundle
        assert audit(office.store).problems == []

    def test_other_tasks_are_none_of_its_business(self, office: Office) -> None:
        one = take(office)
        two = take(office, msgspec.structs.replace(OTHER, task="triage"))
        assert stands(office, one).ok and stands(office, two).ok


class TestAttacks:
    def test_an_adoption_is_no_way_for_a_candidate(self, office: Office) -> None:
        assert not stands(office, take(office), as_control=False).ok

    def test_a_forged_adoption(self, office: Office) -> None:
        """Write access to the store is not enough: the key is needed."""
        version = add(office.store, OURS, initiator="eve", now=office.clock.now())
        word = signed_adoption(office, version, "ana", key="dia")
        office.store.commit(append=[word, first_epoch(version, word.id)])
        quorum = stands(office, version)
        assert not quorum.ok and "does not verify" in quorum.problems[0]
        assert not audit(office.store).ok

    def test_an_adoption_by_somebody_without_a_role(self, office: Office) -> None:
        version = add(office.store, OURS, initiator="eve", now=office.clock.now())
        word = signed_adoption(office, version, "dia")
        office.store.commit(append=[word, first_epoch(version, word.id)])
        assert not stands(office, version).ok

    def test_one_insider_cannot_adopt_a_second_version(self, office: Office) -> None:
        """A true signature by somebody who also writes to the store: it is not the first."""
        take(office)
        second = add(office.store, OTHER, initiator="eve", now=office.clock.now())
        word = signed_adoption(office, second, "ana")
        office.store.commit(append=[word, first_epoch(second, word.id, number=2)])
        assert not stands(office, second).ok

    def test_nor_prop_up_what_a_quorum_made_live(self, office: Office) -> None:
        version = office.approved()
        go_live(
            office.store,
            version,
            authorise=lambda _: None,
            initiator="eve",
            now=office.clock.now(),
            random=office.random,
        )
        office.store.commit(append=[signed_adoption(office, version, "ana")])
        office.say(version, "ben", "revoke")
        assert not stands(office, version).ok

    def test_an_adoption_of_another_task_does_not_carry_over(self, office: Office) -> None:
        """The version's digest covers the task: a record that says otherwise is found out."""
        version = take(office)
        moved = msgspec.structs.replace(version, task="triage")
        with pytest.raises(Tampered, match="is not what its digest"):
            lookup.genuine(moved)

    def test_a_bundle_that_was_swapped_behind_the_adoption(self, office: Office) -> None:
        worse = msgspec.structs.replace(take(office), bundle="sha256:worse")
        with pytest.raises(Tampered):
            lookup.genuine(worse)

    def test_once_something_else_was_live_it_is_over(self, office: Office) -> None:
        """What comes back comes back by a quorum."""
        version = take(office)
        successor = add(office.store, OTHER, initiator="eve", now=office.clock.now())
        office.store.commit(append=[first_epoch(successor, "d", number=2)])
        assert not stands(office, version).ok
        office.store.commit(append=[first_epoch(version, "d", number=3)])
        assert not stands(office, version).ok


class TestTakingItBack:
    def test_who_adopted_it_may(self, office: Office) -> None:
        """Though they brought it about, and say so with `approve --revoke`."""
        version = take(office)
        assert office.say(version, "ana", "revoke").evaluation == approval.ADOPTION
        assert not stands(office, version).ok
        assert office.status(version).status == VersionStatus.LIVE
        with pytest.raises(Refused, match="no standing word"):
            office.say(version, "ana", "revoke")

    def test_anybody_who_signs_may_reject_it_without_an_evaluation(self, office: Office) -> None:
        version = take(office)
        office.say(version, "ben", "reject")
        assert str(stands(office, version)) == "rejected by ben"
        office.say(version, "ben", "revoke")
        assert stands(office, version).ok

    def test_others_may_not(self, office: Office) -> None:
        with pytest.raises(Refused, match="does not sign for intent"):
            office.say(take(office), "dia", "reject")

    def test_a_rejection_after_an_evaluation_counts_as_well(self, office: Office) -> None:
        version = take(office)
        office.gate(version, 0.95)
        office.say(version, "ben", "reject")
        assert not stands(office, version).ok

    def test_nobody_approves_what_was_not_evaluated(self, office: Office) -> None:
        with pytest.raises(Refused, match="people are asked once an evaluation has passed"):
            office.say(take(office), "ben")

    def test_a_quorum_takes_the_adoptions_place(self, office: Office) -> None:
        """Evaluated and signed like any other, by others than who brought it in."""
        version = take(office)
        office.gate(version, 0.95)
        with pytest.raises(Refused, match="ana brought intent@1 about"):
            office.say(version, "ana")
        office.say(version, "ben")
        office.say(version, "cai")
        office.clock.advance(DAY)
        office.say(version, "ana", "revoke")
        assert stands(office, version).ok
        assert str(stands(office, version, as_control=False)).startswith("approved by")


class TestAdding:
    """R1: a version without a run has its lineage too."""

    def test_a_candidate_like_any_other(self, office: Office) -> None:
        version = add(office.store, OURS, initiator="eve", now=office.clock.now())
        assert (version.label, version.status) == ("intent@1", VersionStatus.REGISTERED)
        judged, _ = office.gate(version, 0.95)
        assert judged.status == VersionStatus.EVALUATED
        with pytest.raises(Refused, match="eve brought intent@1 about"):
            office.say(judged, "eve")
        office.say(judged, "ana")
        office.say(judged, "ben")
        assert office.status(version).status == VersionStatus.APPROVED
        assert audit(office.store).problems == []

    def test_the_same_again_is_the_same_version(self, office: Office) -> None:
        first = add(office.store, OURS, initiator="eve", now=office.clock.now())
        again = msgspec.structs.replace(OURS, label="intent@7")
        assert add(office.store, again, initiator="ben", now=office.clock.now()) == first
        assert len(office.store.scan(LedgerEntry)) == 1

    @pytest.mark.parametrize(("label", "error"), [("seven", BadInput), ("intent@1", Refused)])
    def test_labels(self, office: Office, label: str, error: Any) -> None:
        add(office.store, OURS, initiator="eve", now=office.clock.now())
        named = msgspec.structs.replace(OTHER, label=label)
        with pytest.raises(error, match="label"):
            add(office.store, named, initiator="eve", now=office.clock.now())


def test_the_audit_finds_an_adoption_that_was_not_made_here(office: Office) -> None:
    """G5."""
    version = take(office)
    late = signed_adoption(office, version, "ben")
    record(office.store, [], append=[late], now=office.clock.now())
    assert audit(office.store).problems == [
        f"approval {late.id} is not on the ledger: it was put in from outside"
    ]
