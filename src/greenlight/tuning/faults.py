"""Faults on request: what a provider's service does on a bad day, for rehearsing it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from typing import Annotated, Literal, get_args

import msgspec

from greenlight.core.errors import BadInput

HTTP = Literal["rate-limit", "error", "hang", "drop", "lose", "html", "expired-key"]
JOB = Literal["job-failed", "job-cancelled", "job-hang"]
_HTTP: tuple[str, ...] = get_args(HTTP)
_TIMES = re.compile(r"[1-9][0-9]{0,5}")
KINDS: tuple[str, ...] = (*_HTTP, *get_args(JOB))


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault that was asked for.

    | kind | what happens |
    |---|---|
    | `rate-limit` | 429 with `Retry-After` |
    | `error` | 500 |
    | `hang` | no answer, until the client leaves |
    | `drop` | the connection breaks, and nothing was done |
    | `lose` | what was asked is done, but the connection breaks before the answer |
    | `html` | a page of HTML with status 200, as a proxy sends it |
    | `expired-key` | 401 |
    | `job-failed`, `job-cancelled` | the next job ends so |
    | `job-hang` | the next job stays `running` until it is cancelled or the faults are cleared |
    """

    kind: HTTP | JOB
    times: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    """How many requests or jobs it meets."""
    method: str = ""
    """Meets requests of this method alone; empty, of any."""
    path: str = ""
    """Meets requests to paths that begin so."""
    seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 1
    """In `Retry-After`."""


class Faults:
    """Those that were asked for and have not happened; any thread may ask."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._waiting = list(faults)
        self.holding = False
        """A job hangs by `job-hang`."""

    def add(self, fault: Fault) -> None:
        """Ask for one more."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Ask for none, and let a job go on that hangs."""
        with self._lock:
            self._waiting.clear()
            self.holding = False

    def waiting(self) -> list[Fault]:
        """Those to come; `times` is how often they will."""
        with self._lock:
            return list(self._waiting)

    def meet(self, method: str, path: str) -> Fault | None:
        """The fault that meets a request."""
        return self._take(
            lambda fault: (
                fault.kind in _HTTP and fault.method in ("", method) and path.startswith(fault.path)
            )
        )

    def meet_job(self) -> Fault | None:
        """The fault that meets a job."""
        found = self._take(lambda fault: fault.kind not in _HTTP)
        self.holding = found is not None and found.kind == "job-hang"
        return found

    def _take(self, fits: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            places = range(len(self._waiting))
            place = next((one for one in places if fits(self._waiting[one])), None)
            if place is None:
                return None
            fault = self._waiting[place]
            if fault.times == 1:
                del self._waiting[place]
            else:
                self._waiting[place] = msgspec.structs.replace(fault, times=fault.times - 1)
            return fault


def read(text: str) -> Fault:
    """A fault as it stands on a command line: `KIND[:TIMES][@PATH]`.

    Raises:
        BadInput: it is none.
    """
    head, _, path = text.partition("@")
    kind, _, times = head.partition(":")
    if kind not in KINDS or (times and not _TIMES.fullmatch(times)):
        raise BadInput(
            f"fault {text!r}: write KIND[:TIMES][@PATH], as in rate-limit:2@/v1/files; "
            f"there are {', '.join(KINDS)}",
            "fault",
        )
    return msgspec.convert({"kind": kind, "times": int(times or 1), "path": path}, Fault)
