"""The long forms: a million rows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from greenlight.core.errors import BadInput
from tests.peaks import peaks
from tests.sources.reading import source
from tests.sources.test_files import broken_at

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_row_1000001_is_broken(tmp_path: Path, suffix: str) -> None:
    """D5: found and named, with memory flat in the number of rows."""
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as file:
        broken_at(file, suffix, 1_000_001)
    began, taken = time.process_time(), 0
    with pytest.raises(BadInput, match=rf"a\.{suffix}: row 1000001 "):
        for _, chunk in source(path).chunks(lambda: 1000):
            taken += len(chunk)
    assert taken == 1_000_000
    assert time.process_time() - began < 3.0


def read_through(path: Path) -> None:
    for _ in source(path).chunks(lambda: 1000):
        pass


def test_memory_is_flat(tmp_path: Path) -> None:
    """D5: four times the rows take no more memory."""
    paths = []
    for number in (60_000, 240_000):
        paths.append(tmp_path / f"{number}.csv")
        with paths[-1].open("wb") as file:
            file.write(b"text,label\n")
            for n in range(number):
                file.write(b"question number %d,label\n" % n)
    few, many = peaks(read_through, *paths)
    assert many < 1.2 * few
