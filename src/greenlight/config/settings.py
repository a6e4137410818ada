"""What can be set in greenlight.toml: one struct per table, one field per key.

Durations are integers of microseconds and sizes integers of bytes here; in the file they carry
their units ("15m", "256MiB"). A struct that contradicts itself cannot be built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from greenlight.config.dataset import DatasetSettings, misfits
from greenlight.config.killing import KillSettings
from greenlight.config.making import (
    CaptureSettings,
    RuntimeSettings,
    SegmentSettings,
    TrainSettings,
    alien_backend,
    blind_alarms,
)
from greenlight.config.mirroring import MlflowSettings
from greenlight.config.notify import NotifySettings
from greenlight.core import fingerprint
from greenlight.core.alarms import AlarmRule
from greenlight.core.approval import Person
from greenlight.core.errors import NotFound
from greenlight.core.policy import (
    ApprovalPolicy,
    DecisionPolicy,
    EvidencePolicy,
    GateRule,
    MetricPolicy,
    Policy,
    RolloutPolicy,
    roles,
)
from greenlight.core.records import MILLISECOND, SECOND

_SQLITE = "sqlite:///"
_MEMORY = "memory://"
_REDIS = ("redis", "rediss", "unix")
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, user (with the password, if any) and the rest of an address."""
    try:
        found = urlsplit(url)
        _ = found.port  # where it is no number this says so
    except ValueError:
        return "", "", ""
    user, _, host = found.netloc.rpartition("@")
    return found.scheme, user, host + found.path


class ProjectSettings(Policy, frozen=True, kw_only=True):
    """[project]: what this installation is."""

    name: str
    """What the installation is called in pages and reports."""
    environment: Literal["dev", "staging", "prod"] = "dev"
    """What the installation is for. In `prod`, operations must sign too; in `staging`, texts must
    be kept (`capture`)."""


class StoreSettings(Policy, frozen=True, kw_only=True):
    """[store]: where records and events are kept."""

    url: str = "sqlite:///.greenlight/greenlight.db"
    """Where records and events are kept: an SQLite file. A relative path starts at the folder of
    `greenlight.toml`. Bundles and spools lie beside the file."""

    def problems(self) -> Iterable[str]:
        path = self.url.removeprefix(_SQLITE)
        if not self.url.startswith(_SQLITE) or path in ("", ":memory:"):
            shown = "this" if "@" in self.url else repr(self.url)  # it may hold a password
            yield f"url: {shown} is no SQLite file; write sqlite:///folder/name.db"


class LedgerSettings(Policy, frozen=True, kw_only=True):
    """[ledger]: who signs its head, and where the signed heads go."""

    key: str | None = None
    """Where the key that signs the ledger's head is: `env:NAME`, a variable of that name
    (`greenlight keys ledger` makes one). Without it a key is made once, `ledger.key` beside the
    store."""
    heads: str | None = None
    """The file that every signed head is added to; best on another machine. A relative path starts
    at the folder of `greenlight.toml`. Without it, `heads.jsonl` beside the store."""

    def problems(self) -> Iterable[str]:
        if self.key is not None and not _VARIABLE.fullmatch(self.key):
            yield "key: name the variable that holds it, as in env:ACME_LEDGER_KEY"
        if self.heads == "":
            yield "heads: no file; leave the setting out for the one beside the store"


class CacheSettings(Policy, frozen=True, kw_only=True):
    """[cache]: where what was predicted is remembered, so that it is not predicted again."""

    url: str = _MEMORY
    """Where predictions on the rows of an evaluation are remembered: `memory://`, or a Redis that
    several processes share, `redis://host:6379/0`, `rediss://…` with TLS, `unix:///path/to/socket`.
    Redis takes `pip install 'greenlight-ml[redis]'`."""
    password: str | None = None
    """Where the password of the Redis is: `env:NAME`, a variable of that name."""
    bound: int = 64 * 2**20
    """The most that `memory://` holds; what was used least recently goes first. A Redis has a bound
    of its own (`maxmemory`)."""
    timeout: int = 250 * MILLISECOND
    """How long a Redis may take to answer before its entry counts as missing; at most `10s`."""

    def problems(self) -> Iterable[str]:
        scheme, user, place = _parts(self.url)
        if self.url != _MEMORY and (scheme not in _REDIS or not place):
            yield "url: this is no cache; write memory:// or redis://host:6379/0"
        elif ":" in user or "?" in self.url:
            yield 'url: no password and no options here; write password = "env:NAME"'
        if self.password is not None and not _VARIABLE.fullmatch(self.password):
            yield "password: name the variable that holds it, as in env:REDIS_PASSWORD"
        if self.bound < 2**20:
            yield f"bound: {self.bound} bytes are too few; use 1MiB or more"
        if not 0 < self.timeout <= 10 * SECOND:
            yield "timeout: must be longer than zero and at most 10s"


class SpoolSettings(Policy, frozen=True, kw_only=True):
    """[gateway.spool]: how events travel to the store."""

    fsync: Literal["feedback", "always", "never"] = "feedback"
    """What must be on the disk before the answer goes out. With `feedback`, predictions survive a
    killed process and feedback also a power cut."""
    bound: int = 2**30
    """The most that waits for the store; beyond it nothing is recorded or acknowledged."""

    def problems(self) -> Iterable[str]:
        if self.bound < 2**20:
            yield f"bound: {self.bound} bytes are too few; use 1MiB or more"


class GatewaySettings(Policy, frozen=True, kw_only=True):
    """[gateway]: the process that answers requests."""

    host: str = "127.0.0.1"
    """The address to listen on. Where others can reach it there must be an API key."""
    port: int = 8400
    """The port to listen on."""
    poll: int = 250 * MILLISECOND
    """How often to look for a changed routing; at most `1s`, or a rollback comes late."""
    spool: SpoolSettings = SpoolSettings()
    """How events travel to the store."""

    def problems(self) -> Iterable[str]:
        if not 1 <= self.port <= 65535:
            yield f"port: {self.port} is outside 1–65535"
        if not 0 < self.poll <= SECOND:
            yield "poll: must be longer than zero and at most 1s, or a rollback comes late"


class ControllerSettings(Policy, frozen=True, kw_only=True):
    """[controller]: the process that decides."""

    interval: int = SECOND
    """The pause between two looks at the evidence; at most `60s`."""

    def problems(self) -> Iterable[str]:
        if not 0 < self.interval <= 60 * SECOND:
            yield "interval: must be longer than zero and at most 60s"


class WorkerSettings(Policy, frozen=True, kw_only=True):
    """[worker]: the process that carries out runs of the pipeline."""

    interval: int = 10 * SECOND
    """The pause between two looks for a run that is due or was left off; at most `1h`."""
    memory: int = 2 * 2**30
    """From here on there is a warning, and fewer rows are held at a time; at least `256MiB`."""

    def problems(self) -> Iterable[str]:
        if not 0 < self.interval <= 3600 * SECOND:
            yield "interval: must be longer than zero and at most 1h"
        if self.memory < 256 * 2**20:
            yield f"memory: {self.memory} bytes are too few for any training; use 256MiB or more"


class TaskSettings(Policy, frozen=True, kw_only=True):
    """[tasks.NAME]: one decision that an application makes through a model."""

    name: str
    """The table's name; it stands in addresses and labels (`intent@2`)."""
    kind: Literal["classify", "tag", "chat"]
    """`classify`: text → one label with a calibrated score, made from `dataset` by `train`. `tag`:
    text → a tag for each of its words (`core.tagging`), which say where names are; made likewise.
    `chat`: messages → message, by a model at an OpenAI-compatible provider that is brought in, or
    taught by what people said of its answers."""
    dataset: DatasetSettings = DatasetSettings(source="feedback")
    """What is trained and evaluated on; needed to classify and to tag."""
    train: TrainSettings = TrainSettings(backend="none")
    """How a version is made; needed to classify and to tag."""
    gates: dict[str, GateRule] = msgspec.field(default_factory=dict)
    """Metric → the bar that an evaluation must clear. Without gates nothing passes."""
    approval: ApprovalPolicy = ApprovalPolicy()
    """Who must sign."""
    rollout: RolloutPolicy = RolloutPolicy()
    """How a candidate climbs."""
    evidence: EvidencePolicy = EvidencePolicy()
    """The error budget."""
    metrics: dict[str, MetricPolicy] = msgspec.field(default_factory=dict)
    """What feedback measures beside GOOD and BAD, and how much worse it may get."""
    alarms: dict[str, AlarmRule] = msgspec.field(default_factory=dict)
    """What is watched minute by minute, whatever the evidence says. Without alarms nothing is."""
    runtime: RuntimeSettings = RuntimeSettings()
    """How a version is called."""
    segments: tuple[SegmentSettings, ...] = ()
    """Requests that meet one arm whatever the split; the first that fits decides."""
    capture: CaptureSettings = CaptureSettings()
    """What is kept of the texts of requests and answers."""

    def problems(self) -> Iterable[str]:
        yield from roles(self.metrics)
        yield from alien_backend(self.train.backend, self.kind)
        yield from misfits(self.dataset, self.kind)
        yield from blind_alarms(self.alarms, self.kind, self.rollout, self.capture)

    @property
    def policy(self) -> DecisionPolicy:
        """What a rollout that starts now is judged by."""
        return DecisionPolicy(
            rollout=self.rollout,
            evidence=self.evidence,
            metrics=self.metrics,
            alarms=self.alarms,
            release_window=self.approval.release_window,
        )


class Document(Policy, frozen=True, kw_only=True):
    """greenlight.toml as a whole."""

    project: ProjectSettings
    """What this installation is."""
    people: dict[str, Person] = msgspec.field(default_factory=dict)
    """Everyone who may sign, by name."""
    store: StoreSettings = StoreSettings()
    """Where records and events are kept."""
    ledger: LedgerSettings = LedgerSettings()
    """Who signs the ledger's head, and where the signed heads go."""
    kill: KillSettings = KillSettings()
    """The switch that takes a candidate out of traffic with everything else down."""
    cache: CacheSettings = CacheSettings()
    """Where what was predicted is remembered."""
    gateway: GatewaySettings = GatewaySettings()
    """The process that answers requests."""
    controller: ControllerSettings = ControllerSettings()
    """The process that decides."""
    worker: WorkerSettings = WorkerSettings()
    """The process that carries out runs."""
    notify: dict[str, NotifySettings] = msgspec.field(default_factory=dict)
    """Channels on which people hear of what happens, by name."""
    mlflow: MlflowSettings = MlflowSettings()
    """Where runs and versions are mirrored to."""
    tasks: dict[str, TaskSettings] = msgspec.field(default_factory=dict)
    """What is decided through models, by name."""


class Settings(Document, frozen=True, kw_only=True):
    """A valid greenlight.toml, and the folder where it lies."""

    root: str
    """The folder of greenlight.toml."""

    @property
    def store_path(self) -> Path:
        """The SQLite file."""
        return Path(self.root, self.store.url.removeprefix(_SQLITE)).resolve()

    @property
    def store_url(self) -> str:
        """The store's address, from wherever it is opened."""
        return _SQLITE + str(self.store_path)

    @property
    def state(self) -> Path:
        """The folder of the store; bundles, datasets and spools lie beside it."""
        return self.store_path.parent

    @property
    def heads_path(self) -> Path:
        """The file of signed heads."""
        return Path(self.root, self.ledger.heads or self.state / "heads.jsonl").resolve()

    @property
    def kill_path(self) -> Path:
        """The file of the kill switch; not resolved, for it may be a link that is replaced."""
        return Path(self.root, self.kill.file)

    @property
    def config_digest(self) -> str:
        """Names what is set, wherever it lies: equal settings have equal digests."""
        return fingerprint.digest(
            {name: getattr(self, name) for name in Document.__struct_fields__}
        )

    @property
    def gateway_url(self) -> str:
        """Where a client on this machine finds the gateway."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.gateway.host, self.gateway.host)
        return (
            f"http://[{host}]:{self.gateway.port}"
            if ":" in host
            else (f"http://{host}:{self.gateway.port}")
        )

    def task(self, name: str) -> TaskSettings:
        """The settings of one task.

        Raises:
            NotFound: no such task; the message names those there are.
        """
        found = self.tasks.get(name)
        if found is None:
            known = ", ".join(sorted(self.tasks)) or "none"
            raise NotFound(f"task {name!r}: not in greenlight.toml; there are: {known}")
        return found
