"""T7: what may be expected of a model of shuffled labels, and when it does too well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from greenlight.core.errors import BadInput
from greenlight.core.sanity import ALPHA, FEWEST, judge, renamed, shuffle, some, tail

labels = st.lists(st.sampled_from("abcdefgh"), max_size=200)
seeds = st.integers(0, 2**32 - 1)


@given(labels, seeds)
def test_every_label_keeps_its_count(given_labels: list[str], seed: int) -> None:
    dealt = shuffle(given_labels, np.random.default_rng(seed))
    assert Counter(dealt) == Counter(given_labels)
    assert dealt == shuffle(given_labels, np.random.default_rng(seed))


@given(st.integers(2, 6), st.integers(20, 60), seeds)
def test_no_label_is_learnt_by_luck_of_the_deal(kinds: int, rows: int, seed: int) -> None:
    """Among the rows of a true label every label comes up as often, give or take a few rows."""
    true = [f"label {n % kinds}" for n in range(kinds * rows)]
    dealt = shuffle(true, np.random.default_rng(seed))
    for name in set(true):
        got = Counter(new for new, old in zip(dealt, true, strict=True) if old == name)
        assert max(got.values()) - min(got[label] for label in set(true)) <= 3


@given(labels, st.integers(1, 100), seeds)
def test_a_part_has_every_label_in_proportion(rows: list[str], most: int, seed: int) -> None:
    kept = some(rows, most, np.random.default_rng(seed))
    assert kept == sorted(set(kept))
    assert {rows[place] for place in kept} == set(rows)
    assert len(kept) <= max(most, len(set(rows))) + len(set(rows))
    whole, part = Counter(rows), Counter(rows[place] for place in kept)
    if len(rows) > most:
        assert all(part[name] == max(1, whole[name] * most // len(rows)) for name in whole)
    else:
        assert kept == list(range(len(rows)))


@pytest.mark.parametrize(("x", "n", "chance"), [(0, 9, 0.3), (3, 9, 0.3), (9, 9, 0.3), (40, 99, 1)])
def test_the_tail_is_that_of_the_binomial(x: int, n: int, chance: float) -> None:
    assert tail(x, n, chance) == pytest.approx(binom.sf(x - 1, n, chance), abs=1e-12)


class Kinds:
    """Labels whose texts come in a few kinds each, all texts of a kind nearly alike."""

    def __init__(self, labels: int, kinds: int, rng: np.random.Generator) -> None:
        self._centres = rng.normal(0, 1, (labels * kinds, 16))
        self._labels = labels

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], list[str]]:
        """Rows, [rows of each kind], and their labels."""
        kind = np.repeat(np.arange(len(self._centres)), rows)
        points = self._centres[kind] + rng.normal(0, 0.3, (len(kind), 16))
        return points, [f"label {number % self._labels:02}" for number in kind]


def answers(
    points: NDArray[np.float64], names: Sequence[str], asked: NDArray[np.float64]
) -> list[str]:
    """Of the nearest five rows, the label that most of them have."""
    distances = ((asked[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    near = np.argpartition(distances, 5, axis=1)[:, :5]
    return [Counter(names[place] for place in row).most_common(1)[0][0] for row in near]


def test_a_sound_trainer_is_called_sound() -> None:
    """By simulation, where texts of a kind get one answer: the plain binomial count is too often
    sure of a leak, and the bound is not; a trainer that knows the true labels is found out."""
    plain, bound, rng = 0, 0, np.random.default_rng(1)
    rounds = 100
    for _ in range(rounds):
        world = Kinds(8, 3, rng)
        points, names = world.draw(8, rng)
        asked, gold = world.draw(8, rng)
        given = answers(points, shuffle(names, rng), asked)
        found = judge(gold, given, rng)
        plain += tail(found["accuracy"]["correct"], len(gold), found["chance"]) < 0.01
        bound += found["p_value"] < 0.01
    assert plain / rounds > 0.03
    assert bound / rounds <= 0.03
    leak = judge(gold, answers(points, names, asked), rng)
    assert leak["accuracy"]["value"] > 0.9
    assert not leak["at_chance"]


def test_a_small_leak_is_seen() -> None:
    """One answer in ten from the true labels, the others by chance."""
    rng = np.random.default_rng(2)
    gold = [f"{n % 77:02}" for n in range(924)]
    given = list(rng.permutation(gold))
    for place in rng.choice(len(gold), 92, replace=False):
        given[place] = gold[place]
    found = judge(gold, given, rng)
    assert not found["at_chance"]
    assert found["p_value"] < ALPHA == found["alpha"]


def test_answering_the_most_frequent_label_is_chance() -> None:
    gold = ["a"] * 90 + ["b"] * 10
    found = judge(gold, ["a"] * 100, np.random.default_rng(0))
    assert found["at_chance"]
    assert found["chance"] == 0.9
    assert found["accuracy"]["correct"] == 90
    assert found["accuracy"]["low"] < 0.9 < found["accuracy"]["high"]


def test_few_labels_cannot_be_renamed() -> None:
    rng, few = np.random.default_rng(0), [str(n) for n in range(FEWEST - 1)] * 5
    assert renamed(few, few, rng) == 0
    assert not judge(few, few, rng)["at_chance"]


@pytest.mark.parametrize(("gold", "given"), [([], []), (["a"], ["a", "b"])])
def test_nothing_to_judge(gold: list[str], given: list[str]) -> None:
    with pytest.raises(BadInput, match="cannot compute"):
        judge(gold, given, np.random.default_rng(0))
