"""`greenlight plan`: how long a rollout takes, and when it can never end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.project import Project


def test_a_plan(evaluated: Project) -> None:
    words = ("plan", "intent", "--effect", "0.3", "--rate", "0.6", "--per-day", "500")
    text = evaluated.ok(*words)
    assert "control is GOOD 60.0% of the time (as given); 500 a day" in text
    assert "better by 30.0% (promoted)" in text
    assert "warning" not in text
    found = evaluated.json(*words)
    (better,) = [n for n in found["needs"] if n["question"]["test"] == "superiority"]
    assert better["days"] == pytest.approx(better["q80"] / 500)


def test_what_is_not_known_is_said(evaluated: Project) -> None:
    text = evaluated.ok("plan", "intent", "--effect", "0.3", "--rate", "0.6")
    assert "give --per-day" in text


def test_a_policy_that_can_never_conclude(evaluated: Project) -> None:
    file = Path(evaluated.folder, "greenlight.toml")
    unbounded = '\n[tasks.intent.metrics.money]\nkind = "number"\n'
    file.write_text(file.read_text(encoding="utf-8") + unbounded, encoding="utf-8")
    text = evaluated.ok("plan", "intent", "--effect", "0.39", "--rate", "0.6", "--per-day", "1")
    assert "can never promote: no_worse:money cannot be computed" in text
    assert "will not be decided within the horizon" in text


def test_time_that_no_feedback_shortens(evaluated: Project) -> None:
    """O1, O5: shadow and holdback are part of the way."""
    file = Path(evaluated.folder, "greenlight.toml")
    ladder = '\n[tasks.intent.rollout]\nshadow = "6h"\nholdback = 0.05\nhorizon = "31h"\n'
    file.write_text(file.read_text(encoding="utf-8") + ladder, encoding="utf-8")
    words = ("plan", "intent", "--effect", "0.39", "--rate", "0.6", "--per-day", "9000")
    text = evaluated.ok(*words)
    for line in (
        "before users meet it: 6 h in the shadow",
        "at its splits, at least: 45 min",
        "after its proof: 7 d with 5% held back",
    ):
        assert line in text
    assert "1 hours are left" in text, "the horizon less the shadow and the feedback window"


@pytest.mark.parametrize(
    ("option", "value"), [("--effect", "2"), ("--rate", "1"), ("--per-day", "0")]
)
def test_numbers_that_make_no_sense(evaluated: Project, option: str, value: str) -> None:
    assert option in evaluated.refused(2, "plan", "intent", option, value)
