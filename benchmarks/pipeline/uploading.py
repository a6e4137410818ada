"""The files of a fine-tuning job on their way to a provider that takes its time.

A job has two files. The trainer looks for each before it uploads it, one after the other, so that
a training that was killed uploads nothing twice; one by one is what somebody would write first:
upload one, then the other. What could be won is measured too: both on their way at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.curation import text_of
from benchmarks.pages import Found
from benchmarks.pipeline.asking import LABELS, Latency
from greenlight.adapters.trainers.openai_jobs.following import Jobs
from greenlight.adapters.trainers.openai_jobs.lessons import Lesson
from greenlight.adapters.trainers.openai_jobs.patience import Waiting
from greenlight.adapters.trainers.openai_jobs.provider import Provider
from greenlight.core.finetuning import Tally
from greenlight.core.messages import ASSISTANT, USER, Message
from greenlight.testing.finetune import finetune_server
from greenlight.watching import silent

FILES = {"train": 0.8, "validation": 0.1}
"""The files of a job, with their share of its rows."""
PATIENCE_S = 60.0

Upload = Callable[[Lesson], object]


class Slow:
    """An ASGI application that waits before it hands a request on."""

    def __init__(self, app: Any, latency: Latency) -> None:
        self._app = app
        self._latency = latency
        self.requests = self.most_at_once = self._under_way = 0

    def start_over(self) -> None:
        """Count anew; the waits come in the same order again."""
        self.requests = self.most_at_once = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            self.requests += 1
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            await asyncio.sleep(self._latency.of(f"request {self.requests}"))
            self._under_way -= 1
        await self._app(scope, receive, send)


def uploads(rows: int, latency: Latency, jobs: int) -> Found:
    """Upload the files of so many jobs of so many rows, each in every way.

    Raises:
        ValueError: a file did not arrive as it is.
    """
    slow: list[Slow] = []

    def behind(app: Any) -> Slow:
        slow.append(Slow(app, latency))
        return slow[0]

    with (
        tempfile.TemporaryDirectory() as name,
        finetune_server(Path(name, "server"), behind=behind) as url,
        Provider(url, None, timeout=PATIENCE_S) as provider,
    ):
        trainer = Jobs(provider, _waiting(), timeout=PATIENCE_S, poll=1.0)
        ways: dict[str, Callable[[Sequence[Lesson]], None]] = {
            "one_by_one": lambda lessons: _in_turn(lessons, lambda it: _sent(provider, it)),
            "several": lambda lessons: _in_turn(lessons, lambda it: trainer.upload(it, 0.0, 1.0)),
            "both_at_once": lambda lessons: _at_once(lessons, lambda it: _sent(provider, it)),
        }
        done = {}
        for way, upload in ways.items():
            lessons = [_lessons(Path(name), f"{way} {job}", rows) for job in range(jobs)]
            slow[0].start_over()
            began = time.perf_counter()
            for files in lessons:
                upload(files)
            seconds = time.perf_counter() - began
            done[way] = {
                "seconds": round(seconds, 3),
                "requests": slow[0].requests,
                "most_at_once": slow[0].most_at_once,
            }
            _check(provider, [lesson for files in lessons for lesson in files])
    seconds = done["one_by_one"]["seconds"]
    return {
        "jobs": jobs,
        "texts": jobs * len(FILES),
        **done,
        "times_as_fast": round(seconds / done["several"]["seconds"], 2),
        "at_most": round(seconds / done["both_at_once"]["seconds"], 2),
    }


def _in_turn(lessons: Sequence[Lesson], upload: Upload) -> None:
    for lesson in lessons:
        upload(lesson)


def _at_once(lessons: Sequence[Lesson], upload: Upload) -> None:
    with ThreadPoolExecutor(len(lessons)) as pool:
        list(pool.map(upload, lessons))


def _sent(provider: Provider, lesson: Lesson) -> None:
    provider.upload(lesson.path, lesson.name, lambda _share: None)


def _lessons(folder: Path, job: str, rows: int) -> list[Lesson]:
    """The files of a job; no other job's are the same."""
    made = []
    for name, share in FILES.items():
        tally, path = Tally(name), folder / f"{job} {name}.jsonl"
        lines = []
        for number in range(round(rows * share)):
            said = Message(USER, f"{job} {name}: {text_of(number)}")
            lines.append(tally.add([said, Message(ASSISTANT, LABELS[number % 2])]))
        path.write_bytes(b"".join(lines))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        made.append(Lesson(path, f"{name}-{digest}.jsonl", f"sha256:{digest}", tally))
    return made


def _check(provider: Provider, lessons: Sequence[Lesson]) -> None:
    arrived = {file.filename: file.bytes for file in provider.files(_waiting())}
    for lesson in lessons:
        if arrived.get(lesson.name) != lesson.path.stat().st_size:
            raise ValueError(f"{lesson.name} did not arrive")


def _waiting() -> Waiting:
    """Pauses that nobody is told of; there are none where nothing fails."""
    return Waiting(silent, pause=time.sleep, luck=random.Random(2025).random)
