"""From a bundle to an approved version: register, gates, sign-off, and the audit of all of it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from greenlight import lookup
from greenlight.adapters import signing
from greenlight.core.errors import BadInput, Conflict, NotFound, Refused
from greenlight.core.records import (
    DAY,
    SECOND,
    Approval,
    Evaluation,
    LedgerEntry,
    Rollout,
    Run,
    Version,
)
from greenlight.core.states import VersionStatus
from greenlight.stages.approve import identify, settle
from greenlight.stages.audit import audit
from tests.stages.office import POLICY, RULES, Office, rollout


@pytest.fixture
def office() -> Office:
    return Office()


class TestRegister:
    """R1: a version has a digest, a label, a bundle and a lineage."""

    def test_labels_count_up(self, office: Office) -> None:
        made = [office.register(office.run(bundle)) for bundle in ("b1", "b2", "b3")]
        assert [version.label for version in made] == ["intent@1", "intent@2", "intent@3"]
        assert made[0].lineage["dataset"] == "sha256:d"
        assert {version.status for version in made} == {VersionStatus.REGISTERED}

    def test_the_same_content_is_the_same_version(self, office: Office) -> None:
        run = office.run()
        first = office.register(run)
        assert office.register(run, label="intent@9") == first
        assert len(office.store.scan(Version)) == 1

    def test_where_it_is_served_is_part_of_it(self, office: Office) -> None:
        run = office.run()
        remote = office.register(run, runtime={"kind": "http", "url": "http://model"})
        assert remote.digest != office.register(run).digest

    def test_a_label_belongs_to_one_version(self, office: Office) -> None:
        office.register(office.run("b1"), label="intent@5")
        with pytest.raises(Refused, match="another version's"):
            office.register(office.run("b2"), label="intent@5")
        with pytest.raises(BadInput, match="NAME@SOMETHING"):
            office.register(office.run("b2"), label="five")
        assert office.register(office.run("b2")).label == "intent@6"


class TestGates:
    """E6: gates fail closed and say why."""

    def test_passed(self, office: Office) -> None:
        version, results = office.gate(office.register(), 0.95)
        assert version.status == VersionStatus.EVALUATED == office.status(version).status
        assert [result.outcome for result in results] == ["pass"]

    def test_failed_and_mended(self, office: Office) -> None:
        version, results = office.gate(office.register(), 0.5)
        assert version.status == VersionStatus.GATED_OUT
        assert [result.outcome for result in results] == ["fail"]
        assert office.gate(version, 0.95)[0].status == VersionStatus.EVALUATED

    def test_without_gates_nothing_passes(self, office: Office) -> None:
        version = office.register()
        evaluation = office.evaluate(version, 1.0)
        gated, _ = office.judge(version, evaluation, {})
        assert gated.status == VersionStatus.GATED_OUT

    def test_another_versions_evaluation_is_refused(self, office: Office) -> None:
        one, other = office.register(office.run("b1")), office.register(office.run("b2"))
        with pytest.raises(Refused, match=one.digest):
            office.judge(other, office.evaluate(one, 1.0), RULES)

    def test_after_sign_off_an_evaluation_moves_nothing(self, office: Office) -> None:
        """G1: a re-run evaluation does not replace the approved one."""
        version = office.approved()
        after, _ = office.gate(version, 0.1)
        assert after.status == VersionStatus.APPROVED
        assert lookup.standing(
            office.store,
            after,
            policy=POLICY,
            people=office.people,
            verify=signing.verify,
            now=office.clock.now(),
        ).ok


class TestDecide:
    """G1: people, proved by keys, distinct, never the initiator, bound to digests."""

    def test_two_people_approve(self, office: Office) -> None:
        version = office.evaluated()
        word = office.say(version, "ana")
        assert (word.person, word.role) == ("ana", "ml_lead")
        assert office.status(version).status == VersionStatus.EVALUATED
        office.say(version, "ben")
        assert office.status(version).status == VersionStatus.APPROVED

    def test_one_person_fills_one_place(self, office: Office) -> None:
        version = office.evaluated()
        office.say(version, "cai")
        assert office.status(version).status == VersionStatus.EVALUATED
        office.say(version, "ana")
        assert office.status(version).status == VersionStatus.APPROVED

    @pytest.mark.parametrize(
        ("who", "options", "says"),
        [
            ("eve", {}, "brought intent@1 about"),
            ("dia", {}, "does not sign for intent"),
            ("ana", {"decision": "revoke"}, "no standing word"),
            ("ana", {"evaluation": "sha256:x"}, "none of intent@1 that passed"),
        ],
    )
    def test_refused(self, office: Office, who: str, options: dict[str, str], says: str) -> None:
        version = office.evaluated()
        before = office.store.scan(LedgerEntry)
        with pytest.raises(Refused, match=says):
            office.say(version, who, **options)
        assert office.store.scan(Approval) == []
        assert office.store.scan(LedgerEntry) == before

    @pytest.mark.parametrize("options", [{"why": "  "}, {"decision": "nod"}, {"secret": "glp_x"}])
    def test_malformed(self, office: Office, options: dict[str, str]) -> None:
        with pytest.raises(BadInput):
            office.say(office.evaluated(), "ana", **options)

    def test_a_strangers_key(self, office: Office) -> None:
        stranger = signing.new_secret(office.random)
        with pytest.raises(Refused, match=r"nobody in \[people\]"):
            identify(stranger, office.people, signing.public_key)

    @pytest.mark.parametrize("part", ["run", "version", "rollout"])
    def test_initiators_of_every_part(self, office: Office, part: str) -> None:
        run = office.run(initiator="ana" if part == "run" else "eve")
        version = office.register(run, initiator="ana" if part == "version" else "eve")
        version, _ = office.gate(version, 0.95)
        if part == "rollout":
            office.store.commit(append=[rollout(version, "ana", office.clock.now())])
        with pytest.raises(Refused, match="ana brought intent@1 about"):
            office.say(version, "ana")

    @pytest.mark.parametrize("accuracy", [None, 0.1])
    def test_nothing_to_decide_on(self, office: Office, accuracy: float | None) -> None:
        version = office.register()
        if accuracy is not None:
            version, _ = office.gate(version, accuracy)
        with pytest.raises(Refused, match="people are asked once"):
            office.say(version, "ana")

    def test_rejecting_and_thinking_better_of_it(self, office: Office) -> None:
        version = office.approved()
        office.say(version, "cai", "reject")
        assert office.status(version).status == VersionStatus.REJECTED
        office.say(version, "cai", "revoke")
        assert office.status(version).status == VersionStatus.APPROVED

    def test_taking_back_an_approval(self, office: Office) -> None:
        version = office.approved()
        office.say(version, "ben", "revoke")
        assert office.status(version).status == VersionStatus.EVALUATED
        with pytest.raises(Refused, match="no standing word"):
            office.say(version, "ben", "revoke")
        office.say(version, "ben")
        assert office.status(version).status == VersionStatus.APPROVED

    def test_a_rejection_meets_the_approved_evaluation(self, office: Office) -> None:
        """A newer evaluation must not draw the rejection away from the one that was signed."""
        version = office.approved()
        office.gate(version, 0.97)
        office.say(version, "cai", "reject")
        assert office.status(version).status == VersionStatus.REJECTED

    def test_signatures_on_different_evaluations_do_not_add_up(self, office: Office) -> None:
        version = office.evaluated()
        office.say(version, "ana")
        office.gate(version, 0.96)
        office.say(version, "ben")
        assert office.status(version).status == VersionStatus.EVALUATED
        office.say(version, "ana")
        assert office.status(version).status == VersionStatus.APPROVED

    def test_words_on_traffic_move_nothing(self, office: Office) -> None:
        version = office.approved()
        office.move(version, VersionStatus.CANARY)
        office.say(version, "ben", "revoke")
        assert office.status(version).status == VersionStatus.CANARY

    @pytest.mark.parametrize(
        "status", [VersionStatus.ROLLED_BACK, VersionStatus.SHELVED, VersionStatus.RETIRED]
    )
    def test_coming_back_takes_fresh_signatures(
        self, office: Office, status: VersionStatus
    ) -> None:
        version = office.approved()
        office.clock.advance(SECOND)
        ended = rollout(version, "eve", office.clock.now(), ended=True)
        office.store.commit(append=[ended])
        office.move(version, status)
        office.say(version, "ana")
        assert office.status(version).status == status
        office.say(version, "ben")
        assert office.status(version).status == VersionStatus.APPROVED

    def test_a_rejection_thought_better_of_does_not_revive_old_signatures(
        self, office: Office
    ) -> None:
        """G1: rejected and reopened, what left traffic still takes fresh signatures."""
        version = office.approved()
        office.clock.advance(SECOND)
        ended = rollout(version, "eve", office.clock.now(), ended=True)
        office.store.commit(append=[ended])
        office.move(version, VersionStatus.ROLLED_BACK)
        office.say(version, "cai", "reject")
        assert office.status(version).status == VersionStatus.REJECTED
        office.say(version, "cai", "revoke")
        assert office.status(version).status == VersionStatus.EVALUATED
        office.say(version, "ana")
        assert office.status(version).status == VersionStatus.EVALUATED
        office.say(version, "ben")
        assert office.status(version).status == VersionStatus.APPROVED

    def test_a_fresh_signature_taken_back_is_not_made_up_for_by_an_old_one(
        self, office: Office
    ) -> None:
        """G1."""
        version = office.approved()
        office.say(version, "cai")
        ended = rollout(version, "eve", office.clock.now() + 1, ended=True)
        office.store.commit(append=[ended])
        office.move(version, VersionStatus.ROLLED_BACK)
        office.say(version, "ana")
        office.say(version, "ben")
        assert office.status(version).status == VersionStatus.APPROVED
        office.say(version, "ben", "revoke")
        assert office.status(version).status == VersionStatus.EVALUATED

    def test_a_clock_put_back_does_not_reorder_words(self, office: Office) -> None:
        version = office.evaluated()
        first = office.say(version, "ana")
        second = office.say(version, "ana", "revoke", now=first.at - DAY)
        assert second.at > first.at

    def test_two_people_at_the_same_moment(self, office: Office) -> None:
        """Each settles after writing, so that neither signature is overlooked."""
        version = office.evaluated()
        office.say(version, "ana")
        office.say(version, "ben")
        office.move(version, VersionStatus.EVALUATED)  # as if both had looked before writing
        settled = settle(
            office.store,
            version.digest,
            policy=POLICY,
            people=office.people,
            verify=signing.verify,
            now=office.clock.now(),
        )
        assert settled.status == VersionStatus.APPROVED

    def test_settling_an_unknown_version(self, office: Office) -> None:
        with pytest.raises(NotFound):
            settle(office.store, "x", policy=POLICY, people={}, verify=signing.verify, now=1)


class TestLookup:
    def test_by_label_digest_and_beginning(self, office: Office) -> None:
        version = office.register()
        for name in (version.label, version.digest, version.digest[7:15], version.digest[:20]):
            assert lookup.find_version(office.store, name) == version

    def test_unknown_names_list_what_there_is(self, office: Office) -> None:
        with pytest.raises(NotFound, match="there is none yet"):
            lookup.find_version(office.store, "intent@1")
        office.register()
        with pytest.raises(NotFound, match="there are: intent@1"):
            lookup.find_version(office.store, "intent@2")

    def test_an_ambiguous_beginning_is_refused(self, office: Office) -> None:
        twins = [
            msgspec.structs.replace(office.register(), digest=f"sha256:abcd{i}", label=f"t@{i}")
            for i in range(2)
        ]
        office.store.commit(append=twins)
        with pytest.raises(BadInput, match="give more of the digest"):
            lookup.find_version(office.store, "abcd")

    def test_by_id_and_its_beginning(self, office: Office) -> None:
        version = office.register()
        made = rollout(version, "eve", office.clock.now())
        office.store.commit(append=[made])
        assert lookup.find_by_id(office.store, Rollout, made.id[:8]).id == made.id
        with pytest.raises(NotFound, match="greenlight rollouts list"):
            lookup.find_by_id(office.store, Rollout, "zzzz")

    def test_everything_goes_past_one_page(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lookup, "PAGE", 2)
        made = [office.register(office.run(f"b{i}")) for i in range(5)]
        found = list(lookup.everything(office.store, Version))
        assert found == sorted(made, key=lambda version: version.digest)
        backwards = list(lookup.everything(office.store, Version, newest_first=True))
        assert backwards == found[::-1]


class TestAudit:
    """G5: whatever was changed, taken out or put in shows."""

    def test_intact(self, office: Office) -> None:
        office.approved()
        report = audit(office.store)
        assert report.ok and report.problems == []
        assert report.entries == len(office.store.scan(LedgerEntry))
        assert report.head == office.store.scan(LedgerEntry, newest_first=True, limit=1)[0].digest

    @pytest.mark.parametrize(
        ("kind", "change", "says"),
        [
            (LedgerEntry, {"body": {}}, "was changed: its digest does not fit"),
            (LedgerEntry, None, "entries are missing"),
            (Run, {"initiator": "somebody"}, "run .* was changed"),
            (Approval, {"why": "paid to"}, "approval .* was changed"),
            (Approval, None, "approval .* was taken out"),
            (Evaluation, {"document": {"accuracy": 1}}, "evaluation .* was changed"),
            (Evaluation, None, "evaluation .* was taken out"),
            (Version, {"bundle": "worse"}, "version .* was changed"),
            (Version, {"label": "intent@7"}, "version .* was changed"),
            (Version, None, "version .* was taken out"),
        ],
    )
    def test_tampering_is_found(
        self, office: Office, kind: Any, change: dict[str, Any] | None, says: str
    ) -> None:
        office.approved()
        held = office.store._records[kind]
        key = next(iter(held))
        if change is None:
            del held[key]
        else:
            held[key] = msgspec.structs.replace(held[key], **change)
        report = audit(office.store)
        assert not report.ok
        assert [line for line in report.problems if re.search(says, line)]

    def test_a_record_from_outside_is_found(self, office: Office) -> None:
        """A forged approval counts for nothing, and its presence shows."""
        version = office.evaluated()
        word = office.say(version, "ana")
        office.store.commit(append=[msgspec.structs.replace(word, id="forged", person="ben")])
        assert audit(office.store).problems == [
            "approval forged is not on the ledger: it was put in from outside"
        ]
        assert office.status(version).status == VersionStatus.EVALUATED


def test_a_version_that_moved_meanwhile_is_a_conflict(office: Office) -> None:
    version = office.register()
    evaluation = office.evaluate(version, 0.95)
    office.gate(version, 0.96)
    with pytest.raises(Conflict):
        office.judge(version, evaluation, RULES)
