"""The sample of tagged words is clean, and every type is in every split (D7, D9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight.core import curation, tagging
from greenlight.datasets import PublicSource, load
from tests.stages.preparing import Place


@pytest.fixture(scope="module")
def sample() -> PublicSource:
    return load("sample-entities")


def test_nothing_is_said_twice_and_every_word_has_a_tag(sample: PublicSource) -> None:
    rows = [*sample.train, *sample.validation, *sample.test]
    assert len({curation.words(row.text) for row in rows}) == len(rows) == 86
    for row in rows:
        tagging.check(row.text, row.label)
        tags = row.label.split()
        follows = zip(["O", *tags], tags, strict=False)
        assert all(tag[0] != "I" or before[1:] == tag[1:] for before, tag in follows)


def test_curation_takes_nothing_out(sample: PublicSource, tmp_path: Path) -> None:
    """D6, D7; and the splits are these bytes on every machine (T6)."""
    manifest = Place(tmp_path).prepare(sample, kind="tag").manifest
    assert set(manifest["exclusions"].values()) == {0}
    assert set(manifest["overlaps"].values()) == {0}
    assert set(manifest["changed"].values()) == {0}
    assert manifest["pii"] == {"scrubbed": {}, "rows": 0, "unresolved": 0}
    assert manifest["counts"] == {"train": 60, "validation": 12, "test": 14}
    types = {"carrier", "person", "place", "shop"}
    assert all(set(of) == types for of in manifest["per_label"].values())
    assert manifest["files"] == {
        "train.jsonl": "sha256:766c425e386aea6a569750b751ecf24e025d05aa957484d49af3b63b3ddb85b8",
        "validation.jsonl": "sha256:"
        "939b6e7f01b97d7d226f96e45d70aeb23ecca6794fd93daa2615fedc31995d27",
        "test.jsonl": "sha256:da301eaa964dd7332d29beeac9060d9459de2da20c40cb25726738bbc5bfb07d",
    }
