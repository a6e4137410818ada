"""A drill's own installation: a folder with the task's policy, people who hold keys of an hour, and
the live version as control.

Nothing in it reaches the real one: it has a store, a gateway, a controller and a ledger of its own,
and no channel on which anybody would be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from greenlight import config, wiring
from greenlight.config import (
    DatasetSettings,
    Document,
    GatewaySettings,
    ProjectSettings,
    TaskSettings,
    TrainSettings,
)
from greenlight.config.dataset import PUBLIC
from greenlight.config.writing import write
from greenlight.core.approval import Person
from greenlight.core.errors import MissingData, Refused
from greenlight.core.policy import ApprovalPolicy, GateRule, RolloutPolicy
from greenlight.core.records import MILLISECOND, SECOND, Version
from greenlight.entrypoints.processes import free_port
from greenlight.entrypoints.showing import Stage
from greenlight.lookup import find_version
from greenlight.stages.loop import live_version
from greenlight.wiring.lending import lend_data, runs_from_bundle, stand_in

INITIATOR = "drill"
WHY = "a drill"

SHORTENED: Mapping[str, int] = {
    "feedback_window": 5 * SECOND,
    "fast_window": 2 * SECOND,
    "grace": 500 * MILLISECOND,
}
"""What takes hours in production, and the longest that it may be here (µs)."""

HEAD = """\
# Written by `greenlight drill`: the policy of a real task, and nothing else of its installation.

"""


class House:
    """One installation for one drill."""

    def __init__(self, real: wiring.App, task: str, folder: Path, stage: Stage) -> None:
        """Make the folder, its people and its configuration; nothing runs yet.

        Args:
            real: the installation whose task is rehearsed.
            task: the task's name.
            folder: a new folder.
            stage: says what is done.
        """
        self._real = real
        self._task = task
        self._stage = stage
        self.folder = folder
        self.notes: list[str] = []
        """What is not as it is in production."""
        self._secrets: dict[str, str] = {}
        self._people: dict[str, Person] = {}
        self._port = free_port()
        self.shortened: dict[str, int] = {}
        """The settings that are shorter here, and to how long (µs)."""
        folder.mkdir(parents=True)
        self._hire(real.settings.task(task).approval.quorum)
        self._settled = _settled(real, real.settings.task(task))
        self._configure(self._settled)

    @property
    def url(self) -> str:
        """Of its gateway."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / config.FILE

    @property
    def secret(self) -> str:
        """The key of one of its people."""
        return next(iter(self._secrets.values()))

    @contextmanager
    def app(self) -> Iterator[wiring.App]:
        """Its store and folders."""
        with wiring.open_app(config.load(self.file, {})) as app:
            yield app

    def furnish(self, app: wiring.App) -> Version:
        """Put a version live: the real installation's, or where there is none, one of its own.

        Args:
            app: this installation, opened.

        Raises:
            Refused: the live version cannot be run here.
        """
        live = live_version(self._real.store, self._task)
        if live is None:
            return self._train(app)
        made = self._adopt(app, live)
        if lend_data(self._real, app, self._task) is None:
            self._note(
                f"{self._task} has no prepared data set here: users ask the texts of the sample "
                "that comes with Greenlight, and call GOOD what control says of them"
            )
            stand_in(app, made)
        with self._stage.progress(f"evaluating {made.label}") as progress:
            # So that there is something to be asked again once the fault is gone.
            wiring.judge_for_drill(app, made, progress)
        return made

    def approve(self, app: wiring.App, version: Version) -> None:
        """Let everybody sign for a version, as it stands now."""
        version = find_version(app.store, version.digest)
        for secret in self._secrets.values():
            wiring.sign_off(app, version, secret=secret, decision="approve", why=WHY)

    def _hire(self, quorum: Mapping[str, int]) -> None:
        """One person for each signature; their keys are in memory alone."""
        for role, count in quorum.items():
            for number in range(1, count + 1):
                name = f"{role}-{number}"
                secret, public = wiring.new_person(self._real.random)
                self._secrets[name] = secret
                self._people[name] = Person(name=name, roles=(role,), key=public)

    def _configure(self, task: TaskSettings) -> None:
        """Write greenlight.toml: the policy is that of production, its waits are shorter."""
        real = self._real.settings
        rules, self.shortened = _shorter(task.rollout)
        own = Document(
            project=ProjectSettings(name=f"{real.project.name} (drill)"),
            people=self._people,
            gateway=GatewaySettings(
                port=self._port, poll=real.gateway.poll, spool=real.gateway.spool
            ),
            controller=real.controller,
            tasks={
                task.name: msgspec.structs.replace(
                    task,
                    # What is rehearsed is how a version leaves traffic, not how it comes there.
                    gates={"accuracy": GateRule(min=0.0)},
                    approval=ApprovalPolicy(quorum=task.approval.quorum),
                    rollout=rules,
                    segments=(),
                )
            },
        )
        self.file.write_text(HEAD + write(own), encoding="utf-8")

    def _adopt(self, app: wiring.App, live: Version) -> Version:
        """The live version as control, from its bundle."""
        folder = Path(self._real.bundles.path(live.bundle))
        if not runs_from_bundle(self._real, live):
            raise Refused(
                f"{live.label} answers somewhere else, and traffic that is made for a drill would "
                f"be asked of it there: drill before users: greenlight drill {self._task} --live"
            )
        made, _ = wiring.adopt(
            app,
            self._task,
            wiring.Origin(folder=folder),
            secret=self.secret,
            why=WHY,
            label=live.label,
        )
        self._stage.say(f"{live.label}, which is live, is control (its bundle, run by the gateway)")
        return made

    def _train(self, app: wiring.App) -> Version:
        """A first version as the task is configured; on the sample where its data is not here."""
        self._note(f"nothing is live on {self._task}: the drill trains a version of its own")
        try:
            made = self._turn(app)
        except MissingData as missing:
            self._note(f"{missing}; it is trained on the sample written for Greenlight instead")
            self._configure(_on_sample(self._settled))
            with self.app() as again:
                made = self._turn(again)
        with self.app() as again:
            self.approve(again, made)
            wiring.DeploymentManager(again).go_live(
                find_version(again.store, made.digest), initiator=INITIATOR
            )
        return made

    def _turn(self, app: wiring.App) -> Version:
        with self._stage.progress("a version to rehearse on") as progress:
            made = wiring.turn(app, self._task, initiator=INITIATOR, progress=progress)
        rows = made.dataset.manifest["counts"]["train"]
        self._stage.say(
            f"trained {made.run.plan['backend']} on {rows} rows of {made.dataset.name}: "
            f"{made.version.label} is control"
        )
        return made.version

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._stage.warn(text)


def _settled(real: wiring.App, task: TaskSettings) -> TaskSettings:
    """A task's settings as they can be used in another folder, by nobody's schedule."""
    train = msgspec.structs.replace(task.train, schedule=None, new_feedback=None)
    settled = msgspec.structs.replace(task, train=train)
    found = task.dataset
    # What people said of answers is in the real store.
    if found.source == "feedback" or train.backend == "none":
        return _on_sample(settled)
    paths = {
        name: str(Path(real.settings.root, value).resolve())
        for name in ("path", "base")
        if (value := getattr(found, name)) is not None and value not in PUBLIC
    }
    return msgspec.structs.replace(settled, dataset=msgspec.structs.replace(found, **paths))


def _on_sample(task: TaskSettings) -> TaskSettings:
    return msgspec.structs.replace(
        task,
        dataset=DatasetSettings(source="sample"),
        train=TrainSettings(backend="tfidf-linear", seed=task.train.seed),
    )


def _shorter(rules: RolloutPolicy) -> tuple[RolloutPolicy, dict[str, int]]:
    """Rules that do not wait for hours, and what was shortened."""
    changed = {name: most for name, most in SHORTENED.items() if getattr(rules, name) > most}
    # The users of a drill name their units in the body.
    return msgspec.structs.replace(rules, **changed, unit_source=None), changed


def facts(house: House) -> dict[str, Any]:
    """What was not as in production, for the record."""
    return {
        "shortened_s": {name: value / SECOND for name, value in house.shortened.items()},
        "notes": house.notes,
    }
