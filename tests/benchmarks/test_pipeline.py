"""The benchmark of the pipeline in its smallest form: every baseline does the same work as what it
is compared with, goals are judged as they stand, and the page leaves no miss out (P5, D5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import collecting
from benchmarks.pipeline import __main__ as command
from benchmarks.pipeline import figures, guarding, page, rows
from benchmarks.pipeline.asking import Latency, evaluations
from benchmarks.pipeline.goals import ends, goals, growth, saved
from benchmarks.pipeline.measure import PARTS, QUICK, measure
from benchmarks.pipeline.uploading import uploads

CAME = {"command": "c", "cores": 2, "cpu": "x", "commit": "0" * 40, "at": "2026-01-01T00:00"}


def done(mib: float, count: int = 1000) -> dict[str, Any]:
    """What one process took."""
    pace = {"seconds": 2.0, "cpu_seconds": 1.0, "rows_per_s": count // 2}
    return {"rows": count, **pace, "peak_mib": 60 + mib, "above_idle_mib": mib}


def both(streamed: float, whole: float) -> dict[str, Any]:
    """A piece of work, done both ways."""
    less = None if whole <= 0 else 1 - streamed / whole
    return {"streamed": done(streamed), "whole": done(whole), "less_memory": less}


def size(count: int, **work: dict[str, Any]) -> dict[str, Any]:
    return {"rows": count, "idle_mib": 60.0, "store_mib": 700.0, "work": work}


def numbers() -> dict[str, Any]:
    """Results as they are saved and read again; three goals are missed."""
    ways = {
        "one_by_one": {"seconds": 60.0, "requests": 2},
        "several": {"seconds": 8.0, "requests": 4, "most_at_once": 8},
    }
    exported = {"export-openai-chat": both(20, 100), "export-csv": {"streamed": done(20)}}
    found: dict[str, Any] = {
        "setting": {**msgspec.to_builtins(QUICK), "load_average": 1.5},
        "seconds": {"queries": 60.0, "exports": 540.0},
        "queries": {
            "answers": 4000,
            "judged": 2000,
            "paged": {"rows": 1800, "queries": 8, "rows_per_s": 12_000},
            "one_by_one": {"rows": 200, "queries": 400, "rows_per_s": 1_000},
            "fewer_queries": 0.998,
        },
        "asking": {
            "evaluations": {"texts": 200, **ways, "times_as_fast": 7.5},
            "uploads": {"texts": 2, **ways, "jobs": 1, "times_as_fast": 4.9, "at_most": 1.9},
        },
        "stages": [
            size(100_000, collect=both(10, 50), curate=both(10, 20)),
            size(1_000_000, collect=both(12.5, 500), curate=both(13, 26)),
        ],
        "cache": {"reads": 1000, "hit_ratio": 0.95, "hit_ms": 0.5},
        "breaker": {
            "calls": 500,
            "call_us": 1001.0,
            "guarded_call_us": 1021.0,
            "overhead": 0.02,
            "breaker_us": 0.7,
            "guard_us": 5.2,
            "refusal_us": 1.8,
        },
        "exports": [size(100_000, **exported), size(1_000_000, **exported)],
    }
    found["goals"] = goals(found)
    return dict(json.loads(json.dumps({"provenance": CAME, **msgspec.to_builtins(found)})))


def test_whole_lists_make_the_same_datasets(tmp_path: Path) -> None:
    """D5: what is compared with the stages writes the same bytes."""
    made = {
        what: rows.do(what, tmp_path, 2000)
        for what in ("make", "idle", "collect", "collect-whole", "curate", "curate-whole")
    }
    for name, files in (("collect", ["rows.jsonl"]), ("curate", ["test.jsonl", "train.jsonl"])):
        streamed, listed = made[name], made[f"{name}-whole"]
        assert streamed["digests"].keys() >= set(files)
        assert rows.compare(made["idle"], streamed, listed)["streamed"]["rows"] == 2000
    other = {**made["curate-whole"], "digests": made["collect"]["digests"]}
    with pytest.raises(ValueError, match="not the same rows"):
        rows.compare(made["idle"], made["curate"], other)


def test_whole_lists_make_the_same_export(tmp_path: Path) -> None:
    """Every format is written from answers of which each was judged; BAD ones teach nothing."""
    rows.do("fill", tmp_path, 1000)
    made = {what: rows.do(what, tmp_path, 1000) for what in rows.WORK if "export" in what}
    assert len(made) == 4
    assert {found["rows"] for found in made.values()} == {912}
    whole = f"export-{rows.COMPARED}{rows.WHOLE}"
    assert made[whole]["digests"] == made[f"export-{rows.COMPARED}"]["digests"]


def test_a_process_of_its_own_says_what_it_took(tmp_path: Path) -> None:
    found = rows.elsewhere("make", tmp_path, 1000)
    assert (found["rows"], found["digests"]) == (1000, {})
    assert found["peak_mib"] > 10 and found["cpu_seconds"] > 0
    assert (tmp_path / "made.jsonl").exists()


def test_memory_is_told_above_that_of_an_idle_process() -> None:
    idle, streamed, listed = ({"digests": {}, **done(mib)} for mib in (0, 5, 20))
    found = rows.compare(idle, streamed, listed)
    assert (found["streamed"]["above_idle_mib"], found["whole"]["above_idle_mib"]) == (5, 20)
    assert found["less_memory"] == 0.75
    assert "digests" not in found["streamed"]
    assert rows.compare(idle, streamed, idle)["less_memory"] is None, "of nothing, nothing is less"


def test_pages_ask_less_and_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: at least 90 % fewer queries than row by row, counted at the database."""
    found = collecting.compare(tmp_path, 2_000, 100)
    assert found["fewer_queries"] >= 0.9
    assert found["one_by_one"]["queries"] == 200
    assert found["paged"]["queries"] >= found["paged"]["queries_stated"] == 5
    honest = collecting.one_by_one

    def otherwise(*given: Any) -> tuple[dict[str, Any], dict[str, str]]:
        figures, labels = honest(*given)
        labels.popitem()
        return figures, labels

    monkeypatch.setattr(collecting, "one_by_one", otherwise)
    (again := tmp_path / "again").mkdir()
    with pytest.raises(ValueError, match="not those that are found one by one"):
        collecting.compare(again, 2_000, 100)


def test_several_at_once_and_never_more_than_the_bound() -> None:
    """One by one is one at a time; both ways meet the same latencies."""
    latency = Latency(median_s=0.005)
    found = evaluations(40, latency)
    assert found["one_by_one"]["most_at_once"] == 1
    assert 1 < found["several"]["most_at_once"] <= found["bound"]
    assert found["waits_s"]["total"] >= found["waits_s"]["longest"] > 0
    assert latency.of("a") == Latency(median_s=0.005).of("a") != latency.of("b")
    assert 0.25 < sorted(Latency().of(str(n)) for n in range(1000))[500] < 0.35


def test_uploads_arrive_every_way() -> None:
    """The files of two jobs; the trainer looks for each before it uploads it."""
    found = uploads(50, Latency(median_s=0.001), 2)
    ways = ("one_by_one", "several", "both_at_once")
    assert [found[way]["requests"] for way in ways] == [4, 8, 4]
    assert [found[way]["most_at_once"] for way in ways[:2]] == [1, 1]
    assert found["both_at_once"]["most_at_once"] <= 2
    assert found["texts"] == 4


def test_the_documented_reads_are_remembered() -> None:
    """E5, through the same pattern as benchmarks/cache.py."""
    found = measure(("cache",), QUICK)
    assert found["cache"]["hit_ratio"] == 0.95
    assert [goal["met"] for goal in found["goals"]] == [True]


def test_the_breaker_is_measured_with_and_without() -> None:
    found = guarding.measure(2 * guarding.BLOCK)
    assert found["calls"] == 200
    assert found["call_us"] >= 1000
    assert found.keys() >= {"overhead", "breaker_us", "guard_us", "refusal_us"}


def test_goals_are_judged_at_the_largest_size() -> None:
    """P5: what was missed is said, the bound itself is kept."""
    judged = {goal["name"]: (goal["value"], goal["met"]) for goal in numbers()["goals"]}
    assert list(judged.values()) == [
        (99.8, True),
        (7.5, True),
        (4.9, False),
        (97.5, True),
        (1.25, True),
        (50.0, False),
        (1.3, False),
        (80.0, True),
        (1.0, True),
        (95.0, True),
        (2.0, True),
    ]
    assert "memory to curate 1,000,000 rows, times that of 100,000" in judged
    assert goals({"setting": {}}) == []


def test_memory_of_nothing_cannot_be_compared() -> None:
    sizes = [size(20, collect=both(0, 0)), size(10, collect=both(0, 0))]
    assert [one["rows"] for one in ends(sizes)] == [10, 20]
    assert growth(sizes, "collect") is None
    assert [goal.met for goal in goals({"stages": sizes})] == [None, None]


def test_the_page_shows_what_was_measured_and_what_was_missed() -> None:
    """Same results, same bytes; nothing that was missed is left out."""
    found = numbers()
    shown = page.PAGE.written(f"before\n{page.PAGE.begin}\nold\n{page.PAGE.end}\nafter", found)
    assert shown.startswith("before") and shown.endswith("after") and "old" not in shown
    assert shown == page.PAGE.written(shown, found)
    assert "8 of 11 goals are met" in shown and "it took 10 minutes" in shown
    assert "The store of 1,000,000 answers has 700 MiB." in shown
    assert shown.count("**no**") == 3 == page.summary(found).count("**no**")
    assert "| collect | 1,000,000 | 12.5 | 500 | 97.5% |" in shown
    assert "| in pages, collected | 1,800 | 8 | 4.00 | 12,000 |" in shown
    assert "| export, `csv` | 1,000,000 | 1,000 | 500 | 1,000 |  |  |" in shown
    assert "| remembered | 1,000 | 50 | 95.0% |" in shown
    assert "| evaluations | 200 | 60.0 | 8.00 | 8 | 7.50 × |" in shown
    assert "1.90 × at the most" in shown and "4 requests for a job, where 2 would do" in shown


def test_the_figure_is_drawn_and_shown() -> None:
    """Same results, same bytes; without results it is neither drawn nor shown."""
    found = numbers()
    drawn = figures.drawn(found)
    assert drawn == figures.drawn(found) and drawn.keys() == figures.SAYS.keys()
    assert all(f"images/{name}.svg" in "".join(page.block(found)) for name in drawn)
    assert "images/" not in page.report(found)
    assert saved(0.6) == "60.0% less\ngoal ≥ 60%: met" and saved(0.59).endswith("missed")
    without = {name: part for name, part in found.items() if name not in ("stages", "exports")}
    assert figures.drawn(without) == {}
    assert "images/" not in "".join(page.block(without))


def test_a_part_of_the_results_makes_a_report_too() -> None:
    told = page.report({name: numbers()[name] for name in ("setting", "breaker", "goals")})
    assert "### The circuit breaker" in told and "### Memory" not in told
    assert set(PARTS) == {"queries", "asking", "stages", "cache", "breaker", "exports"}


@pytest.mark.parametrize(
    ("words", "saved"), [([], True), (["--quick"], False), (["--only", "cache,breaker"], False)]
)
def test_only_the_whole_is_written(
    monkeypatch: pytest.MonkeyPatch, words: list[str], saved: bool
) -> None:
    kept: list[str] = []
    keep: Callable[..., None] = lambda name, *_: kept.append(name)  # noqa: E731
    monkeypatch.setattr("sys.argv", ["benchmarks.pipeline", *words])
    monkeypatch.setattr(command, "measure", lambda *_: numbers())
    monkeypatch.setattr(command, "save", keep)
    command.main()
    assert kept == (["pipeline"] if saved else [])


def test_an_unknown_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.pipeline", "--only", "memory"])
    with pytest.raises(SystemExit, match="unknown: memory; there are queries"):
        command.main()
