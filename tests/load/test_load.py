"""Load tests: what they come to, and one that is run (S4)."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from greenlight.core.load import Summary, decode
from tests.load.run import main
from tests.load.summary import Plan, Sample, percentile, steady, summarise, table
from tests.serving.test_processes import installation, process


def requests(count: int, status: int = 200, ms: float = 10.0, version: str = "") -> list[Sample]:
    return [Sample(float(at), ms, status, version) for at in range(count)]


def summed(samples: Sequence[Sample], *, rate: float, seconds: float) -> Summary:
    plan = Plan(task="intent", rate=rate, ramp=60.0, seconds=seconds)
    return summarise(samples, plan, {"commit": "c0ffee"})


@pytest.mark.parametrize(
    ("samples", "met"),
    [
        (requests(1000), True),
        (requests(950) + requests(50, ms=9000.0), True),
        (requests(949) + requests(51, ms=151.0), False),
        (requests(900) + requests(100, ms=150.0), True),
        (requests(996) + requests(2, 500) + requests(2, 0), True),
        (requests(995) + requests(5, 503), False),
        (requests(995) + requests(5, 0), False),
        (requests(1000) + requests(900, 429, ms=9000.0), True),
        (requests(940) + requests(60, 404), False),
        (requests(949), False),
        (requests(1000, 404), False),
        ([], False),
    ],
)
def test_the_service_level(samples: list[Sample], met: bool) -> None:
    """S4: p95 at most 150 ms, fewer than 0.5 % server errors, at the rate; 4xx apart."""
    assert summed(samples, rate=10.0, seconds=100.0).met is met


def test_what_is_counted() -> None:
    """S4: errors by whose fault they are."""
    samples = requests(90) + requests(4, 500) + requests(3, 503) + requests(2, 0) + requests(1, 400)
    found = summed([*samples, Sample(0.0, 500.0, 200)], rate=1.0, seconds=100.0)
    assert (found.requests, found.errors_5xx, found.timeouts, found.errors_4xx) == (101, 7, 2, 1)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.rate) == (10.0, 10.0, 10.0, 1.0)
    assert found.error_rate == 0.09
    assert (found.task, found.asked, found.ramp_s, found.steady_s) == ("intent", 1.0, 60.0, 100.0)


def test_good_answers_are_counted_by_the_version_that_gave_them() -> None:
    """E2: so that whoever reads it knows what was measured; a failure speaks for nobody."""
    named = requests(5, version="intent@2") + requests(3, version="intent@1")
    failed = requests(2, 503, version="intent@2") + requests(1, 0) + requests(4, 429)
    found = summed([*named, *failed, *requests(1)], rate=1.0, seconds=10.0)
    assert found.versions == {"intent@1": 3, "intent@2": 5}
    assert found.answered == 9


@pytest.mark.parametrize(
    "samples", [requests(1000, ms=1 / 3, version="intent@1"), requests(400), requests(9, 0)]
)
def test_what_is_summed_up_can_be_read_by_the_evaluation(samples: list[Sample]) -> None:
    """E2: what was kept and what was missed alike."""
    found = summed(samples, rate=7.0, seconds=123.0)
    assert decode(msgspec.json.encode(found), "f", task="intent", label="intent@1") == found


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7.0
    assert percentile([], 0.95) is None


def test_the_ramp_does_not_count() -> None:
    """S4: warm, after the ramp; what is sent after the steady period does not count either."""
    samples = [Sample(1000.0 + at, 1.0, 200) for at in (0.0, 59.9, 60.0, 61.0, 659.9, 660.0)]
    assert [sample.at for sample in steady(samples, 60.0, 600.0)] == [1060.0, 1061.0, 1659.9]
    assert steady([], 60.0, 600.0) == []


def test_the_table_says_what_was_asked_and_what_came_of_it() -> None:
    told = table(summed(requests(100, ms=200.0, version="v7"), rate=10.0, seconds=10.0))
    assert "p95" in told and "200.0 ms   at most 150 ms" in told
    assert "v7               100 answers" in told
    assert told.endswith("MISSED")
    assert "–" in table(summed([], rate=10.0, seconds=10.0))


@pytest.mark.needs("locust")
def test_locust_puts_a_gateway_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S4: a run of ten seconds, end to end."""
    installation(tmp_path).close()
    out = tmp_path / "slo.json"
    with process("tests.serving.gateway_process", str(tmp_path), "20") as (_, url):
        pace = ["--rate", "10", "--ramp", "0.03", "--minutes", "0.15", "--note", "a trial"]
        status = main(["--url", url, *pace, "--out", str(out)])
    found = json.loads(out.read_bytes())
    told = capsys.readouterr().out
    assert (found["errors_5xx"], found["timeouts"], found["errors_4xx"]) == (0, 0, 0), told
    assert 80 <= found["requests"] <= 100
    assert (found["task"], found["asked"], found["note"]) == ("intent", 10.0, "a trial")
    assert found["versions"] == {}
    assert found["provenance"]["command"].startswith("python -m tests.load.run --url http://127.")
    assert found["provenance"]["load_average"] >= 0
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert status == (0 if found["met"] else 1)
    assert f"{found['p95_ms']:.1f} ms" in told


@pytest.mark.needs("locust")
def test_a_gateway_that_is_away_and_a_task_that_is_not_there(tmp_path: Path) -> None:
    """S4: nobody answers: no answer in time; the wrong question: 4xx, which are apart."""
    installation(tmp_path).close()
    out = tmp_path / "slo.json"
    pace = ["--rate", "10", "--ramp", "0", "--minutes", "0.02", "--out", str(out)]
    with process("tests.serving.gateway_process", str(tmp_path), "20") as (_, url):
        assert main(["--url", url, "--task", "other", *pace]) == 1
        wrong = json.loads(out.read_bytes())
    assert main(["--url", url, *pace]) == 1
    away = json.loads(out.read_bytes())
    assert wrong["requests"] == wrong["errors_4xx"] > 0 and wrong["p95_ms"] is None
    assert away["requests"] == away["timeouts"] > 0


def test_without_locust_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "locust", None)
    assert main(["--minutes", "0.01"]) == 2
    assert ".[load]" in capsys.readouterr().err


def test_without_git_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No figure without the commit that it is of."""
    monkeypatch.setattr("benchmarks.harness.ROOT", Path("/nowhere"))
    assert main(["--minutes", "0.01"]) == 2
    assert "git cannot say which commit this is" in capsys.readouterr().err


def test_a_summary_that_has_no_place_is_refused_before_anybody_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody measures for ten minutes to lose what came of it."""
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "away" / "slo.json")])
    assert ended.value.code == 2
    assert f"there is no folder {tmp_path / 'away'}; make it first" in capsys.readouterr().err
