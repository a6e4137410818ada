"""The provider's files and jobs, by the official SDK, with answers held against their form.

The SDK tries nothing again here: whoever creates a job or uploads a file must first look whether
the call before went through after all, and all waits can be ended (`patience`).
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from greenlight.adapters.trainers.openai_jobs.patience import GO_ON, Passing, Waiting
from greenlight.core.errors import BadInput, MissingData, ModelFailed, Refused

if TYPE_CHECKING:
    import openai

T = TypeVar("T", bound=msgspec.Struct)

UPLOAD_TIMEOUT = 600.0
"""Seconds without a sign of life while a file is uploaded or read."""
PAGE = 100
MOST_RESULT = 64 << 20
"""Bytes of a result file that are read."""
PURPOSE: Final = "fine-tune"
DONE, CANCELLED = "succeeded", "cancelled"
OVER = frozenset({DONE, CANCELLED, "failed"})
"""What a job can end as; whatever else it is called, it is under way."""
_SHOWN = 300
_PASSING = frozenset({408, 409, 425, 429})


class File(msgspec.Struct, frozen=True):
    """A file at the provider."""

    id: str
    filename: str
    bytes: int
    status: str = "processed"
    status_details: str | None = None


class Fault(msgspec.Struct, frozen=True):
    """Why a job failed."""

    code: str | None = None
    message: str | None = None
    param: str | None = None


class Job(msgspec.Struct, frozen=True):
    """A fine-tuning job."""

    id: str
    status: str
    model: str
    created_at: int = 0
    fine_tuned_model: str | None = None
    error: Fault | None = None
    hyperparameters: dict[str, Any] | None = None
    method: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    result_files: list[str] = []
    trained_tokens: int | None = None
    finished_at: int | None = None
    age: float = 0.0
    """Seconds since its creation when it was looked at, by the provider's clock."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.status in OVER


class Event(msgspec.Struct, frozen=True):
    """Something that happened in a job."""

    id: str
    created_at: int
    message: str
    level: str = "info"
    data: dict[str, Any] | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """A model on the way to the one that a job makes."""

    id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, float | None] = {}


class _Page(msgspec.Struct, frozen=True):
    data: list[dict[str, Any]]
    has_more: bool | None = None


class Provider:
    """Files and jobs. Every call raises `Passing` where it may go well the next time."""

    def __init__(
        self, url: str, key: str | None, *, timeout: float, key_name: str | None = None
    ) -> None:
        """Prepare; the first call connects.

        Args:
            url: the base address.
            key: the secret; it is sent and never shown.
            timeout: seconds that an answer may take.
            key_name: the variable that holds the key, for messages.

        Raises:
            MissingData: the SDK is not installed.
        """
        try:
            import openai
        except ImportError as error:
            raise MissingData(
                "train.backend openai needs the SDK: pip install 'greenlight-ml[openai]'"
            ) from error
        self._sdk = openai
        self._url = url
        self._key = key
        self._key_name = key_name
        self._client: openai.OpenAI = openai.OpenAI(
            base_url=url, api_key=key or "none", max_retries=0, timeout=timeout
        )
        self._slow = self._client.with_options(timeout=UPLOAD_TIMEOUT)

    def __enter__(self) -> Provider:
        """Begin; what is asked connects."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._client.close()

    def files(self, waiting: Waiting) -> Iterator[File]:
        """Every file for fine-tuning, page by page."""
        raw = self._client.files.with_raw_response
        return self._paged(
            lambda after: raw.list(purpose=PURPOSE, limit=PAGE, after=after), File, waiting, "files"
        )

    def file(self, name: str) -> File:
        """A file by its id."""
        return self._one(lambda: self._client.files.with_raw_response.retrieve(name), File)

    def upload(self, path: Path, name: str, told: Callable[[float], None]) -> File:
        """Upload a file under a name; `told` hears the share that is sent, and may raise."""
        with _Watched(path, told) as file:
            return self._one(
                lambda: self._slow.files.with_raw_response.create(
                    file=(name, file, "application/jsonl"), purpose=PURPOSE
                ),
                File,
            )

    def create(self, body: dict[str, Any]) -> Job:
        """Create a job."""
        jobs = self._client.fine_tuning.jobs.with_raw_response
        return self._one(lambda: jobs.create(**body), Job)

    def jobs(self, waiting: Waiting) -> Iterator[Job]:
        """Every job, page by page, the newest first."""
        raw = self._client.fine_tuning.jobs.with_raw_response
        return self._paged(lambda after: raw.list(limit=PAGE, after=after), Job, waiting, "jobs")

    def job(self, name: str) -> Job:
        """A job by its id."""
        jobs = self._client.fine_tuning.jobs.with_raw_response
        answer = self._asked(lambda: jobs.retrieve(name))
        job = self._read(answer, Job)
        return msgspec.structs.replace(job, age=_age(answer, job.created_at))

    def cancel(self, name: str) -> Job:
        """Cancel a job."""
        jobs = self._client.fine_tuning.jobs.with_raw_response
        return self._one(lambda: jobs.cancel(name), Job)

    def events(self, name: str, known: set[str]) -> list[Event]:
        """What happened in a job and is not known yet, the oldest first; it is known then."""
        raw = self._client.fine_tuning.jobs.with_raw_response
        found: list[Event] = []
        seen = set(known)
        after: Any = self._sdk.omit
        while True:
            page = self._page(lambda at: raw.list_events(name, limit=PAGE, after=at), after)
            events = [self._convert(one, Event) for one in page.data]
            fresh = [one for one in events if one.id not in seen]
            found += fresh
            seen.update(one.id for one in fresh)
            if not page.has_more or len(fresh) < len(events) or not events:
                known.update(seen)
                return sorted(found, key=lambda one: one.created_at)
            after = events[-1].id

    def checkpoints(self, name: str) -> list[Checkpoint]:
        """The models that a job made on its way, by their step."""
        raw = self._client.fine_tuning.jobs.checkpoints.with_raw_response
        page = self._page(lambda _: raw.list(name, limit=PAGE), None)
        found = [self._convert(one, Checkpoint) for one in page.data]
        return sorted(found, key=lambda one: one.step_number)

    def content(self, name: str) -> bytes:
        """What is in a file."""
        answer = self._asked(lambda: self._slow.files.with_raw_response.content(name), json=False)
        data: bytes = answer.content
        return data[:MOST_RESULT]

    def lacks(self, model: str) -> bool:
        """Whether the provider says that it has no such model; False where it does not tell."""
        try:
            self._asked(lambda: self._client.models.with_raw_response.retrieve(model))
        except _Told as error:
            return error.code == "model_not_found"
        return False

    def _paged(
        self, call: Callable[[Any], Any], kind: type[T], waiting: Waiting, what: str
    ) -> Iterator[T]:
        after: Any = self._sdk.omit
        begun: set[str] = set()
        while True:
            page = waiting.persist(functools.partial(self._page, call, after), f"listing {what}")
            for one in page.data:
                yield self._convert(one, kind)
            if not page.has_more or not page.data:
                return
            after = str(page.data[-1].get("id"))
            if after in begun:  # whoever does not look at `after` begins anew for ever
                raise ModelFailed(f"{self._url} lists {what} without an end: {after} comes again")
            begun.add(after)

    def _page(self, call: Callable[[Any], Any], after: Any) -> _Page:
        return self._read(self._asked(lambda: call(after)), _Page)

    def _one(self, call: Callable[[], Any], kind: type[T]) -> T:
        return self._read(self._asked(call), kind)

    def _asked(self, call: Callable[[], Any], *, json: bool = True) -> Any:
        """The answer to a call, with its head and body as they came."""
        try:
            answer = call().http_response
        except self._sdk.APIStatusError as error:
            raise self._translated(error) from None
        except self._sdk.APITimeoutError:
            raise Passing(f"{self._url} did not answer in time") from None
        except self._sdk.APIConnectionError as error:
            reason = self._hidden(str(error.__cause__ or error))
            raise Passing(f"no connection to {self._url} ({reason[:_SHOWN]})") from None
        kind = str(answer.headers.get("content-type", "")).partition(";")[0]
        if json and not kind.endswith("json"):
            raise Passing(
                f"{self._url} answers with {kind or 'no type'} and not with JSON; "
                "is train.options.url the base address, such as …/v1?",
                odd=True,
            )
        return answer

    def _read(self, answer: Any, kind: type[T]) -> T:
        try:
            return self._convert(msgspec.json.decode(answer.content), kind)
        except msgspec.DecodeError as error:
            raise Passing(f"{self._url} answers with broken JSON ({error})", odd=True) from None

    def _convert(self, value: Any, kind: type[T]) -> T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            what = kind.__name__.strip("_").lower()
            raise Passing(
                f"{self._url} answers with no {what} of this protocol ({error})", odd=True
            ) from None

    def _translated(self, error: openai.APIStatusError) -> Exception:
        """What an answer of 400 or more means."""
        status, said = error.status_code, self._said(error)
        code = str(error.code or "")
        if status in (401, 403):
            variable = self._key_name or "none is set"
            return BadInput(
                f"train.options.key ({variable}): {self._url} does not let it in ({status}: {said})"
                f"; set the variable to a key that is valid, and go on: {GO_ON}",
                "key",
            )
        if status == 429 and code == "insufficient_quota":
            return Refused(f"{self._url}: the account has no credit left ({said}); add some")
        if status in _PASSING or status >= 500:
            return Passing(f"{self._url} answers {status}: {said}", after=_after(error.response))
        return _Told(
            f"{self._url} answers {status}: {said}", str(error.param) if error.param else None, code
        )

    def _said(self, error: openai.APIStatusError) -> str:
        """The provider's words; of a page for browsers, that it is one."""
        kind = str(error.response.headers.get("content-type", "")).partition(";")[0]
        if not kind.endswith("json"):
            return f"{kind or 'an answer without a type'}, and no JSON"
        body = error.body
        said = body.get("message") if isinstance(body, dict) else None
        return self._hidden(str(said or error.message))[:_SHOWN]

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


class _Told(BadInput):
    """The provider turned a request down; `code` is its word for why."""

    def __init__(self, message: str, param: str | None, code: str) -> None:
        self.code = code
        super().__init__(message, param)


class _Watched(io.FileIO):
    """A file that says how far it is read; whoever hears of it may end the reading."""

    def __init__(self, path: Path, told: Callable[[float], None]) -> None:
        super().__init__(path)
        self._size = max(1, path.stat().st_size)
        self._told = told

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, and say so."""
        data = super().read(-1 if size is None else size)
        self._told(min(1.0, self.tell() / self._size))
        return data or b""


def _age(answer: Any, created_at: int) -> float:
    """Seconds between the creation of a job and an answer, by the clock of who gave both."""
    stamp = _stamp(answer.headers.get("date"))
    return 0.0 if stamp is None or not created_at else max(0.0, stamp - created_at)


def _after(answer: Any) -> float | None:
    """The seconds that `Retry-After` asks for; a time is read by the clock of who gave it."""
    text = str(answer.headers.get("retry-after") or "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        until, now = _stamp(text), _stamp(answer.headers.get("date"))
        return None if until is None or now is None else max(0.0, until - now)


def _stamp(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
