"""One job at a provider: found or created, followed to its end, cancelled where nobody wants it.

A job carries the digest of all that goes into it. Whoever was killed finds it again by that, and so
does whoever asked for a job and never heard the answer: there is one job, however often it is
asked for.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from greenlight.adapters.trainers.openai_jobs.lessons import Lesson
from greenlight.adapters.trainers.openai_jobs.patience import GO_ON, Passing, Waiting
from greenlight.adapters.trainers.openai_jobs.provider import (
    CANCELLED,
    DONE,
    Event,
    File,
    Job,
    Provider,
)
from greenlight.core.errors import BadInput, GreenlightError, ModelFailed

MARK = "greenlight"
"""The field of a job's metadata that holds the digest of what goes into it."""
UPLOADED = 0.1
"""Of the time of a training, for the progress shown."""
FOLLOWED = 0.97
SOON = 1.0
"""Seconds after which a job is looked at again when there was news."""
CANCEL_TRIES = 4
PROCESSING = 60.0
"""Seconds that a provider is given to look through a file before a job is asked for anyway."""


class Jobs:
    """The jobs of one provider, for one training."""

    def __init__(
        self,
        provider: Provider,
        waiting: Waiting,
        *,
        timeout: float,
        poll: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            provider: where they are.
            waiting: the pauses.
            timeout: seconds that a job may take.
            poll: seconds between two looks, at most.
            clock: seconds on a clock that nobody sets.
        """
        self._provider = provider
        self._waiting = waiting
        self._timeout = timeout
        self._poll = poll
        self._clock = clock
        self._own: Job | None = None
        self.events: list[Event] = []

    def find(self, digest: str) -> Job | None:
        """The job with that digest which is done or under way.

        If there are several it is the oldest, and the others are cancelled: two processes that
        looked in the same moment may both have asked. One whose model was deleted at the provider
        is none.
        """
        marked = [
            job
            for job in self._provider.jobs(self._waiting)
            if (job.metadata or {}).get(MARK) == digest
        ]
        found = None
        for job in reversed(marked):  # they are listed from the newest on
            if found is None and self._is_good(job):
                found = job
            elif found is not None and not job.is_over:
                self._cancelled(job, self._quiet())
        return found

    def _is_good(self, job: Job) -> bool:
        """Whether a job is under way, or made a model that is still there."""
        model = job.fine_tuned_model
        if job.status != DONE or not model:
            return not job.is_over
        gone = self._waiting.persist(lambda: self._provider.lacks(model), f"looking for {model}")
        return not gone

    def upload(self, lesson: Lesson, begin: float, end: float) -> tuple[File, bool]:
        """The file with this content at the provider, and whether it had to be uploaded.

        Args:
            lesson: the file.
            begin: the share of the training that is done before.
            end: and after it.

        Raises:
            BadInput: the provider cannot read it.
            ModelFailed: it does not answer.
        """
        size = lesson.path.stat().st_size
        words = f"uploading {lesson.tally.rows:,} rows ({size:,} bytes)"

        def told(share: float) -> None:
            self._waiting.tell(begin + (end - begin) * share, words)

        def attempt() -> tuple[File, bool]:
            for file in self._provider.files(self._waiting):  # the call before may have arrived
                if file.filename == lesson.name and file.bytes == size and file.status != "error":
                    return file, False
            return self._provider.upload(lesson.path, lesson.name, told), True

        file, sent = self._waiting.persist(attempt, words)
        return self._processed(file), sent

    def create(self, digest: str, body: Mapping[str, Any]) -> Job:
        """Create a job, unless an earlier call did so without being heard, or somebody else has.

        Raises:
            BadInput: the provider does not take it; the message is its own.
            ModelFailed: it does not answer.
        """
        asked = False

        def attempt() -> Job:
            nonlocal asked
            found = self.find(digest) if asked else None
            if found is not None:
                return found
            asked = True
            self._own = made = self._provider.create(dict(body))
            return self.find(digest) or made

        try:
            return self._waiting.persist(attempt, "asking for a job")
        except ModelFailed as error:
            raise ModelFailed(
                f"{error} (if the job was created after all it is found so, and no other is made)"
            ) from error

    def follow(self, job: Job) -> Job:
        """Wait for the end of a job; what happens meanwhile is told.

        A provider that cannot be reached meanwhile is asked again until the job's time is over.

        Raises:
            ModelFailed: it failed, was cancelled, or did not end in time and was cancelled for
                that.
        """
        self._own = job
        known: set[str] = set()
        since, pause, failures = self._clock(), SOON, 0
        age = None
        while True:
            try:
                job = self._look(job.id)
                age = job.age if age is None else age
                news = self._news(job.id, known)
                failures = 0
            except Passing as passing:
                failures += 1
                seconds = self._waiting.backoff(failures, passing.after)
                words = f"job {job.id}: {passing}; again in {seconds:.0f} s"
            else:
                if job.is_over:
                    self._note(news)
                    return self._ended(job)
                pause = SOON if news else min(2 * pause, self._poll)
                seconds = self._waiting.jittered(min(pause, self._poll))
                words = self._note(news) or f"job {job.id}: {job.status}"
            left = self._timeout - (age or 0.0) - (self._clock() - since)
            if left <= 0:
                raise ModelFailed(self._overdue(job))
            self._waiting.wait(min(seconds, left), words)

    def cancel(self, digest: str) -> list[str]:
        """Cancel every job with that digest that is under way, and the one that was asked for here,
        whether the provider keeps its digest or not; why any could not be.

        Nobody can end this before its time, for it is the end.
        """
        quiet, own = self._quiet(), self._own
        left: list[str] = []
        try:
            jobs = [
                job
                for job in self._provider.jobs(quiet)
                if (job.metadata or {}).get(MARK) == digest and not job.is_over
            ]
        except GreenlightError as error:
            jobs, left = [], [f"any job with the metadata {MARK}={digest}: {error}"]
        if own is not None and own.id not in {job.id for job in jobs}:
            jobs.append(own)
        return left + [said for job in jobs if (said := self._cancelled(job, quiet)) is not None]

    def _quiet(self) -> Waiting:
        """Pauses that nobody is told of, and so cannot be ended."""
        return Waiting(
            lambda _share, _words: None,
            pause=self._waiting.pause,
            luck=self._waiting.luck,
            tries=CANCEL_TRIES,
        )

    def _cancelled(self, job: Job, quiet: Waiting) -> str | None:
        """None once a job is cancelled, or over; else why it is neither."""
        try:
            quiet.persist(lambda: self._provider.cancel(job.id), f"cancelling job {job.id}")
        except GreenlightError as error:  # over already, or it cannot be had
            return None if self._is_over(job, quiet) else f"job {job.id}: {error}"
        return None

    def _is_over(self, job: Job, quiet: Waiting) -> bool:
        try:
            return quiet.persist(lambda: self._provider.job(job.id), "looking").is_over
        except GreenlightError:
            return False

    def _look(self, name: str) -> Job:
        try:
            return self._provider.job(name)
        except BadInput as error:
            raise BadInput(
                f"{error} (job {name} goes on there; {GO_ON} takes it up)", error.param
            ) from error

    def _news(self, name: str, known: set[str]) -> list[Event]:
        try:
            return self._provider.events(name, known)
        except BadInput:  # not every provider tells of events
            return []

    def _overdue(self, job: Job) -> str:
        left = self._cancelled(job, self._quiet())
        then = "it was cancelled" if left is None else f"it could not be cancelled ({left})"
        return (
            f"job {job.id} was not done within {self._timeout:g} s (train.options.timeout), and "
            f"{then}; give it longer, or fewer rows, and run again"
        )

    def _processed(self, file: File) -> File:
        """The file once the provider has looked through it."""
        waited, pause = 0.0, SOON
        while file.status not in ("processed", "error") and waited < PROCESSING:
            self._waiting.wait(pause, f"file {file.id}: {file.status}")
            waited, pause = waited + pause, min(2 * pause, self._poll)
            file = self._waiting.persist(
                functools.partial(self._provider.file, file.id), f"file {file.id}"
            )
        if file.status == "error":
            raise BadInput(
                f"file {file.filename}: the provider cannot read it "
                f"({file.status_details or 'no reason given'}); delete it there and run again",
                "file",
            )
        return file

    def _note(self, news: list[Event]) -> str | None:
        """Take note of what happened; the words of the newest, and the share done if it says so."""
        self.events += news
        for event in news:
            data = event.data or {}
            step, total = data.get("step"), data.get("total_steps")
            if isinstance(step, int | float) and isinstance(total, int | float) and total > 0:
                share = min(1.0, step / total)
                self._waiting.share = max(
                    self._waiting.share, UPLOADED + (FOLLOWED - UPLOADED) * share
                )
        return news[-1].message if news else None

    def _ended(self, job: Job) -> Job:
        if job.status == DONE:
            if not job.fine_tuned_model:
                raise ModelFailed(f"job {job.id} succeeded, and names no model; ask the provider")
            return job
        if job.status == CANCELLED:
            raise ModelFailed(
                f"job {job.id} was cancelled at the provider, and not by this run; run again for "
                "another one"
            )
        fault = job.error
        said = "no reason given" if fault is None else (fault.message or fault.code or "no reason")
        field = f" ({fault.param})" if fault is not None and fault.param else ""
        raise ModelFailed(
            f"job {job.id} ended at the provider as {job.status}{field}: {said}; mend that and run "
            "again: its files are not uploaded twice"
        )
