"""The demo's conductor: every stage in order, with real processes around the rollouts."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from greenlight import artifacts, config, wiring
from greenlight.core import fingerprint
from greenlight.core.errors import GreenlightError, Refused
from greenlight.core.gates import passed
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import SECOND, Decision, Rollout, Version
from greenlight.entrypoints.demo.apart import finished, made_by
from greenlight.entrypoints.demo.plan import choose
from greenlight.entrypoints.demo.project import PEOPLE, TASK, Bar, prepare, write_config
from greenlight.entrypoints.demo.show import tables
from greenlight.entrypoints.processes import Processes, free_port
from greenlight.entrypoints.showing import Stage, stopwatch
from greenlight.entrypoints.watching import looks
from greenlight.lookup import everything
from greenlight.reporting import report
from greenlight.reporting.summary import Summary
from greenlight.stages.loop import Turn

INITIATOR = "demo"
PATIENCE_S = 60
"""How long past its horizon a rollout may take to end before the demo gives up on it."""
ACKNOWLEDGED = "acknowledged.jsonl"
"""The users' own book of what was acknowledged, under `kills_expected`; see `traffic`."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the demo. `rate` is in requests per second."""

    folder: str
    seed: int = 1
    candidate: Literal["better", "same"] = "better"
    source: Literal["banking77", "sample"] = "banking77"
    rate: float = 150.0
    quiet: bool = False
    kills_expected: bool = False
    """Processes may be killed, and whoever looks after them begins them again: the pipeline runs in
    one of its own, and users ask again for a minute and keep a book."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a demo came to."""

    summary: Summary
    traffic: dict[str, dict[str, Any]]
    """What the client saw of each rollout: requests, failures, judgements, latencies."""
    stand_ins: list[str]
    """What took the place of the data set or the encoder that could not be had, and why."""
    paths: dict[str, str]
    seconds: float


def run(options: Options, processes: Callable[[Path], Processes] = Processes) -> Result:
    """Run the demo from an empty folder to its report.

    Args:
        options: how.
        processes: looks after the processes, with their logs in a folder.

    Raises:
        Refused: the folder holds something else.
        GreenlightError: a step did not do what it must.
    """
    watch = stopwatch()
    stage = Stage(options.quiet)
    keys = prepare(Path(options.folder), secrets.token_bytes)
    demo = _Demo(options, stage, keys)
    with processes(Path(options.folder).resolve() / "logs") as started:
        traffic = demo.play(started)
    with demo.app() as app:
        summary, paths = demo.write_papers(app)
    stage.tables(*tables(summary))
    stage.paths(paths)
    return Result(
        summary=summary,
        traffic=traffic,
        stand_ins=demo.plan.stand_ins,
        paths=paths,
        seconds=watch(),
    )


class _Demo:
    """One demo: its folder, its people, and what is under way."""

    def __init__(self, options: Options, stage: Stage, keys: Mapping[str, str]) -> None:
        self._options = options
        self._stage = stage
        self._keys = keys
        self._folder = Path(options.folder).resolve()
        self._port = free_port()
        self.plan = choose(stage, options.source)
        self._turns: list[Turn] = []

    def play(self, processes: Processes) -> dict[str, dict[str, Any]]:
        """Everything up to the last verdict; returns what the client saw of each rollout."""
        first = self._first_version(processes)
        self._open_gateway(processes)
        if self._options.candidate == "same":
            return {first.label: self._roll_out(processes, first, aa=True)}
        seen = {}
        for make in (self._next_version, self._remote_version):
            version = make(processes)
            seen[version.label] = self._roll_out(processes, version, aa=False)
        return seen

    @contextmanager
    def app(self) -> Iterator[wiring.App]:
        """The demo's store and folders under its present configuration."""
        with wiring.open_app(config.load(self._folder / config.FILE, {})) as app:
            yield app

    def write_papers(self, app: wiring.App) -> tuple[Summary, dict[str, str]]:
        """Model cards, the decision log and the report; returns what lies where."""
        paths = {"folder": str(self._folder), "configuration": str(self._folder / config.FILE)}
        for made in self._turns:
            version = app.store.get(Version, made.version.digest) or made.version
            folder = self._papers(version.label)
            wiring.write_card(app, version, folder)
            paths[version.label] = str(folder)
        log = self._folder / "decisions.jsonl"
        lines = [msgspec.json.encode(decision) for decision in everything(app.store, Decision)]
        log.write_bytes(b"\n".join(lines) + b"\n")
        paths |= {"decision log": str(log), "logs": str(self._folder / "logs")}
        gathered = report.gather(
            app.store,
            TASK,
            now=app.clock.now(),
            notes=self._notes(),
            files=list(paths.items()),
        )
        paths["report"] = str(report.write(self._folder, gathered))
        paths["open it again"] = f"{_command()} -C {self._folder} up"
        return gathered.summary, paths

    def _first_version(self, processes: Processes) -> Version:
        self._stage.headline(f"v1: a plain model goes live ({self.plan.source})")
        self._configure(self.plan.first)
        with self.app() as app:
            version = self._make(app, processes)
            wiring.DeploymentManager(app).go_live(version, initiator=INITIATOR)
        self._stage.say(f"{version.label} takes all traffic: there is nothing to compare it with")
        return version

    def _next_version(self, processes: Processes) -> Version:
        bar = self.plan.second
        self._stage.headline(f"v2: a better model, and a higher bar (accuracy ≥ {bar.accuracy})")
        self._configure(bar)
        with self.app() as app:
            return self._make(app, processes)

    def _remote_version(self, processes: Processes) -> Version:
        self._stage.headline("v3: a remote model whose server has its labels in another order")
        self._configure(self.plan.third)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with self.app() as app:
            version = self._make(app, processes, runtime={"kind": "http", "url": url})
            bundle = app.bundles.path(version.bundle)
        labels = json.loads((Path(bundle) / "manifest.json").read_text(encoding="utf-8"))["labels"]
        deployed = self._folder / "v3-labels.json"
        deployed.write_text(json.dumps(sorted(labels, key=str.casefold), indent=1) + "\n")
        moved = sum(a != b for a, b in zip(labels, sorted(labels, key=str.casefold), strict=True))
        processes.start(
            "model-server",
            "greenlight.entrypoints.model_server",
            *("--bundle", bundle, "--port", str(port), "--labels", str(deployed)),
        )
        processes.await_ready("model-server", f"{url}/healthz")
        self._stage.say(
            f"the model server is up; somebody sorted its label file without regard to case, so "
            f"{moved} of {len(labels)} labels are not where the model was trained to find them"
        )
        return version

    def _make(
        self, app: wiring.App, processes: Processes, runtime: dict[str, Any] | None = None
    ) -> Version:
        """One turn of the pipeline, and the signatures of two people."""
        number = len(self._turns) + 1
        document = self._papers(f"{TASK}@{number}") / "eval.json"
        if self._options.kills_expected and runtime is None:
            made = self._made_apart(app, processes)
            artifacts.write_document(document, made.evaluation.document)
        else:
            with self._stage.progress(f"v{number}") as progress:
                made = wiring.turn(
                    app,
                    TASK,
                    initiator=INITIATOR,
                    progress=progress,
                    runtime=runtime,
                    out=document,
                )
        self._turns.append(made)
        accuracy = made.evaluation.document["intent"]["test"]["accuracy"]
        rows = made.dataset.manifest["counts"]["train"]
        self._stage.say(
            f"trained {made.run.plan['backend']} on {rows} rows, "
            f"bundle {fingerprint.short(made.version.bundle)}"
        )
        self._stage.say(
            f"{made.version.label}: accuracy {accuracy['value']:.4f} "
            f"({accuracy['low']:.4f}–{accuracy['high']:.4f}) on {accuracy['n']} test rows"
        )
        for result in made.gates:
            if result.outcome != "pass":
                self._stage.warn(f"gate {result.metric}: {result.outcome} ({result.reason})")
        if not passed(made.gates):
            raise Refused(f"{made.version.label} did not pass its gates; it goes no further")
        for name, role in PEOPLE.items():
            wiring.sign_off(
                app,
                made.version,
                secret=self._keys[name],
                decision="approve",
                why=f"read evaluation {fingerprint.short(made.evaluation.digest)}",
            )
            self._stage.say(f"approved by {name} ({role}), bound to the evaluation")
        version = app.store.get(Version, made.version.digest)
        assert version is not None
        return version

    def _made_apart(self, app: wiring.App, processes: Processes) -> Turn:
        """A turn of the pipeline in a process of its own, which may be killed and begun again."""
        due = len(self._turns) + 1
        processes.see_through(
            "pipeline",
            "greenlight.entrypoints.cli",
            *("-C", str(self._folder), "run", TASK, "--json"),
            done=lambda: len(finished(app.store, TASK)) == due,
        )
        return made_by(app.store, finished(app.store, TASK)[-1])

    def _open_gateway(self, processes: Processes) -> None:
        here = ("-C", str(self._folder))
        processes.start("gateway", "greenlight.entrypoints.cli", *here, "gateway")
        processes.await_ready("gateway", f"{self._url}/readyz")
        processes.start("controller", "greenlight.entrypoints.cli", *here, "controller")
        self._stage.say(f"gateway on {self._url}, controller beside it")

    def _start_traffic(self, processes: Processes) -> None:
        """Users come for a rollout and leave after it: training would take their processors."""
        options = self._options
        with self.app() as app:
            queries = Path(app.datasets.path(self._turns[0].dataset.digest)) / "test.jsonl"
        processes.start(
            "traffic",
            "greenlight.entrypoints.traffic",
            *("--gateway", self._url, "--task", TASK, "--queries", str(queries)),
            *("--rate", str(options.rate), "--seed", f"{options.seed}{len(self._turns)}"),
            *self._book(),
        )
        self._stage.say("9,000 users ask test queries and judge 60 % of the answers")

    def _roll_out(self, processes: Processes, candidate: Version, aa: bool) -> dict[str, Any]:
        """Roll out before users until the evidence has decided; returns what the users saw."""
        self._start_traffic(processes)
        with self.app() as app:
            rollout = wiring.DeploymentManager(app).start(candidate, initiator=INITIATOR, aa=aa)
            self._stage.headline(f"rollout of {candidate.label} begins at 10 % of the users")
            ended = self._watch(app, processes, rollout)
            last = app.store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)[0]
        seconds = ((ended.ended_at or ended.at) - ended.at) / SECOND
        self._stage.say(
            f"{candidate.label}: {ended.status.value.replace('_', ' ')} after {seconds:.1f} s, "
            f"because {last.reason}"
        )
        seen: dict[str, Any] = json.loads(processes.stop("traffic"))
        return seen

    def _watch(self, app: wiring.App, processes: Processes, rollout: Rollout) -> Rollout:
        policy = msgspec.convert(rollout.policy, DecisionPolicy)
        patience = policy.rollout.horizon / SECOND + PATIENCE_S
        with self._stage.watching() as show:
            for found, look in looks(app, rollout):
                processes.check()
                show(look)
                if found.ended_at is not None:
                    return found
                if look.seconds > patience:
                    break
        raise GreenlightError(
            f"rollout {rollout.id} did not end {PATIENCE_S} s past its horizon; "
            f"see {self._folder / 'logs' / 'controller.log'}"
        )

    def _configure(self, bar: Bar) -> None:
        public = {name: wiring.public_key(secret) for name, secret in self._keys.items()}
        write_config(self._folder, public, self.plan.source, bar, self._port)

    def _book(self) -> tuple[str, ...]:
        """How the users are told to be patient, and where to keep their book."""
        if not self._options.kills_expected:
            return ()
        return "--patience", "60", "--acknowledged", str(self._folder / ACKNOWLEDGED)

    def _papers(self, label: str) -> Path:
        path = self._folder / "versions" / label
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _notes(self) -> list[str]:
        notes = [
            "This demo's policy has soaks of 10 seconds and a feedback window of 5 seconds, so "
            "that it ends in minutes; the thresholds of the evidence are those of production.",
            "GOOD and BAD come from the true labels of the test queries: 60 % of the answers are "
            "judged, after a delay of 0.7 seconds on average.",
        ]
        if self.plan.source == "sample":
            notes.append("This run used the small sample written for Greenlight, not BANKING77.")
        return notes


def _command() -> str:
    """How to call greenlight from this shell."""
    beside = Path(sys.executable).with_name("greenlight")
    return "greenlight" if shutil.which("greenlight") or not beside.exists() else str(beside)
