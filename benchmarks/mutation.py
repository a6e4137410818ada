"""Mutation testing of what decides: does a test notice when the code is changed?

python -m benchmarks.mutation [--workers 2]     tries every change that mutmut can think of
python -m benchmarks.mutation --again           tries those once more that nothing noticed
python -m benchmarks.mutation --page            only makes docs/mutation.md from the results

It works in a copy under build/mutation, one process per change, and takes from each test file what
touches the changed function. Which files are changed and which tests are run is in pyproject.toml
under tool.mutmut. Why a change that nothing noticed is none is written in `survivors.toml`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, provenance, save
from benchmarks.pages import commit_of

COPY = ROOT / "build" / "mutation"
LEFT = shutil.ignore_patterns("__pycache__")
PAGE = ROOT / "docs" / "mutation.md"
RESULT = RESULTS / "mutation.json"
REASONS = ROOT / "benchmarks" / "survivors.toml"
CORE = "src/greenlight/core/"
NOTICED = ("killed", "timeout")

HEAD = """\
# Mutation testing

Made from [the results](../benchmarks/results/mutation.json) and
[the reasons](../benchmarks/survivors.toml) by `make mutation`; never edited by hand.

Statistical code that is wrong still returns numbers. So its tests are tested: each line is changed
in every way that [mutmut](https://github.com/boxed/mutmut) knows (other operators, constants,
comparisons, arguments), one change at a time, and a test has to fail. A change that runs into a
loop without end counts as noticed. mutmut changes functions and methods; it leaves out properties
and the constants of modules and classes, which the tests that compute a result by hand pin down.
"""


def outcomes(listing: str) -> dict[str, str]:
    """Mutant → what became of it, from `mutmut results --all true`."""
    pairs = (line.strip().rpartition(": ") for line in listing.splitlines() if ": " in line)
    return {name: outcome for name, _, outcome in pairs}


def file_of(mutant: str) -> str:
    """The source file of a mutant, from the root of the repository."""
    return f"src/{mutant.rpartition('.')[0].replace('.', '/')}.py"


def function_of(mutant: str) -> str:
    """`Class.method` or the name of the function."""
    mangled = mutant.rpartition(".")[2].rpartition("__mutmut_")[0]
    return ".".join(mangled.removeprefix("xǁ").split("ǁ")) if "ǁ" in mangled else mangled[2:]


def change(diff: str) -> tuple[str, str]:
    """What a unified diff takes away and what it puts in its place, without indentation."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, now = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return was, now


def line_of(source: str, function: str, was: str) -> int:
    """The line on which a function has this text; the function's first if it has it nowhere."""
    *classes, name = function.split(".")
    nodes: list[ast.stmt] = ast.parse(source).body
    for outer in classes:
        (nodes,) = (n.body for n in nodes if isinstance(n, ast.ClassDef) and n.name == outer)
    found = next(n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == name)
    first = was.partition("\n")[0]
    lines = source.splitlines()[found.lineno - 1 : found.end_lineno]
    return found.lineno + next((i for i, line in enumerate(lines) if line.strip() == first), 0)


def collect(folder: Path, seconds: float) -> dict[str, Any]:
    """Count what became of the mutants in a folder, and describe those that nothing noticed."""
    found = outcomes(_mutmut(folder, "results", "--all", "true"))
    modules: dict[str, Counter[str]] = {}
    for mutant, outcome in found.items():
        modules.setdefault(file_of(mutant), Counter())[outcome] += 1
    unnoticed = []
    for mutant, outcome in found.items():
        if outcome in NOTICED:
            continue
        file, function = file_of(mutant), function_of(mutant)
        was, now = change(_mutmut(folder, "show", mutant))
        source = (folder / file).read_text(encoding="utf-8")
        unnoticed.append(
            {
                "file": file,
                "line": line_of(source, function, was),
                "function": function,
                "outcome": outcome,
                "was": was,
                "now": now,
            }
        )
    unnoticed.sort(key=lambda one: (one["file"], one["line"], one["now"]))
    return {
        "tool": f"mutmut {metadata.version('mutmut')}",
        "seconds": round(seconds),
        "modules": {file: dict(sorted(counts.items())) for file, counts in sorted(modules.items())},
        "survivors": unnoticed,
    }


def reasons() -> list[dict[str, Any]]:
    """The entries of `survivors.toml`: file, was, why; `now` if not all changes are meant."""
    text = REASONS.read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text).get("survivor", [])
    return entries


def explains(reason: Mapping[str, Any], survivor: Mapping[str, Any]) -> bool:
    """Whether an entry speaks of this survivor."""
    same = reason["file"] == survivor["file"] and reason["was"].strip() == survivor["was"]
    return same and survivor["now"] in reason.get("now", [survivor["now"]])


def page(found: Mapping[str, Any], why: Iterable[Mapping[str, Any]]) -> str:
    """docs/mutation.md."""
    why = list(why)
    came = found["provenance"]
    rows, total = [], Counter[str]()
    for file, counts in found["modules"].items():
        total.update(counts)
        rows.append(_row(file.removeprefix(CORE), counts))
    rows.append(_row("**all**", total))
    parts = [
        HEAD,
        f"`{came['command']}` (with `--again`, after a full run, what nothing had noticed is tried "
        "once more by newer tests)\n",
        f"{found['tool']}, {found['seconds'] // 60} minutes on {came['cores']} cores, Python "
        f"{came['python']}, {commit_of(came)}.\n",
        "| file | changes | noticed by a failure | by time | unnoticed | share noticed |",
        "|---|---|---|---|---|---|",
        *rows,
        "\n## What nothing noticed\n",
    ]
    if not found["survivors"]:
        parts.append("Nothing.")
    for file, group in groupby(found["survivors"], key=lambda one: one["file"]):
        parts.append(f"### {file.removeprefix(CORE)}\n")
        for place, same in groupby(group, key=lambda one: (one["line"], one["was"])):
            parts.append(_survivors(place[0], list(same), why))
    return "\n".join(parts).rstrip() + "\n"


def _row(name: str, counts: Mapping[str, int]) -> str:
    killed, timeout = counts.get("killed", 0), counts.get("timeout", 0)
    total = sum(counts.values())
    share = f"{(killed + timeout) / total:.1%}"
    return f"| {name} | {total} | {killed} | {timeout} | {total - killed - timeout} | {share} |"


def _survivors(line: int, survivors: list[dict[str, Any]], why: list[Mapping[str, Any]]) -> str:
    """One line of code with its unnoticed changes and the reasons."""
    said = []
    for one in survivors:
        reason = next((entry["why"] for entry in why if explains(entry, one)), "Unexplained.")
        if reason not in said:
            said.append(reason)
    code = [f"-{text}" for text in survivors[0]["was"].splitlines()]
    code += [f"+{text}" for one in survivors for text in one["now"].splitlines()]
    return "\n".join([f"Line {line}. {' '.join(said)}\n", "```diff", *code, "```\n"])


def _mutmut(folder: Path, *arguments: str) -> str:
    program = str(Path(sys.executable).with_name("mutmut"))
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise SystemExit(f"mutmut {' '.join(arguments)} failed:\n{said}")
    return done.stdout


def run(workers: int, again: bool) -> float:
    """Try all changes in a fresh copy; returns the seconds it took.

    With `again` only those that nothing noticed, by the tests as they are now: what other tests
    noticed before is taken for noticed.
    """
    names: list[str] = []
    if again:
        found = outcomes(_mutmut(COPY, "results", "--all", "true"))
        names = [name for name, outcome in found.items() if outcome not in NOTICED]
        shutil.rmtree(COPY / "tests")
    else:
        shutil.rmtree(COPY, ignore_errors=True)
        COPY.mkdir(parents=True)
        shutil.copy(ROOT / "pyproject.toml", COPY)
        shutil.copytree(ROOT / "src", COPY / "src", ignore=LEFT)
    shutil.copytree(ROOT / "tests", COPY / "tests", ignore=LEFT)
    before = os.times().elapsed
    if names or not again:
        _mutmut(COPY, "run", "--max-children", str(workers), *names)
    return os.times().elapsed - before


def write_page() -> None:
    """Make docs/mutation.md from what is committed."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    PAGE.write_text(page(found, reasons()), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def main() -> None:
    """Run, save and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="only what nothing noticed")
    parser.add_argument("--page", action="store_true", help="only write the page")
    options = parser.parse_args()
    if not options.page:
        began = provenance()
        seconds = run(options.workers, options.again)
        if options.again and RESULT.exists():
            seconds += json.loads(RESULT.read_text(encoding="utf-8"))["seconds"]
        save("mutation", began, collect(COPY, seconds))
    write_page()


if __name__ == "__main__":
    main()
