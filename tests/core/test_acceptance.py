"""Targets and what is found, as a page says them (G6, E2, E3)."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.core import acceptance
from greenlight.core.acceptance import Target, judge
from greenlight.core.errors import BadInput
from tests.cli.checkout import PAGE


def target(**fields: Any) -> Target:
    given = {
        "id": "t",
        "what": "a number",
        "section": 1,
        "metric": "a.b.value",
        "direction": "at_least",
        "required": 0.9,
        "enforced": ("release check",),
    }
    return Target(**{**given, **fields})


def of(value: object, **beside: object) -> dict[str, Any]:
    return {"a": {"b": {"value": value, **beside}}}


@pytest.mark.parametrize(
    ("fields", "document", "verdict"),
    [
        ({}, of(0.9), "met"),
        ({}, of(0.8999), "missed"),
        ({}, of(0.9, reason="why"), "met"),
        ({}, {}, "absent"),
        ({}, {"a": {"reason": "no such rows"}}, "absent"),
        ({}, of(None), "absent"),
        ({}, of("0.95"), "absent"),
        ({}, of(True), "absent"),
        ({"goals": (0.94, 0.945)}, of(0.945), "met"),
        ({"goals": (0.94, 0.945)}, of(0.944), "goal missed"),
        ({"goals": (0.94,)}, of(0.89), "missed"),
        ({"interval": True}, of(0.95, low=0.94, high=0.96), "met"),
        ({"interval": True}, of(0.95, low=0.94), "absent"),
        ({"interval": True}, of(0.95, low=None, high=None), "absent"),
        ({"metric": "a.b"}, of(0.95), "absent"),
        ({"direction": "at_most"}, of(0.9), "met"),
        ({"direction": "at_most"}, of(0.91), "missed"),
        ({"direction": "below"}, of(0.8999), "met"),
        ({"direction": "below"}, of(0.9), "missed"),
        ({"direction": "is", "required": True}, of(True), "met"),
        ({"direction": "is", "required": True}, of(False), "missed"),
        ({"direction": "is", "required": True}, of(1.0), "absent"),
        ({"required": None}, of(0.1), "met"),
        ({"required": None, "goals": (0.5,)}, of(0.1), "goal missed"),
        ({"required": None}, {}, "absent"),
        ({"level": "warning"}, of(0.1), "warned"),
        ({"level": "warning"}, {}, "warned"),
        ({"level": "information", "metric": ""}, {}, "information"),
    ],
)
def test_what_is_found_is_held_against_what_is_wanted(
    fields: dict[str, Any], document: dict[str, Any], verdict: str
) -> None:
    """E2, E3: a number that is not there is never one that is good enough."""
    row = judge(target(**fields), document)
    assert row.verdict == verdict
    assert row.ok == (verdict not in ("missed", "absent"))


def test_the_worst_of_several_counts() -> None:
    drills = {"drills": [{"took": 1.0}, {"took": None}, {"took": 130.0}, {"other": 1}]}
    several = target(metric="drills.*.took", direction="at_most", required=120.0, unit="s")
    row = judge(several, drills)
    assert (row.verdict, row.found, row.required) == ("missed", "130.0 s", "≤ 120 s")
    least = target(metric="drills.*.took", required=1.0)
    assert judge(least, drills).verdict == "met"
    flags = {"drills": {"one": {"ok": True}, "two": {"ok": False}}}
    assert judge(target(metric="drills.*.ok", direction="is", required=True), flags).ok is False
    assert judge(several, {"drills": []}).verdict == "absent"


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"ok": None}, "drills.*.ok is not there for each"),
        ({}, "drills.*.ok is not there for each"),
        ({"ok": "yes"}, "drills.*.ok is not there for each"),
        ({"reason": "it did not end"}, "it did not end"),
    ],
)
def test_what_must_hold_of_each_is_said_of_each(other: dict[str, Any], says: str) -> None:
    """G6: a drill that came to nothing is none that has passed."""
    every = target(metric="drills.*.ok", direction="is", required=True)
    row = judge(every, {"drills": [{"ok": True}, other]})
    assert (row.verdict, row.found) == ("absent", says)


def test_a_number_that_could_not_be_computed_is_not_passed_over() -> None:
    several = target(metric="drills.*.took", direction="at_most", required=120.0)
    row = judge(several, {"drills": [{"took": 1.0}, {"reason": "it did not end"}]})
    assert (row.verdict, row.found) == ("absent", "it did not end")


def test_why_a_number_is_not_there_is_told() -> None:
    reason = "not measured: no load test has written this part"
    assert judge(target(), {"a": {"reason": reason}}).found == reason
    assert judge(target(), None, "not as it was sealed").found == "not as it was sealed"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("## 6. Non-goals", "## 6. Goals", "no section 6. Non-goals"),
        ("```toml targets", "```toml", "one block ```toml targets is needed, there are 0"),
        ("required = 0.9", "required = ", "the block targets cannot be read"),
        ("required = 0.9", "requires = 0.9", "requires"),
        ('direction = "at_least"', 'direction = "up"', "direction"),
        ('direction = "at_least"', 'direction = "is"', "true or false"),
        ("required = 0.9", "required = true", "is no number"),
        ("required = 0.9", "required = nan", "has no place"),
        ("required = 0.9", "required = 0.9\ngoals = [0.8]", "does not even reach"),
        ('metric = "intent.test.accuracy.value"\n', "", "without a metric"),
        ('id = "gap"', 'id = "accuracy"', "two targets are called accuracy"),
        ("Digest of targets and protocol: `none`", "", "belongs in section 7"),
    ],
)
def test_a_page_that_is_not_in_order_is_refused(old: str, new: str, says: str) -> None:
    """G6: a bar cannot be lost by a slip of the pen."""
    assert old in PAGE
    acceptance.parse(PAGE)
    with pytest.raises(BadInput, match=says):
        acceptance.parse(PAGE.replace(old, new))


def test_what_the_digest_covers() -> None:
    """G6: targets, deliverables and the protocol, and neither comments nor the text around them."""

    def digest(page: str, protocol: dict[str, str]) -> str:
        return acceptance.digest(acceptance.parse(page), protocol)

    rules = {"src/eval/rules.py": "sha256:1"}
    first = digest(PAGE, rules)
    assert digest(PAGE.replace("Some words.", "Other words."), rules) == first
    assert digest(PAGE.replace("[[target]]", "# why\n[[target]]"), rules) == first
    for old, new in (("0.9\n", "0.89\n"), ('"README.md"', '"LICENSE"'), ("src/eval", "src/e*al")):
        assert digest(PAGE.replace(old, new), rules) != first
    assert digest(PAGE, {"src/eval/rules.py": "sha256:2"}) != first
    assert digest(PAGE, {**rules, "src/eval/more.py": "sha256:1"}) != first
    assert digest(acceptance.with_digest(PAGE, first), rules) == first
    assert acceptance.parse(acceptance.with_digest(PAGE, first)).written == first
