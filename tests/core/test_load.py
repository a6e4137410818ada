"""A load test's summary (E2, S4): believed as far as its own numbers agree."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.core.load import Summary, decode, kept, result
from tests.load.making import SUMMARY, summed


def read(data: dict[str, Any] | bytes, label: str = "intent@1") -> Summary:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return decode(text, "slo.json", task="intent", label=label)


def test_what_a_load_test_wrote_is_read() -> None:
    assert read(summed()) == SUMMARY
    assert (SUMMARY.counted, SUMMARY.answered, SUMMARY.error_rate) == (1200, 1197, 0.0025)


def test_the_part_has_what_readers_rely_on() -> None:
    """E2: `load.p95_ms` and `load.error_rate`; and all of it can be named by a digest."""
    found = result(SUMMARY, "intent@1")
    assert (found["p95_ms"], found["error_rate"]) == (12.5, 0.0025)
    assert (found["met"], found["whole"], found["version"]) == (True, True, {"verified": True})
    assert found["goals"] == {
        "p95_ms": 150.0,
        "error_rate": 0.005,
        "pace": 0.95,
        "rate": 2.0,
        "ramp_s": 60.0,
        "steady_s": 600.0,
    }
    assert "reason" not in found
    assert found["provenance"] == SUMMARY.provenance
    assert fingerprint.digest(found)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"p95_ms": 150.0}, True),
        ({"p95_ms": 150.001}, False),
        ({"p95_ms": None}, False),
        ({"timeouts": 4}, True),
        ({"timeouts": 5}, False),
        ({"errors_5xx": 4}, False),
        ({"errors_4xx": 63}, True),
        ({"errors_4xx": 64}, False),
        ({"asked": 2.11}, False),
    ],
)
def test_the_service_level(changes: dict[str, Any], good: bool) -> None:
    """S4: at most 150 ms, fewer than 0.5 % errors, at least 95 % of the rate that was asked."""
    assert kept(msgspec.structs.replace(SUMMARY, **changes)) is good


@pytest.mark.parametrize(
    ("changes", "whole"),
    [({"asked": 1.9}, False), ({"ramp_s": 59.0}, False), ({"steady_s": 599.0}, False), ({}, True)],
)
def test_a_trial_is_no_test_of_the_service_level(changes: dict[str, Any], whole: bool) -> None:
    """S4: at 2 requests a second, after a minute of ramp, for ten minutes."""
    assert result(msgspec.structs.replace(SUMMARY, **changes), "intent@1")["whole"] is whole


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"requests": 0, "errors_4xx": 0}, "requests: 0; must be above 0"),
        ({"steady_s": 0}, "steady_s: 0.0; must be above 0"),
        ({"asked": 0}, "asked: 0.0; must be above 0"),
        ({"asked": -2}, "asked: -2.0; must be a number from 0 to 1e+12"),
        ({"errors_5xx": -1}, "errors_5xx: -1; must be a number from 0 to 1e+12"),
        ({"p95_ms": None}, "p95_ms: null; nothing but client errors came"),
        ({"errors_4xx": 1201}, "requests: 1203, and 1204 of them failed"),
        ({"p95_ms": 6.5}, "p50_ms, p95_ms, p99_ms: 7, 6.5, 31.25; none may be below"),
        ({"p99_ms": 12.0}, "p50_ms, p95_ms, p99_ms: 7, 12.5, 12; none may be below"),
        ({"rate": 2.1}, "rate: 2.1; requests less errors_4xx by steady_s make 2.000"),
        ({"met": False}, "met: false; by its own numbers the service level was kept"),
        ({"timeouts": 9}, "met: true; by its own numbers the service level was missed"),
        ({"versions": {"intent@1": 1198}}, "versions: 1198 answers, and only 1197 were good"),
        ({"versions": {"intent@1": 0}}, "versions: 'intent@1' gave 0 answers; must be 1 or more"),
        ({"p95_ms": "12"}, "Expected `float | null`, got `str` - at `$.p95_ms`"),
        ({"requests": 2.5}, "Expected `int`, got `float` - at `$.requests`"),
        ({"colour": "green"}, "unknown field `colour`"),
        ({"requests": 10**13}, "requests: 10000000000000; must be a number from 0 to 1e+12"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], problem: str) -> None:
    """A message names the file, the field, its value, the rule and the fix."""
    with pytest.raises(BadInput, match=re.escape(problem)) as caught:
        read(summed(**changes))
    assert str(caught.value).startswith("slo.json: ")
    assert str(caught.value).endswith("run the load test again and take the file that it writes")


@pytest.mark.parametrize("name", Summary.__struct_fields__)
def test_every_field_must_be_there(name: str) -> None:
    whole = summed()
    del whole[name]
    with pytest.raises(BadInput, match=f"missing required field `{name}`"):
        read(whole)


@pytest.mark.parametrize(
    "value",
    ["NaN", "1e999", "-Infinity", "1" + "0" * 400, "1" * 5000],
    ids=["none", "beyond", "endless", "long", "longer"],
)
def test_no_number_is_without_end(value: str) -> None:
    for name in ("p99_ms", "rate", "requests"):
        text = json.dumps(summed(**{name: "VALUE"})).replace('"VALUE"', value)
        with pytest.raises(BadInput, match=r"slo\.json: "):
            read(text.encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b'{"provenance": ' * 9999],
    ids=["empty", "list", "nothing", "no text", "deep"],
)
def test_what_is_no_summary_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"slo\.json: no readable summary of a load test"):
        read(data)


def test_another_task_is_refused() -> None:
    with pytest.raises(BadInput, match="task: 'support' was put under load") as caught:
        read(summed(task="support"))
    assert "and intent@1 is of 'intent'; take one" in str(caught.value)
    assert str(caught.value).endswith("--task intent")


def test_answers_of_another_version_are_refused() -> None:
    """What was measured must be what is judged."""
    other = summed(versions={"intent@1": 1000, "intent@2": 150, "v0": 47})
    message = "versions: intent@2 gave 150, v0 gave 47 of 1,197 good answers, not intent@1"
    with pytest.raises(BadInput, match=message) as caught:
        read(other)
    assert "while intent@1 alone is served" in str(caught.value)


@pytest.mark.parametrize("named", [0, 1196])
def test_a_version_that_was_not_named_is_not_verified(named: int) -> None:
    """The part says so and why; it holds its numbers all the same."""
    found = result(read(summed(versions={"intent@1": named} if named else {})), "intent@1")
    assert found["version"]["verified"] is False
    assert f"of {named:,} of 1,197 good answers" in found["version"]["reason"]
    assert "the scopes predict and admin" in found["version"]["reason"]
    assert found["p95_ms"] == 12.5


def test_where_nobody_answered_no_version_is_verified() -> None:
    away = summed(errors_5xx=0, timeouts=1200, met=False, versions={})
    found = result(read(away), "intent@1")
    assert (found["met"], found["error_rate"], found["version"]["verified"]) == (False, 1.0, False)
