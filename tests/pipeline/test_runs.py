"""Runs: one per task, taken over, aborted, left off, failed (T1, T2, T5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from greenlight.core import ledger
from greenlight.core.errors import Aborted, BadInput, LostLease, NotFound, Refused
from greenlight.core.records import SECOND, LedgerEntry, Run, RunProgress, StageResult
from greenlight.core.states import RunStatus
from greenlight.lookup import everything, run_view
from greenlight.stages.audit import audit
from greenlight.stages.loop import STAGES, Turn
from greenlight.stages.pipeline import LEASE_TTL, FineTuningPipeline
from greenlight.stages.runs import active
from tests.pipeline.shop import PLAN, Site, plan, silent


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def begin(works: FineTuningPipeline, given: object = PLAN, by: str = "ana") -> Run:
    return works.begin("intent", given, trigger="manual", initiator=by)  # type: ignore[arg-type]


def made(works: FineTuningPipeline, given: object = PLAN) -> Turn:
    hand = works.take(begin(works, given))
    try:
        return hand.carry_out(silent)
    finally:
        hand.let_go()


def reused(site: Site, run: Run) -> dict[str, str | None]:
    return {
        done.name: done.reused for done in everything(site.records, StageResult, {"run": run.id})
    }


class TestOneAtATime:
    """T1: one run per task."""

    def test_the_second_is_refused_with_the_id_of_the_first(self, site: Site) -> None:
        first = begin(site.pipeline())
        assert first.id == "intent#1"
        with pytest.raises(Refused, match="run intent#1 is under way"):
            begin(site.pipeline("two"))
        site.pipeline().begin("other", PLAN, trigger="manual", initiator="ana")

    def test_at_the_very_same_moment(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both have looked and seen no run; the key of the record lets one through."""
        commit = site.records.commit

        def late(**given: object) -> None:
            monkeypatch.setattr(site.records, "commit", commit)
            begin(site.pipeline("two"), by="ben")
            commit(**given)

        monkeypatch.setattr(site.records, "commit", late)
        with pytest.raises(Refused, match="run intent#1 is under way"):
            begin(site.pipeline())
        (run,) = site.records.scan(Run)
        assert run.initiator == "ben"

    def test_two_processes_do_not_carry_out_one_run(self, site: Site) -> None:
        run = begin(site.pipeline())
        site.pipeline("one").take(run)
        with pytest.raises(Refused, match="intent#1 is being carried out by another process"):
            site.pipeline("two").take(run)

    def test_after_its_end_comes_the_next(self, site: Site) -> None:
        works = site.pipeline()
        assert [made(works).run.id, made(works).run.id] == ["intent#1", "intent#2"]
        assert active(site.records, "intent") is None
        with pytest.raises(Refused, match="is finished"):
            works.take(site.records.scan(Run)[0])


class TestTakingOver:
    """T2, E5: what was paid for is not paid for twice, and nothing stale is taken over."""

    def test_equal_inputs(self, site: Site) -> None:
        works = site.pipeline()
        first, second = made(works), made(works)
        assert second.version == first.version
        assert second.evaluation == first.evaluation
        assert reused(site, second.run) == {
            "collect": None,
            "curate": "intent#1",
            "train": "intent#1",
            "sanity": "intent#1",
            "register": None,
            "evaluate": "intent#1",
            "gate": None,
        }
        third = made(works)
        assert reused(site, third.run)["train"] == "intent#1"

    @pytest.mark.parametrize(
        ("changes", "anew"),
        [
            ({"options": {"C": 2}}, {"train", "sanity", "evaluate"}),
            ({"seed": 1}, {"curate", "train", "sanity", "evaluate"}),
            ({"gates": {}}, set()),
            ({"fresh_from": "collect"}, set(STAGES)),
            ({"fresh_from": "train"}, {"train", "sanity", "register", "evaluate", "gate"}),
        ],
    )
    def test_what_is_done_anew(
        self, site: Site, changes: dict[str, object], anew: set[str]
    ) -> None:
        works = site.pipeline()
        made(works)
        second = made(works, plan(**changes))
        over = reused(site, second.run)
        assert {stage for stage in over if over[stage] is None} == anew | {
            stage for stage in ("collect", "register", "gate") if "fresh_from" not in changes
        }

    def test_other_code_pays_anew(self, site: Site) -> None:
        made(site.pipeline())
        second = made(site.pipeline(code="2"))
        assert not any(reused(site, second.run).values())

    def test_a_bundle_that_is_gone_is_made_anew(self, site: Site) -> None:
        works = site.pipeline()
        first = made(works)
        site.shop.bundles.remove(first.version.bundle)
        second = made(works)
        assert reused(site, second.run)["train"] is None
        assert second.version == first.version

    def test_from_a_stage_without_any_run(self, site: Site) -> None:
        with pytest.raises(Refused, match="no run yet, so there is nothing to begin train on"):
            begin(site.pipeline(), plan(fresh_from="train"))
        assert made(site.pipeline(), plan(fresh_from="collect")).run.id == "intent#1"

    def test_an_unknown_stage(self, site: Site) -> None:
        with pytest.raises(BadInput, match="'cook': there are collect, curate"):
            begin(site.pipeline(), plan(fresh_from="cook"))


class TestEnding:
    """T2, T4: aborted, lost, failed."""

    def abort_meanwhile(self, site: Site, works: FineTuningPipeline) -> Callable[[], None]:
        def abort() -> None:
            asked = site.pipeline("somebody").abort("intent#1")
            assert asked.status is RunStatus.ABORTING
            self.hand.beat()

        self.hand = works.take(begin(works))
        return abort

    def test_aborted_in_the_middle_of_a_stage(self, site: Site) -> None:
        works = site.pipeline()
        site.trainer.meanwhile = self.abort_meanwhile(site, works)
        with pytest.raises(Aborted, match="intent#1"):
            self.hand.carry_out(silent)
        run = site.records.get(Run, "intent#1")
        assert run is not None and run.status is RunStatus.ABORTED and run.ended_at is not None
        assert list(Path(site.shop.workdir).iterdir()) == []
        assert {done.name for done in site.records.scan(StageResult)} == {"collect", "curate"}
        site.trainer.meanwhile = lambda: None
        self.hand.let_go()
        assert reused(site, made(works).run)["curate"] == "intent#1"

    def test_aborted_while_nobody_carries_it_out(self, site: Site) -> None:
        works = site.pipeline()
        begin(works)
        assert works.abort("intent#1").status is RunStatus.ABORTED
        with pytest.raises(Refused, match="aborted"):
            works.abort("intent#1")
        with pytest.raises(NotFound, match="runs list"):
            works.abort("intent#9")

    def test_a_killed_process_cannot_keep_a_run_from_its_end(self, site: Site) -> None:
        works = site.pipeline("killed")
        works.take(begin(works))
        assert site.pipeline("two").abort("intent#1").status is RunStatus.ABORTING
        site.clock.advance(LEASE_TTL)
        with pytest.raises(Aborted):
            two = site.pipeline("two")
            found = active(site.records, "intent")
            assert found is not None
            two.take(found).carry_out(silent)
        assert active(site.records, "intent") is None

    def test_a_process_that_was_silent_too_long_finishes_nothing(self, site: Site) -> None:
        """Another has taken the run: what the first makes afterwards is not recorded."""
        slow, quick = site.pipeline("slow"), site.pipeline("quick")
        run = begin(slow)
        hand = slow.take(run)
        turns = []

        def meanwhile() -> None:
            site.trainer.meanwhile = lambda: None
            site.clock.advance(LEASE_TTL + SECOND)
            turns.append(quick.take(run).carry_out(silent))

        site.trainer.meanwhile = meanwhile
        with pytest.raises(LostLease):
            hand.carry_out(silent)
        (turn,) = turns
        assert turn.run.status is RunStatus.FINISHED
        assert len(site.records.scan(StageResult)) == len(STAGES)

    def test_losing_the_lease_is_seen_at_the_next_word_of_progress(self, site: Site) -> None:
        slow, quick = site.pipeline("slow"), site.pipeline("quick")
        hand = slow.take(begin(slow))

        def meanwhile() -> None:
            site.clock.advance(LEASE_TTL + SECOND)
            run = active(site.records, "intent")
            assert run is not None
            quick.take(run)
            hand.beat()

        site.trainer.meanwhile = meanwhile
        with pytest.raises(LostLease, match="silent for too long"):
            hand.carry_out(silent)
        assert site.records.get(Run, "intent#1") == hand.run

    def test_a_failure_on_record_repeats_no_personal_data(self, site: Site) -> None:
        """D6, D11: a message may repeat a value, and nothing on the ledger can be erased."""
        works = site.pipeline()

        def fail() -> None:
            raise BadInput("invalid input: 'jo@example.com'")

        site.trainer.meanwhile = fail
        with pytest.raises(BadInput, match="jo@example"):
            made(works)
        run = site.records.get(Run, "intent#1")
        assert run is not None and run.error == "invalid input: '[EMAIL]'"
        assert "jo@example" not in str(site.records.scan(LedgerEntry))

    def test_a_failure_is_on_record_and_the_next_run_goes_on_from_it(self, site: Site) -> None:
        works = site.pipeline()

        def fail() -> None:
            raise OSError(28, "No space left on device")

        site.trainer.meanwhile = fail
        with pytest.raises(OSError, match="No space left"):
            made(works)
        run = site.records.get(Run, "intent#1")
        assert run is not None and run.status is RunStatus.FAILED
        assert run.error == "[Errno 28] No space left on device"
        assert list(Path(site.shop.workdir).iterdir()) == []
        site.trainer.meanwhile = lambda: None
        turn = made(works)
        assert (turn.run.id, turn.run.status) == ("intent#2", RunStatus.FINISHED)
        assert reused(site, turn.run)["curate"] == "intent#1"

    def test_an_interrupt_leaves_the_run_as_it_is(self, site: Site) -> None:
        works = site.pipeline()

        def interrupt() -> None:
            raise KeyboardInterrupt

        site.trainer.meanwhile = interrupt
        hand = works.take(begin(works))
        with pytest.raises(KeyboardInterrupt):
            hand.carry_out(silent)
        hand.let_go()
        run = active(site.records, "intent")
        assert run is not None
        site.trainer.meanwhile = lambda: None
        turn = site.pipeline("two").take(run).carry_out(silent)
        assert turn.run.id == run.id
        assert {done.name for done in site.records.scan(StageResult)} == set(STAGES)

    def test_a_clock_set_back_stops_nothing(self, site: Site) -> None:
        """The lease seems to last longer; the process that holds it goes on."""
        works = site.pipeline()
        hand = works.take(begin(works))
        site.clock._now -= 3600 * SECOND
        hand.beat()
        assert hand.carry_out(silent).run.status is RunStatus.FINISHED
        assert audit(site.records).ok

    def test_a_clock_set_back_keeps_nobody_from_a_run_that_was_killed(self, site: Site) -> None:
        works = site.pipeline("killed")
        hand = works.take(begin(works))
        site.clock._now -= 3600 * SECOND
        turn = site.pipeline("two").take(hand.run).carry_out(silent)
        assert turn.run.status is RunStatus.FINISHED
        with pytest.raises(LostLease, match="ended by another process"):
            hand.carry_out(silent)

    def test_other_code_goes_on_under_its_own_name(self, site: Site) -> None:
        """A release between a kill and the resumption: nothing of it counts as the old code's."""
        old = site.pipeline("old", code="1")

        def killed() -> None:
            raise KeyboardInterrupt

        site.trainer.meanwhile = killed
        hand = old.take(begin(old))
        with pytest.raises(KeyboardInterrupt):
            hand.carry_out(silent)
        hand.let_go()
        site.trainer.meanwhile = lambda: None
        hand = site.pipeline("new", code="2").take(hand.run)
        turn = hand.carry_out(silent)
        hand.let_go()
        assert turn.run.environment["code"] == "1"
        subject = turn.evaluation.document["environment"]
        assert subject["code"] == "2"
        over = reused(site, made(site.pipeline(code="1")).run)
        assert (over["curate"], over["train"], over["evaluate"]) == ("intent#1", None, None)


class TestTelling:
    """T5: how far a run is, and what it did, is in the store."""

    def test_progress(self, site: Site) -> None:
        works = site.pipeline()
        hand = works.take(begin(works))
        seen = []

        def meanwhile() -> None:
            site.used = 300_000_000
            hand.beat()
            told = site.records.get(RunProgress, "intent#1")
            assert told is not None
            seen.append((told.stage, told.share, told.memory))
            site.used = 200_000_000

        site.trainer.meanwhile = meanwhile
        words: list[str] = []
        hand.carry_out(lambda _share, said: words.append(said))
        hand.let_go()
        assert seen[0] == ("train", 0.0, 300_000_000)
        told = site.records.get(RunProgress, "intent#1")
        assert told is not None
        assert (told.memory, told.peak_memory) == (200_000_000, 300_000_000)
        assert "reading first words" in words

    def test_a_run_as_plain_values(self, site: Site) -> None:
        turn = made(site.pipeline())
        view = run_view(site.records, turn.run)
        assert {stage["name"] for stage in view["stages"]} == set(STAGES)
        assert view["status"] == "finished"

    def test_everything_is_on_the_ledger(self, site: Site) -> None:
        made(site.pipeline())
        chain = list(everything(site.records, LedgerEntry))
        assert not ledger.problems(chain)
        kinds = [entry.kind for entry in chain]
        assert kinds[0] == "run" and kinds[-1] == "run_status"
        assert kinds.count("stage") == len(STAGES)
        assert audit(site.records).ok
