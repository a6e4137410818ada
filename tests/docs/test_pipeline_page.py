"""docs/AUTOMATED_FINETUNING_PIPELINE.md speaks of commands, stages and metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from greenlight.core.records import SECOND
from greenlight.entrypoints.cli import main
from greenlight.serving.pipeline_meters import PipelineMeters
from greenlight.stages.loop import STAGES
from greenlight.stages.pipeline import LEASE_TTL, TAKEN_OVER
from greenlight.watching import CEILING, FLOOR, START

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/AUTOMATED_FINETUNING_PIPELINE.md").read_text(encoding="utf-8")
CALL = re.compile(r"(?:`|^\$ )greenlight ([^`\n]+)", re.MULTILINE)


def fault(call: str) -> str | None:
    """What is wrong with a call of the command line: an unknown command or option."""
    words = call.split()
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        below = command.get_command(click.Context(command), words[0])
        if below is None:
            return f"no command {words[0]}"
        command, words = below, words[1:]
    known = {name for option in command.params for name in option.opts}
    unknown = [word for word in words if word.startswith("-") and word not in known]
    return f"no option {unknown[0]}" if unknown else None


def test_every_call_is_one() -> None:
    """X4: what is copied from the page, the command line knows."""
    calls = CALL.findall(PAGE)
    assert len(calls) > 30
    assert {call: fault(call) for call in calls if fault(call)} == {}


@pytest.mark.parametrize("call", ["cook", "runs burn 'intent#1'", "run intent --quickly"])
def test_a_wrong_call_is_found(call: str) -> None:
    assert fault(call) is not None


def test_stages_and_what_is_taken_over() -> None:
    """T2"""
    rows = re.findall(r"^\| `(\w+)` \|.*\| (yes|never[^|]*) \|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(STAGES)
    assert {name for name, over in rows if over == "yes"} == TAKEN_OVER


def test_metrics_are_those_of_the_gateway() -> None:
    """T5"""
    given = {family.name for family in PipelineMeters(lambda: []).collect()}
    named = set(re.findall(r"`(greenlight_pipeline_\w+)`", PAGE))
    assert named and named <= given


def test_numbers() -> None:
    """T2, T5"""
    assert f"({LEASE_TTL // SECOND} s)" in PAGE
    words = " ".join(PAGE.split())
    assert f"A chunk has {START:,} rows at first, at most {CEILING:,}." in words
    assert f"down to {FLOOR} rows" in words


def test_targets_of_make_exist() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    names = set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)).split())
    called = set(re.findall(r"(?:`|^\$ )make ([\w-]+)", PAGE, re.MULTILINE))
    assert called and called <= names
