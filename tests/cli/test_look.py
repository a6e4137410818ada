"""`greenlight versions`, `rollouts`, `decisions`, `status`."""

from __future__ import annotations

import re

import pytest

from greenlight.core import ids
from greenlight.core.records import SECOND
from greenlight.core.states import Status, Variant
from tests.cli.project import Project
from tests.contracts.making import inference, shadow

SALT = "5a" * 16


def test_lists_of_nothing(project: Project) -> None:
    for what in ("versions", "rollouts", "decisions"):
        assert project.json(what, "list") == []
        assert len(project.ok(what, "list").splitlines()) == 1
    assert "intent: live nothing yet" in project.ok("status")


def test_versions(evaluated: Project) -> None:
    """R1: digest, label, bundle, lineage, evaluation, status."""
    listed = evaluated.ok("versions", "list", "intent").splitlines()
    assert listed[0].split() == ["VERSION", "STATUS", "DIGEST", "INITIATOR", "REGISTERED"]
    assert listed[1].split()[:2] == ["intent@1", "evaluated"]
    shown = evaluated.ok("versions", "show", "intent@1")
    assert "sign-off    lacks 1 × ml_lead, 1 × product_owner" in shown
    assert "gates passed on evaluation sha256:" in shown
    details = evaluated.json("versions", "show", "intent@1")
    assert details["version"]["lineage"]["backend"] == "tfidf-linear"
    assert details["gates"][0]["passed"] and len(details["evaluations"]) == 1


def test_a_version_shows_its_approvals(evaluated: Project) -> None:
    evaluated.ok("approve", "intent@1", "-m", "good on test", by="ana")
    shown = evaluated.ok("versions", "show", "intent@1")
    assert shown.splitlines()[-1].split()[1:4] == ["approve", "ana", "ml_lead"]
    assert shown.splitlines()[-1].endswith("good on test")


def test_unknown_names(evaluated: Project) -> None:
    assert "there are: intent" in evaluated.refused(2, "versions", "list", "intents")
    assert "there are: intent@1" in evaluated.refused(2, "versions", "show", "intent@2")
    assert "greenlight rollouts list" in evaluated.refused(2, "rollouts", "show", "0000")
    assert "greenlight decisions list" in evaluated.refused(2, "decisions", "show", "0000")


def test_rollouts_and_decisions(rolling: Project) -> None:
    [listed] = rolling.json("rollouts", "list", "intent")
    shown = rolling.ok("rollouts", "show", listed["id"][:8])
    assert "candidate  intent@2" in shown and "eve started it at 10%" in shown
    [decision] = rolling.json("decisions", "list", "--rollout", listed["id"][:8])
    assert decision["policy_digest"] == listed["policy_digest"]
    assert "log_e       quality -0.25" in rolling.ok("decisions", "show", decision["id"][:8])
    assert "start" in rolling.ok("decisions", "list", "intent")
    assert "running" in rolling.ok("rollouts", "list")


def test_status(rolling: Project) -> None:
    text = rolling.ok("status")
    assert "acme (dev)" in text and "1 gateway alive" in text
    assert "intent: live intent@1, epoch 2" in text
    assert "step 1 of 2, 10% of units on the candidate" in text
    assert "start (start): eve started it at 10%" in text
    candidate = next(line for line in text.splitlines() if line.startswith("candidate"))
    assert candidate.split() == ["candidate", "3", "3", "3", "0", "0", "0", "–"]
    quality = next(line for line in text.splitlines() if line.startswith("quality "))
    assert re.fullmatch(r"quality +░+  E +1  acts at +400  answers are worse", quality)
    found = rolling.json("status", "intent")["tasks"]["intent"]["rollout"]
    assert found["arms"]["candidate"]["units"] == 3
    assert found["evidence"]["superiority"]["log_threshold"] == pytest.approx(2.9957, abs=1e-4)


def test_versions_that_wait_are_shown(evaluated: Project) -> None:
    assert "intent@1 is evaluated: lacks 1 × ml_lead" in evaluated.ok("status")


def test_the_salt_is_never_shown(rolling: Project) -> None:
    """EVIDENCE: who knows the salt can choose an arm."""
    [listed] = rolling.json("rollouts", "list")
    for words in (
        ["rollouts", "list"],
        ["rollouts", "show", listed["id"]],
        ["status"],
        ["decisions", "list"],
    ):
        assert SALT not in rolling.ok(*words)
        assert SALT not in rolling.ok(*words, "--json")


def test_decisions_are_replayed(rolling: Project) -> None:
    rollout = rolling.json("rollouts", "list")[0]["id"]
    assert "not equal" in rolling.ok("decisions", "replay", rollout[:20])
    assert all(again["equal"] for again in rolling.json("decisions", "replay", rollout))


def test_what_each_arm_of_a_chat_cost(rolling: Project) -> None:
    """O7: tokens and cost by arm, in all and per request."""
    [listed] = rolling.json("rollouts", "list")
    assert "TOKENS READ" not in rolling.ok("status", "intent")
    with rolling.opened() as (_, office):
        made = [
            inference(
                f"spent-{number}",
                rollout=listed["id"],
                variant=variant,
                input_tokens=100,
                output_tokens=20 * (number + 1),
                cost=0.25,
            )
            for number, variant in enumerate(Variant)
        ]
        office.store.ingest(made, [])
    arms = rolling.json("status", "intent")["tasks"]["intent"]["rollout"]["arms"]
    assert [arms[v]["output_tokens"] for v in Variant] == [20, 40]
    shown = rolling.ok("status", "intent")
    assert "TOKENS READ" in shown and "0.2500" in shown


def test_how_long_each_arm_takes(rolling: Project) -> None:
    """EVIDENCE, display: a sequence for a quantile; a timeout is longer than any answer."""
    [listed] = rolling.json("rollouts", "list")
    with rolling.opened() as (settings, office):
        del settings
        start = listed["at"] + SECOND
        made = [
            inference(
                ids.uuid7(start + 1000 * number, bytes(10)),
                rollout=listed["id"],
                variant=variant,
                unit=f"slow-{number}",
                at=start + 1000 * number,
                latency_ms=float(number % 100),
                status=Status.TIMEOUT if variant is Variant.CANDIDATE else Status.OK,
            )
            for number, variant in enumerate([Variant.CONTROL] * 2000 + [Variant.CANDIDATE] * 600)
        ]
        office.store.ingest(made, [])
    found = rolling.json("rollouts", "show", listed["id"])["p95_ms"]
    assert found["control"]["answers"] == 2000
    assert 90 <= found["control"]["low"] <= 95 <= found["control"]["high"] <= 99
    assert found["candidate"]["high"] is None and found["candidate"]["low"] is None
    shown = rolling.ok("rollouts", "show", listed["id"])
    assert "P95 LATENCY" in shown and "not known yet" in shown


def test_what_became_of_copies_in_the_shadow(rolling: Project) -> None:
    """S6: how often both said the same, and where they did not."""
    [listed] = rolling.json("rollouts", "list")
    assert "in the shadow" not in rolling.ok("status", "intent")
    assert "DIFFERENTLY" not in rolling.ok("rollouts", "show", listed["id"])
    with rolling.opened() as (settings, office):
        del settings
        made = [
            inference(f"i{number}", rollout=listed["id"], input=f"question {number} " * 9)
            for number in range(8)
        ]
        copied = [
            shadow(
                f"i{number}",
                rollout=listed["id"],
                agreed=number > 0,
                output="lost_card" if number == 0 else "card_arrival",
            )
            for number in range(8)
        ]
        office.store.ingest(made, [], copied)
    counted = rolling.json("status", "intent")["tasks"]["intent"]["rollout"]["copies"]
    assert (counted["made"], counted["agreed"], counted["latency_ms"]) == (8, 7, 25.0)
    told = "of 8 copies the candidate answered 8 and failed 0, in 25.0 ms on average; the same"
    assert told in rolling.ok("status", "intent")
    found = rolling.json("rollouts", "show", listed["id"])
    [row] = found["different"]
    assert (row["control"], row["candidate"]) == ("card_arrival", "lost_card")
    shown = rolling.ok("rollouts", "show", listed["id"])
    assert "control: 87.5%" in shown and "question 0 question 0" in shown and "lost_card" in shown
