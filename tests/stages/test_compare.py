"""Compare (E4): two versions on the same texts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from greenlight.core.comparison import compare as hold
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, NotFound
from greenlight.core.records import Version
from greenlight.stages.compare import Duel, compare
from tests.stages.judging import SOURCE, Bench
from tests.stages.preparing import Rows


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def duel(bench: Bench, a: Version, b: Version, dataset: str | None = None) -> Duel:
    return compare(
        bench.records,
        bench.processed,
        bench.predictor,
        a,
        b,
        dataset=dataset or bench.dataset.digest,
        progress=lambda *_: None,
    )


def test_both_answer_the_same_texts(bench: Bench) -> None:
    a, b = bench.version(wrong="12"), bench.version("intent@2", wrong="2")
    found = duel(bench, a, b)
    assert [model.seen for model in bench.loaded] == [[row.text for row in SOURCE.test]] * 2
    assert (found.a.accuracy["value"], found.b.accuracy["value"]) == (0.8, 0.9)
    told = found.comparison.paired
    assert (told.only_a, told.only_b, told.both, told.neither) == (0, 20, 160, 20)
    assert told.difference == pytest.approx(0.1)
    assert told.low > 0
    assert len(found.differences) == 20
    first = found.differences[0]
    assert (first.text, first.label, first.a, first.b) == ("no test 1", "no", "yes", "no")
    assert (found.a.learnt_from, found.b.learnt_from) == (0, 0)


def test_texts_that_one_of_them_has_learnt_are_counted(bench: Bench) -> None:
    """A comparison on texts that one side was trained on would flatter it."""
    other = Rows(
        train=[*SOURCE.train, *(Row(f"{row.text}", row.label) for row in SOURCE.test[:30])],
        test=[Row(f"{label} later {n}", label) for label in ("no", "yes") for n in range(5)],
    )
    theirs = bench.prepare(other).digest
    seen = msgspec.structs.replace(bench.version(wrong="3"), lineage={"dataset": theirs})
    lost = msgspec.structs.replace(bench.version(), lineage={})
    found = duel(bench, seen, lost)
    assert found.a.learnt_from == 30
    assert found.b.learnt_from is None


def test_what_cannot_be_compared_is_refused(bench: Bench) -> None:
    a = bench.version()
    with pytest.raises(BadInput, match="intent@2 has other labels than dataset demo"):
        duel(bench, a, bench.version("intent@2", labels=("maybe", "yes")))
    with pytest.raises(NotFound, match="not recorded"):
        duel(bench, a, a, dataset="sha256:" + "0" * 64)
    foreign = msgspec.structs.replace(a, task="tone", label="tone@1")
    with pytest.raises(BadInput, match="tone@1 belongs to task 'tone'"):
        duel(bench, a, foreign)
    with pytest.raises(BadInput, match="cannot compare: 2 labels"):
        hold(["a", "b"], ["a"], ["a", "b"])


def test_labels_that_changed_most_come_first() -> None:
    gold = ["a"] * 4 + ["b"] * 4 + ["c"]
    found = hold(
        gold, ["a", "a", "x", "x", "b", "x", "x", "x", "c"], ["a", "x", "a", "x", *"bbbb", "c"]
    )
    assert [(it.label, it.n, it.only_a, it.only_b) for it in found.labels] == [
        ("b", 4, 0, 3),
        ("a", 4, 1, 1),
    ]
    assert found.labels[0].difference == 0.75
    assert found.differing == [1, 2, 5, 6, 7]
