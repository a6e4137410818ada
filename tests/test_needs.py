"""A need that is absent skips its test, and fails it where GREENLIGHT_REQUIRE names it."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
NEEDY = """
    import pytest

    @pytest.mark.needs("data")
    def test_needy():
        pass
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of its own that uses this project's conftest; nothing is present or required."""
    for name in ("GREENLIGHT_DATASETS", "GREENLIGHT_ENCODER", "GREENLIGHT_REQUIRE"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers =\n    needs(*names): what the test needs\n")
    return pytester


def run(inner: pytest.Pytester) -> pytest.RunResult:
    return inner.runpytest_inprocess("-rs", "-p", "no:xdist", "-p", "no:cacheprovider")


def test_absent_need_skips_and_says_how_to_get_it(inner: pytest.Pytester) -> None:
    inner.makepyfile(NEEDY)
    result = run(inner)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs BANKING77: set GREENLIGHT_DATASETS*"])


def test_absent_need_fails_where_it_is_required(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENLIGHT_REQUIRE", "encoder, data")
    inner.makepyfile(NEEDY)
    result = run(inner)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*GREENLIGHT_REQUIRE names 'data'*"])


def test_present_need_runs(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = inner.mkdir("sets") / "banking77"
    folder.mkdir()
    for name in ("train.csv", "test.csv"):
        (folder / name).touch()
    monkeypatch.setenv("GREENLIGHT_DATASETS", str(folder.parent))
    inner.makepyfile(NEEDY)
    run(inner).assert_outcomes(passed=1)


def test_unknown_need_fails(inner: pytest.Pytester) -> None:
    inner.makepyfile(NEEDY.replace("data", "date"))
    result = run(inner)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*known needs are data, encoder*"])


def test_unknown_requirement_stops_the_run(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENLIGHT_REQUIRE", "dta")
    inner.makepyfile(NEEDY)
    result = run(inner)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*GREENLIGHT_REQUIRE: unknown dta; known: data*"])


def test_given_encoder_folder_must_hold_the_weights(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = inner.mkdir("encoder")
    monkeypatch.setenv("GREENLIGHT_ENCODER", str(folder))
    inner.makepyfile(NEEDY.replace("data", "encoder"))
    run(inner).assert_outcomes(skipped=1)
    (folder / "model.safetensors").touch()
    run(inner).assert_outcomes(passed=1)
