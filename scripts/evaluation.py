"""`make eval`: train, judge and seal what examples/ describes, from nothing.

Where artifacts/eval/eval.json is sealed already, as it is in the repository, everything is measured
anew below build/eval, sealed there, and held against it: exit code 1 if a metric moved by more than
.3 points. Where it is not, it is sealed at its place, which wants a clean commit; the load test of
the service level is then part of it (11 minutes).

Both projects lie under build/eval and are kept, so that what was done is not done again; `make
clean` takes them away.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greenlight.core import fingerprint

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
WORK = ROOT / "build" / "eval"
SEALED = ROOT / "artifacts" / "eval"
GOVERNANCE = ROOT / "governance"
PORT = "8461"
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}
"""Who signs so that the version can be put under load: with keys made for this run alone."""

CLOSE = 0.003
"""A metric of one machine and of another may differ by this."""

APART = "every number, digest of a model and row of a matrix, but for code, machine, times and load"
"""What of two documents is held against each other."""

NEVER_THE_SAME = frozenset(
    {"environment", "load", "wall_clock_s", "rows_per_s", "results_digest", "document_digest"}
)
"""What of a document names the code, the machine and its pace."""

METRICS = (
    "intent.test.accuracy",
    "intent.test.macro_f1",
    "intent.test.ece",
    "intent.validation.accuracy",
    "ner.test.token_micro_f1",
    "ner.test.entity_micro_f1",
    "ner.validation.token_micro_f1",
    "oos.clinc.auroc",
    "oos.banking_like.auroc",
    "oos.near.auroc",
    "sanity.shuffled_labels.accuracy",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and seal or compare; the exit code."""
    parser = argparse.ArgumentParser(prog="make eval EVAL_ARGS=…", description=__doc__)
    parser.add_argument("--no-load", action="store_true", help="seal without a load test")
    parser.add_argument("--minutes", type=float, default=10.0, help="of steady load")
    given = parser.parse_args(arguments)
    again = (SEALED / "eval.json").is_file()
    out = WORK / "again" if again else SEALED
    if again:
        shutil.rmtree(out, ignore_errors=True)
    else:
        _wants_a_clean_commit()
    banking, entities = _project("banking"), _project("entities")
    version = _measured(banking, "banking", out)
    banking.run("eval", "oos", version, "-o", str(out))
    _measured(entities, "entities", out, "--part", "ner")
    if not again and not given.no_load:
        _put_under_load(banking, version, out, given.minutes)
    banking.run("eval", "seal", version, "-o", str(out))
    if again:
        return compare(_document(SEALED), _document(out))
    banking.run(
        *("card", version, "--evaluation", str(out / "eval.json"), "-o", str(GOVERNANCE)),
        *("--repository", str(ROOT), "--no-page"),
    )
    return 0


def compare(sealed: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """Hold an evaluation against the sealed one, and say how far apart they are.

    Args:
        sealed: the document in the repository.
        found: the one that was just made.

    Returns:
        0 if every metric is within `CLOSE`, else 1.
    """
    worst = 0.0
    for metric in METRICS:
        before, after = value(sealed, metric), value(found, metric)
        if before is None or after is None:
            differs = 0.0 if before == after else 1.0
        else:
            differs = abs(after - before)
        worst = max(worst, differs)
        word = "" if differs <= CLOSE else f"  MORE THAN {CLOSE:g} APART"
        print(f"{metric:<34} sealed {_shown(before)}  now {_shown(after)}{word}")
    same = measured(sealed) == measured(found)
    print(f"{'byte for byte the same' if same else 'not byte for byte the same'}: {APART}")
    return 0 if worst <= CLOSE else 1


def measured(document: Mapping[str, Any]) -> bytes:
    """The bytes of what was measured. Of another commit the code has another name, which changes no
    result; times, load and machine are never the same."""
    found = {name: value for name, value in document.items() if name not in NEVER_THE_SAME}
    for name, part in found.items():
        if isinstance(part, Mapping) and isinstance(subject := part.get("subject"), Mapping):
            subject = {key: value for key, value in subject.items() if key != "code"}
            found[name] = {**part, "subject": subject}
    return fingerprint.canonical(found)


def value(document: Mapping[str, Any], metric: str) -> float | None:
    """A metric of a document; None where it holds a reason instead, or nothing."""
    found: Any = document
    for step in (*metric.split("."), "value"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) else None


class Project:
    """An installation of an example."""

    def __init__(self, folder: Path) -> None:
        """Know where it lies."""
        self.folder = folder

    def command(self, *words: str) -> list[str]:
        """A command of the product, in this project."""
        return [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(self.folder), *words]

    def run(self, *words: str, quiet: bool = False, **environ: str) -> str:
        """Run a command; what it prints, if it is to be `quiet`.

        Raises:
            SystemExit: it did not go well.
        """
        ran = subprocess.run(
            self.command(*words),
            stdout=subprocess.PIPE if quiet else None,
            text=True,
            check=False,
            env={**os.environ, **environ},
        )
        if ran.returncode:
            raise SystemExit(ran.returncode)
        return ran.stdout or ""


def _project(name: str) -> Project:
    """An example with people who can sign, made once."""
    folder = WORK / name
    project = Project(folder)
    file = folder / "greenlight.toml"
    text = (EXAMPLES / name / "greenlight.toml").read_text(encoding="utf-8")
    keys = folder / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    for person in PEOPLE:
        if not (keys / person).is_file():
            made = json.loads(project.run("keys", "person", person, "--json", quiet=True))
            (keys / person).write_text(f"{made['secret']} {made['key']}", encoding="utf-8")
    tables = [
        f'[people.{person}]\nroles = ["{role}"]\nkey = "{_key(keys / person)[1]}"\n'
        for person, role in PEOPLE.items()
    ]
    file.write_text("\n".join([text, *tables]), encoding="utf-8")
    return project


def _key(file: Path) -> list[str]:
    """Secret and public half."""
    return file.read_text(encoding="utf-8").split()


def _measured(project: Project, task: str, out: Path, *words: str) -> str:
    """Make a version of a task and measure its parts; returns its label."""
    print(f"{task}: training", flush=True)
    made = json.loads(project.run("run", task, "--json", quiet=True))
    version = str(made["version"]["label"])
    project.run("eval", "run", version, "-o", str(out), *words)
    return version


def _put_under_load(project: Project, version: str, out: Path, minutes: float) -> None:
    """Let the version answer, ask it for `minutes`, and add what came of it."""
    for person in PEOPLE:
        key = _key(project.folder / "keys" / person)[0]
        words = ("approve", version, "-m", "to be put under load by make eval")
        project.run(*words, GREENLIGHT_PERSON_KEY=key)
    if not json.loads(project.run("status", "--json", quiet=True))["tasks"]["banking"].get("live"):
        project.run("rollout", "start", "banking", version)
    made = project.run(
        *("keys", "create", f"load-{os.getpid()}", "--scope", "predict", "--scope", "admin"),
        "--json",
        quiet=True,
    )
    summary = WORK / "slo.json"
    summary.unlink(missing_ok=True)  # nothing of an earlier test may be sealed
    with _serving(project) as url:
        command = [sys.executable, "-m", "tests.load.run", "--url", url, "--task", "banking"]
        command += ["--minutes", f"{minutes:g}", "--out", os.path.relpath(summary, ROOT)]
        environ = {**os.environ, "GREENLIGHT_API_KEY": json.loads(made)["secret"]}
        if subprocess.run(command, check=False, cwd=ROOT, env=environ).returncode not in (0, 1):
            raise SystemExit("no load test could be made; seal without one: --no-load")
    project.run("eval", "load", version, str(summary), "-o", str(out))


@contextmanager
def _serving(project: Project) -> Iterator[str]:
    """The whole product in one process; its address."""
    url = f"http://127.0.0.1:{PORT}"
    log = (WORK / "up.log").open("wb")
    environ = {**os.environ, "GREENLIGHT_GATEWAY_PORT": PORT}
    with log, subprocess.Popen(project.command("up"), stdout=log, stderr=log, env=environ) as up:
        try:
            _wait(f"{url}/readyz", up)
            yield url
        finally:
            up.terminate()


def _wait(address: str, process: subprocess.Popen[bytes], within: float = 60.0) -> None:
    """Until it answers.

    Raises:
        SystemExit: it does not.
    """
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{address} does not answer; see {WORK / 'up.log'}")


def _wants_a_clean_commit() -> None:
    """The sealed document names the commit that it was measured at.

    Raises:
        SystemExit: there are changes that are not committed.
    """
    ran = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode or ran.stdout.strip():
        raise SystemExit("what is sealed names its commit: commit the changes first\n" + ran.stdout)


def _document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "eval.json").read_text(encoding="utf-8"))
    return found


def _shown(number: float | None) -> str:
    return "   none" if number is None else f"{number:7.4f}"


if __name__ == "__main__":
    sys.exit(main())
