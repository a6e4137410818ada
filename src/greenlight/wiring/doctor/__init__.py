"""`greenlight doctor`: everything that an installation needs, tried for real.

Each check is a function that yields findings; it changes nothing, fetches nothing, spends no tokens
and waits for nothing longer than a few seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from greenlight import config
from greenlight.adapters.clock import SystemClock
from greenlight.core.errors import ConfigError, GreenlightError, StoreError
from greenlight.ports import Store
from greenlight.wiring.doctor import (
    cache,
    data,
    gateway,
    language,
    machine,
    mlflow,
    notify,
    people,
    providers,
    store,
    tuning,
)
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning

__all__ = ["Finding", "Subject", "examine"]

Check = Callable[[Subject], Iterable[Finding]]

WITHOUT_STORE: tuple[tuple[str, Check], ...] = (
    ("disk", machine.disks),
    ("store", store.store),
)
"""Tried first: whether the others may look into the store."""

CHECKS: tuple[tuple[str, Check], ...] = (
    ("cache", cache.cache),
    ("people", people.people),
    ("ledger", people.ledger),
    ("encoder", data.encoder),
    ("torch", data.torch),
    ("base", language.bases),
    ("data", data.datasets),
    ("gateway", gateway.gateway),
    ("providers", providers.providers),
    ("training", tuning.providers),
    ("notify", notify.channels),
    ("mlflow", mlflow.mlflow),
    ("clock", machine.clock),
)
"""Name → check, in the order in which they are told."""


def examine(
    file: Path, environ: Mapping[str, str] = os.environ, patience: float = 5.0
) -> Iterator[Finding]:
    """Try everything; findings come as they are made.

    Args:
        file: the configuration.
        environ: the variables in force.
        patience: seconds that anything elsewhere may take to answer.
    """
    yield from machine.software()
    try:
        settings = config.load(file, environ)
    except ConfigError as error:
        for problem in error.problems:
            yield fault("configuration", problem, "correct that line; see docs/configuration.md")
        yield warning("configuration", "nothing else can be tried", "run greenlight doctor again")
        return
    yield ok("configuration", f"{file}: valid; tasks: {', '.join(settings.tasks) or 'none'}")
    for problem in config.warnings(settings):
        yield warning("configuration", problem, "change it, or know that it stands in the way")
    subject = Subject(settings=settings, environ=environ, clock=SystemClock(), patience=patience)
    sound = True
    for name, check in WITHOUT_STORE:
        for finding in _tried(name, check, subject):
            sound = sound and (name != "store" or finding.outcome == "ok")
            yield finding
    with _opened(settings, sound) as records:
        if records is None and settings.store_path.exists():
            yield warning("store", "what is on record was not looked into", "mend the store first")
        subject = msgspec.structs.replace(subject, store=records)
        for name, check in CHECKS:
            yield from _tried(name, check, subject)


def _tried(name: str, check: Check, subject: Subject) -> Iterator[Finding]:
    """A check that cannot end the others: whatever it raises is a finding."""
    try:
        yield from check(subject)
    except GreenlightError as error:
        yield fault(name, str(error), "mend what the line before says")
    except Exception as error:
        yield fault(
            name,
            f"could not be tried: {type(error).__name__}: {error}",
            "mend what it names; if it names nothing, report it",
        )


@contextmanager
def _opened(settings: config.Settings, sound: bool) -> Iterator[Store | None]:
    """The store to look into; None where it is not there yet, or not as it should be."""
    if not sound or not settings.store_path.exists():
        yield None
        return
    from greenlight.adapters.stores.sql import SqlStore

    try:
        opened = SqlStore(settings.store_url)
    except StoreError:
        yield None
        return
    try:
        yield opened
    finally:
        opened.close()
