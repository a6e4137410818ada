"""docs/status.md agrees with the requirements and the tests, and its generator tells the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts import status
from scripts.status import Case, Results

ROOT = Path(__file__).parents[2]
SUITE = '''
"""The module covers A1."""

def test_one():
    """And this one B2, but not C3x."""

class TestMore:
    """B2 too."""
    async def test_two(self): ...

def helper():
    """A9 is nobody's."""
'''
REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" timestamp="2026-01-02T03:04:05.6+00:00">
<testcase classname="tests.a.test_x" name="test_one[1]"/>
<testcase classname="tests.a.test_x" name="test_one[2]"><skipped message="no"/></testcase>
<testcase classname="tests.a.test_x.TestMore" name="test_two"><failure/></testcase>
<testcase classname="tests.a.test_other" name="test_one"/>
</testsuite></testsuites>
"""
ONE = Case("tests/a/test_x.py", "test_one")
TWO = Case("tests/a/test_x.py", "TestMore.test_two")


def test_status_is_current() -> None:
    assert status.is_current(ROOT), "docs/status.md is stale: run `make status`"


def test_every_requirement_is_read() -> None:
    text = (ROOT / "docs/requirements.md").read_text(encoding="utf-8")
    wanted = status.requirements(text)
    assert len(wanted) == text.count("- **") >= 69


def test_a_number_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="D1 stands twice"):
        status.requirements("- **D1** one\n- **D1** two\n")


def test_docstrings_of_function_class_and_module_count() -> None:
    named = dict(status.named_in(SUITE, "tests/a/test_x.py"))
    assert named == {ONE: {"A1", "B2"}, TWO: {"A1", "B2"}}


def test_results_are_read_per_test(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(REPORT, encoding="utf-8")
    results = status.read_results(report, [ONE.file])
    assert results.at == "2026-01-02 03:04"
    assert results.outcomes == {ONE: Counter(passed=1, skipped=1), TWO: Counter(failed=1)}


def test_document_shows_tests_and_results() -> None:
    results = Results("2026-01-02 03:04", {ONE: Counter(passed=2), TWO: Counter(failed=1)})
    document = status.render({"A1": "a | b", "B2": "c"}, {"A1": [ONE, TWO], "B2": []}, results)
    assert "1 of 2 requirements" in document
    assert (
        "| A1 | a \\| b | [a/test_x.py](../tests/a/test_x.py): `test_one`, `TestMore.test_two` "
        "| 1 failed, 2 passed |" in document
    )
    assert "| B2 | c |  | – |" in document


def test_check_ignores_results_and_nothing_else() -> None:
    wanted, tests = {"A1": "a"}, {"A1": [ONE]}
    empty = status.render(wanted, tests, None)
    run = status.render(wanted, tests, Results("2026-01-02 03:04", {ONE: Counter(failed=1)}))
    assert empty != run
    assert status.without_results(empty) == status.without_results(run)
    for other in (
        status.render({"A1": "b"}, tests, None),
        status.render(wanted, {"A1": [TWO]}, None),
        status.render({**wanted, "B2": "b"}, {**tests, "B2": []}, None),
    ):
        assert status.without_results(empty) != status.without_results(other)


def test_stale_document_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests/a").mkdir(parents=True)
    (tmp_path / "docs/requirements.md").write_text("- **A1** a\n- **B2** b\n", encoding="utf-8")
    suite = tmp_path / "tests/a/test_x.py"
    suite.write_text(SUITE, encoding="utf-8")
    (tmp_path / "docs/status.md").write_text(status.build(tmp_path), encoding="utf-8")
    assert status.is_current(tmp_path)
    suite.write_text(SUITE.replace("B2 too", "Nothing"), encoding="utf-8")
    assert not status.is_current(tmp_path)
