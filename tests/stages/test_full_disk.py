"""A full disk (D5, D8): the stages say so, leave nothing behind, and can be repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from greenlight.core.curation import Row
from greenlight.core.errors import Unwritable
from tests.stages.preparing import Place, Rows

ROOT = Path(__file__).parents[2]
ROWS = [Row(f"a text of some length, number {n}", "ab"[n % 2]) for n in range(2000)]
SOURCE = Rows(train=ROWS[:1800], test=ROWS[1800:])

FULL = """
import sys
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit
from greenlight.core.errors import Unwritable
from tests.stages.preparing import Place
from tests.stages.test_full_disk import SOURCE

place, limit = Place(Path(sys.argv[1])), int(sys.argv[2])
if sys.argv[3] == "curate":
    raw = place.collect(SOURCE)
setrlimit(RLIMIT_FSIZE, (limit, RLIM_INFINITY))
try:
    place.collect(SOURCE) if sys.argv[3] == "collect" else place.curate(raw.digest)
except Unwritable as error:
    print(error)
setrlimit(RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
print(place.nothing_is_left())
place.prepare(SOURCE)
"""


@pytest.mark.parametrize(
    ("stage", "limit", "remedy"),
    [
        ("collect", 50_000, "File too large; raise the limit on the size of files (ulimit -f)"),
        ("curate", 50_000, "make room there and in the system's temporary folder"),
    ],
)
def test_a_file_that_cannot_grow_ends_the_stage(
    tmp_path: Path, stage: str, limit: int, remedy: str
) -> None:
    root = tmp_path / "place"
    command = [sys.executable, "-c", FULL, str(root), str(limit), stage]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    message, clean = done.stdout.splitlines()
    assert message.startswith(f"{root / 'work'}/dataset-")
    assert message.endswith(remedy)
    assert clean == "True"


def test_a_work_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    place = Place(tmp_path)
    raw = place.collect(SOURCE)
    place.work = tmp_path / "file"
    place.work.touch()
    for again in (lambda: place.collect(SOURCE), lambda: place.curate(raw.digest)):
        with pytest.raises(Unwritable, match=f"{place.work}: Not a directory; choose another"):
            again()
