"""The sample is large, clean and fair enough to stand in for BANKING77 (D7, D9)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from greenlight.core import curation
from greenlight.datasets import PublicSource, load
from tests.stages.preparing import Place


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


def test_curation_takes_nothing_out(sample: PublicSource, tmp_path: Path) -> None:
    """D6, D7; and the splits are these bytes on every machine (T6)."""
    manifest = Place(tmp_path).prepare(sample).manifest
    assert set(manifest["exclusions"].values()) == {0}
    assert set(manifest["overlaps"].values()) == {0}
    assert set(manifest["changed"].values()) == {0}
    assert manifest["pii"] == {"scrubbed": {}, "rows": 0, "unresolved": 0}
    assert manifest["counts"] == {"train": 1340, "validation": 160, "test": 500}
    assert manifest["files"] == {
        "train.jsonl": "sha256:822ac4af4812379338f020af6a2a41b347e62d9a12a59642d66ef9cfa5bf4577",
        "validation.jsonl": "sha256:"
        "4d53f985ac5ea6e84252a22462191e00648e0c9d085a8a3630a40178b16e3b3f",
        "test.jsonl": "sha256:3de7e46ed542adac601e8bdb82bcc915ca17a0cff7fd0ab62b627a72c6160ad1",
    }


def test_the_two_usual_orders_of_labels_differ(sample: PublicSource) -> None:
    """A server that sorts labels without regard to case names most of them wrong."""
    labels = sorted({row.label for row in sample.train})
    folded = sorted(labels, key=str.casefold)
    assert sum(a != b for a, b in zip(labels, folded, strict=True)) == 19
