"""Killed and started again: what was promised is there, and jobs go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenlight.core.errors import BadInput, Refused
from greenlight.testing.finetune import finetune_server
from greenlight.tuning.bases import read
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.faults import Faults
from greenlight.tuning.orders import Learnt, Order
from greenlight.tuning.runner import Runner
from greenlight.tuning.state import State
from greenlight.tuning.wire import Metrics
from greenlight.wiring.tuning import build_tuning_server
from tests.tuning import desk
from tests.tuning.test_files import begin_upload


@contextmanager
def process(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`greenlight finetune-server` as its own process, and its address."""
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "finetune-server"]
    command += ["--state", str(folder), "--port", "0", "--no-encoder", *options]
    # A session of its own, by which the processes that it started can be found.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as running:
        assert running.stdout is not None
        try:
            line = running.stdout.readline().decode()
            assert "listening on" in line
            yield line.split()[-1] + "/v1", running
        finally:
            running.terminate()


def gone(session: int) -> bool:
    """Whether no process of a session is left."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return True
    return False


def test_killed_in_a_job_and_in_an_upload_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    """T2: one file, one job, and the model comes in the end; nothing half made is left."""
    state = tmp_path / "state"
    with process(state, "--fault", "job-hang") as (url, running), desk.client(url) as service:
        file = desk.upload(service, desk.rows(30))
        made = service.fine_tuning.jobs.create(model=desk.BASE, training_file=file, seed=3)
        waiting = service.fine_tuning.jobs.create(model=desk.BASE, training_file=file, seed=3)
        desk.until(lambda: any("Step 3" in line for line in desk.told(service, made.id)))
        desk.reached(service, waiting.id, "queued")
        assert service.fine_tuning.jobs.retrieve(made.id).status == "running"
        connection = begin_upload(url)
        desk.until(lambda: len(list((state / "files").iterdir())) == 2)
        running.send_signal(signal.SIGKILL)
        running.wait()
        connection.close()
        desk.until(lambda: gone(running.pid))  # what trained for it has ended, too
    [half] = (state / "models").iterdir()
    assert half.name.startswith(".half-")

    with process(state) as (url, running), desk.client(url) as service:
        job = desk.ended(service, made.id)
        assert job.status == "succeeded"
        assert desk.ended(service, waiting.id).status == "succeeded"
        assert [one.id for one in service.fine_tuning.jobs.list()] == [waiting.id, made.id]
        assert [one.id for one in service.files.list(purpose="fine-tune")] == [file]
        assert any("begins anew" in line for line in desk.told(service, made.id))
        assert job.fine_tuned_model is not None
        found = service.chat.completions.create(
            model=job.fine_tuned_model, messages=desk.asked("something about an enzyme maybe")
        )
        assert found.choices[0].message.content == "REJECT: too vague"
    places = {path.name for path in (state / "models").iterdir()}
    assert places == {made.id, waiting.id}
    names = {path.name for path in (state / "files").iterdir()}
    assert names == {file, *job.result_files, *names - {file}}
    assert len(names) == 3  # the file, and the results of two jobs
    assert running.returncode == 0
    same = [(state / "models" / id / "bundle" / "manifest.json") for id in (made.id, waiting.id)]
    assert same[0].read_bytes() == same[1].read_bytes()  # equal orders make equal models


def test_a_folder_belongs_to_one_server(tmp_path: Path) -> None:
    """Two would train the same job."""
    with (
        finetune_server(tmp_path),
        pytest.raises(Refused, match="another finetune-server"),
    ):
        build_tuning_server(tmp_path)


class Pupil:
    """In the place of the process that trains: notes orders, and leaves a folder."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def train(self, order: Order, tell: object) -> Learnt:
        self.orders.append(order)
        Path(order.out).mkdir()
        metrics = Metrics(step=1, train_loss=0, train_mean_token_accuracy=1)
        return Learnt(answers=2, tokens=1, best=metrics, steps=[metrics])


def test_base_models_are_fitted_once(tmp_path: Path) -> None:
    """Again only where the file is another one; what is no longer needed is thrown away."""
    file, pupil = tmp_path / "cards.jsonl", Pupil()
    trainer: Any = pupil
    for count, orders in ((30, 1), (30, 1), (33, 2)):
        file.write_bytes(desk.jsonl(desk.rows(count)))
        state = State(tmp_path / "state", now=lambda: 0, random=os.urandom)
        (state.bases / "cut-off.half").mkdir()
        bases = [read(f"cards={file}"), read("plain")]
        Runner(state, Catalog(state, bases, encoder=False), Faults(), trainer).fit_bases()
        assert len(pupil.orders) == orders
        assert len(list(state.bases.iterdir())) == 1
        state.close()


def test_a_bad_file_of_a_base_model_is_told(tmp_path: Path) -> None:
    """Before anything is begun."""
    file = tmp_path / "cards.jsonl"
    file.write_bytes(desk.jsonl(desk.rows(3)))
    with pytest.raises(BadInput, match="base cards: file: 3 conversations; at least 10"):
        build_tuning_server(tmp_path / "state", base_models=[f"cards={file}"])
    assert not (tmp_path / "state").exists()
