"""benchmarks/README.md from benchmarks/results/: every number there has a command, none is typed.

    python -m benchmarks.summary

It also writes what docs/performance.md and docs/load.md show of the service level.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import forms, notes, portable
from benchmarks.harness import RESULTS, ROOT
from benchmarks.oos import page as oos
from benchmarks.pages import Page, commit_of, table
from benchmarks.pipeline import page as pipeline
from benchmarks.rollback import page as rollback
from benchmarks.tagger import page as tagger
from greenlight.core.load import ERROR_RATE, P95_MS, PACE

PAGE = ROOT / "benchmarks" / "README.md"

HEAD = """# Benchmarks

Slow proofs, run by hand on one machine; the files in [results/](results) hold every figure with
the machine, the commit and the command. This page is made from them by
`python -m benchmarks.summary`. Machines differ and are busy: read ratios and medians.
"""

CHAOS = """\
SIGKILL at random moments to gateway, controller and the process that carries out the pipeline; each
is begun again as it was. Users ask again and write down what was acknowledged. What is in the store
and was never acknowledged was recorded just before a kill; the user asked again. Versions (by the
digests of their bundles) and verdicts are held against those of the same seed undisturbed, runs and
stages against the ledger, and `greenlight audit verify` has the last word. A pipeline that was
killed waits until the lease of its dead process has run out (10 s)."""
LIFE = ("kills", "with_users", "restarts", "down_s", "longest_down_s")
BOOK = ("acknowledged", "lost", "doubled", "unacknowledged")


def page() -> str:
    """The page as the results have it."""
    parts = [HEAD]
    for name, title, render in SECTIONS:
        path = RESULTS / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            parts += [f"## {title}\n", _origin(name, found), render(found)]
    return "\n".join(parts)


def _origin(name: str, found: dict[str, Any], folder: str = "results") -> str:
    came = found["provenance"]
    command = came["command"].replace(f" --note {shlex.quote(found.get('note', ''))}", "")
    return (
        f"`{command}` on {came['cores']} cores ({came['cpu']}), Python {came['python']}, "
        f"{commit_of(came)}: [results/{name}.json]({folder}/{name}.json)\n"
    )


def _aa(found: dict[str, Any]) -> str:
    rows = [
        (end.replace("_", " "), found["ends"].get(end, 0), *_percent(found, end))
        for end in ("promoted", "rolled_back")
    ]
    text = (
        f"{found['seeds']} simulated A/A rollouts under the demo's policy, both arms GOOD "
        f"{found['good']:.1%} of the time.\n\n"
    )
    return text + table(("ended", "times", "share", "α", "α + 3 SE"), rows)


def _percent(found: dict[str, Any], end: str) -> list[str]:
    return [f"{found[name][end]:.1%}" for name in ("share", "alpha", "bound")]


def _demo(found: dict[str, Any]) -> str:
    rows = []
    for run in found["runs"]:
        if "error" in run:
            rows.append((run["seed"], run["error"], *[""] * 6))
            continue
        for rollout in run["rollouts"]:
            rows.append(
                (
                    run["seed"],
                    rollout["candidate"],
                    rollout["status"].replace("_", " "),
                    rollout["code"],
                    f"{rollout['max_weight']:.0%}",
                    rollout["outcomes"],
                    rollout["requests_served"],
                    f"{rollout['seconds']:.1f}",
                )
            )
    head = ("seed", "candidate", "ended", "by", "widest", "outcomes", "requests", "seconds")
    seconds = sorted(run["seconds"] for run in found["runs"] if "seconds" in run)
    text = (
        f"Every run as it came out, on {found['runs'][0].get('dataset', 'no data set')}. A whole "
        f"demo took {seconds[0]:.0f} to {seconds[-1]:.0f} s; the largest process held "
        f"{found['largest_process_mb']} MB.\n\n"
    )
    return text + _offline(found) + table(head, rows)


def _offline(found: dict[str, Any]) -> str:
    """Accuracy on the test rows; the same in every run, for training is deterministic."""
    versions = {
        (v["label"], v["backend"], _interval(v["accuracy"]))
        for run in found["runs"]
        for v in run.get("versions", ())
    }
    return table(("version", "model", "offline accuracy (95 %)"), sorted(versions)) + "\n"


def _interval(accuracy: dict[str, float]) -> str:
    return f"{accuracy['value']:.4f} ({accuracy['low']:.4f} to {accuracy['high']:.4f})"


def _gateway(found: dict[str, Any]) -> str:
    rows = [
        (
            run["users"],
            run["requests_per_second"],
            f"{run['cpu_us_per_request']:.0f}",
            run["overhead_ms"]["p50"],
            run["overhead_ms"]["p95"],
        )
        for run in found["runs"]
    ]
    head = ("users", "requests/s", "CPU µs per request", "overhead p50 ms", "overhead p95 ms")
    return table(head, rows)


def _stores(found: dict[str, Any]) -> str:
    rows = [
        (name, figure.get("median_ms", ""), figure.get("max_ms", ""), figure.get("rows_per_s", ""))
        for name, figure in found["figures"].items()
        if "median_ms" in figure
    ]
    return table(("what", "median ms", "slowest ms", "rows/s"), rows)


def _cache(found: dict[str, Any]) -> str:
    rows = [
        (
            run["cache"],
            run["reads"],
            f"{run['hit_ratio']:.1%}",
            run["entries"],
            f"{run['bytes'] / 1000:,.0f}",
            run["hit_ms"],
            run["miss_ms"],
        )
        for run in found["runs"]
    ]
    text = (
        f"{found['versions']} versions on one data set of {found['rows']:,} rows; each is "
        "predicted once, and 19 readings follow. A miss is without the time to predict. 1 MiB is "
        "too little for all of them, on purpose.\n\n"
    )
    head = ("cache", "reads", "hits", "entries", "kB", "median ms of a hit", "of a miss")
    return text + table(head, rows)


def _chaos(found: dict[str, Any]) -> str:
    runs = [run for run in found["runs"] if "besieged" in run]
    killed = [
        (run["seed"], name, *(life[column] for column in LIFE))
        for run in runs
        for name, life in run["besieged"]["processes"].items()
    ]
    books = [
        (run["seed"], what, *(f"{run['besieged']['books'][f'{what}_{n}']:,}" for n in BOOK))
        for run in runs
        for what in ("inferences", "feedback")
    ]
    ends = [
        (run["seed"], how, _ends(run[how]["rollouts"]), f"{run[how]['seconds']:.0f}")
        for run in runs
        for how in ("undisturbed", "besieged")
    ]
    faults = [
        f"Seed {run['seed']}: {'; '.join(run['faults'])}." for run in found["runs"] if run["faults"]
    ]
    dataset = runs[0]["besieged"]["dataset"] if runs else "no data set"
    said = " ".join(faults or ["Nothing was lost, doubled, done twice or decided otherwise."])
    return "\n".join(
        (
            f"{CHAOS} The data set is {dataset}. {said}\n",
            table(("seed", "process", *(name.replace("_", " ") for name in LIFE)), killed),
            table(("seed", "events", *BOOK), books),
            table(("seed", "", "verdicts", "seconds"), ends),
        )
    )


def _ends(rollouts: Sequence[dict[str, Any]]) -> str:
    return ", ".join(
        f"{made['candidate']} {made['status'].replace('_', ' ')} in {made['seconds']:.0f} s"
        for made in rollouts
    )


def _curation(found: dict[str, Any]) -> str:
    rows = [
        (
            f"{run['rows']:,}",
            stage,
            f"{run[stage]['rows_per_s']:,}",
            f"{run['rows'] / run[stage]['cpu_seconds']:,.0f}",
            run[stage]["peak_mb"],
        )
        for run in found["runs"]
        for stage in ("collect", "curate")
    ]
    last = found["runs"][-1]
    cpu = sum(last[stage]["cpu_seconds"] for stage in ("collect", "curate"))
    text = (
        f"\nOf {last['rows']:,} rows {last['collect']['pii']['rows']:,} held personal data and "
        f"were scrubbed, {last['curate']['exclusions']['duplicate']:,} were duplicates. Both "
        f"stages together take {last['rows'] / cpu:,.0f} rows per second of CPU, and took "
        f"{last['rows_per_s']:,} by the clock. Ten times the rows take "
        f"{found['peak_ratio']['collect']:.2f} times the memory to collect and "
        f"{found['peak_ratio']['curate']:.2f} times to curate.\n"
    )
    return table(("rows", "stage", "rows/s", "rows per CPU s", "peak MB"), rows) + text


def _collecting(found: dict[str, Any]) -> str:
    names = {"paged": "in pages of 1,000, collected", "one_by_one": "one at a time, only read"}
    rows = [
        (name, f"{way['rows']:,}", f"{way['queries']:,}", f"{way['rows_per_s']:,}")
        for key, name in names.items()
        for way in (found[key],)
    ]
    said = (
        f"{found['answers']:,} answers in the store, {found['judged']:,} of them judged. Per row "
        f"there are {found['fewer_queries']:.1%} fewer queries."
    )
    return f"{said}\n\n{table(('answers with feedback', 'rows', 'queries', 'rows/s'), rows)}"


def _purge(found: dict[str, Any]) -> str:
    names = {"one_unit": "one unit", "everybody": "everybody"}
    head = ("purge", "answers", "seconds", "longest a writer waited, ms", "file, MB")
    rows = [
        (
            name,
            f"{found[key]['rows']['inferences']:,}",
            found[key]["seconds"],
            found[key]["writers_waited_ms_most"],
            f"{found[key]['megabytes_before']} → {found[key]['megabytes_after']}",
        )
        for key, name in names.items()
    ]
    said = (
        "A store of 100,000 answers of 9,000 units, with feedback and a journal, while another "
        "connection stores an answer twenty times a second."
    )
    return f"{said}\n\n{table(head, rows)}"


def _evidence(found: dict[str, Any]) -> str:
    judged: dict[str, list[bool]] = {}
    for row in found["rows"]:
        if "met" in row:
            judged.setdefault(row["group"], []).append(row["met"])
    rows = [(group, len(met), sum(met)) for group, met in judged.items()]
    kept = sum(trap["kept"] for trap in found["traps"])
    rows.append(("traps: wrong at most α + 3 SE by the rule", len(found["traps"]), kept))
    text = (
        "All of it, with the traps and the figures: "
        "[docs/evidence.md](../docs/evidence.md#how-often-it-errs-and-how-soon-it-sees).\n\n"
    )
    return text + table(("what", "goals", "met"), rows)


def _level(found: dict[str, Any]) -> str:
    """One load test, as the page of all benchmarks shows it."""
    return f"{_circumstances(found)}\n\n{_level_table([found])}"


def _level_table(tests: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            f"{test['asked']:g}",
            f"{test['rate']:.2f}",
            f"{test['steady_s'] / 60:g}",
            f"{test['requests']:,}",
            *(f"{test[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            f"{test['errors_5xx'] + test['timeouts']} + {test['errors_4xx']}",
            "met" if test["met"] else "**missed**",
        )
        for test in tests
    ]
    head = ("requests/s asked", "came about", "minutes", "requests", "p50 ms", "p95 ms", "p99 ms")
    return table((*head, "server errors + 4xx", "service level"), rows)


def _circumstances(found: dict[str, Any]) -> str:
    """What else is to be known of a load test."""
    versions = ", ".join(f"{name} {count:,}" for name, count in found["versions"].items())
    note, busy = found["note"], found["provenance"]["load_average"]
    said = f"{note[:1].upper()}{note[1:]}. " if note else ""
    return f"{said}Load average before: {busy:g}. Who answered: {versions or 'unknown'}."


def _levels(tests: dict[str, Any]) -> list[str]:
    """All load tests, as the documents show them."""
    origins = [
        f"{_origin(name, test, '../benchmarks/results')}\n{_circumstances(test)}\n"
        for name, test in tests.items()
    ]
    goals = (
        f"The level: p95 at most {P95_MS:g} ms, server errors below {ERROR_RATE:.1%}, at least "
        f"{PACE:.0%} of the rate.\n"
    )
    return [_level_table(list(tests.values())), goals, *origins]


def load_tests() -> dict[str, Any]:
    """The results of load tests that are there, by the names of their files."""
    files = [RESULTS / f"{name}.json" for name in LOAD_TESTS]
    return {it.stem: json.loads(it.read_text(encoding="utf-8")) for it in files if it.exists()}


def documents() -> dict[Path, str]:
    """The documents that show load tests, as the results have them."""
    tests = load_tests() or None
    return {
        page.path: page.written(page.path.read_text(encoding="utf-8"), tests) for page in DOCUMENTS
    }


def _slow(found: dict[str, Any]) -> str:
    rows = [(test["test"], test["outcome"], f"{test['seconds']:g}") for test in found["tests"]]
    return table(("test", "ended", "seconds"), rows)


SECTIONS = (
    ("aa", "Two equal arms: how often chance decides", _aa),
    ("evidence", "The evidence engine: how often it errs, how soon it sees", _evidence),
    ("demo-better", "The demo, seed by seed", _demo),
    ("chaos", "The demo under SIGKILL, seed by seed", _chaos),
    ("rollback", "How soon a candidate that does harm is out of traffic", rollback.summary),
    ("demo-same", "The demo as an A/A test, seed by seed", _demo),
    ("models", "The models, from their bundles", forms.render),
    ("oos", "Telling texts out of scope", oos.summary),
    ("tagger", "Tagging names", tagger.summary),
    ("portable", "The same network on another processor", portable.summary),
    ("gateway", "What the gateway costs", _gateway),
    ("stores", "What the SQLite store costs", _stores),
    ("cache", "What the evaluation cache spares", _cache),
    ("notes", "What a killed evaluation pays for twice", notes.summary),
    ("curation", "Rows through collect and curate", _curation),
    ("collecting", "Answers with feedback into a dataset", _collecting),
    ("pipeline", "The pipeline beside naive baselines", pipeline.summary),
    ("purge", "Erasing answers", _purge),
    ("slow", "The long forms of tests", _slow),
    ("slo", "The service level, at 2 requests a second", _level),
    ("slo-busy", "The service level, at 50 requests a second", _level),
)

LOAD_TESTS = ("slo", "slo-busy")
DOCUMENTS = tuple(
    Page(path=ROOT / "docs" / name, name="slo", block=_levels, drawn=lambda _: {})
    for name in ("performance.md", "load.md")
)


def main() -> None:
    """Write the page, and what documents show of it."""
    for path, text in {PAGE: page(), **documents()}.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
