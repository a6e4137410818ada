"""The sample is large, clean and fair enough to stand in for BANKING77 (D7, D9)."""

from __future__ import annotations

from collections import Counter

import pytest

from greenlight.core import curation
from greenlight.core.curation import Row
from greenlight.datasets import PublicSource, load


@pytest.fixture(scope="module")
def sample() -> PublicSource:
    return load("sample")


def test_size(sample: PublicSource) -> None:
    train = Counter(row.label for row in sample.train)
    test = Counter(row.label for row in sample.test)
    assert set(train.values()) == {75}
    assert set(test.values()) == {25}
    assert len(train) == len(test) == 20


def test_nothing_is_said_twice(sample: PublicSource) -> None:
    rows = [*sample.train, *sample.test]
    assert len({curation.words(row.text) for row in rows}) == len(rows)
    assert all(row.text == curation.normalise(row.text) for row in rows)


def test_curation_takes_nothing_out(sample: PublicSource) -> None:
    train, test = (
        [Row(row.text, row.label) for row in part] for part in (sample.train, sample.test)
    )
    found = curation.curate(train, test, 2025)
    assert set(found.exclusions.values()) == {0}
    assert set(found.overlaps.values()) == {0}
    assert len(found.validation) == 160


def test_the_two_usual_orders_of_labels_differ(sample: PublicSource) -> None:
    """A server that sorts labels without regard to case names most of them wrong."""
    labels = sorted({row.label for row in sample.train})
    folded = sorted(labels, key=str.casefold)
    assert sum(a != b for a, b in zip(labels, folded, strict=True)) == 19
