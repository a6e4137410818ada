"""R2, T8: what a mirror promises, held by a fake and by real MLflow: SQLite, and a server process.

MLflow takes seconds to begin, so that each of the two goes through all cases in one test.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mlflow import MlflowClient

from greenlight.adapters.mirrors.mlflow import MlflowMirror
from greenlight.core.mirroring import Measured, MirroredRun, MirroredVersion, Named
from greenlight.ports.mirror import Mirror, NotMirrored
from greenlight.testing.mirror import FakeMirror
from tests.contracts.mlflows import Seen, document, look, server, stub

pytestmark = [
    pytest.mark.needs("mlflow"),
    pytest.mark.usefixtures("direct"),
    # MLflow's tables are declared with it, and SQLAlchemy 2.1 takes exception.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

AT = 1_800_000_000_000_000
RUN = MirroredRun(
    named=Named(id="intent#1", began=AT),
    status="FINISHED",
    ended=AT + 5_000_000,
    params={"backend": "tfidf-linear", "seed": "7", "options.C": "0.5"},
    metrics=(
        Measured(name="intent.test.accuracy", value=0.94, at=AT),
        Measured(name="intent.test.accuracy.low", value=0.93, at=AT),
        Measured(name="train.epochs.loss", value=1.5, step=1, at=AT),
        Measured(name="train.epochs.loss", value=1.0, step=2, at=AT),
    ),
    tags={"greenlight.run": "intent#1", "greenlight.evaluation": "sha256:e"},
    documents={"eval.json": {"intent": {"test": "é"}}, "training.json": {"loss": [1.5]}},
)


def version(digest: str = "sha256:v1", *, approved: bool = False, **tags: str) -> MirroredVersion:
    return MirroredVersion(
        task="intent",
        digest=digest,
        label="intent@1",
        run=RUN.named,
        tags={
            "approved": "true" if approved else "false",
            "greenlight.digest": digest,
            "greenlight.bundle": "sha256:b1",
            **{f"greenlight.{name}": value for name, value in tags.items()},
        },
    )


# What every mirror promises


class Case:
    """A mirror, how to look into it, and how to come back to it as another process would."""

    def __init__(self, make: Callable[[], Mirror], look: Callable[[], Seen]) -> None:
        self.make = make
        self.mirror = make()
        self.look = look


def a_run_with_all_that_belongs_to_it(case: Case) -> None:
    case.mirror.put_run(RUN)
    found = case.look().runs["intent#1"]
    assert (found["status"], found["name"]) == ("FINISHED", "intent#1")
    assert (found["began"], found["ended"]) == (AT // 1000, AT // 1000 + 5000)
    assert found["params"] == RUN.params
    assert found["metrics"] == {
        "intent.test.accuracy": 0.94,
        "intent.test.accuracy.low": 0.93,
        "train.epochs.loss": [(1, 1.5), (2, 1.0)],
    }
    assert found["tags"].items() >= RUN.tags.items()
    assert found["documents"] == ["eval.json", "training.json"]


def the_same_again_changes_nothing(case: Case) -> None:
    before = case.look()
    for mirror in (case.mirror, case.make()):
        mirror.put_run(RUN)
    assert case.look() == before


def what_a_run_has_more_of_later_is_added(case: Case) -> None:
    """Also where it is more than MLflow takes at once."""
    more = (Measured(name=f"more.{n}", value=n, at=AT) for n in range(600))
    case.mirror.put_run(msgspec.structs.replace(RUN, metrics=(*RUN.metrics, *more)))
    found = case.look().runs["intent#1"]["metrics"]
    assert len(found) == 603 and found["more.599"] == 599
    assert found["train.epochs.loss"] == [(1, 1.5), (2, 1.0)]


def a_version_that_names_its_run(case: Case) -> None:
    case.mirror.put_version(version(status="evaluated"))
    seen = case.look()
    found = seen.versions["sha256:v1"]
    assert found["approved"] == "false" and found["greenlight.status"] == "evaluated"
    assert found["run"] == seen.runs["intent#1"]["id"]
    assert found["source"] == "greenlight:/bundles/b1"


def a_version_whose_run_is_not_there_yet(case: Case) -> None:
    """The run is made, and filled in when its turn comes."""
    named = Named(id="intent#2", began=AT + 1_000_000)
    case.mirror.put_version(msgspec.structs.replace(version("sha256:v2"), run=named))
    run = msgspec.structs.replace(RUN, named=named, tags={"greenlight.run": "intent#2"})
    case.mirror.put_run(run)
    seen = case.look()
    assert seen.versions["sha256:v2"]["run"] == seen.runs["intent#2"]["id"]
    assert seen.runs["intent#2"]["params"] == RUN.params


def a_version_that_no_run_made(case: Case) -> None:
    case.mirror.put_version(msgspec.structs.replace(version("sha256:v3"), run=None))
    assert not case.look().versions["sha256:v3"]["run"]


def tags_follow_the_version_on_its_exact_digest(case: Case) -> None:
    """G2: approved, and not any more; nothing else is touched."""
    other = case.look().versions["sha256:v2"]
    case.mirror.put_version(version(approved=True, status="approved", approved_until="2027"))
    found = case.look().versions["sha256:v1"]
    assert (found["approved"], found["greenlight.approved_until"]) == ("true", "2027")
    case.make().put_version(version(status="evaluated"))
    found = case.look().versions["sha256:v1"]
    assert found["approved"] == "false" and "greenlight.approved_until" not in found
    assert case.look().versions["sha256:v2"] == other
    assert set(case.look().versions) == {"sha256:v1", "sha256:v2", "sha256:v3"}


def aliases_are_given_moved_and_taken_away(case: Case) -> None:
    put = case.mirror.put_aliases
    put("intent", {"champion": "sha256:v1", "challenger": "sha256:v2"})
    assert case.look().aliases["intent"] == {"champion": "sha256:v1", "challenger": "sha256:v2"}
    case.make().put_aliases("intent", {"champion": "sha256:v2", "challenger": None})
    assert case.look().aliases["intent"] == {"champion": "sha256:v2"}
    put("intent", {"champion": None, "challenger": None})
    assert case.look().aliases["intent"] == {}


def an_alias_of_what_is_not_there(case: Case) -> None:
    with pytest.raises(NotMirrored) as caught:
        case.mirror.put_aliases("intent", {"champion": "sha256:v9", "challenger": None})
    assert not caught.value.retry
    case.mirror.put_aliases("never-made", {"champion": None, "challenger": None})


CASES = (
    a_run_with_all_that_belongs_to_it,
    the_same_again_changes_nothing,
    what_a_run_has_more_of_later_is_added,
    a_version_that_names_its_run,
    a_version_whose_run_is_not_there_yet,
    a_version_that_no_run_made,
    tags_follow_the_version_on_its_exact_digest,
    aliases_are_given_moved_and_taken_away,
    an_alias_of_what_is_not_there,
)
"""In this order: each goes on where the one before ended."""


def go_through(case: Case) -> None:
    for one in CASES:
        one(case)


# Of a fake, of SQLite, of a server


def test_the_fake() -> None:
    fake = FakeMirror()
    go_through(Case(lambda: fake, lambda: _seen(fake)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with MLflow's tables, which take two seconds to be made."""
    made = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowMirror(f"sqlite:///{made}", experiment="none", owner="nobody").put_aliases("x", {})
    return made


class Corner:
    """A corner of an MLflow: an experiment and a prefix of its own."""

    def __init__(self, url: str, name: str, artifacts: Path | None = None) -> None:
        self.url = url
        self.name = name
        self.artifacts = None if artifacts is None else artifacts.as_uri()

    def mirror(self, owner: str = "acme's (dev)") -> MlflowMirror:
        return MlflowMirror(
            self.url,
            experiment=f"acme's {self.name}",
            owner=owner,
            prefix=f"{self.name}-",
            artifacts=self.artifacts,
        )

    def look(self) -> Seen:
        return look(self.url, f"acme's {self.name}", f"{self.name}-")

    def client(self) -> MlflowClient:
        return MlflowClient(self.url, registry_uri=self.url)


@pytest.fixture
def corner(file: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Corner:
    return Corner(f"sqlite:///{file}", request.node.name.replace("_", "-"), tmp_path / "documents")


def test_sqlite(corner: Corner, tmp_path: Path) -> None:
    go_through(Case(corner.mirror, corner.look))
    told = document(corner.url, corner.look().runs["intent#1"]["id"], "eval.json", tmp_path)
    assert json.loads(told) == RUN.documents["eval.json"]


def test_server(file: Path, tmp_path: Path) -> None:
    shutil.copyfile(file, tmp_path / "server.db")
    with server(tmp_path) as url:
        corner = Corner(url, "served")
        assert corner.mirror().check() == f"{url.removeprefix('http://')}: answers"
        go_through(Case(corner.mirror, corner.look))
        told = document(url, corner.look().runs["intent#1"]["id"], "eval.json", tmp_path)
        assert json.loads(told) == RUN.documents["eval.json"]
        _refuses_what_mlflow_does_not_take(corner.mirror())


def _refuses_what_mlflow_does_not_take(mirror: Mirror) -> None:
    with pytest.raises(NotMirrored, match="INVALID_PARAMETER_VALUE") as caught:
        mirror.put_run(
            msgspec.structs.replace(
                RUN,
                named=Named(id="intent#7", began=AT),
                params={"a@b": "1"},
            )
        )
    assert not caught.value.retry


def _seen(fake: FakeMirror) -> Seen:
    """What the fake holds, as MLflow would tell of it."""
    return Seen(
        runs={
            id: {
                "status": run.status,
                "name": id,
                "began": run.named.began // 1000,
                "ended": run.ended // 1000,
                "params": run.params,
                "metrics": {
                    m.name: [(n.step, n.value) for n in run.metrics if n.name == m.name]
                    if m.name.startswith("train.")
                    else m.value
                    for m in run.metrics
                },
                "tags": run.tags,
                "documents": sorted(run.documents),
                "id": id,
            }
            for id, run in fake.runs.items()
        },
        versions={
            digest: {
                **one.tags,
                "run": "" if one.run is None else one.run.id,
                "source": "greenlight:/bundles/b1",
            }
            for digest, one in fake.versions.items()
        },
        aliases=fake.aliases,
    )


# What only MLflow can get wrong


class Killed(BaseException):
    """The process ends here."""


def test_killed_at_each_call_there_is_one_run_and_one_version(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every call that writes, one after the other; each time another process begins anew."""
    names = (
        "create_experiment",
        "create_model_version",
        "create_registered_model",
        "create_run",
        "log_batch",
        "log_dict",
        "set_model_version_tag",
        "set_registered_model_alias",
        "set_tag",
        "set_terminated",
    )
    left, made = 1000, []

    def mortal(name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if len(made) == left:
                raise Killed
            made.append(name)
            return really(*args, **options)

        return call

    for name in names:
        monkeypatch.setattr(MlflowClient, name, mortal(name, getattr(MlflowClient, name)))

    def put(corner: Corner) -> None:
        mirror = corner.mirror()
        mirror.put_version(version(approved=True))
        mirror.put_aliases("intent", {"champion": "sha256:v1", "challenger": None})
        mirror.put_run(RUN)

    def corner(name: str) -> Corner:
        return Corner(f"sqlite:///{file}", name, tmp_path / "documents")

    whole = corner("whole")
    put(whole)
    writes = list(made)
    assert set(writes) == {*names} - {"set_model_version_tag"} and len(writes) == 12
    killed, left, before, places = corner("killed"), 0, [""], 0
    while True:
        made.clear()
        try:
            put(killed)
        except Killed:
            places += 1
            # Where the same was written as the time before, that is written at each start anew.
            left += made == before or left == 0
            before = list(made)
        else:
            break
    assert places >= len(writes)
    assert _without_ids(killed.look()) == _without_ids(whole.look())


def _without_ids(seen: Seen) -> Seen:
    for run in seen.runs.values():
        del run["id"]
    for one in seen.versions.values():
        assert one.pop("run")
    return seen


def test_of_two_versions_of_a_digest_one_can_be_approved(corner: Corner) -> None:
    """G2: made at the same moment by two processes, one of whose leases had run out."""
    twice = version(approved=True)
    corner.mirror().put_version(twice)
    model = f"{corner.name}-intent"
    corner.client().create_model_version(model, "greenlight:/bundles/b1", tags=twice.tags)
    corner.mirror().put_version(twice)
    found = corner.look().versions
    assert found["sha256:v1"]["approved"] == "true"
    assert found["sha256:v1 again"]["approved"] == "false"
    assert found["sha256:v1 again"]["greenlight.same_as"] == "1"
    # Nor does it stay so where somebody writes it there.
    corner.client().set_model_version_tag(model, "2", "approved", "true")
    assert corner.mirror().put_version(twice)
    assert corner.look().versions["sha256:v1 again"]["approved"] == "false"
    assert not corner.mirror().put_version(twice)


def test_an_approval_is_the_first_to_go_and_the_last_to_come(
    corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G2: killed in between, a version is never approved that should not be."""
    mirror, written = corner.mirror(), []
    mirror.put_version(version(status="evaluated"))
    really = MlflowClient.set_model_version_tag

    def tag(self: MlflowClient, name: str, number: str, key: str, value: str) -> None:
        written.append((key, value))
        really(self, name, number, key, value)

    monkeypatch.setattr(MlflowClient, "set_model_version_tag", tag)
    mirror.put_version(version(approved=True, status="approved"))
    mirror.put_version(version(status="rejected"))
    assert written == [
        ("greenlight.status", "approved"),
        ("approved", "true"),
        ("approved", "false"),
        ("greenlight.status", "rejected"),
    ]


def test_what_somebody_else_made_is_left_alone(corner: Corner) -> None:
    corner.client().create_registered_model(f"{corner.name}-intent")
    with pytest.raises(
        NotMirrored, match=r"was not made by Greenlight: set mlflow\.prefix"
    ) as found:
        corner.mirror().put_version(version())
    assert found.value.retry
    own = Corner(corner.url, "own", Path("/"))
    own.mirror().put_version(version())
    with pytest.raises(NotMirrored, match=r"'own-intent' is acme's \(dev\)'s: set mlflow\.prefix"):
        own.mirror(owner="acme's (prod)").put_aliases("intent", {"champion": None})


def test_a_deleted_experiment(corner: Corner) -> None:
    corner.mirror().put_run(RUN)
    client = corner.client()
    found = client.get_experiment_by_name(f"acme's {corner.name}")
    client.delete_experiment(found.experiment_id)
    with pytest.raises(NotMirrored, match="was deleted in MLflow: restore it there") as caught:
        corner.mirror().put_run(RUN)
    assert caught.value.retry


LOCKED_OUT = "does not let us in"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "<html>portal</html>", "answers, but not as MLflow does"),
        (404, "<html>not found</html>", "answers, but not as MLflow does"),
        (502, "bad gateway", "cannot be reached|answers, but not as MLflow does"),
        (401, '{"error_code": "UNAUTHENTICATED", "message": "no"}', LOCKED_OUT),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "no"}', LOCKED_OUT),
        (401, "You are not authenticated.", LOCKED_OUT),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "oops"}', "oops|cannot be reached"),
    ],
)
def test_answers_that_are_none(status: int, body: str, says: str) -> None:
    """T8: each can be mended, and says how; none is tried twice."""
    with stub(status, body) as found:
        mirror = MlflowMirror(found.url, experiment="x", owner="y", timeout=2)
        with pytest.raises(NotMirrored, match=says) as caught:
            mirror.put_run(RUN)
        assert len(found.asked) == 1
    assert caught.value.retry and len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_a_server_that_hangs() -> None:
    """T8: slow is as good as away, after the timeout."""
    with stub(hangs=True) as found:
        mirror = MlflowMirror(found.url, experiment="x", owner="y", timeout=1)
        with pytest.raises(NotMirrored, match="no answer within 1 s: is it busy") as caught:
            mirror.put_run(RUN)
        assert len(found.asked) == 1
    assert caught.value.retry


def test_nobody_there() -> None:
    with stub() as found:
        url = found.url
    with pytest.raises(NotMirrored, match=r"cannot be reached: start it, or correct mlflow\.url"):
        MlflowMirror(url, experiment="x", owner="y", timeout=1).check()


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"token": "not-to-be-shown"}, "Bearer not-to-be-shown"),
        ({"user": "ana", "password": "not-to-be-shown"}, "Basic YW5hOm5vdC10by1iZS1zaG93bg=="),
        ({}, None),
    ],
)
def test_secrets_are_sent_and_leave_no_trace(
    given: dict[str, str], sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    before = dict(os.environ)
    with stub(401, "no") as found:
        with pytest.raises(NotMirrored) as caught:
            MlflowMirror(found.url, experiment="x", owner="y", **given).check()
        assert found.asked[0].get("Authorization") == sent
    assert "not-to-be-shown" not in str(caught.value)
    assert dict(os.environ) == before


def test_where_the_client_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """T8: it degrades, and says what to install."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(NotMirrored, match=r"pip install 'greenlight-ml\[mlflow\]'") as caught:
        MlflowMirror("http://127.0.0.1:1", experiment="x", owner="y").put_run(RUN)
    assert caught.value.retry
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NotMirrored, match=r"pip install 'greenlight-ml\[mlflow\]'"):
        MlflowMirror(f"sqlite:///{tmp_path}/none.db", experiment="x", owner="y").check()


def test_check_makes_no_file(tmp_path: Path) -> None:
    mirror = MlflowMirror(f"sqlite:///{tmp_path}/none.db", experiment="x", owner="y")
    assert "not there yet" in mirror.check()
    assert not list(tmp_path.iterdir())
