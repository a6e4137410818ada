"""The mirror of one installation: MLflow, as [mlflow] says, kept in line with the store."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from greenlight import lookup
from greenlight.config import Settings
from greenlight.config.mirroring import SQLITE
from greenlight.core.approval import APPROVE, Quorum
from greenlight.core.errors import ConfigError, NotFound, Refused, Tampered, UserError
from greenlight.core.mirroring import MirroredRun, MirroredVersion, SignOff
from greenlight.core.notices import Backlog
from greenlight.core.records import HOUR, SECOND, Approval, Version
from greenlight.core.states import VersionStatus
from greenlight.ports.mirror import Mirror, NotMirrored
from greenlight.stages import mirror as stage
from greenlight.stages.notify import backlog
from greenlight.wiring.app import App, standing
from greenlight.wiring.notifying import resolved

MLFLOW = "mlflow"

AGAIN = HOUR
"""So often every version is looked at once more, also what nobody has touched here: somebody may
have changed it there."""


class _Unready:
    """Stands for a mirror that lacks something on this machine: what it is to show waits."""

    name = MLFLOW

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def put_run(self, run: MirroredRun) -> bool:
        """See `ports.mirror.Mirror.put_run`."""
        raise NotMirrored(self._problem, retry=True)

    def put_version(self, version: MirroredVersion) -> bool:
        """See `ports.mirror.Mirror.put_version`."""
        raise NotMirrored(self._problem, retry=True)

    def put_aliases(self, task: str, aliases: Mapping[str, str | None]) -> bool:
        """See `ports.mirror.Mirror.put_aliases`."""
        raise NotMirrored(self._problem, retry=True)

    def check(self) -> str:
        """See `ports.mirror.Mirror.check`."""
        raise NotMirrored(self._problem, retry=True)


def open_mirror(
    settings: Settings, environ: Mapping[str, str] = os.environ, timeout: int | None = None
) -> Mirror | None:
    """What mirrors this installation; None where nothing does. Nothing is asked yet.

    Args:
        settings: of the installation.
        environ: the variables in force.
        timeout: seconds that a server may take to answer, where the settings do not count.

    Raises:
        ConfigError: the variable with its secret is not set.
    """
    wanted = settings.mlflow
    if wanted.url is None:
        return None
    from greenlight.adapters.mirrors.mlflow import MlflowMirror

    url, artifacts = wanted.url, None
    if url.startswith(SQLITE):
        file = Path(settings.root, url.removeprefix(SQLITE)).resolve()
        url, artifacts = SQLITE + str(file), file.with_name(f"{file.stem}-artifacts").as_uri()
    secrets = {
        name: None if value is None else resolved(value, f"mlflow.{name}", environ)
        for name, value in (("token", wanted.token), ("password", wanted.password))
    }
    return MlflowMirror(
        url,
        experiment=wanted.experiment or settings.project.name,
        owner=f"{settings.project.name} ({settings.project.environment})",
        prefix=wanted.prefix,
        artifacts=artifacts,
        user=wanted.user,
        timeout=timeout or wanted.timeout // SECOND,
        **secrets,
    )


class Mirroring:
    """Keeps the mirror of an installation in line, one page of the ledger at a time."""

    def __init__(self, app: App, mirror: Mirror) -> None:
        """Set up; nothing is asked yet.

        Args:
            app: the open store and settings.
            mirror: what is kept in line.
        """
        self._app = app
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{app.random(4).hex()}"
        self._mirror = mirror
        self._memory = stage.Memory()
        self._whole_at: int | None = None

    def follow(self, stopping: Callable[[], bool] = lambda: False) -> stage.Step:
        """One pass; at first and once an hour over every version.

        Raises:
            LostLease: another process mirrors now.
        """
        now = self._app.clock.now()
        whole = self._whole_at is None or not 0 <= now - self._whole_at < AGAIN
        if whole:
            self._memory.clear()
        step = self._pass("versions" if whole else "nothing", stopping, at_once=False)
        if whole and step.outcome in ("current", "mirrored"):
            self._whole_at = now
        return step

    def sync(self) -> stage.Step:
        """Catch up, and hold every run and version against the store once more.

        Raises:
            LostLease: another process mirrors now.
        """
        step = self._pass("nothing", lambda: False, at_once=True)
        put, refused = step.put, step.refused
        while step.outcome in ("current", "mirrored") and step.more:
            step = self._pass("nothing", lambda: False, at_once=True)
            put, refused = put + step.put, refused + step.refused
        if step.outcome in ("current", "mirrored"):
            step = self._pass("everything", lambda: False, at_once=True)
            put, refused = put + step.put, refused + step.refused
        outcome = "mirrored" if put and step.outcome == "current" else step.outcome
        told = tuple(dict.fromkeys(refused))
        return msgspec.structs.replace(step, outcome=outcome, put=put, refused=told)

    def _pass(
        self, whole: stage.Whole, stopping: Callable[[], bool], *, at_once: bool
    ) -> stage.Step:
        app = self._app
        return stage.follow(
            app.store,
            self._mirror,
            self._memory,
            tasks=app.settings.tasks,
            standing=lambda version: sign_off_of(app, version),
            whole=whole,
            at_once=at_once,
            holder=self._holder,
            now=app.clock.now,
            random=app.random,
            stopping=stopping,
        )


def open_mirroring(app: App) -> Mirroring | None:
    """What keeps the mirror in line; None where nothing is mirrored.

    Where its secret is missing it is there as well, and every pass says so.
    """
    try:
        mirror = open_mirror(app.settings)
    except ConfigError as error:
        mirror = _Unready("; ".join(error.problems))
    return None if mirror is None else Mirroring(app, mirror)


def sync(app: App) -> stage.Step:
    """Bring the mirror in line now, all of it; see `Mirroring.sync`.

    Raises:
        UserError: nothing is mirrored.
    """
    mirroring = open_mirroring(app)
    if mirroring is None:
        raise UserError(
            "nothing is mirrored: write url into a table [mlflow] of greenlight.toml "
            "(docs/how-to/mirror-to-mlflow.md)"
        )
    return mirroring.sync()


def mirror_backlog(app: App) -> Backlog | None:
    """How far the mirror is behind the ledger; None where nothing is mirrored."""
    if app.settings.mlflow.url is None:
        return None
    return backlog(app.store, stage.CHANNEL + MLFLOW, MLFLOW, app.clock.now())


def sign_off_of(app: App, version: Version) -> SignOff:
    """Whether a version may go to users, by the rules that the data plane goes by (G1, G2).

    What is live is never refused for expiry, and its adoption is enough. A record that was changed,
    or a task that is configured no more, has nobody's approval.
    """
    live = version.status is VersionStatus.LIVE
    try:
        quorum = standing(app, lookup.genuine(version), expires=not live, as_control=live)
    except (NotFound, Refused, Tampered):
        return SignOff(approved=False)
    judged = lookup.passed_evaluations(app.store, version)
    seen = quorum.evaluation if quorum.evaluation in judged else None
    until = None if live or not quorum.ok else _until(app, version, quorum)
    return SignOff(approved=quorum.ok, evaluation=seen, until=until)


def _until(app: App, version: Version, quorum: Quorum) -> str | None:
    """When the first signature expires that the quorum stands on."""
    people = {person for _, person in quorum.counted}
    words = lookup.everything(app.store, Approval, {"version": version.digest})
    given: dict[str, int] = {}
    for word in words:
        if word.decision == APPROVE and word.evaluation == quorum.evaluation:
            given[word.person] = max(word.at, given.get(word.person, 0))
    ends = [at for person, at in given.items() if person in people]
    if not ends:
        return None
    end = min(ends) + app.settings.task(version.task).approval.expiry
    return datetime.fromtimestamp(end // SECOND, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
