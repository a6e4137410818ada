"""MLflow: a tracking server over HTTP, or an SQLite file, through MLflow's own client.

The client is imported at the first call: that takes a second, and SQLite's first call two more. It
asks once and does not try again by itself: whoever calls does that (`stages.mirror`). It takes its
timeout and its secrets from variables of the process alone, which are therefore set for the time of
a call. It tells nobody that it is used (`MLFLOW_DISABLE_TELEMETRY`).
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from greenlight.core.mirroring import APPROVED, OWN, MirroredRun, MirroredVersion, Named, state
from greenlight.ports.mirror import NotMirrored

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

T = TypeVar("T")

SOURCE = "greenlight:/bundles/"
"""What a version's source begins with: its bundle lies with Greenlight, which checks it at load.

A server takes no source with a relative path in it, and none that is a path of its own disk."""

OWNER = f"{OWN}installation"
"""The tag that says whose a run or a registered model is."""

STATE = f"{OWN}state"
"""The tag that names what a run holds; it is written last."""

SURPLUS = f"{OWN}same_as"
"""The tag of a second version of the same digest, with the number of the first."""

SQLITE = "sqlite:///"

_NOT_INSTALLED = (
    "the package mlflow-skinny is not installed; run pip install 'greenlight-ml[mlflow]'"
)

_ENVIRONMENT = threading.Lock()
"""The variables of the process belong to one call at a time."""

_REFUSED = frozenset({"BAD_REQUEST", "INVALID_PARAMETER_VALUE"})
"""Codes of answers that the same call will always get."""

_LOCKED_OUT = frozenset({"CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "UNAUTHENTICATED"})
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_THERE = "RESOURCE_ALREADY_EXISTS"
_LONGEST = 300
"""The most signs of an error that are passed on."""


class MlflowMirror:
    """Runs in an experiment, and versions in registered models that are called like tasks."""

    name = "mlflow"

    def __init__(
        self,
        url: str,
        *,
        experiment: str,
        owner: str,
        prefix: str = "",
        artifacts: str | None = None,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        timeout: int = 10,
    ) -> None:
        """Set the mirror up; nothing is imported, opened or asked yet.

        Args:
            url: a server's address, or `sqlite:////absolute/path`.
            experiment: the name of the experiment that runs go to.
            owner: this installation's name: what is another's is left alone.
            prefix: stands before a task's name in that of its registered model.
            artifacts: where the documents of runs lie; by default where the server says.
            token: what the server asks for, if it does.
            user: who logs in, in its place.
            password: the user's.
            timeout: seconds that a server may take to answer.
        """
        self._url = url
        self._experiment = experiment
        self._owner = owner
        self._prefix = prefix
        self._artifacts = artifacts
        self._timeout = timeout
        self._environment = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout),
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            **({} if token is None else {"MLFLOW_TRACKING_TOKEN": token}),
            **({} if user is None else {"MLFLOW_TRACKING_USERNAME": user}),
            **({} if password is None else {"MLFLOW_TRACKING_PASSWORD": password}),
        }
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None
        self._models: set[str] = set()

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return urlsplit(self._url).netloc or self._url

    def put_run(self, run: MirroredRun) -> bool:
        """See `ports.mirror.Mirror.put_run`."""
        with self._calling() as client:
            found = self._run(client, run.named)
            wanted = state(run)
            if found.data.tags.get(STATE) == wanted:
                return False
            id = found.info.run_id
            self._log(client, id, run, known=found.data.params)
            for file, document in run.documents.items():
                client.log_dict(id, document, file)
            client.set_terminated(id, run.status, end_time=run.ended // 1000)
            client.set_tag(id, STATE, wanted)
            return True

    def put_version(self, version: MirroredVersion) -> bool:
        """See `ports.mirror.Mirror.put_version`."""
        with self._calling() as client:
            model = self._model(client, version.task)
            found = self._versions(client, model, version.digest)
            if not found:
                run = None if version.run is None else self._run(client, version.run)
                client.create_model_version(
                    model,
                    SOURCE + version.tags[f"{OWN}bundle"].removeprefix("sha256:"),
                    run_id=None if run is None else run.info.run_id,
                    tags=version.tags,
                    description=version.label,
                    await_creation_for=0,
                )
                return True
            first, *others = found
            changed = self._tag(client, first, version)
            # Two that were made at the same moment: only one may ever be taken for approved.
            marks = {APPROVED: "false", SURPLUS: str(first.version)}
            for other, tag in itertools.product(others, marks):
                if other.tags.get(tag) != marks[tag]:
                    client.set_model_version_tag(model, other.version, tag, marks[tag])
                    changed = True
            return changed

    def put_aliases(self, task: str, aliases: Mapping[str, str | None]) -> bool:
        """See `ports.mirror.Mirror.put_aliases`."""
        with self._calling() as client:
            name = self._prefix + task
            model = self._registered(client, name)
            if model is None:
                if any(aliases.values()):
                    raise NotMirrored(f"registered model {name!r}: not there", retry=False)
                return False
            changed = False
            for alias, digest in aliases.items():
                borne = model.aliases.get(alias)
                if digest is None:
                    if borne is not None:
                        client.delete_registered_model_alias(name, alias)
                        changed = True
                    continue
                found = self._versions(client, name, digest)
                if not found:
                    raise NotMirrored(f"{name}: no version {digest} for {alias}", retry=False)
                if str(borne) != str(found[0].version):
                    client.set_registered_model_alias(name, alias, str(found[0].version))
                    changed = True
            return changed

    def check(self) -> str:
        """See `ports.mirror.Mirror.check`."""
        file = self._url.removeprefix(SQLITE)
        if file != self._url and not Path(file).exists():
            if importlib.util.find_spec("mlflow") is None:
                raise NotMirrored(_NOT_INSTALLED, retry=True)
            return f"{self.place}: not there yet; it is made once there is something to mirror"
        with self._calling() as client:
            client.search_experiments(max_results=1)
        return f"{self.place}: answers"

    # Finding and making

    def _run(self, client: MlflowClient, named: Named) -> Run:
        """The run of that id; it is made where there is none."""
        experiment = self._experiment_of(client)
        found = client.search_runs(
            [experiment],
            f"tags.`{OWN}run` = '{named.id}'",
            max_results=100,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )
        own = [run for run in found if run.data.tags.get(OWNER) == self._owner]
        if own:
            return own[0]
        tags = {f"{OWN}run": named.id, OWNER: self._owner, "mlflow.source.name": "greenlight"}
        return client.create_run(
            experiment, start_time=named.began // 1000, tags=tags, run_name=named.id
        )

    def _log(
        self, client: MlflowClient, id: str, run: MirroredRun, known: Mapping[str, str]
    ) -> None:
        """Parameters, metrics and tags, as many in one call as MLflow takes.

        A parameter can never be changed, and a metric that is there already is not doubled.
        """
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(key, value) for key, value in run.params.items() if key not in known]
        metrics = [Metric(m.name, m.value, m.at // 1000, m.step) for m in run.metrics]
        tags = [RunTag(key, value) for key, value in run.tags.items()]
        for some in _parts(params, 100):
            client.log_batch(id, params=some, synchronous=True)
        for few in _parts(metrics, 500):
            client.log_batch(id, metrics=few, synchronous=True)
        client.log_batch(id, tags=tags, synchronous=True)

    def _experiment_of(self, client: MlflowClient) -> str:
        if self._experiment_id is None:
            found = client.get_experiment_by_name(self._experiment)
            if found is None:
                made = _unless_there(
                    lambda: client.create_experiment(
                        self._experiment, artifact_location=self._artifacts
                    )
                )
                found = (
                    None if made is not None else client.get_experiment_by_name(self._experiment)
                )
                self._experiment_id = made
            if found is not None:
                if found.lifecycle_stage != "active":
                    raise NotMirrored(
                        f"experiment {self._experiment!r} was deleted in MLflow: restore it there, "
                        "or name another one in mlflow.experiment",
                        retry=True,
                    )
                self._experiment_id = found.experiment_id
        assert self._experiment_id is not None
        return self._experiment_id

    def _model(self, client: MlflowClient, task: str) -> str:
        """The registered model of a task; it is made where there is none."""
        name = self._prefix + task
        if name not in self._models:
            if self._registered(client, name) is None:
                _unless_there(lambda: client.create_registered_model(name, {OWNER: self._owner}))
                self._registered(client, name)
            self._models.add(name)
        return name

    def _registered(self, client: MlflowClient, name: str) -> RegisteredModel | None:
        """The registered model of that name, if there is one and it is this installation's."""
        from mlflow.exceptions import MlflowException

        try:
            model = client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code in _ABSENT:
                return None
            raise
        owner = model.tags.get(OWNER)
        if owner != self._owner:
            whose = "was not made by Greenlight" if owner is None else f"is {owner}'s"
            raise NotMirrored(
                f"registered model {name!r} {whose}: set mlflow.prefix to keep yours apart",
                retry=True,
            )
        return model

    def _versions(self, client: MlflowClient, model: str, digest: str) -> list[ModelVersion]:
        """Versions of that digest, the first that was made before others."""
        found = client.search_model_versions(
            f"name = '{model}' and tags.`{OWN}digest` = '{digest}'", max_results=100
        )
        return sorted(found, key=lambda version: int(version.version))

    def _tag(self, client: MlflowClient, there: ModelVersion, wanted: MirroredVersion) -> bool:
        """Bring tags in line: an approval is the first to go and the last to come."""
        model, number = there.name, there.version
        order = sorted(wanted.tags, key=lambda name: (name == APPROVED) == wanted.approved)
        others = [name for name in order if there.tags.get(name) != wanted.tags[name]]
        gone = [name for name in there.tags if name.startswith(OWN) and name not in wanted.tags]
        for name in others:
            client.set_model_version_tag(model, number, name, wanted.tags[name])
        for name in gone:
            client.delete_model_version_tag(model, number, name)
        return bool(others or gone)

    # Calling

    @contextmanager
    def _calling(self) -> Iterator[MlflowClient]:
        """The client, with its variables set for as long as this lasts.

        Raises:
            NotMirrored: in place of whatever goes wrong.
        """
        with _ENVIRONMENT, _set(self._environment):
            try:
                if self._client is None:
                    self._client = _client(self._url)
                yield self._client
            except NotMirrored:
                raise
            except Exception as error:
                # What was found before may be there no longer.
                self._client, self._experiment_id = None, None
                self._models.clear()
                raise self._told(error) from error

    def _told(self, error: Exception) -> NotMirrored:
        """What went wrong, and what to do about it."""
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("mlflow"):
            return NotMirrored(_NOT_INSTALLED, retry=True)
        code, text = getattr(error, "error_code", ""), " ".join(str(error).split())
        if code in _LOCKED_OUT:
            what = "put what it asks for into the variable of mlflow.token, or user and password"
            return NotMirrored(f"{self.place}: does not let us in ({code}): {what}", retry=True)
        if "timed out" in text or "timeout exception" in text:
            what = f"no answer within {self._timeout} s: is it busy? mlflow.timeout may be longer"
            return NotMirrored(f"{self.place}: {what}", retry=True)
        if "failed with exception" in text:
            what = "cannot be reached: start it, or correct mlflow.url"
            return NotMirrored(f"{self.place}: {what}", retry=True)
        if "Response body" in text:
            what = (
                "answers, but not as MLflow does: is mlflow.url the address of a tracking server?"
            )
            return NotMirrored(f"{self.place}: {what}", retry=True)
        said = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        return NotMirrored(
            f"{self.place}: {type(error).__name__}: {said}", retry=code not in _REFUSED
        )


def _client(url: str) -> MlflowClient:
    """MLflow's own client; of what it logs only warnings are worth a line."""
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(url, registry_uri=url)


def _unless_there(make: Any) -> Any:
    """What `make` returns; None where another process was quicker."""
    from mlflow.exceptions import MlflowException

    try:
        return make()
    except MlflowException as error:
        if error.error_code != _THERE:
            raise
        return None


def _parts(items: Sequence[T], size: int) -> Iterable[list[T]]:
    for first in range(0, len(items), size):
        yield list(itertools.islice(items, first, first + size))


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the process, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
