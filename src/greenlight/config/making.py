"""[tasks.NAME.…]: how a task's versions are made, called, met and kept record of."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from greenlight.core import lora_options, tuning_options
from greenlight.core.policy import Policy, RolloutPolicy
from greenlight.core.records import SECOND

TAGGERS = frozenset({"token-tagger"})
"""Backends whose models tag words; those of all others classify."""

TALKERS = frozenset({"openai", "hf-lora"})
"""Backends that teach language models, which also answer chats."""


class TrainSettings(Policy, frozen=True, kw_only=True):
    """[tasks.NAME.train]: how a version is made."""

    backend: Literal[
        "tfidf-linear",
        "char-ngram",
        "encoder-head",
        "encoder-finetune",
        "token-tagger",
        "openai",
        "hf-lora",
        "none",
    ]
    """Needed to classify and to tag. The trainer: `token-tagger` to tag, one of the others to
    classify; `openai` and `hf-lora` teach language models, and take chats, too; `none` where
    versions are only brought in."""
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    """What the trainer lets one choose, such as `{ C = 0.5 }`."""
    seed: int = 2025
    """Seed of every random choice in curation and training."""
    schedule: str | None = None
    """When a worker begins a run by itself: five fields of cron, in UTC."""
    new_feedback: int | None = None
    """A worker begins a run once this many answers were judged since the last run began."""

    def problems(self) -> Iterable[str]:
        if not 0 <= self.seed < 2**32:
            yield f"seed: {self.seed} is outside [0, 2³²)"
        if self.new_feedback is not None and self.new_feedback < 1:
            yield f"new_feedback: {self.new_feedback} would begin run after run; use 1 or more"
        if self.schedule is not None:
            yield from _schedule_problems(self.schedule)
        if self.backend == tuning_options.BACKEND:
            for problem in tuning_options.problems(self.options):
                yield f"options.{problem}"
        if self.backend == lora_options.BACKEND:
            for problem in lora_options.problems(self.options):
                yield f"options.{problem}"


def _schedule_problems(schedule: str) -> Iterable[str]:
    from cronsim import CronSim, CronSimError

    try:
        next(CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        yield (
            f"schedule: {schedule!r} is no time of cron that ever comes; write minute, hour, day, "
            'month and day of the week, such as "0 2 * * 0" (Sundays at two)'
        )


class RuntimeSettings(Policy, frozen=True, kw_only=True):
    """[tasks.NAME.runtime]: how a version is called."""

    timeout: int = 2 * SECOND
    """How long a version may take to answer before control answers for it."""

    def problems(self) -> Iterable[str]:
        if self.timeout <= 0:
            yield "timeout: must be longer than zero"


class SegmentSettings(Policy, frozen=True, kw_only=True):
    """[[tasks.NAME.segments]]: requests that meet one arm whatever the split."""

    when: dict[str, str]
    """What a request's metadata must say, field by field: all of it."""
    variant: Literal["control", "candidate"]
    """The arm."""

    def problems(self) -> Iterable[str]:
        if not self.when:
            yield "when: name at least one field, or the segment would be everybody"


class CaptureSettings(Policy, frozen=True, kw_only=True):
    """[tasks.NAME.capture]: what is kept of the texts of requests and answers."""

    share: float = 1.0
    """The probability with which the texts of a request are kept; it is logged with each."""
    mask: tuple[Literal["input", "output"], ...] = ()
    """Texts that are never kept: `input`, `output`."""
    pii: bool = False
    """Whether personal data is taken out of texts before they are kept; it takes its time on every
    request."""

    def problems(self) -> Iterable[str]:
        if not 0 <= self.share <= 1:
            yield f"share: {self.share} is outside [0, 1]"


def alien_backend(backend: str, kind: str) -> Iterable[str]:
    """A trainer of models that are not of the task's kind."""
    if backend == "none":
        return
    if kind == "chat":
        if backend not in TALKERS:
            taken = " or ".join(sorted(TALKERS))
            yield f"train.backend: {backend} teaches no model to talk; take {taken}"
    elif (kind == "tag") != (backend in TAGGERS):
        fitting = "token-tagger" if kind == "tag" else "tfidf-linear, encoder-head, …"
        yield f"train.backend: {backend} makes no model for a task of kind {kind}; take {fitting}"


def blind_alarms(
    alarms: Container[str], kind: str, rollout: RolloutPolicy, capture: CaptureSettings
) -> Iterable[str]:
    """The declared alarms that could never see anything, and so would hold every rollout."""
    if "class_shift" in alarms and kind != "classify":
        yield f"alarms.class_shift: a task of kind {kind} gives no classes; leave the alarm out"
    elif "class_shift" in alarms and "output" in capture.mask:
        yield "alarms.class_shift: the labels are not kept (capture.mask); leave one of both out"
    if "shadow_disagreement_rate" in alarms and not rollout.shadow:
        yield (
            "alarms.shadow_disagreement_rate: no copies are made; give the candidate a time in the "
            'shadow, as in rollout.shadow = "15m"'
        )
