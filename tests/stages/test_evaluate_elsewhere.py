"""Evaluating a model at a provider (E4, E5, T2): what answers took, and who pays for them twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core import evaluation, gates
from greenlight.core.chat import Tokens
from greenlight.core.policy import GateRule
from greenlight.core.records import Version
from greenlight.ports import Prediction
from greenlight.remembering import NOTED, Notes
from tests.stages.judging import SOURCE, Bench, FirstWord

PRICES = {"input": 1.0, "output": 4.0}
ROWS = len(SOURCE.test)


class Killed(BaseException):
    """As by `kill -9`: nobody catches it."""


class Provider(FirstWord):
    """A model at a provider, which counts what it is asked; `slow` is its milliseconds."""

    slow = 20.0

    def __init__(self, folder: str, office: Office) -> None:
        super().__init__(folder)
        self._office = office

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        self._office.paid.append(len(texts))
        if len(self._office.paid) == self._office.dies_at:
            raise Killed
        made = super().predict(texts)
        factor = next(self._office.pace)
        return [
            msgspec.structs.replace(one, tokens=Tokens(100, 5), took=factor * (self.slow + number))
            for number, one in enumerate(made)
        ]


class Office(Bench):
    """A bench whose versions of kind `x` are at a provider."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.paid: list[int] = []
        """Texts of each call."""
        self.dies_at = 0
        self.pace = itertools.repeat(1.0)

    def _load(self, version: Version) -> FirstWord:
        folder = self.bundles.path(version.bundle)
        named = msgspec.json.decode(Path(folder, "manifest.json").read_bytes())
        if named.get("kind") != "x":
            return super()._load(version)
        return Provider(folder, self)

    def remote(self, label: str, **options: Any) -> Version:
        made = self.version(label, kind="x", **options)
        return msgspec.structs.replace(made, runtime={"kind": "openai", "prices": PRICES})


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_latency_and_cost_stand_beside_those_of_the_live_version(office: Office) -> None:
    """E4: on the same rows, with intervals; and a gate can ask for them (E6)."""
    calls = -(-ROWS // NOTED)  # the new one is asked first
    office.pace = itertools.chain(
        [2.0] * calls, itertools.repeat(1.0)
    )  # the new one is asked first
    live = office.remote("intent@0", wrong="7")
    document = office.evaluate(office.case(office.remote("intent@1"), live=live)).document
    found = document["usage"]
    assert found["latency_ms"]["n"] == ROWS and found["latency_ms"]["p95"]["value"] > 40
    assert found["tokens"] == {"input": 100.0, "output": 5.0, "n": ROWS}
    assert found["cost"]["value"] == pytest.approx(0.12)
    assert found["cost"]["total"] == pytest.approx(0.00012 * ROWS)
    assert found["beside"]["label"] == "intent@0"
    assert found["beside"]["latency_ms"]["p95"]["value"] > 20
    assert found["ratio"]["latency_p95"]["value"] == pytest.approx(2.0)
    assert found["ratio"]["cost"]["value"] == pytest.approx(1.0)
    rules = {"latency_ratio": GateRule(max=1.5), "cost_ratio": GateRule(max=1.1)}
    assert [one.outcome for one in gates.check(document, rules)] == ["fail", "pass"]


def test_time_and_money_name_no_results(office: Office) -> None:
    """E2: two evaluations with equal answers are equal, however long they took."""
    version = office.remote("intent@1")
    first = office.evaluate(office.case(version)).document
    office.pace = itertools.repeat(3.0)
    office.folder = office.folder.with_name("again")
    second = office.evaluate(office.case(version)).document
    assert first["usage"] != second["usage"]
    assert first["results_digest"] == second["results_digest"]
    evaluation.check(second)


@pytest.mark.parametrize(
    ("mine", "live", "where", "says"),
    [
        ("version", "remote", (), "intent@1 answers in this process, many texts at a time"),
        ("remote", None, ("ratio",), "no version is live"),
        ("remote", "version", ("ratio", "latency_p95"), "intent@0 was not asked item by item"),
    ],
)
def test_what_has_no_time_of_its_own_has_a_reason(
    office: Office, mine: str, live: str | None, where: Sequence[str], says: str
) -> None:
    """E4: the time of a batch is no latency."""
    version = getattr(office, mine)("intent@1")
    beside = None if live is None else getattr(office, live)("intent@0", wrong="7")
    found = office.evaluate(office.case(version, live=beside)).document["usage"]
    for name in where:
        found = found[name]
    assert says in found["reason"] and "value" not in found


@pytest.mark.parametrize("dies_at", [1, 2, 3, 4])
def test_who_was_killed_does_not_pay_twice(office: Office, dies_at: int) -> None:
    """T2, E5: but for the call that was under way."""
    case = office.case(office.remote("intent@1"), live=office.remote("intent@0", wrong="7"))
    office.dies_at = dies_at
    with pytest.raises(Killed):
        office.evaluate(case)
    lost = office.paid[-1]
    office.dies_at = 0
    document = office.evaluate(case).document
    assert document["live"]["n"] == document["usage"]["latency_ms"]["n"] == ROWS
    assert sum(office.paid) == 2 * ROWS + lost and lost <= NOTED


def test_another_run_asks_anew(office: Office) -> None:
    """E5: never a stale hit, for who can say what a name stands for at a provider tomorrow."""
    version = office.remote("intent@1")
    first = office.judge(office.case(version))
    assert first.report["cache"] == {"hits": 0, "misses": 1}
    office.folder = office.folder.with_name("another")
    again = office.judge(office.case(version))
    assert again.report["cache"] == {"hits": 0, "misses": 1}
    assert sum(office.paid) == 2 * ROWS


def test_without_notes_nothing_is_remembered(office: Office) -> None:
    version = office.remote("intent@1")
    for _ in range(2):
        office.predictor.predict(version, ["yes 1"], lambda *_: None)
    assert office.paid == [1, 1]


def test_a_note_is_whole_or_none(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "answers")
    assert notes.get("a") is None
    notes.put("a", b"1")
    notes.put("a", b"2")
    assert (notes.get("a"), notes.get("b")) == (b"2", None)
    assert len(list((tmp_path / "answers").iterdir())) == 1
