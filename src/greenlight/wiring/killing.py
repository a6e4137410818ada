"""The kill switch of one installation: obey it, and use it with everything else down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from greenlight.adapters import signing
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.kill_file import KillFile, write
from greenlight.adapters.stores.sql import SqlStore
from greenlight.config import Settings
from greenlight.core import killing
from greenlight.core.approval import Person
from greenlight.core.errors import Refused, Unwritable
from greenlight.core.killing import Judge, KillEntry
from greenlight.core.records import SECOND, Replica
from greenlight.lookup import everything
from greenlight.ports import Clock
from greenlight.ports.kill_switch import KillSwitch
from greenlight.reporting.underway import alive
from greenlight.stages import approve
from greenlight.stages.catch_up import last_word
from greenlight.stages.roll_out import current_epoch

T = TypeVar("T")

_CLOCK = SystemClock()
log = logging.getLogger(__name__)

PATIENCE_S = 1.5
"""How long store or disk may take to tell what they know; nobody waits for them any longer."""

_WAIT_S = 1.0
"""How long gateways may take to tell that they obey."""

_POLL_S = 0.05


class Killed(msgspec.Struct, frozen=True, kw_only=True):
    """What a use of the kill switch came to."""

    entry: KillEntry
    file: str
    replicas: dict[str, bool] | None
    """Live gateway → whether it obeys; None: the store could not be asked, and was not needed."""


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of a task."""

    generation: int
    """The greatest that its newest epoch has, or that any gateway told of."""
    word: KillEntry | None


def judge_of(settings: Settings) -> Judge:
    """Whose word counts in this installation."""
    return Judge(
        project=settings.project.name,
        people=settings.people,
        quorums={name: tuple(task.approval.quorum) for name, task in settings.tasks.items()},
        verify=signing.verify,
    )


def open_kill_switch(settings: Settings) -> KillFile:
    """The kill switch, looked at once; a disk that does not answer keeps nothing from starting."""
    found = KillFile(settings.kill_path, judge_of(settings))
    for fault in kill_faults(found, settings):
        log.warning("kill switch: %s", fault)
    return found


def kill_faults(switch: KillSwitch, settings: Settings) -> Sequence[str]:
    """Look at the kill switch once more; what is wrong with it, a line for each fault."""
    faults = patiently(switch.look)
    return (f"{settings.kill_path}: no answer",) if faults is None else faults


def kill(
    settings: Settings,
    task: str,
    *,
    secret: str,
    why: str,
    lift: bool = False,
    clock: Clock = _CLOCK,
) -> Killed:
    """Take a task's candidate out of traffic for good, or lift that.

    It needs the file of the kill switch and nothing else. Where the store answers in time, it tells
    which gateways obey.

    Args:
        settings: the configuration.
        task: the task's name.
        secret: the person's key, which proves who speaks.
        why: the reason, on record.
        lift: let a new rollout start again.
        clock: the time.

    Raises:
        NotFound: no such task.
        BadInput: no reason, or something that is no secret.
        Refused: an unknown key, nothing to lift, or nobody who may lift.
        StoreError: somebody else holds the file.
        Unwritable: there is no folder for the file.
    """
    settings.task(task)
    now = clock.now()
    person = approve.identify(secret, settings.people, signing.public_key)
    judge = judge_of(settings)
    if lift and (unfit := judge.unfit_to_lift(task, person)) is not None:
        raise Refused(unfit)
    known = patiently(lambda: _ask(settings, task))
    if settings.kill_path.parent.resolve() == settings.state:
        settings.state.mkdir(parents=True, exist_ok=True)
    try:
        entry = write(
            settings.kill_path,
            lambda there: _next(
                there, known, judge, task, secret=secret, person=person, why=why, lift=lift, now=now
            ),
        )
    except FileNotFoundError as error:
        raise Unwritable(
            f"{settings.kill_path}: its folder is not there; is it mounted? ([kill] file)"
        ) from error
    replicas = None if known is None else patiently(lambda: _obeying(settings, entry))
    return Killed(entry=entry, file=str(settings.kill_path), replicas=replicas)


def _next(
    there: Mapping[str, KillEntry],
    known: _Known | None,
    judge: Judge,
    task: str,
    *,
    secret: str,
    person: Person,
    why: str,
    lift: bool,
    now: int,
) -> KillEntry:
    """The next word on a task, signed."""
    valid, _ = killing.merge({}, there, judge)
    last = valid.get(task)
    if known is not None and known.word is not None:
        later = last is None or known.word.generation > last.generation
        last = known.word if later else last
    least = 0 if known is None else known.generation
    if known is None and last is None:
        # Nobody can say how far gateways have counted: no count comes up to the seconds since 1970.
        least = now // SECOND
    made = killing.draft(task, lift=lift, known=last, least=least, person=person, why=why, now=now)
    signature = signing.sign(secret, killing.statement(made, judge.project))
    return msgspec.structs.replace(made, signature=signature)


def _ask(settings: Settings, task: str) -> _Known | None:
    """What the store knows; None where there is none yet."""
    if not settings.store_path.exists():
        return None
    store = SqlStore(settings.store_url)
    try:
        epoch = current_epoch(store, task)
        told = [sign.kills.get(task, 0) for sign in everything(store, Replica)]
        return _Known(
            generation=max([0 if epoch is None else epoch.kill, *told]),
            word=last_word(store, task, None),
        )
    finally:
        store.close()


def _obeying(settings: Settings, entry: KillEntry) -> dict[str, bool]:
    """Which live gateways obey; waits for all of them for as long as somebody waits for this."""
    store = SqlStore(settings.store_url)
    give_up = time.monotonic() + _WAIT_S
    try:
        while True:
            signs = alive(store, entry.at)
            found = {sign.id: sign.kills.get(entry.task, 0) >= entry.generation for sign in signs}
            if all(found.values()) or time.monotonic() > give_up:
                return found
            time.sleep(_POLL_S)
    finally:
        store.close()


def patiently(work: Callable[[], T]) -> T | None:
    """What work gives; None where it fails, or takes longer than `PATIENCE_S`."""
    try:
        return within(PATIENCE_S, work)
    except Exception:
        return None  # whatever is wrong there, what it was to tell is not needed


def within(seconds: float, work: Callable[[], T]) -> T:
    """What work gives, or raises, if that takes no longer than so many seconds.

    Raises:
        TimeoutError: it takes longer. It goes on, and ends with this process.
    """
    found: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            failed.append(error)

    # Not one that the process waits for at its end, however long the store hangs.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer in {seconds:g} seconds")
    return found[0]
