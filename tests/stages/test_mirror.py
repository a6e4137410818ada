"""R2, T8: bringing a mirror in line with the store, whatever becomes of the mirror and of us."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from greenlight import lookup
from greenlight.adapters import signing
from greenlight.core.approval import REVOKE
from greenlight.core.errors import LostLease
from greenlight.core.incidents import Delivery
from greenlight.core.mirroring import SignOff
from greenlight.core.records import DAY, MINUTE, SECOND, Epoch, Run, StageResult, Version
from greenlight.core.states import RunStatus, VersionStatus
from greenlight.ports.mirror import NotMirrored
from greenlight.recording import record
from greenlight.stages import mirror as stage
from greenlight.stages.mirror import Memory, Step, follow
from greenlight.testing.mirror import FakeMirror
from tests.stages.office import POLICY, Office


class Killed(BaseException):
    """The process ends here."""


class Scene:
    """An office whose versions are mirrored."""

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self.office = Office()
        self.store = self.office.store
        self.mirror = FakeMirror(before)
        self.memory = Memory()
        self.people = self.office.people

    def standing(self, version: Version) -> SignOff:
        quorum = lookup.standing(
            self.store,
            version,
            policy=POLICY,
            people=self.people,
            verify=signing.verify,
            now=self.office.clock.now(),
        )
        return SignOff(approved=quorum.ok, evaluation=quorum.evaluation)

    def step(self, **options: Any) -> Step:
        given: dict[str, Any] = {
            "tasks": ["intent"],
            "standing": self.standing,
            "holder": "one",
            "now": self.office.clock.now,
            "random": self.office.random,
            **options,
        }
        return follow(self.store, self.mirror, self.memory, **given)

    def all(self, **options: Any) -> Step:
        """As far as it goes."""
        step = self.step(**options)
        while step.more:
            step = self.step(**options)
        return step

    def approved(self, version: Version) -> str:
        return self.mirror.versions[version.digest].tags["approved"]

    def evaluated(self, bundle: str) -> Version:
        """Another version that waits for its signatures."""
        return self.office.gate(self.office.register(self.office.run(bundle)), 0.96)[0]

    def route(self, control: Version, candidate: Version | None = None) -> None:
        """A new epoch."""
        number = len(self.store.scan(Epoch)) + 1
        made = Epoch(
            task="intent",
            number=number,
            rollout="r" if candidate is not None else None,
            control=control.digest,
            candidate=None if candidate is None else candidate.digest,
            weight=0.1,
            salt="",
            decision=str(number),
            at=self.office.clock.now(),
            follows=number - 1,
        )
        record(
            self.store, [("epoch", {"task": "intent"})], append=[made], now=self.office.clock.now()
        )


def away(_what: str) -> None:
    raise NotMirrored("mlflow.acme.example: cannot be reached", retry=True)


class TestCurrent:
    """Every move shows."""

    def test_a_run_its_version_and_its_sign_off(self) -> None:
        scene = Scene()
        version = scene.office.evaluated()
        assert scene.all().outcome == "mirrored"
        assert scene.approved(version) == "false"
        assert scene.mirror.runs["intent#1"].status == "FINISHED"
        assert scene.mirror.versions[version.digest].tags["greenlight.status"] == "evaluated"
        scene.office.say(version, "ana")
        scene.all()
        assert scene.approved(version) == "false"
        scene.office.say(version, "ben")
        scene.all()
        assert scene.approved(version) == "true"
        scene.office.say(version, "ben", REVOKE)
        scene.all()
        assert scene.approved(version) == "false"

    def test_rollout_promotion_and_rollback_move_the_aliases(self) -> None:
        scene = Scene()
        office = scene.office
        live, tried = office.approved(), scene.evaluated("b2")
        office.move(live, VersionStatus.LIVE)
        scene.route(live)
        scene.all()
        assert scene.mirror.aliases["intent"] == {"champion": live.digest}
        office.move(tried, VersionStatus.CANARY)
        scene.route(live, tried)
        scene.all()
        both = {"champion": live.digest, "challenger": tried.digest}
        assert scene.mirror.aliases["intent"] == both
        office.move(tried, VersionStatus.ROLLED_BACK)
        scene.route(live)
        scene.all()
        assert scene.mirror.aliases["intent"] == {"champion": live.digest}
        assert scene.mirror.versions[tried.digest].tags["greenlight.status"] == "rolled_back"
        scene.route(tried)
        scene.all()
        assert scene.mirror.aliases["intent"] == {"champion": tried.digest}

    def test_where_nothing_is_new_nothing_is_asked(self) -> None:
        scene = Scene()
        scene.office.approved()
        scene.all()
        before = list(scene.mirror.calls)
        assert scene.all() == Step(outcome="current")
        scene.office.clock.advance(DAY)
        assert scene.all() == Step(outcome="current")
        assert scene.mirror.calls == before

    def test_an_approval_that_expires_shows_although_nothing_happens(self) -> None:
        scene = Scene()
        version = scene.office.approved()
        scene.all()
        assert scene.approved(version) == "true"
        scene.office.clock.advance(POLICY.expiry)
        assert scene.all().put == 1
        assert scene.approved(version) == "false"

    def test_so_does_one_whose_signer_was_taken_out_of_the_configuration(self) -> None:
        scene = Scene()
        version = scene.office.approved()
        scene.all()
        scene.people = {name: one for name, one in scene.people.items() if name != "ben"}
        scene.all()
        assert scene.approved(version) == "false"

    def test_a_version_waits_for_the_end_of_its_run(self) -> None:
        """Its run is known to the mirror then, and a version keeps the run it was made with."""
        scene = Scene()
        run = scene.office.run()
        under_way = msgspec.structs.replace(run, status=RunStatus.RUNNING, ended_at=None)
        scene.store.commit(swap=[(run, under_way)])
        version = scene.office.register(run)
        made = msgspec.structs.replace(
            scene.store.get(StageResult, run.id, "train"),
            name="register",
            output={"version": version.digest},
        )
        scene.store.commit(append=[made])
        scene.all()
        assert not scene.mirror.versions and not scene.mirror.runs
        scene.store.commit(swap=[(under_way, run)])
        body = {"run": run.id, "ended_at": run.ended_at}
        record(scene.store, [("run_status", body)], now=scene.office.clock.now())
        scene.all()
        assert scene.mirror.versions[version.digest].run is not None
        assert set(scene.mirror.runs) == {run.id}

    def test_approvals_are_taken_back_before_anything_is_given(self) -> None:
        scene = Scene()
        office = scene.office
        one, other = office.approved(), scene.evaluated("b2")
        scene.all()
        office.say(one, "ana", REVOKE)
        for who in ("ana", "ben"):
            office.say(other, who)
        scene.mirror.calls.clear()
        scene.all()
        assert scene.mirror.calls == [one.label, other.label]

    def test_what_somebody_changed_there_is_mended_by_a_look_at_everything(self) -> None:
        scene = Scene()
        version = scene.office.evaluated()
        scene.all()
        scene.mirror.versions.clear()
        scene.mirror.runs.clear()
        assert scene.all().put == 0
        scene.memory.clear()
        assert scene.all(whole="versions").outcome == "mirrored"
        assert set(scene.mirror.versions) == {version.digest} and not scene.mirror.runs
        scene.memory.clear()
        scene.all(whole="everything")
        assert set(scene.mirror.runs) == {"intent#1"}


class TestOutage:
    """T8: a mirror that is away fails nothing, is left alone, and is caught up with later."""

    def test_it_is_left_alone_for_longer_each_time(self) -> None:
        scene = Scene(away)
        scene.office.evaluated()
        waits = []
        for number in range(12):
            step = scene.step()
            assert step.outcome == "failed" and step.first == (number == 0)
            kept = scene.store.get(Delivery, stage.CHANNEL + "mlflow")
            assert kept.attempts == number + 1
            waits.append(kept.next_at - scene.office.clock.now())
            assert scene.step() == Step(outcome="waiting")
            scene.office.clock.advance(waits[-1])
        assert waits[0] <= SECOND and 5 * MINUTE <= waits[-1] <= 10 * MINUTE
        assert all(late > early for early, late in itertools.pairwise(waits[:9]))

    def test_all_of_it_is_made_up_for(self) -> None:
        """More than a page of the ledger, from the first entry on."""
        scene = Scene(away)
        office = scene.office
        made = [office.gate(office.register(office.run(f"b{n}")), 0.95)[0] for n in range(40)]
        scene.step()
        scene.mirror.before = lambda _: None
        scene.office.clock.advance(MINUTE)
        assert scene.all().outcome in ("current", "mirrored")
        assert set(scene.mirror.versions) == {version.digest for version in made}
        assert set(scene.mirror.runs) == {run.id for run in scene.store.scan(Run)}
        kept = scene.store.get(Delivery, stage.CHANNEL + "mlflow")
        assert (kept.attempts, kept.error, kept.next_at) == (0, None, 0)

    def test_another_reason_is_news(self) -> None:
        scene = Scene(away)
        scene.office.evaluated()
        assert scene.step().first
        assert not scene.step(at_once=True).first

        def refuses(_: str) -> None:
            raise NotMirrored("does not let us in", retry=True)

        scene.mirror.before = refuses
        assert scene.step(at_once=True).first

    def test_what_is_refused_for_good_holds_nothing_up(self) -> None:
        scene = Scene()

        def refuses(what: str) -> None:
            if what == "intent#1":
                raise NotMirrored("INVALID_PARAMETER_VALUE", retry=False)

        scene.mirror.before = refuses
        scene.office.evaluated()
        scene.office.run("b2")
        step = scene.all()
        assert step.refused == ("intent#1: INVALID_PARAMETER_VALUE",)
        assert set(scene.mirror.runs) == {"intent#2"} and scene.mirror.versions
        kept = scene.store.get(Delivery, stage.CHANNEL + "mlflow")
        assert kept.given_up == 1 and scene.all().outcome == "current"

    def test_a_run_that_cannot_be_stored_does_not_keep_an_approval_up(self) -> None:
        """G2: documents may have nowhere to go; what is taken back must show all the same."""
        scene = Scene()
        version = scene.office.approved()
        scene.all()

        def full(what: str) -> None:
            if what.startswith("intent#"):
                raise NotMirrored("no space", retry=True)

        scene.mirror.before = full
        for number in range(stage.PAGE):
            scene.office.run(f"b{number}")
        assert scene.all().outcome == "failed"
        scene.office.say(version, "ana", REVOKE)
        assert scene.all(at_once=True).outcome == "failed"
        assert scene.approved(version) == "false"

    def test_a_fault_of_ours_is_an_outage_and_tells_no_secret(self) -> None:
        def broken(_: str) -> None:
            raise ValueError("token=whsec-not-to-be-shown")

        scene = Scene(broken)
        scene.office.evaluated()
        assert scene.step().error == "ValueError, which is no known failure"


class TestKill:
    """Killed at any point, and gone on with by another process: the same in the end."""

    def made(self) -> Scene:
        scene = Scene()
        live = scene.office.approved()
        scene.office.move(live, VersionStatus.LIVE)
        tried = scene.office.gate(scene.office.register(scene.office.run("b2")), 0.96)[0]
        scene.route(live, tried)
        return scene

    def test_killed_at_each_call(self) -> None:
        right = self.made()
        right.all(whole="everything")
        assert len(right.mirror.calls) == 5
        for at in range(5):
            scene = self.made()
            done: list[str] = []

            def count(what: str, done: list[str] = done, at: int = at) -> None:
                if len(done) == at:
                    raise Killed
                done.append(what)

            scene.mirror.before = count
            with pytest.raises(Killed):
                scene.step(whole="everything")
            scene.mirror.before = lambda _: None
            scene.memory = Memory()
            scene.office.clock.advance(stage.LEASE_TTL)
            scene.all(holder="two", whole="everything")
            assert scene.mirror.runs == right.mirror.runs
            assert scene.mirror.versions == right.mirror.versions
            assert scene.mirror.aliases == right.mirror.aliases

    def test_one_process_mirrors_at_a_time(self) -> None:
        scene = Scene()
        scene.office.evaluated()
        now = scene.office.clock.now
        assert scene.store.lease(stage.CHANNEL + "mlflow", "two", now(), stage.LEASE_TTL)
        assert scene.step() == Step(outcome="taken")
        scene.office.clock.advance(stage.LEASE_TTL)
        assert scene.step().outcome == "mirrored"
        scene.office.run("b2")
        assert scene.step(holder="three").outcome == "mirrored"

    @pytest.mark.parametrize("still", [True, False])
    def test_it_leaves_off_where_another_one_has_taken_over(self, still: bool) -> None:
        """Also where that one has ended again meanwhile."""
        scene = Scene()
        scene.office.evaluated()

        def slept(_: str) -> None:
            scene.office.clock.advance(stage.LEASE_TTL)
            other = scene.store.lease(
                stage.CHANNEL + "mlflow", "two", scene.office.clock.now(), MINUTE
            )
            assert other is not None
            if not still:
                scene.office.clock.advance(MINUTE)

        scene.mirror.before = slept
        with pytest.raises(LostLease):
            scene.step()
        assert len(scene.mirror.calls) == 1
        assert scene.store.get(Delivery, stage.CHANNEL + "mlflow").seq == 0

    def test_what_another_process_put_there_is_not_taken_for_ones_own(self) -> None:
        """G2: one shows an approval; another, which remembers no approval, takes it back."""
        scene = Scene()
        live, version = scene.office.approved(), scene.evaluated("b2")
        scene.office.move(live, VersionStatus.LIVE)
        scene.route(live)
        scene.all()
        one, two = scene.memory, Memory()
        for who in ("ana", "ben"):
            scene.office.say(version, who)
        scene.route(live, version)
        scene.memory = two
        scene.all(holder="two")
        assert scene.approved(version) == "true" and len(scene.mirror.aliases["intent"]) == 2
        scene.office.say(version, "ben", REVOKE)
        scene.route(live)
        scene.memory = one
        scene.all()
        assert scene.approved(version) == "false" and len(scene.mirror.aliases["intent"]) == 1

    def test_nor_is_what_it_put_there_before_it_was_killed(self) -> None:
        scene = Scene()
        live, version = scene.office.approved(), scene.evaluated("b2")
        scene.office.move(live, VersionStatus.LIVE)
        scene.route(live)
        scene.all()
        one, scene.memory = scene.memory, Memory()
        for who in ("ana", "ben"):
            scene.office.say(version, who)
        scene.route(live, version)
        scene.office.run("b3")

        def killed(what: str) -> None:
            if what.startswith("intent#"):
                raise Killed

        scene.mirror.before = killed
        with pytest.raises(Killed):
            scene.step(holder="two")
        assert scene.approved(version) == "true" and len(scene.mirror.aliases["intent"]) == 2
        scene.office.say(version, "ben", REVOKE)
        scene.route(live)
        scene.memory, scene.mirror.before = one, lambda _: None
        scene.all()
        assert scene.approved(version) == "false" and len(scene.mirror.aliases["intent"]) == 1

    @pytest.mark.parametrize("expired", [False, True])
    def test_what_another_process_showed_as_approved_expires_too(self, expired: bool) -> None:
        """Also where it had expired before, when this process looked last."""
        scene = Scene()
        version = scene.office.approved() if expired else scene.office.evaluated()
        if expired:
            scene.office.clock.advance(POLICY.expiry)
        scene.all()
        assert scene.approved(version) == "false"
        one, scene.memory = scene.memory, Memory()
        for who in ("ana", "ben"):
            scene.office.say(version, who)
        scene.all(holder="two")
        assert scene.approved(version) == "true"
        scene.memory = one
        scene.office.clock.advance(POLICY.expiry)
        scene.all()
        assert scene.approved(version) == "false"

    def test_what_was_looked_up_before_ones_turn_is_looked_up_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """G2: between the look and the turn another process may have taken an approval back."""
        scene = Scene()
        version = scene.office.approved()
        really, one = scene.store.lease, scene.memory

        def lease(*args: Any) -> Any:
            monkeypatch.setattr(scene.store, "lease", really)
            scene.office.clock.advance(SECOND)
            scene.office.say(version, "ben", REVOKE)
            scene.memory = Memory()
            scene.all(holder="two")
            scene.memory = one
            scene.office.clock.advance(SECOND)
            name, holder, _, ttl = args
            return really(name, holder, scene.office.clock.now(), ttl)

        monkeypatch.setattr(scene.store, "lease", lease)
        scene.all()
        assert scene.approved(version) == "false"

    def test_it_stops_when_it_is_told_to(self) -> None:
        scene = Scene()
        scene.office.evaluated()
        step = scene.step(stopping=lambda: bool(scene.mirror.calls))
        assert step == Step(outcome="stopped", put=1)
        assert scene.all().outcome == "mirrored"
