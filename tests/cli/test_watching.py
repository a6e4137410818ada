"""How `greenlight status` draws what it finds (O1, O4): every state, at any width."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len

from greenlight.entrypoints.cli.watching import picture, text
from tests.cli.looks import FAULT, KILL, STATES, evidence, found, running

WIDTHS = (40, 80, 120)


def drawn(state: dict[str, Any], width: int | None = 120, trouble: str | None = None) -> str:
    return "\n".join(line.plain for line in picture(state, width, trouble))


def spoken(drawing: str) -> str:
    """The words of a drawing, wherever its lines are broken."""
    return " ".join(drawing.split())


@pytest.mark.parametrize("width", [1, *WIDTHS])
@pytest.mark.parametrize("state", STATES)
def test_no_line_is_wider_than_the_terminal(state: str, width: int) -> None:
    lines = picture(STATES[state], width, "the store does not answer")
    for line in lines:
        assert cell_len(line.plain) <= max(width, 40), (state, line.plain)
        assert "\x1b" not in line.plain and "\x07" not in line.plain and "\n" not in line.plain


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_going_on_and_what_it_waits_for(width: int) -> None:
    """O1: the phases with the present one marked, the next step, and what is missing for it."""
    said = spoken(drawn(STATES["running"], width))
    for words in (
        "acme (prod)",
        "2 gateways alive",
        "intent: live intent@1, epoch 7",
        "intent@2 against intent@1",
        "shadow → [canary 10%] → last step 50% → holdback 95% → promoted",
        "step 2 of 4, 10% of units on the candidate",
        "1 of 2 alive route by this split",
        "next 50% of units",
        "waits for this split stays for 4 min 10 s more 37 of 100 outcomes of candidate",
        "or else undecided, it ends in 13 d 4 h",
        "7 s ago: stay (soaking): this split has not been in force long enough",
        "latency_p95, latency_p99: cannot be computed, because control had answered too few",
        "3 exposures entered no test: late",
        "better answers by -1.6% to +15.1%",
    ):
        assert words in said, words


def test_nothing_left_to_wait_for() -> None:
    said = spoken(drawn(running(waits_for=[], next_step="promotion")))
    assert "next promotion waits for the controller's next look" in said


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("nothing", "intent: live nothing yet next: greenlight run intent"),
        ("no rollout", "intent: live intent@1, epoch 7 gateways 1 of 2 alive"),
        ("waiting", "intent@3 is evaluated: none"),
        ("no gateway", "0 gateways alive"),
        ("no gateway", "gateways none is alive"),
        ("paused", "paused ben (product_owner): a holiday"),
        ("pending", "[pending] → shadow"),
        ("pending", "not begun: nobody meets the candidate"),
        ("pending", "opens in 20 h"),
        ("drill", "drill 01a3185d"),
        ("drill", "in this drill only the alarms roll it back:"),
        ("drill", "launch 3 of this pair: every threshold is higher for it"),
        ("chat", "TOKENS READ"),
        ("ended", "intent@2 was rolled back at 2027-01-15T07:59:00Z (quality): its answers"),
        ("ended", "incident open: baseline is next"),
        ("closed", "incident closed"),
        (
            "alarms",
            "alarms p95_latency_ms: the candidate breaches it, control does not (candidate "
            "240.0 ms, control 81.2 ms; 150.0 ms for 5 min is the limit); the candidate is over it "
            "for 5 min server_error_rate: there is too little traffic to tell",
        ),
        ("alarms", "class_shift: below its threshold (candidate 0.01 bits; 0.2 bits for 5 min"),
        ("kill file", f"kill file: {FAULT}"),
        ("killed", "killed by ana 12 s ago: support is flooded; 1 of 2 gateways alive obey"),
    ],
)
def test_states(state: str, words: str) -> None:
    assert words in spoken(drawn(STATES[state]))
    assert words in spoken(text(STATES[state]))


def test_no_alarm_no_line() -> None:
    assert "alarms" not in drawn(STATES["running"])
    assert "killed" not in drawn(found(kill={**KILL, "state": "lifted"}))


def bar_of(drawing: str, test: str) -> str:
    """The line of a test."""
    [line] = [line for line in drawing.splitlines() if line.startswith(f"{test} ")]
    return line


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("log_e", "full", "number"),
    [
        (0.0, 0.0, "1"),
        (1e-12, 0.0, "1"),
        (float("-inf"), 0.0, "< 0.01"),
        (-0.5, 0.0, "0.61"),
        (0.02, 0.05, "1.02"),
        (3.34, 0.5, "28.22"),
        (6.67999, 0.95, "796"),
        (6.68, 1.0, "796"),
        (1000.0, 1.0, "10^434.3"),
    ],
)
def test_the_bar_goes_from_no_evidence_to_the_threshold(
    width: int, log_e: float, full: float, number: str
) -> None:
    """It is full only where the test acts, and empty where nothing speaks for it."""
    line = bar_of(
        drawn(running(evidence={"errors": evidence(log_e, 6.68, "harm")}), width), "errors"
    )
    bar = re.findall("[█░]+", line)[0]
    assert len(bar) == (8 if width == 40 else 20)
    assert abs(bar.count("█") - full * len(bar)) <= 1
    assert ("█" in bar) == (full > 0) and ("░" in bar) == (full < 1)
    assert number in line and "796" in line


def test_tests_stand_by_what_they_do() -> None:
    """What rolls back, what promotion needs, what a step needs, what holds everything."""
    lines = drawn(STATES["running"]).splitlines()
    titles = [line for line in lines if line.endswith(":") and "as control" not in line]
    assert titles == [
        "any of these rolls it back:",
        "promotion needs all of these:",
        "a step needs this, or enough outcomes:",
        "any of these holds everything:",
    ]
    groups = [lines.index(title) for title in titles]
    assert groups[0] < lines.index(bar_of("\n".join(lines), "quality")) < groups[1]
    assert groups[1] < lines.index(bar_of("\n".join(lines), "superiority")) < groups[2]
    assert "(not now)" in bar_of("\n".join(lines), "intention")
    assert not any(line.startswith("no_worse:quality") for line in lines), "nothing needs it"
    assert "no_worse:resolved_by_th…" in drawn(STATES["running"])
    assert "intention" not in drawn(STATES["running"], 40), "no room for what does not count"


def test_a_test_that_cannot_be_computed_has_no_bar() -> None:
    state = running(
        evidence={"no_worse:money": evidence(None, 3.0, "promotion")},
        cannot_compute={"no_worse:money": "it has no bounds"},
    )
    said = drawn(state)
    assert "promotion needs" not in said and "░ " not in said.partition("ARM")[2]
    assert "no_worse:money: cannot be computed, because it has no bounds" in said


def test_narrow_tables_stand_on_their_side() -> None:
    assert re.search(r"^ARM +UNITS +REQUESTS", drawn(STATES["running"], 80), re.MULTILINE)
    assert re.search(r"^UNITS +1479 +104$", drawn(STATES["running"], 40), re.MULTILINE)
    assert re.search(r"^UNITS +1000000000", drawn(STATES["huge"], 60), re.MULTILINE)
