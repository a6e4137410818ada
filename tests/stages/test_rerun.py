"""Re-run: control is asked its evaluation again after a rollback (O3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.adapters.caches.memory import MemoryCache
from greenlight.core.errors import ModelFailed, NotFound
from greenlight.core.evaluation import merge
from greenlight.core.fingerprint import digest
from greenlight.core.incidents import Incident
from greenlight.core.records import Evaluation, Version
from greenlight.remembering import Predictor
from greenlight.stages import rerun as stage
from greenlight.stages.rerun import rerun
from tests.stages.judging import SOURCE, Bench


class House(Bench):
    """A control with a sealed evaluation, and somebody who asks it again."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.control = self.version(wrong="12")
        self.evaluation = self.sealed(self.control)
        self.records.commit(append=[self.control])
        self.asker = Predictor(
            self.bundles,
            self._load,
            MemoryCache(0),
            code="c",
            packages="p",
            elsewhere=frozenset("x"),
        )

    def sealed(self, version: Version) -> Evaluation:
        document = merge(self.measure(self.case(version), wanted=["intent"]))
        return Evaluation(digest=digest(document), version=version.digest, document=document, at=4)

    def incident(self, rollout: str = "r") -> Incident:
        return Incident(
            rollout=rollout,
            task="intent",
            control=self.control.digest,
            candidate="sha256:gone",
            decision="d",
            code="quality",
            reason="worse",
            drill=None,
            at=5,
        )

    def ask(self, evaluation: Evaluation | None = None, rollout: str = "r") -> dict[str, Any]:
        found = rerun(
            self.records,
            self.processed,
            self.asker,
            self.incident(rollout),
            evaluation or self.evaluation,
        )
        return dict(found)

    def replaced(self, wrong: str) -> None:
        """Control, as its record names it, answers otherwise from now on."""
        changed = msgspec.structs.replace(self.control, bundle=self.version(wrong=wrong).bundle)
        self.records.commit(swap=[(self.control, changed)])
        self.control = changed


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_control_as_it_was_is_confirmed(house: House) -> None:
    found = house.ask()
    assert found["result"] == "confirmed"
    assert (found["accuracy"]["correct"], found["accuracy"]["n"]) == (160, 200)
    assert found["sealed"] == {
        name: found["accuracy"][name] for name in ("value", "low", "high", "correct", "n")
    }
    assert found["same_rows"] and found["chance"] == 1.0
    assert found["says"] == (
        "intent@1 got 160 of 200 rows right (80.0%), as its evaluation says (160 of 200, 80.0%)"
    )


def test_nothing_that_was_remembered_answers(house: House) -> None:
    """Two re-runs ask twice, and what an evaluation has remembered is not asked for."""
    asked = len(house.loaded)
    house.ask()
    house.ask()
    assert len(house.loaded) == asked + 2
    assert house.asker.hits == 0 and [len(m.seen) for m in house.loaded[-2:]] == [200, 200]


def test_control_that_answers_otherwise_differs(house: House) -> None:
    house.replaced("1234")
    found = house.ask()
    assert found["result"] == "differs" and found["chance"] == 0.0
    assert "120 of 200 rows right (60.0%), NOT as its evaluation says" in found["says"]


def test_of_many_rows_some_are_drawn_by_the_rollout(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "ROWS", 60)
    found = house.ask()
    first = list(house.loaded[-1].seen)
    assert found["result"] == "confirmed" and found["accuracy"]["n"] == 60
    assert not found["same_rows"] and len(set(first)) == 60
    assert set(first) <= {row.text for row in SOURCE.test}
    house.ask()
    assert house.loaded[-1].seen == first
    house.ask(rollout="r2")
    assert house.loaded[-1].seen != first
    house.replaced("012345")
    assert house.ask()["result"] == "differs"


def test_a_model_elsewhere_is_asked_less(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "ROWS_ELSEWHERE", 20)
    far = house.version("intent@9", wrong="12", kind="x")
    evaluation = house.sealed(far)
    house.records.commit(append=[far])
    house.control = far
    assert house.ask(evaluation)["accuracy"]["n"] == 20


def test_what_cannot_be_computed_has_a_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a number, and never a confirmation."""

    def reason(evaluation: Evaluation | None) -> str:
        found = rerun(house.records, house.processed, house.asker, house.incident(), evaluation)
        assert found["result"] == "cannot_compute" and set(found) == {"result", "says"}
        assert found["says"].startswith("cannot compute: ")
        return str(found["says"])

    assert "never evaluated" in reason(None)
    changed = msgspec.structs.replace(house.evaluation, document={"intent": {}})
    assert "was changed" in reason(changed)
    empty: dict[str, Any] = {"intent": {"test": {}}}
    assert "says no accuracy" in reason(
        msgspec.structs.replace(changed, document=empty, digest=digest(empty))
    )
    document = {**house.evaluation.document, "dataset": {"digest": "sha256:" + "0" * 64}}
    lost = msgspec.structs.replace(house.evaluation, document=document, digest=digest(document))
    assert "dataset" in reason(lost) or "sha256" in reason(lost)
    accuracy = {**house.evaluation.document["intent"]["test"]["accuracy"], "n": 90, "correct": 80}
    document = {**house.evaluation.document, "intent": {"test": {"accuracy": accuracy}}}
    other = msgspec.structs.replace(house.evaluation, document=document, digest=digest(document))
    assert "had 90 rows, and there are 200" in reason(other)
    rows = Path(house.processed.path(house.dataset.digest), "test.jsonl")
    rows.chmod(0o600)
    rows.write_bytes(rows.read_bytes() + b"\n")
    assert "not as they were sealed" in reason(house.evaluation)


def test_a_bundle_that_was_changed_differs(house: House) -> None:
    """Control serves from it: somebody must look at once."""
    rule = Path(house.bundles.path(house.control.bundle), "rule")
    rule.chmod(0o600)
    rule.write_bytes(rule.read_bytes() + b" ")
    found = house.ask()
    assert found["result"] == "differs" and "is not as it was sealed" in found["says"]


def test_what_may_be_gone_in_a_moment_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise ModelFailed("no answer")

    monkeypatch.setattr(house.asker, "predict", silent)
    with pytest.raises(ModelFailed):
        house.ask()
    house.control = msgspec.structs.replace(house.control, digest="sha256:unknown")
    with pytest.raises(NotFound):
        house.ask()
