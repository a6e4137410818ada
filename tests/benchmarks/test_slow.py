"""The record of long forms: what a report says of each test, and nothing more."""

from __future__ import annotations

from benchmarks.slow import outcomes

REPORT = """<testsuites><testsuite>
<testcase classname="tests.serving.test_kills" name="test_kill[20]" time="61.04"/>
<testcase classname="tests.serving.test_faults" name="test_gone" time="2"><failure/></testcase>
<testcase classname="tests.models.test_big" name="test_big" time="0"><skipped/></testcase>
<testcase classname="tests.a" name="test_fixture" time="1.25"><error/></testcase>
</testsuite></testsuites>"""


def test_how_each_test_ended() -> None:
    assert outcomes(REPORT) == [
        {"test": "a: test_fixture", "outcome": "failed", "seconds": 1.2},
        {"test": "models/test_big: test_big", "outcome": "skipped", "seconds": 0.0},
        {"test": "serving/test_faults: test_gone", "outcome": "failed", "seconds": 2.0},
        {"test": "serving/test_kills: test_kill[20]", "outcome": "passed", "seconds": 61.0},
    ]


def test_an_empty_report_has_no_test() -> None:
    assert outcomes("<testsuites/>") == []
