"""`make bench-portable`: what is compared, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import portable


def test_weights_are_compared_one_by_one(tmp_path: Path) -> None:
    """A difference in the last bit counts; what is not looked at does not."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        for step in (20, 40):
            np.save(folder / f"{step}.npy", np.ones(5))
    other = np.ones(5)
    other[3] = np.nextafter(1.0, 2.0)
    np.save(there / "40.npy", other)
    assert portable.apart(here, there, 59) == [
        {"step": 20, "weights": 5, "differ": 0, "most": 0.0},
        {"step": 40, "weights": 5, "differ": 1, "most": pytest.approx(2.2e-16, rel=0.01)},
    ]


def test_the_page_says_what_differs_and_what_it_costs() -> None:
    ways = [
        {
            "portable": rounded,
            "cpu_seconds_per_step": [seconds, 9.0],
            "steps": [{"step": 20, "weights": 1000, "differ": differ, "most": 1e-6}],
        }
        for rounded, seconds, differ in ((False, 0.5, 999), (True, 0.75, 0))
    ]
    page = portable.summary({"elsewhere": {"A": "b"}, "ways": ways})
    assert "`A=b`" in page and "0.75 s portable, 1.5 times as long" in page
    assert "| 32 bits | 20 | 999 of 1,000 | 1.0e-06 |" in page
    assert "| portable | 20 | 0 of 1,000 | 0 |" in page


@pytest.mark.parametrize("steps", ["19", "501"])
def test_steps_that_there_are_not(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        portable.main(["--steps", steps])
    assert f"--steps {steps}: from 20 to 500" in capsys.readouterr().err
