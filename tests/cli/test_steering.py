"""`greenlight rollout rollback|pause|resume|widen|promote`, with no controller about (O4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from greenlight.core.errors import Conflict
from greenlight.core.records import SECOND, Decision
from greenlight.core.windows import DAYS
from greenlight.stages import steer as steering
from tests.cli.project import Project


def epoch(project: Project) -> int:
    return int(project.json("status", "intent")["tasks"]["intent"]["epoch"])


def test_out_of_traffic_by_one_command(rolling: Project) -> None:
    before = epoch(rolling)
    said = rolling.ok("rollout", "rollback", "intent", "-m", "support is flooded", by="ana")
    assert "intent: rollback by ana (ml_lead): support is flooded" in said
    assert "control answers everybody" in said
    assert epoch(rolling) == before + 1
    [listed] = rolling.json("rollouts", "list")
    assert listed["status"] == "rolled_back"
    assert "intent@2 was rolled back at " in rolling.ok("status", "intent")
    assert "(order): ana (ml_lead): support is flooded" in rolling.ok("status", "intent")
    assert rolling.json("rollouts", "show", "intent")["rollout"]["id"] == listed["id"]
    assert "no rollout is running" in rolling.refused(
        2, "rollout", "rollback", "intent", "-m", "again", by="ana"
    )
    rolling.ok("audit", "verify", "--no-files")


def test_paused_and_resumed(rolling: Project) -> None:
    before = epoch(rolling)
    paused = rolling.json("rollout", "pause", "intent", "-m", "a holiday", "--as", "ben", by="ben")
    assert (paused["action"], paused["code"]) == ("pause", "order")
    assert "pause (order): ben (product_owner): a holiday" in rolling.ok("status", "intent")
    [listed] = rolling.json("rollouts", "list")
    assert listed["paused"] == "ben (product_owner): a holiday"
    said = rolling.ok("rollout", "resume", "intent", "-m", "back again", by="ben")
    assert "the evidence decides again" in said
    assert epoch(rolling) == before, "the split stays"
    rolling.ok("audit", "verify", "--no-files")


def test_called_off_without_a_word_on_the_candidate(rolling: Project) -> None:
    said = rolling.ok("rollout", "abort", "intent", "-m", "the campaign is off", by="ben")
    assert "intent: withdraw by ben (product_owner): the campaign is off" in said
    [listed] = rolling.json("rollouts", "list")
    assert listed["status"] == "withdrawn"
    rolling.ok("audit", "verify", "--no-files")


@pytest.mark.parametrize(
    ("by", "words", "says"),
    [
        (None, ["rollback", "intent", "-m", "x"], "GREENLIGHT_PERSON_KEY is not set"),
        ("ana", ["rollback", "intent", "-m", "x", "--as", "ben"], "is ana's, not ben's"),
        ("ana", ["rollback", "intent", "-m", " "], "say why"),
        ("ana", ["rollback", "nothing", "-m", "x"], "there are: intent"),
        ("ana", ["resume", "intent", "-m", "x"], "resume is refused: it is not paused"),
        ("ana", ["promote", "intent", "-m", "x"], "not come to its last step"),
        ("ana", ["widen", "intent", "-m", "x"], "hold (unapproved): intent@2 is not approved"),
    ],
)
def test_refusals_say_why(rolling: Project, by: str | None, words: list[str], says: str) -> None:
    before = epoch(rolling)
    environ = {} if by else {"GREENLIGHT_PERSON_KEY": ""}
    assert says in rolling.refused(2, "rollout", *words, by=by, **environ)
    assert epoch(rolling) == before


def test_an_order_that_meets_the_controller_is_given_again(
    rolling: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O4: whoever is in a hurry need not know that evidence was being written just then."""
    carried_out, times = steering.steer, []

    def late(*given: Any, **named: Any) -> Decision:
        times.append(1)
        if len(times) <= 3:
            raise Conflict("JournalEntry r/7 is there already")
        return carried_out(*given, **named)

    monkeypatch.setattr(steering, "steer", late)
    said = rolling.ok("rollout", "rollback", "intent", "-m", "support is flooded", by="ana")
    assert "control answers everybody" in said
    assert len(times) == 4


def test_outside_its_release_window_a_rollout_waits(evaluated: Project) -> None:
    """G4: what has not begun gets no traffic; it can only be called off."""
    with evaluated.opened() as (_, office):
        office.gate(office.register(office.run("b2")), 0.96)
        in_three_days = datetime.fromtimestamp(office.clock.now() / SECOND, UTC).weekday() + 3
    for version in ("intent@1", "intent@2"):
        for who in ("ana", "ben"):
            evaluated.ok("approve", version, "-m", "looked at it", by=who)
    evaluated.ok("rollout", "start", "intent", "intent@1")
    window = f"{DAYS[in_three_days % 7]} 09:00-16:00 UTC"
    text = evaluated.file.read_text(encoding="utf-8")
    evaluated.file.write_text(
        f'{text}[tasks.intent.approval]\nrelease_window = "{window}"\n', encoding="utf-8"
    )
    said = evaluated.ok("rollout", "start", "intent", "intent@2")
    assert f"of intent@2 waits for its window ({window})" in said
    assert epoch(evaluated) == 2, "a place in the line, with the routing of before: nobody meets it"
    [listed] = evaluated.json("rollouts", "list")
    assert listed["status"] == "pending"
    assert "is pending, and one runs at a time" in evaluated.refused(
        2, "rollout", "start", "intent", "intent@2"
    )
    for order in ("pause", "widen", "promote"):
        said = evaluated.refused(2, "rollout", order, "intent", "-m", "now", by="ben")
        assert f"{order} is refused: it has not begun yet" in said
    evaluated.ok("rollout", "abort", "intent", "-m", "next week", by="ben")
    assert evaluated.json("rollouts", "list")[0]["status"] == "withdrawn"
    assert evaluated.json("versions", "show", "intent@2")["version"]["status"] == "approved"
    evaluated.ok("audit", "verify", "--no-files")
