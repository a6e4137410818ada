"""`make example-NAME`: from feedback to a fine-tuned model that users meet, twice.

    python -m examples.loop judge

Nothing is scripted. A provider (`greenlight finetune-server`) serves a base model, which is adopted
and goes live. People ask and say what they think; a run makes a data set of that, has the model
fine-tuned at the provider and judges what comes back beside what is live; two people sign; and what
users say decides the rollout. Then the season changes, and all of it happens once more. Every
process is a real one, and every step is a command that one could type.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from examples import results
from examples.results import Finished
from examples.worlds import World
from greenlight import config, wiring
from greenlight.core.errors import GreenlightError, Refused
from greenlight.core.gates import passed
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import SECOND, Decision, Rollout, RunProgress
from greenlight.core.states import RolloutStatus
from greenlight.entrypoints.demo.apart import finished, made_by
from greenlight.entrypoints.processes import Processes, free_port
from greenlight.entrypoints.showing import Stage, stopwatch
from greenlight.entrypoints.watching import looks
from greenlight.stages.loop import Turn

ROOT = Path(__file__).resolve().parents[1]
MARKER = ".greenlight-example"
KEY = "OPENAI_API_KEY"
"""Where the provider's key is; the one of an example is made for it."""
GATEWAY, PROVIDER = "port = 8400", "http://127.0.0.1:8200/v1"
"""What stands in the template; an example takes free ports."""
CLI = "greenlight.entrypoints.cli"
LOOK_S = 0.2
PATIENCE_S = 30
"""How long past its horizon a rollout may take to end."""
SEASONS = (1, 2)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run an example."""

    folder: Path
    seed: int = 2025
    rate: float = 60.0
    """Requests a second."""
    requests: int = 1000
    """How many people come before a run."""
    news: bool = True
    """Whether the second season has something new, so that there is something to improve on."""
    encoder: bool = False
    """Whether the provider's models have a sentence encoder: better, and three times the work."""
    quiet: bool = False


def run(world: World, options: Options) -> list[Finished]:
    """Run an example from an empty folder to its table; a turn each.

    Raises:
        Refused: the folder holds something else.
        GreenlightError: a step did not do what it must.
    """
    stage, watch = Stage(options.quiet), stopwatch()
    example = _Example(world, options, stage)
    _prepare(options.folder)
    stage.headline(f"{world.name}: a project, a provider, and what runs today")
    with _key(), Processes(options.folder / "logs") as processes:
        example.begin(processes)
        turns = [example.turn(processes, number) for number in SEASONS]
    stage.tables(results.table(turns))
    stage.say(f"{watch():.0f} seconds in all")
    stage.paths(example.paths())
    return turns


class _Example:
    """One run: its folder, its ports, and what is under way."""

    def __init__(self, world: World, options: Options, stage: Stage) -> None:
        self._world, self._options, self._stage = world, options, stage
        self._folder = options.folder
        self._gateway = f"http://127.0.0.1:{free_port()}"
        self._provider = f"http://127.0.0.1:{free_port()}"

    def begin(self, processes: Processes) -> None:
        """The project, the provider with its base model, and the gateway that serves it."""
        self._call("init", "--template", self._world.name)
        self._configure()
        base = self._folder / "base.jsonl"
        write_conversations(self._world, self._options.seed, base)
        port = self._provider.rpartition(":")[2]
        processes.start(
            "provider",
            CLI,
            "finetune-server",
            *("--state", str(self._folder / "provider"), "--port", port),
            *("--base", f"{self._world.base}={base}", "--key", f"env:{KEY}"),
            *(() if self._options.encoder else ("--no-encoder",)),
        )
        processes.await_ready("provider", f"{self._provider}/v1/models", os.environ[KEY])
        self._stage.say(f"a provider speaks OpenAI's protocol on {self._provider}")
        self._call("validate")
        [adopt] = [line for line in self._next() if " adopt " in line]
        self._type(adopt)
        self._stage.say(f"typed what comes next: {adopt.partition(' -m ')[0]} …")
        processes.start("up", CLI, "-C", str(self._folder), "up")
        processes.await_ready("up", f"{self._gateway}/readyz")
        self._stage.say(f"gateway, controller, worker and pages on {self._gateway}")

    def turn(self, processes: Processes, number: int) -> Finished:
        """Feedback → data set → job → evaluation → registration → approval → rollout → verdict."""
        watch = stopwatch()
        season = number if self._options.news else 1
        self._stage.headline(f"turn {number}: people come ({self._options.requests} of them)")
        self._people(processes, season, number)
        with self._app() as app:
            made = self._run(app, number)
            label, rollout = made.version.label, None
            if passed(made.gates):
                for person in app.settings.people:
                    self._call(
                        *("approve", label, "-m", "read its evaluation, beside the live one's"),
                        person=person,
                    )
                    self._stage.say(f"approved by {person}")
                rollout = self._roll_out(app, processes, season, number, label)
            else:
                self._stage.warn(f"{label} is no better than what is live, and goes no further")
            arms = app.store.summarise(rollout.id) if rollout is not None else ()
            return results.finished(number, made, rollout, watch(), arms)

    def paths(self) -> dict[str, object]:
        """Where everything is."""
        return {
            "folder": self._folder,
            "logs": self._folder / "logs",
            "open it again": f"{KEY}=… greenlight -C {self._folder} up",
        }

    def _people(self, processes: Processes, season: int, number: int) -> None:
        """People come, and judge, until enough have."""
        command = self._traffic(season, number, before=True)
        seen = _output([sys.executable, "-m", *command, "--requests", str(self._options.requests)])
        processes.check()
        self._tell_seen(json.loads(seen))

    def _run(self, app: wiring.App, number: int) -> Turn:
        with self._stage.progress(f"turn {number}") as show:
            log = self._folder / "logs" / f"run-{number}.log"
            command = self._command("run", self._world.task)
            with (
                log.open("wb") as file,
                subprocess.Popen(command, env=_environment(), stdout=file, stderr=file) as process,
            ):
                while process.poll() is None:
                    time.sleep(LOOK_S)
                    told = app.store.get(RunProgress, f"{self._world.task}#{number}")
                    if told is not None:
                        show(told.share, f"{told.stage}: {told.words}")
        said = log.read_text(encoding="utf-8", errors="replace")
        runs = finished(app.store, self._world.task)
        if len(runs) != number:
            raise GreenlightError(f"run {number} did not finish:\n{said[-2000:]}")
        made = made_by(app.store, runs[-1])
        for line in results.told(made):
            self._stage.say(line)
        return made

    def _roll_out(
        self, app: wiring.App, processes: Processes, season: int, number: int, label: str
    ) -> Rollout:
        task = self._world.task
        processes.start("people", *self._traffic(season, number, before=False))
        self._call("rollout", "start", task, label)
        [rollout] = app.store.scan(
            Rollout, {"task": task, "status": RolloutStatus.RUNNING}, newest_first=True, limit=1
        )
        self._stage.headline(f"turn {number}: some users meet {label}")
        policy = msgspec.convert(rollout.policy, DecisionPolicy)
        patience = policy.rollout.horizon / SECOND + PATIENCE_S
        found = rollout
        with self._stage.watching() as show:
            for newest, look in looks(app, rollout):
                processes.check()
                show(look)
                found = newest
                if look.seconds > patience:
                    raise GreenlightError(f"rollout {rollout.id} did not end; see {self._folder}")
        last = app.store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)[0]
        self._stage.say(f"{label}: {results.said(found)}, because {last.reason}")
        self._tell_seen(json.loads(processes.stop("people")))
        return found

    def _traffic(self, season: int, number: int, *, before: bool) -> list[str]:
        module = f"examples.{self._world.name}.traffic"
        seed = 10 * self._options.seed + 2 * number + before
        return [
            *(module, "--gateway", self._gateway, "--season", str(season)),
            *("--rate", str(self._options.rate), "--seed", str(seed)),
        ]

    def _tell_seen(self, seen: dict[str, int]) -> None:
        good, bad = seen.pop("GOOD", 0), seen.pop("BAD", 0)
        asked, failed = seen.pop("asked", 0), seen.pop("failed", 0)
        others = ", ".join(f"{count} × {name}" for name, count in sorted(seen.items()) if count)
        self._stage.say(
            f"{asked} asked ({failed} without an answer); {good} GOOD, {bad} BAD; {others}"
        )

    def _configure(self) -> None:
        """Make weeks of the template's rollout a minute, and put free ports in."""
        file = self._folder / config.FILE
        text = file.read_text(encoding="utf-8")
        changes = {
            **self._world.hurry,
            GATEWAY: f"port = {self._gateway.rpartition(':')[2]}",
            PROVIDER: f"{self._provider}/v1",
        }
        for before, after in changes.items():
            if text.count(before) != 1:
                raise GreenlightError(f"{file}: {before!r} stands there {text.count(before)} times")
            text = text.replace(before, after)
        file.write_text(text, encoding="utf-8")

    def _next(self) -> list[str]:
        """What `greenlight status` says is next, as commands."""
        tasks = json.loads(self._call("status", "--json"))["tasks"].values()
        return [task["next"] for task in tasks if task["next"]]

    def _type(self, line: str) -> None:
        """Type a command as it is shown: in the folder, by a shell."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        _output(["sh", "-c", line], cwd=self._folder, env=_environment() | {"PATH": path})

    def _call(self, *words: str, person: str | None = None) -> str:
        """What a command prints, as somebody or as nobody in particular."""
        env = _environment()
        if person is not None:
            key = self._folder / "keys" / person
            env["GREENLIGHT_PERSON_KEY"] = key.read_text(encoding="utf-8").strip()
        return _output(self._command(*words), env=env)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", CLI, "-C", str(self._folder), *words]

    @contextmanager
    def _app(self) -> Iterator[wiring.App]:
        with wiring.open_app(config.load(self._folder / config.FILE, {})) as app:
            yield app


def write_conversations(world: World, seed: int, file: Path) -> None:
    """Write what a world's base model is fitted from, one conversation a line."""
    found = world.conversations(np.random.default_rng([seed, 0]))
    lines = [json.dumps({"messages": messages}, ensure_ascii=False) for messages in found]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def world_of(name: str) -> World:
    """The world of an example, by its folder."""
    world: World = importlib.import_module(f"examples.{name}.traffic").WORLD
    return world


def _prepare(folder: Path) -> None:
    """Make the folder empty.

    Raises:
        Refused: it holds something that no example made.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise Refused(
                f"{folder} is not empty and no example made it; choose another (--folder)"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("made by an example; the next one replaces it\n")


@contextmanager
def _key() -> Iterator[None]:
    """A key of the provider's own in the environment, whatever was there before."""
    before = os.environ.get(KEY)
    os.environ[KEY] = f"sk-example-{secrets.token_hex(16)}"
    try:
        yield
    finally:
        del os.environ[KEY]
        if before is not None:
            os.environ[KEY] = before


def _environment() -> dict[str, str]:
    """What commands get: nothing that is meant for another installation."""
    theirs = {"GREENLIGHT_API_KEY", "GREENLIGHT_PERSON_KEY", *config.overrides()}
    return {name: value for name, value in os.environ.items() if name not in theirs}


def _output(command: Sequence[str], **how: Any) -> str:
    """What a process prints.

    Raises:
        GreenlightError: it did not end well.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, **{"env": _environment(), **how}
    )
    if done.returncode:
        told = (done.stderr or done.stdout)[-2000:]
        raise GreenlightError(f"{' '.join(command[:8])} … ended with {done.returncode}:\n{told}")
    printed: str = done.stdout
    return printed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example that is named; 0 if both turns ended as they should."""
    parser = argparse.ArgumentParser(prog="make example-NAME EXAMPLE_ARGS=…", description=__doc__)
    parser.add_argument("name", choices=("judge", "posts"))
    parser.add_argument("--folder", type=Path, help="work folder (default: build/examples/NAME)")
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second")
    parser.add_argument("--requests", type=int, default=1000, help="people before a run")
    parser.add_argument("--no-news", action="store_true", help="a second season like the first")
    parser.add_argument("--encoder", action="store_true", help="models with a sentence encoder")
    given = parser.parse_args(arguments)
    world = world_of(given.name)
    options = Options(
        folder=(given.folder or ROOT / "build" / "examples" / world.name).absolute(),
        seed=given.seed,
        rate=given.rate,
        requests=given.requests,
        news=not given.no_news,
        encoder=given.encoder,
    )
    try:
        turns = run(world, options)
    except GreenlightError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if results.as_expected(turns, news=options.news) else 1


if __name__ == "__main__":
    sys.exit(main())
