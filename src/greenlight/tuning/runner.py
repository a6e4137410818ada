"""Carrying out jobs: checked at once, then trained one at a time, in the order in which they came.

A job that was under way when the server ended is begun anew: it is the same order with the same
seed, so that the same comes of it.
"""

from __future__ import annotations

import csv
import io
import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from greenlight.core.errors import GreenlightError
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.conversations import Conversation, Unfit, checked
from greenlight.tuning.faults import Faults
from greenlight.tuning.orders import Learnt, Order, Told
from greenlight.tuning.state import State, TunedModel, settle, settle_all
from greenlight.tuning.trainer import Trainer
from greenlight.tuning.wire import (
    OPEN,
    ORGANIZATION,
    RESULTS,
    Checkpoint,
    FileObject,
    Job,
    JobError,
    Metrics,
    Status,
)

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Seconds until it is tried again to keep a job's end."""


class Runner:
    """Carries out jobs on a thread of its own."""

    def __init__(self, state: State, catalog: Catalog, faults: Faults, trainer: Trainer) -> None:
        """Prepare; `start` begins."""
        self._state = state
        self._catalog = catalog
        self._faults = faults
        self._trainer = trainer
        self._changed = threading.Condition()
        self._stopping = False
        self._training: str | None = None
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="check")
        self._thread = threading.Thread(target=self._run, name="jobs")

    def fit_bases(self) -> None:
        """Fit the base models that have conversations and were not fitted yet; fits of none of
        them are thrown away.

        Raises:
            Unfit: a file that nothing can be learnt from.
        """
        places = [self._catalog.place(base) for base in self._catalog.bases.values()]
        for stale in set(self._state.bases.iterdir()) - set(places):
            shutil.rmtree(stale)
        for base, folder in zip(self._catalog.bases.values(), places, strict=True):
            if base.conversations is None or folder is None or folder.is_dir():
                continue
            half = folder.with_suffix(".half")
            order = Order(
                training=str(base.conversations),
                validation=None,
                base=None,
                out=str(half),
                cache=str(self._state.embeddings),
                seed=0,
                epochs=1,
                multiplier=1.0,
                encoder=self._catalog.encoder,
            )
            made = self._trainer.train(order, _log)
            if isinstance(made, JobError):
                raise Unfit(made.code, f"base model {base.name}: {made.message}", "base")
            settle_all(half)
            half.rename(folder)
            settle(self._state.bases)

    def start(self) -> None:
        """Take up what was left, and begin."""
        for job in self._state.list(Job, oldest_first=True):
            if job.status == "running":
                told = "the server was started again: the job begins anew"
                self._state.advance(job.id, ["running"], "queued", told)
            elif job.status == "validating_files":
                self.submit(job)
        self._thread.start()

    def stop(self) -> None:
        """End; a job under way is taken up at the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._checks.shutdown(cancel_futures=True)
        self._trainer.close()
        if self._thread.ident is not None:
            self._thread.join()

    def submit(self, job: Job) -> None:
        """Check a new job's files, and put it in the queue."""
        self._checks.submit(self._check, job)

    def cancel(self, id: str) -> Job | None:
        """End a job; None where it is over already."""
        found = self._state.advance(id, OPEN, "cancelled", "The job was cancelled.")
        with self._changed:
            if found is not None and self._training == id:
                self._trainer.end()
            self._changed.notify_all()
        return found

    def wake(self) -> None:
        """Look again."""
        with self._changed:
            self._changed.notify_all()

    def _check(self, job: Job) -> None:
        try:
            _exhaust(checked(self._state.files / job.training_file, "training_file"))
            if job.validation_file is not None:
                held = self._state.files / job.validation_file
                _exhaust(checked(held, "validation_file", 1))
            told = "Files validated; the job waits for its turn."
            self._state.advance(job.id, ["validating_files"], "queued", told)
        except Unfit as error:
            self._fail_in_the_end(job, error.error)
        except Exception as error:
            log.exception("the files of job %s could not be checked", job.id)
            self._fail_in_the_end(job, _broken(error))
        self.wake()

    def _run(self) -> None:
        while True:
            with self._changed:
                job = self._next()
                while job is None and not self._stopping:
                    self._changed.wait()
                    job = self._next()
                if self._stopping or job is None:
                    return
            try:
                self._carry_out(job)
            except GreenlightError as error:
                self._fail_in_the_end(job, _broken(error))
            except Exception as error:
                log.exception("job %s failed", job.id)
                self._fail_in_the_end(job, _broken(error))

    def _next(self) -> Job | None:
        queue = self._state.list(Job, oldest_first=True)
        return next((job for job in queue if job.status == "queued"), None)

    def _carry_out(self, job: Job) -> None:
        if self._state.advance(job.id, ["queued"], "running", "The job has begun.") is None:
            return
        if self._met_fault(job):
            return
        # A server that was killed may have left a process that still trains for it.
        out = self._state.models / self._state.fresh(".half-")
        try:
            made = self._train(job, self._order(job, out))
            if isinstance(made, Learnt):
                self._hang(job)
                if not self._stopping:
                    self._finish(job, made, out)
            elif made is not None and not self._stopping:
                self._fail(job.id, made)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def _train(self, job: Job, order: Order) -> Learnt | JobError | None:
        """What came of an order; None where the job was cancelled before it was given."""
        with self._changed:
            if self._status(job) != "running":
                return None
            self._training = job.id
        try:
            return self._trainer.train(order, lambda told: self._tell(job, told))
        finally:
            with self._changed:
                self._training = None

    def _order(self, job: Job, out: Path) -> Order:
        asked = job.hyperparameters
        rate = asked.learning_rate_multiplier
        base = self._catalog.folder(job.model)
        held = job.validation_file
        return Order(
            training=str(self._state.files / job.training_file),
            validation=None if held is None else str(self._state.files / held),
            base=None if base is None else str(base),
            out=str(out),
            cache=str(self._state.embeddings),
            seed=job.seed,
            epochs=asked.n_epochs,
            multiplier=1.0 if rate == "auto" else rate,
            encoder=self._catalog.encoder,
        )

    def _tell(self, job: Job, told: Told) -> None:
        data = None if told.metrics is None else msgspec.to_builtins(told.metrics)
        metrics = told.metrics is not None
        self._state.tell(job.id, told.message, level=told.level, data=data, metrics=metrics)

    def _finish(self, job: Job, made: Learnt, out: Path) -> None:
        """Make the model known, unless the job was cancelled meanwhile."""
        now = self._state.seconds()
        base = job.model.split(":")[1] if job.model.startswith("ft:") else job.model
        suffix = job.user_provided_suffix or ""
        name = f"ft:{base}:{ORGANIZATION}:{suffix}:{job.id[-8:]}"
        results = _csv(made.steps)
        file = FileObject(
            id=self._state.fresh("file-"),
            bytes=len(results),
            created_at=now,
            filename="step_metrics.csv",
            purpose=RESULTS,
        )
        (self._state.files / file.id).write_bytes(results)
        place = self._state.models / job.id
        settle_all(out)
        out.rename(place)
        for there in (self._state.files / file.id, self._state.files, self._state.models):
            settle(there)
        self._catalog.warm(place)
        checkpoint = Checkpoint(
            id=self._state.fresh("ftckpt_"),
            created_at=now,
            fine_tuned_model_checkpoint=name,
            fine_tuning_job_id=job.id,
            metrics=made.best,
            step_number=made.best.step,
        )
        done = self._state.advance(
            job.id,
            ["running"],
            "succeeded",
            f"The job has succeeded: the new model is {name}, of step {made.best.step}.",
            also=[file, TunedModel(id=name, job=job.id, base=job.model, created=now)],
            checkpoints=[checkpoint],
            fine_tuned_model=name,
            trained_tokens=made.tokens,
            result_files=[file.id],
        )
        if done is None:
            (self._state.files / file.id).unlink()
            self._catalog.forget(place)
            shutil.rmtree(place)

    def _fail(self, id: str, error: JobError) -> None:
        told = f"The job failed: {error.message}"
        self._state.advance(id, OPEN, "failed", told, error=error)

    def _fail_in_the_end(self, job: Job, error: JobError) -> None:
        """Fail a job as soon as that can be kept: a disk that was full for a moment must not leave
        jobs that nobody carries out."""
        while not self._stopping:
            try:
                self._fail(job.id, error)
                return
            except Exception:
                log.exception("the end of job %s cannot be kept; trying again", job.id)
            with self._changed:
                self._changed.wait(AGAIN_S)

    def _met_fault(self, job: Job) -> bool:
        """Whether a fault was asked for, and the job is over."""
        fault = self._faults.meet_job()
        if fault is None:
            return False
        if fault.kind == "job-failed":
            self._fail(job.id, JobError(code="server_error", message="a fault that was asked for"))
        elif fault.kind == "job-cancelled":
            self._state.advance(job.id, OPEN, "cancelled", "The job was cancelled.")
        return fault.kind != "job-hang"

    def _hang(self, job: Job) -> None:
        """Wait, if a fault was asked for, with a model that is trained and that nobody knows."""
        with self._changed:
            while self._faults.holding and not self._stopping and self._status(job) == "running":
                self._changed.wait()
        self._faults.holding = False

    def _status(self, job: Job) -> Status:
        return self._state.get(Job, job.id).status


def _exhaust(found: Iterator[Conversation]) -> None:
    for _ in found:
        pass


def _log(told: Told) -> None:
    log.info("base model: %s", told.message)


def _broken(error: Exception) -> JobError:
    return JobError(code="server_error", message=f"the server could not go on: {error}")


def _csv(steps: Sequence[Metrics]) -> bytes:
    """A job's results: OpenAI's columns, in its order."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(
        ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
    )
    for one in steps:
        table.writerow(
            [
                one.step,
                one.train_loss,
                one.train_mean_token_accuracy,
                one.valid_loss,
                one.valid_mean_token_accuracy,
            ]
        )
    return out.getvalue().encode()
