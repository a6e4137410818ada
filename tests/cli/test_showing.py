"""What the demo says where there is no terminal: a log that can be read and copied from."""

from __future__ import annotations

import pytest

from greenlight.core.records import Decision
from greenlight.core.states import Action
from greenlight.entrypoints.showing import Look, Stage


def decision(id: str, action: Action) -> Decision:
    return Decision(
        id=id,
        task="intent",
        rollout="r",
        action=action,
        code="code",
        reason=f"because {id}",
        evidence={},
        epoch_seen=1,
        policy_digest="sha256:0",
        at=0,
    )


def look(weight: float, *decisions: Decision) -> Look:
    return Look(
        weight=weight,
        decisions=decisions,
        log_e={},
        log_threshold={},
        outcomes={},
        seconds=1.0,
    )


def test_every_decision_has_its_line_and_a_promotion_all_users(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A look may find two new decisions; and a promotion leaves no split, yet all users."""
    stay = decision("first", Action.STAY)
    widen = decision("second", Action.WIDEN)
    soak = decision("third", Action.STAY)
    promote = decision("fourth", Action.PROMOTE)
    with Stage(quiet=False).watching() as show:
        show(look(0.1, stay))
        show(look(0.1, stay))
        show(look(0.5, stay, widen, soak))
        show(look(0.0, stay, widen, soak, promote))
    said = [line.split()[2:] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        ["10%", "stay", "because", "first"],
        ["50%", "widen", "because", "second"],
        ["50%", "stay", "because", "third"],
        ["100%", "promote", "because", "fourth"],
    ]


def test_a_rollback_leaves_nobody_on_the_candidate() -> None:
    assert look(0.0, decision("only", Action.ROLLBACK)).share == 0.0


def test_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Stage(quiet=False).progress("data set") as update:
        update(0.5, "half of it")
    assert capsys.readouterr().out == ""


def test_a_warning_keeps_addresses_whole(capsys: pytest.CaptureFixture[str]) -> None:
    address = "https://data.example/" + "folder/" * 20 + "train.csv"
    Stage(quiet=False).warn(f"the file cannot be fetched; it is published at {address} for all")
    assert address in capsys.readouterr().out
