"""Everything Greenlight raises on purpose, sorted by whose fault it is.

    GreenlightError
    ├── UserError                 the caller can mend it; exit code 2, HTTP 4xx
    │   ├── ConfigError           greenlight.toml or the environment (all problems at once)
    │   ├── PolicyError           a policy that contradicts itself
    │   ├── NotFound              no such task, version, rollout, inference
    │   ├── Refused               a rule says no (unapproved, equal digests, second rollout)
    │   │   └── TooCostly         a training may cost more than it is allowed to
    │   ├── BadInput              a malformed value in a request or a file
    │   ├── Unauthorized          no key, or none that opens anything
    │   └── TooMany               a key asks more often than it may
    ├── DataError                 data that cannot be had or cannot be trusted
    │   ├── MissingData           a data set or encoder that is not here and cannot be fetched
    │   ├── Tampered              bytes that do not match their digest
    │   └── Unwritable            a folder that takes nothing: full, read-only, another's
    ├── StoreError                the store said no
    │   ├── Conflict              somebody else was first; load again and retry
    │   └── LostLease             no longer the leader; stop and start over
    ├── Aborted                   a run that was ended on request
    └── ModelFailed               a model did not answer (error, timeout, open breaker)

A message names the value, the rule and the fix.
"""

from __future__ import annotations

from collections.abc import Sequence


class GreenlightError(Exception):
    """Base of every deliberate error."""


class UserError(GreenlightError):
    """The caller can mend it."""


class ConfigError(UserError):
    """The configuration is wrong; `problems` lists every fault, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"configuration: {head}", *self.problems]))


class PolicyError(UserError):
    """A policy that contradicts itself."""


class NotFound(UserError):
    """Nothing goes by that name."""


class Refused(UserError):
    """A rule says no."""


class TooCostly(Refused):
    """A training may cost more than it is allowed to; nothing was paid for yet.

    `most` is what it may cost, `limit` what it is allowed to, in the currency of the prices.
    """

    def __init__(self, message: str, most: float, limit: float) -> None:
        self.most = most
        self.limit = limit
        super().__init__(message)


class BadInput(UserError):
    """A malformed value; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class Unauthorized(UserError):
    """No key, or none that opens anything."""


class TooMany(UserError):
    """A key asks more often than it may; it may again in `seconds` (whole ones, at least 1)."""

    def __init__(self, message: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(message)


class DataError(GreenlightError):
    """Data that cannot be had or cannot be trusted."""


class MissingData(DataError):
    """Not here and not to be fetched; the message says how to get it."""


class Tampered(DataError):
    """Bytes that do not match their digest."""


class Unwritable(DataError):
    """A folder that takes nothing: the disk is full, or it may not be written to."""


class StoreError(GreenlightError):
    """The store said no."""


class Conflict(StoreError):
    """Somebody else was first: load again and retry."""


class LostLease(StoreError):
    """No longer the leader: stop and start over."""


class Aborted(GreenlightError):
    """A run was ended on request; what it had half made is cleared away. `left` says what could not
    be ended somewhere else."""

    def __init__(self, message: str, left: str | None = None) -> None:
        self.left = left
        super().__init__(message)


class ModelFailed(GreenlightError):
    """A model did not answer; `status` is the inference status to record."""

    def __init__(self, message: str, status: str = "error") -> None:
        self.status = status
        super().__init__(message)


class RequestRefused(ModelFailed):
    """A model was asked and turned the request itself down: malformed, too long, not allowed.

    `code` is an HTTP status of 400 to 499, `param` the field at fault if it is known.
    """

    def __init__(self, message: str, code: int = 400, param: str | None = None) -> None:
        self.code = code
        self.param = param
        super().__init__(message, "refused")


class Overloaded(ModelFailed):
    """A model takes no more requests just now; `seconds` says for how long, if it said so."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        self.seconds = seconds
        super().__init__(message)
