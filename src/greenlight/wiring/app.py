"""The store, the folders and the people of one installation."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from greenlight import lookup
from greenlight.adapters import signing
from greenlight.adapters.blobs import FolderBlobs
from greenlight.adapters.clock import SystemClock
from greenlight.adapters.stores.sql import SqlStore
from greenlight.config import Settings
from greenlight.core import drill
from greenlight.core.approval import Person, Quorum
from greenlight.core.errors import Refused
from greenlight.core.records import Approval, Version
from greenlight.core.states import VersionStatus
from greenlight.lookout import Lookout
from greenlight.ports import Blobs, Clock, Store
from greenlight.ports.cache import Cache
from greenlight.ports.kill_switch import KillSwitch
from greenlight.stages import approve
from greenlight.wiring.caching import open_cache
from greenlight.wiring.killing import open_kill_switch
from greenlight.wiring.ledger import Publisher, Random, note_configuration


@dataclass(frozen=True)
class App:
    """What one process works with."""

    settings: Settings
    store: Store
    clock: Clock
    random: Random
    raw: Blobs
    """Datasets as collected."""
    datasets: Blobs
    """Datasets prepared for training."""
    bundles: Blobs
    publisher: Publisher
    """Publishes the ledger's head when it has moved."""
    cache: Callable[[], Cache]
    """The cache, opened when it is first asked for."""
    kills: KillSwitch
    """The kill switch, looked at when all else was opened. Who runs on looks again."""
    lookout: Lookout = field(default_factory=Lookout)
    """What this process has seen of the alarms."""

    def act(self) -> None:
        """Put the configuration on the ledger, where it is news: this process is about to act."""
        note_configuration(self.settings, self.store, self.clock)


@contextmanager
def open_app(settings: Settings) -> Iterator[App]:
    """Open the store and the folders beside it; publish what the ledger has become, and close.

    Raises:
        StoreError: the store cannot be opened.
    """
    store = SqlStore(settings.store_url)
    stack = ExitStack()
    try:
        clock, random = SystemClock(), secrets.token_bytes
        publisher = Publisher(settings, store, clock, random)
        try:
            yield App(
                settings=settings,
                store=store,
                clock=clock,
                random=random,
                raw=FolderBlobs(Path(settings.root) / "data" / "raw"),
                datasets=FolderBlobs(Path(settings.root) / "data" / "processed"),
                bundles=FolderBlobs(settings.state / "bundles"),
                publisher=publisher,
                cache=functools.cache(lambda: stack.enter_context(open_cache(settings))),
                kills=open_kill_switch(settings),
            )
        finally:
            publisher.publish()
    finally:
        stack.close()
        store.close()


def new_person(random: Random) -> tuple[str, str]:
    """A new secret for a person, and the public key that belongs to it."""
    secret = signing.new_secret(random)
    return secret, signing.public_key(secret)


def public_key(secret: str) -> str:
    """The public key that belongs to a secret.

    Raises:
        BadInput: the text is no secret.
    """
    return signing.public_key(secret)


def person_of(settings: Settings, secret: str) -> Person:
    """Whose secret this is.

    Raises:
        BadInput: the text is no secret.
        Refused: nobody has the key that belongs to it.
    """
    return approve.identify(secret, settings.people, signing.public_key)


def sign_off(
    app: App,
    version: Version,
    *,
    secret: str,
    decision: str,
    why: str,
    evaluation: str | None = None,
) -> Approval:
    """Record a person's word on a version under the task's policy; see `stages.approve.decide`."""
    app.act()
    return approve.decide(
        app.store,
        version=version,
        evaluation=evaluation,
        secret=secret,
        people=app.settings.people,
        decision=decision,
        why=why,
        policy=app.settings.task(version.task).approval,
        sign=signing.sign,
        public_key=signing.public_key,
        verify=signing.verify,
        now=app.clock.now(),
        random=app.random,
    )


def standing(
    app: App,
    version: Version,
    *,
    expires: bool = True,
    initiator: str | None = None,
    as_control: bool = False,
) -> Quorum:
    """What the approvals of a version amount to now; see `lookup.standing`."""
    return lookup.standing(
        app.store,
        version,
        policy=app.settings.task(version.task).approval,
        people=app.settings.people,
        verify=signing.verify,
        now=app.clock.now(),
        expires=expires,
        initiator=initiator,
        as_control=as_control,
    )


def authorise(
    app: App,
    digest: str,
    *,
    expires: bool = True,
    initiator: str | None = None,
    as_control: bool = False,
) -> None:
    """Refuse a version without a valid quorum of approvals (REQUIREMENTS G1, G2).

    Args:
        app: the open store and settings.
        digest: the version.
        expires: False for what is live as control, which is never refused for expiry.
        initiator: who is about to start a rollout of it and so must not have signed.
        as_control: whether it is to serve as control, for which its adoption is enough.

    Raises:
        NotFound: no such version.
        Tampered: its record was changed.
        Refused: its approvals are not enough; the message says what is missing.
    """
    version = lookup.genuine(lookup.find_version(app.store, digest))
    if as_control and drill.is_drill(version.runtime):
        raise Refused(
            f"{version.label} rehearses a fault ({drill.told(version.runtime)}): it never serves "
            "as control"
        )
    quorum = standing(app, version, expires=expires, initiator=initiator, as_control=as_control)
    if not quorum.ok:
        hints = "".join(f"; {problem}" for problem in quorum.problems)
        way = _way_out(app, version, initiator)
        raise Refused(f"{version.label} is not approved: {quorum}{hints}; {way}")


def _way_out(app: App, version: Version, initiator: str | None) -> str:
    """What has to happen before a version is approved."""
    if version.status in (VersionStatus.REGISTERED, VersionStatus.GATED_OUT):
        return f"an evaluation must pass the gates; see: greenlight versions show {version.label}"
    words = lookup.everything(app.store, Approval, {"version": version.digest})
    if any(word.person == initiator for word in words):
        return f"{initiator} signed and so cannot start it; let somebody who did not sign do that"
    return f"who must sign does so by: greenlight approve {version.label} -m WHY"
