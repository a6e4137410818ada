"""What travels over HTTP: the objects of OpenAI's API, as its reference gives them.

Only the fields that this server fills or reads are here. Times are whole seconds since 1970 UTC.
(OpenAI API reference: Files, Fine-tuning, Models, Chat.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from greenlight.core.errors import GreenlightError

PURPOSE, RESULTS = "fine-tune", "fine-tune-results"
ORGANIZATION = "greenlight"

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
OPEN: tuple[Status, ...] = ("validating_files", "queued", "running")
"""A job in one of these is not over."""

_Pairs = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
    msgspec.Meta(max_length=16),
]


_SUFFIX = r"^[A-Za-z0-9._-]+\Z"
"""It becomes part of a model's name, and that part of a path."""


class Problem(GreenlightError):
    """What is answered instead: an HTTP status with OpenAI's code, message and parameter."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        self.status = status
        self.code = code
        self.param = param
        super().__init__(message)


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was uploaded, or the results of a job."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    object: str = "file"
    status: str = "processed"
    expires_at: int | None = None
    status_details: str | None = None


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As they were asked for; docs/finetune-server.md says what each of them does here."""

    n_epochs: Literal["auto"] | Annotated[int, msgspec.Meta(ge=1, le=50)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, msgspec.Meta(ge=1, le=256)] = "auto"
    learning_rate_multiplier: Literal["auto"] | Annotated[float, msgspec.Meta(gt=0, le=100)] = (
        "auto"
    )


class Supervised(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the method `supervised`."""

    hyperparameters: Hyperparameters = Hyperparameters()


class Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to fine-tune; this server knows `supervised`."""

    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/fine_tuning/jobs`."""

    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
    suffix: Annotated[str, msgspec.Meta(max_length=64, pattern=_SUFFIX)] | None = None
    metadata: _Pairs | None = None
    integrations: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A fine-tuning job."""

    id: str
    model: str
    training_file: str
    validation_file: str | None
    created_at: int
    seed: int
    hyperparameters: Hyperparameters
    method: Method
    metadata: dict[str, str] | None
    user_provided_suffix: str | None
    status: Status = "validating_files"
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    estimated_finish: int | None = None
    trained_tokens: int | None = None
    result_files: list[str] = []
    error: JobError | None = None
    integrations: list[Any] = []
    organization_id: str = ORGANIZATION
    object: str = "fine_tuning.job"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a job."""

    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"] = "message"
    data: dict[str, Any] | None = None
    object: str = "fine_tuning.job.event"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at a step. Losses are mean −ln of the right answer's probability, and the
    accuracies are shares of conversations: an answer is learnt as a whole."""

    step: int
    train_loss: float
    train_mean_token_accuracy: float
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a job made."""

    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: Metrics
    step_number: int
    object: str = "fine_tuning.job.checkpoint"


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be asked, or fine-tuned further."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: str
    deleted: bool = True


T = TypeVar("T")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    data: Sequence[Any]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None
    object: str = "list"


def page(found: Sequence[T], limit: int) -> Page:
    """The first `limit` of what was found; one more tells that there is more."""
    shown = found[:limit]
    ends = [str(getattr(one, "id", "")) for one in (*shown[:1], *shown[-1:])]
    return Page(
        data=shown,
        has_more=len(found) > limit,
        first_id=ends[0] if ends else None,
        last_id=ends[-1] if ends else None,
    )
