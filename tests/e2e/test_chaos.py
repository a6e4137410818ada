"""Gateway and controller are killed under traffic: nothing acknowledged is lost, nothing is there
twice, and the rollout still ends as it must. The long form is benchmarks/chaos.py."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import books, chaos
from benchmarks.siege import Siege, Victim
from greenlight import config, wiring
from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core import ids
from greenlight.core.records import Feedback, Inference, Rollout
from greenlight.core.states import RolloutStatus, Status, Variant
from greenlight.datasets import PublicSource
from greenlight.entrypoints.demo.project import PEOPLE, TASK, Bar, prepare, write_config
from greenlight.entrypoints.processes import DidNotStart, Processes, free_port
from greenlight.lookup import find_version
from greenlight.ports import Example
from greenlight.wiring import pipeline

LABELS = ("card", "cash", "top-up")
RATE = "120"
WITHIN_S = 40.0
"""For anything here that must come about."""
KILLS = ("controller", "gateway", "gateway", "controller", "gateway")


def rows(labels: tuple[str, ...]) -> PublicSource:
    """Some ninety texts whose words tell the labels apart, under these names."""
    names = dict(zip(LABELS, labels, strict=True))
    return PublicSource(
        name="tiny",
        origin="https://data.example/tiny",
        licence="CC0-1.0",
        citation="Nobody",
        train=[Example(f"{x} question {n} please", names[x]) for x in LABELS for n in range(24)],
        test=[Example(f"about {x} number {n}", names[x]) for x in LABELS for n in range(8)],
    )


def project(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A project with a good version that is live and one that is approved, made of rows whose
    labels were mixed up; returns their labels."""
    keys = prepare(folder, secrets.token_bytes)
    public = {name: wiring.public_key(secret) for name, secret in keys.items()}
    bar = Bar(backend="tfidf-linear", accuracy=0.5)
    write_config(folder, public, "sample", bar, port)
    made = []
    with wiring.open_app(config.load(folder / config.FILE, {})) as app:
        for labels in (LABELS, ("card", "top-up", "cash")):
            monkeypatch.setattr(pipeline, "load_source", lambda *_, found=labels: rows(found))
            version = wiring.turn(app, TASK, initiator="test", progress=lambda *_: None).version
            for name in PEOPLE:
                wiring.sign_off(app, version, secret=keys[name], decision="approve", why="read it")
            made.append(version.label)
            if len(made) == 1:
                wiring.DeploymentManager(app).go_live(
                    find_version(app.store, version.label), initiator="test"
                )
    queries = folder / "queries.jsonl"
    test = [{"text": row.text, "label": row.label} for row in rows(LABELS).test]
    queries.write_text("".join(json.dumps(row) + "\n" for row in test))
    return made


def until(condition: Callable[[], bool], siege: Siege) -> None:
    """Wait for something while the supervisor does its work."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        siege.check()
        time.sleep(0.01)


def test_killed_under_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 5, O3: three SIGKILLs of the gateway and two of the controller within one rollout."""
    folder, port = tmp_path / "project", free_port()
    book, url = folder / "acknowledged.jsonl", f"http://127.0.0.1:{port}"
    _, bad = project(folder, port, monkeypatch)
    here = ("-C", str(folder))
    rng = np.random.default_rng(2025)
    with (
        wiring.open_app(config.load(folder / config.FILE, {})) as app,
        Siege(folder / "logs", {}, 1) as siege,
    ):
        siege.start("gateway", "greenlight.entrypoints.cli", *here, "gateway")
        siege.start("controller", "greenlight.entrypoints.cli", *here, "controller")
        siege.await_ready("gateway", f"{url}/readyz")
        siege.start(
            "traffic",
            "greenlight.entrypoints.traffic",
            *("--gateway", url, "--task", TASK, "--queries", str(folder / "queries.jsonl")),
            *("--rate", RATE, "--patience", "30", "--acknowledged", str(book)),
        )
        until(book.exists, siege)
        candidate = find_version(app.store, bad)
        rollout = wiring.DeploymentManager(app).start(candidate, initiator="test")
        for name in KILLS:
            enough = lines(book) + int(rng.integers(20, 120))
            until(lambda enough=enough: lines(book) >= enough, siege)
            siege.kill(name)

        def ended() -> bool:
            found = app.store.get(Rollout, rollout.id)
            return found is not None and found.status != RolloutStatus.RUNNING

        until(ended, siege)
        seen = json.loads(siege.stop("traffic"))
        siege.relieve()
        told = siege.report()
    assert [told[name]["kills"] for name in ("gateway", "controller")] == [3, 2]
    assert [told[name]["restarts"] for name in ("gateway", "controller")] == [3, 2]
    assert seen["failed"] == seen["feedback_failed"] == 0
    assert seen["again"] > 0, "no kill was felt"
    with wiring.open_app(config.load(folder / config.FILE, {})) as app:
        last = app.store.get(Rollout, rollout.id)
        assert last is not None and last.status == RolloutStatus.ROLLED_BACK
        settled = books.settle(app.store, book)
        assert books.done_twice(app.store) == []
    assert settled["inferences_acknowledged"] > 400
    assert settled["feedback_acknowledged"] > 200
    assert {n: c for n, c in settled.items() if c and n.endswith(("lost", "doubled"))} == {}
    assert settled["feedback_unacknowledged"] == 0
    assert settled["inferences_unacknowledged"] <= seen["again"]
    assert chaos.audit(folder) == "ok"


def lines(book: Path) -> int:
    return book.read_bytes().count(b"\n")


def test_a_loss_and_a_double_are_found(tmp_path: Path) -> None:
    """The books can tell: an answer and a word that are gone, and a word that counts twice."""
    there, gone, *words = (ids.fresh(1_000_000 * n, secrets.token_bytes) for n in range(1, 6))
    store = MemoryStore()
    store.ingest(
        [inference(there)],
        [feedback(words[0], there), feedback(words[1], there)],
    )
    book = tmp_path / "book.jsonl"
    owed = [
        *({"inference": id} for id in (there, gone)),
        {"feedback": words[0], "inference": there, "value": "GOOD"},
        {"feedback": words[2], "inference": gone, "value": "BAD"},
    ]
    book.write_text("".join(json.dumps(line) + "\n" for line in owed))
    assert books.settle(store, book) == {
        "inferences_acknowledged": 2,
        "inferences_lost": 1,
        "inferences_doubled": 0,
        "inferences_unacknowledged": 0,
        "feedback_acknowledged": 2,
        "feedback_lost": 1,
        "feedback_doubled": 1,
        "feedback_unacknowledged": 1,
    }


def inference(id: str) -> Inference:
    return Inference(
        id=id,
        task=TASK,
        version="v",
        served_version="v",
        variant=Variant.CONTROL,
        rollout=None,
        epoch=1,
        weight=0.0,
        bucket=0.5,
        unit="user-1",
        unit_source="body",
        input="hello",
        output="card",
        score=None,
        oos=None,
        latency_ms=1.0,
        status=Status.OK,
        fallback_from=None,
        config_digest="",
        at=1,
    )


def feedback(id: str, inference: str) -> Feedback:
    return Feedback(
        id=id,
        inference_id=inference,
        metric="quality",
        value=1.0,
        reason_code=None,
        comment=None,
        correction=None,
        reviewer=None,
        at=2,
    )


def test_what_is_killed_is_begun_again(tmp_path: Path) -> None:
    """The monkey comes, the supervisor follows, and peace is made with everything up."""
    port = str(free_port())
    victims = {"server": Victim(gap=(0.0, 0.1), working=True, most=2)}
    with Siege(tmp_path, victims, 1) as siege:
        siege.start("server", "http.server", port, "--bind", "127.0.0.1")
        siege.await_ready("server", f"http://127.0.0.1:{port}/")
        until(lambda: siege.report().get("server", {}).get("restarts") == 2, siege)
        siege.relieve()
        assert siege.report()["server"]["kills"] == 2


@pytest.mark.parametrize("kind", [Processes, lambda logs: Siege(logs, {}, 1)])
def test_what_ends_by_itself_is_a_failure(
    tmp_path: Path, kind: Callable[[Path], Processes]
) -> None:
    """Supervised or not: only what was killed is begun again."""
    with pytest.raises(DidNotStart, match="job ended with 0"), kind(tmp_path) as processes:
        processes.see_through("job", "this", done=lambda: True)
        assert "Zen" in (tmp_path / "job.out").read_text()
        processes.see_through("job", "this", done=lambda: False)
