"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from greenlight.config import Settings
from greenlight.ports import Clock, Store

Outcome = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """One line of a diagnosis."""

    check: str
    """What was tried, such as `store`."""
    outcome: Outcome
    what: str
    """What was seen."""
    fix: str | None = None
    """How to mend it; a finding that is not ok has one."""


def ok(check: str, what: str) -> Finding:
    """It works."""
    return Finding(check, "ok", what)


def warning(check: str, what: str, fix: str) -> Finding:
    """It works, with less than it could."""
    return Finding(check, "warning", what, fix)


def fault(check: str, what: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check, "fault", what, fix)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is examined."""

    settings: Settings
    environ: Mapping[str, str]
    clock: Clock
    store: Store | None = None
    """The store, where it is sound; no check that reads it is made without."""
    patience: float = 5.0
    """Seconds that anything elsewhere may take to answer."""
