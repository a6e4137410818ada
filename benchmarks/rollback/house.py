"""An installation with everything running: two gateways of two processes each, two controllers on
one SQLite store, and the models behind HTTP.

The thresholds of the evidence and the steps are those of production; only the windows of feedback
are short, for these users judge within seconds.
"""

from __future__ import annotations

import secrets
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.rollback import model, users
from benchmarks.rollback.model import Behaviour
from benchmarks.rollback.users import Plan, Seen
from greenlight import config, datasets, wiring
from greenlight.core.errors import GreenlightError
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import SECOND, Decision, Replica, Rollout, Version
from greenlight.core.states import Action
from greenlight.entrypoints.processes import Processes, free_port
from greenlight.lookup import everything, find_version
from greenlight.stages import roll_out
from greenlight.stages.loop import LEASE

CLI = "greenlight.entrypoints.cli"
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}
INITIATOR = "bench"
CONTROL = "control"
GATEWAYS = ("gateway-1", "gateway-2")
WORKERS = 2
CONTROLLERS = ("controller-1", "controller-2")
LOOK_S = 0.05
WITHIN_S = 30.0
"""For anything that must come about at once."""

WINDOWS = {"feedback_window": "10s", "fast_window": "5s", "grace": "2s"}
"""What is not as in production."""


class Crew(Processes):
    """Processes of which one may be killed on purpose."""

    def kill(self, name: str) -> None:
        """SIGKILL, now; `restart` begins it again."""
        with self._lock:
            process = self._running.pop(name)
            process.send_signal(signal.SIGKILL)
            process.wait()


class House:
    """The installation; see `open_house`."""

    def __init__(self, folder: Path, tasks: Sequence[str], seed: int, crew: Crew) -> None:
        self.folder = folder
        self.tasks = tuple(tasks)
        self.crew = crew
        self.app: wiring.App
        self.leader = CONTROLLERS[0]
        """Which controller leads, as far as this house has seen to it."""
        self.rows = folder / "rows.jsonl"
        self._seed = seed
        self._ports = [free_port() for _ in GATEWAYS]
        self._models = {name: f"http://127.0.0.1:{free_port()}" for name in (CONTROL, "candidate")}
        self._secrets: dict[str, str] = {}

    @property
    def file(self) -> Path:
        """The configuration of everything but the second gateway."""
        return self._file(GATEWAYS[0])

    @property
    def gateways(self) -> list[str]:
        """Where the gateways listen."""
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    def furnish(self) -> None:
        """Write the configuration and the rows, and start the model servers."""
        keys = {name: wiring.new_person(secrets.token_bytes) for name in PEOPLE}
        self._secrets = {name: secret for name, (secret, _) in keys.items()}
        people = "\n".join(
            f'[people.{name}]\nroles = ["{PEOPLE[name]}"]\nkey = "{public}"'
            for name, (_, public) in keys.items()
        )
        tasks = "\n".join(_TASK.format(task=task) for task in self.tasks)
        for name, port in zip(GATEWAYS, self._ports, strict=True):
            text = _PROJECT.format(port=port, people=people, tasks=tasks)
            self._file(name).write_text(text, encoding="utf-8")
        source = datasets.load("sample")
        rows = [{"text": row.text, "label": row.label} for row in (*source.train, *source.test)]
        self.rows.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        for name, url in self._models.items():
            place = url.rpartition(":")[2]
            self.crew.start(name, model.__name__, place, str(self.rows), str(self._seed))
            self.crew.await_ready(name, f"{url}/healthz")

    def move_in(self) -> None:
        """Make control live in every task; a plain model is trained for the sake of its data."""
        for task in self.tasks:
            wiring.turn(self.app, task, initiator=INITIATOR, progress=lambda *_: None)
            origin = wiring.Origin(url=f"{self._models[CONTROL]}/{task}")
            ana = self._secrets["ana"]
            wiring.adopt(self.app, task, origin, secret=ana, why="it ran before")

    def candidate(self, task: str, name: str) -> Version:
        """A version that is as good as control offline, signed by everybody who must.

        Raises:
            GreenlightError: it did not pass its gates.
        """
        version = wiring.add_version(
            self.app,
            task,
            wiring.Origin(url=f"{self._models['candidate']}/{name}"),
            initiator=INITIATOR,
            why="for the benchmark",
        )
        folder = self.folder / "evaluations" / name
        wiring.measure_parts(self.app, version, folder=folder, progress=lambda *_: None)
        wiring.seal_evaluation(self.app, version, folder=folder)
        for secret in self._secrets.values():
            found = find_version(self.app.store, version.digest)
            wiring.sign_off(self.app, found, secret=secret, decision="approve", why="as good")
        return find_version(self.app.store, version.digest)

    def behave(self, name: str, behaviour: Behaviour) -> None:
        """From now on the candidate of this name is like this."""
        url = f"{self._models['candidate']}/{name}/behave"
        request = urllib.request.Request(url, msgspec.json.encode(behaviour))
        with urllib.request.urlopen(request, timeout=WITHIN_S):
            return

    def open(self) -> None:
        """Start gateways and controllers; the first controller leads."""
        for name in GATEWAYS:
            here = ("--config", str(self._file(name)))
            self.crew.start(name, CLI, *here, "gateway", "--workers", str(WORKERS))
        for name, url in zip(GATEWAYS, self.gateways, strict=True):
            self.crew.await_ready(name, f"{url}/readyz")
        first, second = CONTROLLERS
        self._start_controller(first)
        self.until(lambda: self.holder() is not None)
        self._start_controller(second)

    def _start_controller(self, name: str) -> None:
        self.crew.start(name, CLI, "--config", str(self.file), "controller")

    def start(self, candidate: Version, policy: DecisionPolicy | None = None) -> Rollout:
        """Begin a rollout, under the task's policy or another one."""
        task = candidate.task
        return roll_out.start(
            self.app.store,
            find_version(self.app.store, candidate.digest),
            policy=policy or self.app.settings.task(task).policy,
            authorise=lambda digest: wiring.authorise(
                self.app, digest, as_control=digest != candidate.digest
            ),
            initiator=INITIATOR,
            now=self.app.clock.now(),
            random=self.app.random,
        )

    @contextmanager
    def visited(self, *plans: tuple[str, Plan]) -> Iterator[dict[str, Path]]:
        """Users while the block runs; gives their books by name."""
        books = {name: self.folder / f"{name}-book.jsonl" for name, _ in plans}
        try:
            for name, plan in plans:
                made = msgspec.json.encode(plan).decode()
                self.crew.start(name, users.__name__, made, str(books[name]))
            yield books
        finally:
            for name, _ in plans:
                self.crew.stop(name)

    def plan(self, task: str, seed: int) -> Plan:
        """Users of a task at every gateway."""
        return Plan(gateways=self.gateways, task=task, rows=str(self.rows), seed=seed)

    def order(self, task: str, action: Action, why: str) -> Decision:
        """A person's order to the running rollout of a task."""
        return wiring.DeploymentManager(self.app).steer(
            task, action, secret=self.secret("ben"), why=why
        )

    def secret(self, person: str) -> str:
        """The key of somebody in [people]."""
        return self._secrets[person]

    def log(self, name: str) -> str:
        """What a process has logged so far."""
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace")

    def holder(self) -> str | None:
        """Who had the controllers' lease last, by the name that it gave itself."""
        lease = self.app.store.leased(LEASE)
        return None if lease is None else lease.holder

    def replicas(self) -> list[Replica]:
        """The gateways' last signs of life."""
        return [one for one in everything(self.app.store, Replica) if one.at > 0]

    def until(self, condition: Callable[[], bool], within: float = WITHIN_S) -> None:
        """Wait for something.

        Raises:
            GreenlightError: it did not come about, or a process has ended.
        """
        deadline = time.monotonic() + within
        while not condition():
            self.crew.check()
            if time.monotonic() > deadline:
                raise GreenlightError(f"it did not come about within {within:g} s; see the logs")
            time.sleep(LOOK_S)

    def rest(self, seconds: float) -> None:
        """Let users be served for a while.

        Raises:
            DidNotStart: a process has ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.crew.check()
            time.sleep(LOOK_S)

    def flushed(self, moment: int) -> None:
        """Wait until every gateway has stored everything up to a moment (µs)."""
        count = len(GATEWAYS) * WORKERS

        def all_have() -> bool:
            found = self.replicas()
            return len(found) == count and all(one.flushed_through > moment for one in found)

        self.until(all_have)

    def _file(self, gateway: str) -> Path:
        """The configuration that a gateway is started with; they differ by the port."""
        return self.folder / f"{gateway}.toml"


@contextmanager
def open_house(folder: Path, tasks: Sequence[str], seed: int) -> Iterator[House]:
    """An installation in an empty folder, furnished and with control live, not open yet."""
    with Crew(folder / "logs") as crew:
        house = House(folder, tasks, seed, crew)
        house.furnish()
        with wiring.open_app(config.load(house.file, {})) as house.app:
            house.move_in()
            yield house


def seen_between(book: Path, begin: int, end: int) -> list[Seen]:
    """What users saw of requests that they sent between two moments (µs)."""
    return [seen for seen in users.read(book) if begin <= seen.at < end]


def seconds(microseconds: int) -> float:
    """A duration in seconds, to the millisecond."""
    return round(microseconds / SECOND, 3)


_PROJECT = """\
[project]
name = "bench-rollback"

[gateway]
port = {port}

{people}

{tasks}
"""
_TASK = """\
[tasks.{{task}}]
kind = "classify"

[tasks.{{task}}.dataset]
source = "sample"

[tasks.{{task}}.train]
backend = "tfidf-linear"

[tasks.{{task}}.gates]
accuracy = {{{{ min = 0.85 }}}}

[tasks.{{task}}.approval]
quorum = {{{{ ml_lead = 1, product_owner = 1 }}}}

[tasks.{{task}}.rollout]
{windows}
""".format(windows="\n".join(f'{name} = "{value}"' for name, value in WINDOWS.items()))
