"""T4: what a killed run left going on somewhere else ends with the run, or is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from greenlight.core.errors import Aborted
from greenlight.core.records import SECOND, Run
from greenlight.core.states import RunStatus
from greenlight.stages.pipeline import LEASE_TTL
from tests.pipeline.shop import FirstWord, Site, plan, silent


class Elsewhere(FirstWord):
    """A trainer whose work goes on when its process is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[list[str], Mapping[str, Any]]] = []
        self.left: list[str] = []
        self.takes: Callable[[], None] = lambda: None

    def cancel(self, folder: str, config: Mapping[str, Any]) -> list[str]:
        self.asked.append(([path.name for path in Path(folder).rglob("*.txt")], config))
        self.takes()
        return self.left


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A run whose process was killed in its training."""
    made = Site(tmp_path)
    made.trainer = Elsewhere()
    works = made.pipeline("killed")
    run = works.begin("intent", plan(options={"a": 1}), trigger="manual", initiator="ana")
    folder = works.take(run).folder / "train" / "training-x"
    folder.mkdir(parents=True)
    (folder / "note.txt").write_text("asked for")
    made.clock.advance(LEASE_TTL + SECOND)
    return made


def ended(site: Site) -> Run:
    found = site.records.get(Run, "intent#1")
    assert found is not None
    return found


def test_whoever_aborts_it_cancels_what_was_asked_for(site: Site) -> None:
    assert site.pipeline("two").abort("intent#1").status is RunStatus.ABORTED
    assert site.trainer.asked == [(["note.txt"], {"a": 1})]  # type: ignore[attr-defined]
    assert ended(site).error is None and list(Path(site.shop.workdir).iterdir()) == []


def test_what_cannot_be_cancelled_stands_on_the_run(site: Site) -> None:
    """It may take longer than a lease lasts; nobody else took the run meanwhile."""
    site.trainer.left = ["job 7: no answer", "job 8: no answer"]  # type: ignore[attr-defined]
    site.trainer.takes = lambda: site.clock.advance(2 * LEASE_TTL)  # type: ignore[attr-defined]
    assert site.pipeline("two").abort("intent#1").status is RunStatus.ABORTED
    assert ended(site).error == "job 7: no answer; job 8: no answer"


def test_one_that_took_the_run_meanwhile_sees_to_it(site: Site) -> None:
    def takes() -> None:
        site.trainer.takes = lambda: None  # type: ignore[attr-defined]
        site.clock.advance(2 * LEASE_TTL)
        third.append(site.pipeline("three").take(ended(site)))

    third: list[Any] = []
    site.trainer.takes = takes  # type: ignore[attr-defined]
    assert site.pipeline("two").abort("intent#1").status is RunStatus.ABORTING
    with pytest.raises(Aborted):
        third[0].carry_out(silent)
    assert len(site.trainer.asked) == 2  # type: ignore[attr-defined]
    assert ended(site).status is RunStatus.ABORTED


def test_one_that_was_left_off_is_known_too(tmp_path: Path) -> None:
    """Ctrl-C leaves what a training noted, as kill -9 does; a training that failed does not."""

    class Noting(Elsewhere):
        def train(self, *, out: str, **given: Any) -> Any:
            Path(out).with_name("note.txt").write_text("asked for")
            raise KeyboardInterrupt

    site = Site(tmp_path)
    site.trainer = Noting()
    works = site.pipeline("one")
    hand = works.take(works.begin("intent", plan(), trigger="manual", initiator="ana"))
    with pytest.raises(KeyboardInterrupt):
        hand.carry_out(silent)
    hand.let_go()
    assert works.abort("intent#1").status is RunStatus.ABORTED
    assert site.trainer.asked == [(["note.txt"], {})]


def test_a_trainer_of_this_house_is_not_asked(tmp_path: Path) -> None:
    site = Site(tmp_path)
    works = site.pipeline()
    run = works.begin("intent", plan(), trigger="manual", initiator="ana")
    (works.take(run).folder / "train").mkdir(parents=True)
    site.clock.advance(LEASE_TTL + SECOND)
    assert site.pipeline("two").abort("intent#1").status is RunStatus.ABORTED


def test_what_could_not_be_cancelled_by_its_own_process_stands_on_the_run(tmp_path: Path) -> None:
    """T4: nobody may be there to read what that process says."""

    class Stuck(Elsewhere):
        def train(self, **given: Any) -> Any:
            raise Aborted("run intent#1 was aborted; job 7 may go on", "job 7: no answer")

    site = Site(tmp_path)
    site.trainer = Stuck()
    works = site.pipeline("one")
    hand = works.take(works.begin("intent", plan(), trigger="manual", initiator="ana"))
    site.pipeline("two").abort("intent#1")
    with pytest.raises(Aborted):
        hand.carry_out(silent)
    assert (ended(site).status, ended(site).error) == (RunStatus.ABORTED, "job 7: no answer")
