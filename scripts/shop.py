"""A small shop with a history: real versions, really signed, before users whose mind is known.

Its clock stands still until the shop lives on, and its luck is seeded, so that it comes to the same
every time. The pages' pictures and tests are made of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from greenlight import config, wiring
from greenlight.config import Settings
from greenlight.core.records import SECOND, Rollout, Version
from greenlight.lookup import find_version
from greenlight.stages.roll_out import active
from greenlight.testing import FakeClock
from greenlight.testing.world import Quality, World, WorldSimulator

TASK = "intent"
PEOPLE = {"ana": "ml_lead", "ben": "product_owner"}
CONFIG = """\
[project]
name = "parcel-desk"
environment = "dev"

{people}

[tasks.intent]
kind = "classify"
[tasks.intent.dataset]
source = "sample"
[tasks.intent.train]
backend = "tfidf-linear"
options = {{ C = {penalty} }}
[tasks.intent.gates]
accuracy = {{ min = 0.6 }}
[tasks.intent.rollout]
steps = [
    {{ weight = 0.10, soak = "10s" }},
    {{ weight = 0.50, soak = "10s" }},
    {{ weight = 1.0 }},
]
horizon = "{horizon}"
feedback_window = "5s"
fast_window = "2s"
grace = "500ms"
min_outcomes = 60
stale_after = "5s"
shadow = "{shadow}"
[tasks.intent.evidence]
error_margin = 0.05

[tasks.reply]
kind = "chat"
"""
LOOK = SECOND // 4
"""Between two looks of the controller, in microseconds."""


class Shop:
    """One installation, in a folder of its own."""

    def __init__(
        self, app: wiring.App, written: Callable[[float], Settings], secrets: Mapping[str, str]
    ) -> None:
        """Begin to simulate users; `opened` is how to come by one.

        Args:
            app: the open store and settings.
            written: writes the configuration for another penalty, and reads it.
            secrets: of the people, by name.
        """
        self.clock = clock = FakeClock()
        self.app = dataclasses.replace(app, clock=clock)
        self.secrets = secrets
        self._written = written
        self._made = 0
        self.qualities: dict[str, Quality] = {}
        self.users = WorldSimulator(
            app.store, clock, TASK, self.qualities, World(), np.random.default_rng(7)
        )

    def make(self, quality: Quality) -> Version:
        """A turn of the pipeline; what it makes is unlike what was made before, and as good as
        said."""
        self._made += 1
        self.app = dataclasses.replace(self.app, settings=self._written(self._made / 4))
        self.clock.advance(20 * SECOND)
        made = wiring.turn(self.app, TASK, initiator="eve", progress=lambda *_: None)
        self.qualities[made.version.digest] = quality
        return made.version

    def sign(self, version: Version, by: str, why: str = "read its evaluation") -> None:
        """One person approves."""
        self.clock.advance(7 * SECOND)
        found = find_version(self.app.store, version.digest)
        secret = self.secrets[by]
        wiring.sign_off(self.app, found, secret=secret, decision="approve", why=why)

    def approved(self, quality: Quality) -> Version:
        """A version that everybody has signed."""
        version = self.make(quality)
        for name in PEOPLE:
            self.sign(version, name)
        return find_version(self.app.store, version.digest)

    def open(self, quality: Quality) -> Version:
        """A first version, live, and a few seconds of its life."""
        version = self.approved(quality)
        wiring.DeploymentManager(self.app).go_live(version, initiator="eve")
        self.live(4)
        return version

    def start(self, version: Version, *, aa: bool = False) -> Rollout:
        """Begin a rollout."""
        found = find_version(self.app.store, version.digest)
        return wiring.DeploymentManager(self.app).start(found, initiator="eve", aa=aa)

    def live(self, seconds: float) -> None:
        """Users come and go while the controller looks."""
        for _ in range(int(seconds * SECOND / LOOK)):
            self.users.tick(LOOK)
            wiring.DeploymentManager(self.app).look(TASK, "controller")

    def finish(self, rollout: Rollout, most: float = 600) -> Rollout:
        """Live until a rollout has ended."""
        passed = 0.0
        while active(self.app.store, TASK) is not None and passed < most:
            self.live(1)
            passed += 1
        ended = self.app.store.get(Rollout, rollout.id)
        assert ended is not None and ended.ended_at is not None
        return ended


@contextmanager
def opened(folder: Path, *, shadow: str = "0s", horizon: str = "5m") -> Iterator[Shop]:
    """A new shop; nothing is live yet.

    Args:
        folder: where it lies; empty.
        shadow: how long a candidate gets copies before it meets a user.
        horizon: after what time an undecided rollout ends.
    """
    random = np.random.default_rng(2025).bytes
    people = {name: wiring.new_person(random) for name in PEOPLE}
    tables = "\n".join(
        f'[people.{name}]\nroles = ["{PEOPLE[name]}"]\nkey = "{public}"'
        for name, (_, public) in people.items()
    )

    def written(penalty: float) -> Settings:
        text = CONFIG.format(people=tables, shadow=shadow, horizon=horizon, penalty=penalty)
        (folder / config.FILE).write_text(text, encoding="utf-8")
        return config.load(folder / config.FILE, {})

    folder.mkdir(parents=True, exist_ok=True)
    with wiring.open_app(written(1.0)) as app:
        lucky = dataclasses.replace(app, random=random)
        yield Shop(lucky, written, {name: secret for name, (secret, _) in people.items()})
