"""Backend `openai`: fine-tuning at a provider that speaks OpenAI's protocol, for money.

Nothing here remembers what was done. A file is known at the provider by its name, which holds the
digest of its content, and a job by its metadata, which hold the digest of files, settings and seed;
both are looked for before they are made. So a training that was killed anywhere is gone on with by
training again, and there is one file and one job.
(OpenAI API reference, "Files" and "Fine-tuning jobs".)
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenlight import release
from greenlight.adapters.trainers.openai_jobs import results
from greenlight.adapters.trainers.openai_jobs.following import (
    FOLLOWED,
    MARK,
    UPLOADED,
    Jobs,
)
from greenlight.adapters.trainers.openai_jobs.lessons import Lesson, Lessons
from greenlight.adapters.trainers.openai_jobs.patience import Waiting
from greenlight.adapters.trainers.openai_jobs.provider import Checkpoint, Job, Provider
from greenlight.core import credentials, finetuning, fingerprint, tuning_options
from greenlight.core.errors import Aborted, BadInput, GreenlightError, ModelFailed, TooCostly
from greenlight.core.finetuning import Estimate
from greenlight.core.records import SECOND
from greenlight.core.tuning_options import Options
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts

SEEDS = 2**31
"""A provider's seeds are smaller."""
NOTE = "asked.txt"
"""Beside the bundle, until it is there: the digest that the job carries, for whoever has to cancel
it when this process is gone."""
LUCK = random.SystemRandom()
"""Other than that of any other process."""
KEPT_EVENTS = 20
"""Of a job, the last, in the report."""


class ModelTrainer:
    """A `ports.Trainer`."""

    name = tuning_options.BACKEND
    free = False

    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        luck: Callable[[], float] = LUCK.random,
    ) -> None:
        """Make a trainer; nothing is asked yet.

        Args:
            environ: holds the key.
            pause: sleeps for so many seconds.
            clock: seconds on a clock that nobody sets.
            luck: draws from [0, 1); waits are shortened by it.
        """
        self._environ = environ
        self._luck = luck
        self._pause = pause
        self._clock = clock

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        """Have a model fine-tuned on `train`; the provider measures it on `validation`.

        Args:
            train: rows that are learnt, each as it was served.
            validation: held-out rows.
            labels: every label; none for a chat.
            config: see `core.tuning_options.Options`.
            seed: of the job.
            out: a new folder for the bundle: a prompt or a chat that asks the new model.
            progress: follows the job. What it raises ends the waiting, and `Aborted` the job too.
            prompts: what rows were asked with.

        Raises:
            BadInput: options, rows or key that the provider does not take.
            TooCostly: it may cost more than `cost_limit`; nothing was uploaded.
            MissingData: the SDK is not installed.
            ModelFailed: the provider does not answer, or the job failed, was cancelled, or took too
                long.
            Aborted: somebody asked for the end; the job is cancelled.
        """
        start = self._clock()
        options = tuning_options.read(config)
        waiting = Waiting(progress, pause=self._pause, luck=self._luck)
        waiting.tell(0.0, "writing the training files")
        lessons = Lessons(train, validation, labels, prompts, options)
        parent = Path(out).parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="files-", dir=parent) as folder:
            files = lessons.write(Path(folder))
            estimate = finetuning.estimate(
                files[0].tally, options.n_epochs, options.prices.training
            )
            with self._provider(options) as provider:
                jobs = self._jobs(provider, options, waiting)
                training = _Training(provider, jobs, waiting, options, seed, parent / NOTE)
                made = training.carry_out(files, estimate)
        model = str(made["fine_tuned_model"])
        added = lessons.bundle(out, model)
        (parent / NOTE).unlink()
        waiting.tell(1.0, f"{model} is ready")
        report = {
            "train_texts": len(train),
            "validation_texts": len(validation),
            **made,
            "labels_added": added,
            "estimate": finetuning.told(estimate),
            "seconds": self._clock() - start,
        }
        return Trained(folder=out, report=report)

    def cancel(self, folder: str, config: Mapping[str, Any]) -> list[str]:
        """See `ports.cancels.Cancels`."""
        notes = sorted(Path(folder).rglob(NOTE))
        if not notes:
            return []
        left: list[str] = []
        try:
            options = tuning_options.read(config)
            with self._provider(options) as provider:
                jobs = self._jobs(
                    provider, options, Waiting(_quiet, pause=self._pause, luck=self._luck)
                )
                for note in notes:
                    left += jobs.cancel(note.read_text(encoding="utf-8").strip())
        except GreenlightError as error:
            left.append(f"a job for fine-tuning may go on at the provider: {error}")
        return left

    def _provider(self, options: Options) -> Provider:
        return Provider(
            options.url,
            self._key(options),
            timeout=options.call_timeout / SECOND,
            key_name=options.key,
        )

    def _jobs(self, provider: Provider, options: Options, waiting: Waiting) -> Jobs:
        return Jobs(
            provider,
            waiting,
            timeout=options.timeout / SECOND,
            poll=options.poll / SECOND,
            clock=self._clock,
        )

    def _key(self, options: Options) -> str | None:
        if options.key is None:
            return None
        key, wrong = credentials.look_up(options.key, self._environ)
        if wrong is not None:
            raise BadInput(f"train.options.key: {wrong} (of {options.url})", "key")
        return key


def _quiet(_share: float, _words: str) -> None:
    """Nobody is told."""


class _Training:
    """One training at a provider."""

    def __init__(
        self,
        provider: Provider,
        jobs: Jobs,
        waiting: Waiting,
        options: Options,
        seed: int,
        note: Path,
    ) -> None:
        self._provider = provider
        self._jobs = jobs
        self._waiting = waiting
        self._options = options
        self._seed = seed % SEEDS
        self._note = note

    def carry_out(self, files: tuple[Lesson, Lesson | None], estimate: Estimate) -> dict[str, Any]:
        """From files to a model; what is worth recording of it."""
        train, validation = files
        digest = self._digest(train, validation)
        self._note.write_text(digest, encoding="utf-8")
        try:
            job = self._jobs.find(digest)
            uploaded = 0
            taken_up = job is not None
            if job is None:
                self._afford(estimate)
                job, uploaded = self._ask(digest, train, validation)
            self._waiting.tell(UPLOADED, f"job {job.id}: {job.status}")
            done = self._jobs.follow(job)
        except Aborted as reason:
            left = self._jobs.cancel(digest)
            if left:
                raise Aborted(
                    f"{reason}; a job may go on at {self._options.url}, cancel it there: "
                    f"{'; '.join(left)}",
                    "; ".join(left),
                ) from reason
            raise
        self._waiting.tell(FOLLOWED, f"job {done.id}: {done.status}")
        return {
            **self._told(done),
            "taken_up": taken_up,
            "uploaded_files": uploaded,
            "files": {
                "train": train.digest,
                "validation": None if validation is None else validation.digest,
            },
        }

    def _digest(self, train: Lesson, validation: Lesson | None) -> str:
        """Of all that goes into a job: equal digests, equal jobs."""
        options = self._options
        return fingerprint.digest(
            {
                "train": train.digest,
                "validation": None if validation is None else validation.digest,
                "model": options.model,
                "method": options.method,
                "hyperparameters": options.hyperparameters(),
                "suffix": options.suffix,
                "seed": self._seed,
            }
        )

    def _afford(self, estimate: Estimate) -> None:
        limit, cost = self._options.cost_limit, estimate.cost
        if limit is None or cost is None or cost.high <= limit:
            return
        raise TooCostly(
            f"the training may cost {cost.likely:.4g} ({cost.low:.4g} to {cost.high:.4g}): some "
            f"{estimate.tokens.likely:,.0f} tokens, of {estimate.rows:,} rows over "
            f"{estimate.epochs} epochs. train.options.cost_limit is {limit:g}, and nothing was "
            "uploaded. Take fewer rows or epochs, or allow it: greenlight run TASK --cost-limit "
            f"{finetuning.ceiling(cost.high):g}",
            cost.high,
            limit,
        )

    def _ask(self, digest: str, train: Lesson, validation: Lesson | None) -> tuple[Job, int]:
        half = UPLOADED * 0.7
        file, sent = self._jobs.upload(train, 0.0, half)
        body: dict[str, Any] = {
            "model": self._options.model,
            "training_file": file.id,
            "method": {
                "type": self._options.method,
                self._options.method: {"hyperparameters": self._options.hyperparameters()},
            },
            "seed": self._seed,
            "metadata": {MARK: digest, "commit": release.build().commit},
        }
        count = int(sent)
        if validation is not None:
            held_out, sent = self._jobs.upload(validation, half, UPLOADED)
            body["validation_file"] = held_out.id
            count += sent
        if self._options.suffix is not None:
            body["suffix"] = self._options.suffix
        return self._jobs.create(digest, body), count

    def _told(self, job: Job) -> dict[str, Any]:
        method = (job.method or {}).get(self._options.method)
        chosen = method.get("hyperparameters") if isinstance(method, dict) else None
        price = self._options.prices.training
        told = {
            "job": job.id,
            "base_model": job.model,
            "fine_tuned_model": job.fine_tuned_model,
            "trained_tokens": job.trained_tokens,
            "cost": finetuning.billed(job.trained_tokens, price),
            "hyperparameters": chosen or job.hyperparameters,
            "events": [event.message for event in self._jobs.events[-KEPT_EVENTS:]],
        }
        missing: list[str] = []
        told["checkpoints"] = self._beside(self._checkpoints, job, missing)
        told["curve"] = self._beside(self._curve, job, missing)
        return {**told, "not_told": missing} if missing else told

    def _beside(self, ask: Callable[[Job], list[Any]], job: Job, missing: list[str]) -> list[Any]:
        """What is good to know, and nothing that a model already paid for is lost over."""
        try:
            return self._waiting.persist(lambda: ask(job), f"job {job.id}")
        except (BadInput, ModelFailed) as error:
            missing.append(str(error))
            return []

    def _checkpoints(self, job: Job) -> list[Any]:
        found: list[Checkpoint] = self._provider.checkpoints(job.id)
        return [
            {
                "model": one.fine_tuned_model_checkpoint,
                "step": one.step_number,
                **{name: value for name, value in one.metrics.items() if value is not None},
            }
            for one in found
        ]

    def _curve(self, job: Job) -> list[Any]:
        points = [
            point
            for name in job.result_files
            for point in results.curve(self._provider.content(name))
        ]
        return list(results.kept(points))
