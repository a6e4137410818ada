"""The frozen protocol for texts out of scope (E1), against numbers worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval import oos_eval
from eval.oos_eval import evaluate
from greenlight.core.errors import BadInput

SCORES = [0.1, 0.2, 0.3, 0.9, 0.8, 0.25]
OUT = [False, False, False, True, True, True]
FLAGGED = [False, False, True, True, True, False]


def test_by_hand() -> None:
    """Of nine pairs one is in the wrong order: .3 in scope above .25 out of it."""
    found = evaluate(SCORES, OUT, FLAGGED)
    assert found["auroc"]["value"] == pytest.approx(8 / 9)
    assert found["auroc"]["low"] < 8 / 9 <= found["auroc"]["high"] <= 1
    assert found["counts"] == {"in": 3, "out": 3, "share_out": 0.5}
    assert found["accepted_at_95"]["value"] == pytest.approx(1 / 3)
    assert found["accepted_at_95"]["threshold"] == 0.3
    own = found["own_threshold"]
    assert (own["false_alarms"]["value"], own["found"]["value"]) == (1 / 3, 2 / 3)
    assert found["roc"][0] == {"false": 0.0, "true": pytest.approx(1 / 3)}
    assert found["roc"][-1] == {"false": 1.0, "true": 1.0}


@pytest.mark.parametrize("out", [True, False])
def test_a_slice_of_one_side_has_no_auroc_and_says_so(out: bool) -> None:
    """HABITS: a slice cut by position can hold no row out of scope."""
    found = evaluate([0.1, 0.2], [out, out], [True, False])
    side = "out of" if out else "in"
    assert found["auroc"] == {"reason": f"cannot compute: every text is {side} scope"}
    assert "reason" in found["accepted_at_95"]
    assert found["roc"] == []
    missing = "false_alarms" if out else "found"
    assert "reason" in found["own_threshold"][missing]


def test_a_model_without_a_threshold() -> None:
    for flagged in (None, [None] * 6, [True, None, *FLAGGED[2:]]):
        assert "reason" in evaluate(SCORES, OUT, flagged)["own_threshold"]


def test_scores_that_tell_nothing_are_at_one_half() -> None:
    assert evaluate([1.0] * 6, OUT)["auroc"]["value"] == 0.5


@pytest.mark.parametrize(
    ("scores", "out", "says"),
    [
        ([], [], "no scores"),
        ([1.0], [True, False], "1 scores of 2"),
        ([float("nan"), 1.0], [True, False], "finite"),
    ],
)
def test_what_cannot_be_judged(scores: list[float], out: list[bool], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        evaluate(scores, out)


def test_a_curve_of_many_scores_is_shortened() -> None:
    values = [n / 1000 for n in range(1000)]
    found = evaluate(values, [value > 0.4 for value in values])
    assert len(found["roc"]) == oos_eval.POINTS
    assert found["auroc"]["value"] == 1.0


def test_several_draws_come_to_their_mean() -> None:
    """D9: near-OOS is a mean of draws with Student's interval; t of 2 degrees at .975 is 4.3027."""
    draws = [
        {"auroc": {"value": value}, "accepted_at_95": {"value": 1 - value}}
        for value in (0.9, 0.92, 0.94)
    ]
    found = oos_eval.across(draws)
    assert found["auroc"]["value"] == pytest.approx(0.92)
    assert found["auroc"]["spread"] == pytest.approx(0.02)
    half = 4.30265 * 0.02 / 3**0.5
    assert found["auroc"]["low"] == pytest.approx(0.92 - half, abs=1e-5)
    assert found["auroc"]["high"] == pytest.approx(0.92 + half, abs=1e-5)
    assert found["accepted_at_95"] == {"value": pytest.approx(0.08)}
    assert oos_eval.across(draws[:1])["auroc"] == {"value": 0.9}, "of one there is no spread"


def test_a_draw_without_a_number_leaves_none() -> None:
    """Nor do the others' numbers look like all of them."""
    draws = [evaluate(SCORES, OUT), evaluate([0.1, 0.2], [False, False])]
    found = oos_eval.across(draws)
    assert found["auroc"] == {"reason": "draw 1: cannot compute: every text is in scope"}
    assert found["accepted_at_95"]["reason"].startswith("draw 1: cannot compute")
    with pytest.raises(BadInput, match="there are no draws"):
        oos_eval.across([])


def test_the_interval_of_a_mean_stays_in_range() -> None:
    draws = [{"auroc": {"value": v}, "accepted_at_95": {"value": 0.0}} for v in (0.9, 1.0)]
    assert oos_eval.across(draws)["auroc"]["high"] == 1.0
    assert oos_eval.across(draws)["auroc"]["low"] > 0.0


def test_alone_on_a_file(tmp_path: Path) -> None:
    """E1: runnable by itself; the digest of its source names the rules."""
    file = tmp_path / "scores.jsonl"
    rows = zip(OUT, SCORES, FLAGGED, strict=True)
    file.write_text(
        "".join(json.dumps({"out": o, "score": s, "flagged": f}) + "\n" for o, s, f in rows)
    )
    command = [sys.executable, "-m", "eval.oos_eval", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == evaluate(SCORES, OUT, FLAGGED)
    assert oos_eval.protocol_digest().startswith("sha256:")
    file.write_text("{}\n")
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 2 and "scores.jsonl" in failed.stderr
