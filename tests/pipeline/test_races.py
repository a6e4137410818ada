"""Two processes at one run, and results that must not pass for others (T1, T2, T4, E5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight.core.errors import Aborted, LostLease, Refused, StoreError
from greenlight.core.records import SECOND, Epoch, Run, StageResult, Version
from greenlight.core.states import RunStatus
from greenlight.lookup import everything
from greenlight.stages import runs
from greenlight.stages.pipeline import LEASE_TTL, FineTuningPipeline
from greenlight.wiring.pipeline import carry_out
from tests.pipeline.shop import Site, plan, silent
from tests.pipeline.test_runs import begin, made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def done(site: Site, run: Run) -> dict[str, StageResult]:
    return {it.name: it for it in everything(site.records, StageResult, {"run": run.id})}


def live(version: Version) -> Epoch:
    """The epoch that makes it live."""
    return Epoch(
        task=version.task,
        number=1,
        follows=0,
        rollout=None,
        control=version.digest,
        candidate=None,
        weight=0.0,
        salt="",
        decision="d",
        at=1,
    )


def failing(works: FineTuningPipeline, site: Site, training: int, **changes: Any) -> None:
    """A run whose n-th call of the trainer fails: the first trains, the second is the check."""
    before = site.trainer.trained
    site.clock.advance(SECOND)

    def fail() -> None:
        if site.trainer.trained == before + training:
            raise OSError("gone")

    site.trainer.meanwhile = fail
    with pytest.raises(OSError, match="gone"):
        made(works, plan(**changes))
    site.trainer.meanwhile = lambda: None
    site.clock.advance(SECOND)


class TestBegin:
    def test_a_run_begun_between_looking_and_counting(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """T1: who sees no run under way must not take the next number after one that is."""
        scan = site.records.scan

        def look(kind: Any, *given: Any, **more: Any) -> Any:
            found = scan(kind, *given, **more)
            if kind is Run:
                monkeypatch.undo()
                begin(site.pipeline("two"), by="ben")
            return found

        monkeypatch.setattr(site.records, "scan", look)
        with pytest.raises(Refused, match="run intent#1 is under way"):
            begin(site.pipeline())
        assert len(site.records.scan(Run)) == 1


class TestTake:
    def test_a_run_that_has_ended_since_it_was_read(self, site: Site) -> None:
        """T2: whoever waited for the lease does not work on what another has ended meanwhile."""
        run = begin(site.pipeline())
        assert site.pipeline("two").abort(run.id).status is RunStatus.ABORTED
        with pytest.raises(Refused, match="intent#1 is aborted"):
            site.pipeline().take(run)
        site.pipeline("three").take(begin(site.pipeline("three")))


class TestFence:
    def test_who_lost_the_lease_leaves_the_others_folder_alone(self, site: Site) -> None:
        """T2: its own half-made files were swept away, so it fails; the other must not."""
        slow, quick = site.pipeline("slow"), site.pipeline("quick")
        run = begin(slow)
        hand = slow.take(run)
        kept: list[Path] = []

        def meanwhile() -> None:
            site.clock.advance(LEASE_TTL + SECOND)
            other = quick.take(run)
            kept.append(Path(other._empty_folder("train"), "half-made"))
            kept[0].touch()
            raise FileNotFoundError("swept away")

        site.trainer.meanwhile = meanwhile
        with pytest.raises(LostLease):
            hand.carry_out(silent)
        assert kept[0].exists()
        found = site.records.get(Run, run.id)
        assert found is not None and found.status is RunStatus.RUNNING


class TestLettingGo:
    def test_a_busy_store_does_not_make_a_failure_of_a_finished_run(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        works = site.pipeline()
        hand = works.take(begin(works))
        lease = site.records.lease

        def busy(name: str, holder: str, now: int, ttl: int) -> object:
            if ttl == 0:
                raise StoreError("database is locked")
            return lease(name, holder, now, ttl)

        monkeypatch.setattr(site.records, "lease", busy)
        assert carry_out(hand, silent).run.status is RunStatus.FINISHED


class TestAbort:
    def test_asked_for_in_the_last_stage(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """T4: a run that ends as aborted is not told of as one that made a version."""
        works = site.pipeline()
        hand = works.take(begin(works))
        end = hand._end

        def late(*given: Any) -> Run:
            monkeypatch.undo()
            site.pipeline("somebody").abort("intent#1")
            return end(*given)

        monkeypatch.setattr(hand, "_end", late)
        with pytest.raises(Aborted, match="intent#1"):
            hand.carry_out(silent)
        found = site.records.get(Run, "intent#1")
        assert found is not None
        assert (found.status, found.error) == (RunStatus.ABORTED, None)

    def test_asked_for_while_it_is_being_closed(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        works = site.pipeline()
        hand = works.take(begin(works))
        move = runs.move

        def late(*given: Any, **more: Any) -> Run:
            monkeypatch.undo()
            site.pipeline("somebody").abort("intent#1")
            return move(*given, **more)

        monkeypatch.setattr(runs, "move", late)
        with pytest.raises(Aborted, match="intent#1"):
            hand.carry_out(silent)
        found = site.records.get(Run, "intent#1")
        assert found is not None
        assert (found.status, found.error) == (RunStatus.ABORTED, None)


class TestEvaluation:
    """E4, E5: a comparison is not taken over where it may come out otherwise."""

    def test_a_live_version_that_could_not_be_asked(self, site: Site) -> None:
        works = site.pipeline()
        old = made(works, plan(options={"C": 9})).version
        site.records.commit(append=[live(old)])
        kept = Path(site.shop.bundles.path(old.bundle))
        kept.rename(kept.with_name(".away"))
        first = made(works)
        assert "cannot be asked" in first.evaluation.document["live"]["reason"]
        kept.with_name(".away").rename(kept)
        second = made(works)
        assert second.evaluation.document["live"]["version"] == old.digest
        assert done(site, made(works).run)["evaluate"].reused == second.run.id

    def test_a_live_version_somewhere_else(self, site: Site) -> None:
        works = site.pipeline()
        site.records.commit(append=[live(made(works, plan(options={"C": 9})).version)])
        predictor: Any = site.shop.predictor
        predictor._elsewhere = frozenset({None})
        made(works)
        assert done(site, made(works).run)["evaluate"].reused is None

    def test_a_new_version_somewhere_else(self, site: Site) -> None:
        """The name of a fine-tuned model may stand for something else by now."""
        predictor: Any = site.shop.predictor
        predictor._elsewhere = frozenset({None})
        works = site.pipeline()
        first, second = made(works), made(works)
        assert first.version.digest == second.version.digest
        assert done(site, second.run)["evaluate"].reused is None


class TestFrom:
    """T2, E5: what `--from` takes over stays what it was."""

    def test_it_is_never_taken_for_what_other_settings_would_have_made(self, site: Site) -> None:
        works = site.pipeline()
        first = made(works)
        made(works, plan(options={"C": 2}, fresh_from="evaluate"))
        third = made(works, plan(options={"C": 2}))
        assert done(site, third.run)["train"].reused is None
        assert third.version.bundle != first.version.bundle

    def test_stages_that_belong_together(self, site: Site) -> None:
        """A training of one run and a check of another are no evidence."""
        works = site.pipeline()
        made(works)
        failing(works, site, 2, options={"C": 2})
        third = made(works, plan(options={"C": 2}, fresh_from="evaluate"))
        found = done(site, third.run)
        over = {name: found[name].reused for name in ("collect", "curate", "train", "sanity")}
        assert over == dict.fromkeys(over, "intent#1")

    def test_what_is_missing_is_made(self, site: Site) -> None:
        works = site.pipeline()
        failing(works, site, 2)
        second = made(works, plan(fresh_from="evaluate"))
        found = done(site, second.run)
        assert [found[name].reused for name in ("train", "sanity")] == ["intent#1", None]

    def test_a_version_says_what_its_bundle_was_trained_with(self, site: Site) -> None:
        """R1: the lineage is that of the training, not that of the settings of the day."""
        works = site.pipeline()
        failing(works, site, 2, seed=7)
        second = made(works, plan(seed=8, fresh_from="sanity"))
        assert done(site, second.run)["train"].reused == "intent#1"
        assert second.version.lineage["seed"] == 7
