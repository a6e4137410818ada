"""The channels of one installation: what stands behind each, and following the ledger on them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from greenlight.config import NotifySettings, Settings
from greenlight.config.notify import PORTS, is_web
from greenlight.core import ids
from greenlight.core.errors import ConfigError, NotFound
from greenlight.core.notices import Backlog, Notice, trial
from greenlight.ports import Clock
from greenlight.ports.notifier import NotDelivered, Notifier
from greenlight.stages import notify
from greenlight.wiring.app import App

if TYPE_CHECKING:
    from greenlight.adapters.notifiers.email import EmailNotifier

PATIENCE = 5.0
"""Seconds that a server for mail may go without a sign of life."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as it is delivered on."""

    notifier: Notifier
    on: frozenset[str]
    """The kinds of messages that it wants."""
    pages: str | None
    """Where people open the pages."""

    @property
    def name(self) -> str:
        """What it is called in greenlight.toml."""
        return self.notifier.name


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test message."""

    channel: str
    kind: str
    delivered: bool
    error: str | None = None


class _Unready:
    """Stands for a channel that lacks something on this machine: its messages wait in the ledger.

    Once what it lacks is there and the process has started anew they are delivered.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self._problem = problem

    def send(self, notice: Notice) -> None:
        """See `ports.notifier.Notifier.send`."""
        raise NotDelivered(self._problem, retry=True)


def open_notifier(
    settings: Settings, name: str, clock: Clock, environ: Mapping[str, str] = os.environ
) -> Notifier:
    """What delivers on a channel.

    Raises:
        ConfigError: a variable that holds one of its secrets is not set, or holds none.
    """
    channel = settings.notify[name]
    if channel.kind == "email":
        return open_mail(settings, name, environ)
    url = resolved(channel.url, f"notify.{name}.url", environ)
    if not is_web(url):
        # It is not shown, for it is a secret.
        where = (channel.url or "").removeprefix("env:")
        raise ConfigError([f"notify.{name}.url: the variable {where} holds no https:// address"])
    if channel.kind == "slack":
        from greenlight.adapters.notifiers.slack import SlackNotifier

        return SlackNotifier(name, url, clock=clock)
    from greenlight.adapters.notifiers.webhook import WebhookNotifier

    secret = resolved(channel.secret, f"notify.{name}.secret", environ)
    return WebhookNotifier(name, url, secret, clock=clock)


def open_mail(
    settings: Settings,
    name: str,
    environ: Mapping[str, str] = os.environ,
    patience: float = PATIENCE,
) -> EmailNotifier:
    """A channel of e-mail.

    Args:
        settings: of the installation.
        name: of the channel.
        environ: the variables in force.
        patience: seconds without a sign of life.

    Raises:
        ConfigError: the variable with its password is not set.
    """
    from greenlight.adapters.notifiers.email import EmailNotifier

    channel = settings.notify[name]
    password = channel.password
    if password is not None:
        password = resolved(password, f"notify.{name}.password", environ)
    return EmailNotifier(
        name,
        host=channel.host or "",
        port=channel.port or PORTS[channel.security],
        sender=channel.sender or "",
        to=channel.to or (),
        security=channel.security,
        user=channel.user,
        password=password,
        patience=patience,
    )


def open_channels(app: App) -> list[Channel]:
    """Every channel of greenlight.toml, each from where it left off; a new one from now on.

    One that lacks a variable is there as well, so that nothing of what happens is lost to it.
    """
    found = []
    for name, channel in app.settings.notify.items():
        notify.begin(app.store, name, app.clock.now())
        try:
            notifier = open_notifier(app.settings, name, app.clock)
        except ConfigError as error:
            notifier = _Unready(name, "; ".join(error.problems))
        pages = pages_of(app.settings, channel)
        found.append(Channel(notifier=notifier, on=channel.kinds, pages=pages))
    return found


def deliver(app: App, channel: Channel, holder: str) -> notify.Step:
    """Go on to the next message of a channel; see `stages.notify.deliver`.

    Raises:
        Conflict: another process has moved the channel on meanwhile.
        LostLease: it took so long that another process may deliver now.
    """
    return notify.deliver(
        app.store,
        channel.notifier,
        on=channel.on,
        pages=channel.pages,
        holder=holder,
        now=app.clock.now,
        random=app.random,
    )


def try_channel(app: App, name: str) -> Trial:
    """Send a test message now.

    Raises:
        NotFound: no such channel.
    """
    channel = _channel(app.settings, name)
    now = app.clock.now()
    try:
        notifier = open_notifier(app.settings, name, app.clock)
        notifier.send(trial(name, f"test-{ids.fresh(now, app.random)}", now))
    except ConfigError as error:
        problem = "; ".join(error.problems)
        return Trial(channel=name, kind=channel.kind, delivered=False, error=problem)
    except NotDelivered as error:
        return Trial(channel=name, kind=channel.kind, delivered=False, error=str(error))
    return Trial(channel=name, kind=channel.kind, delivered=True)


def backlogs(app: App) -> list[Backlog]:
    """How far every channel is behind the ledger."""
    now = app.clock.now()
    return [
        notify.backlog(app.store, name, channel.kind, now)
        for name, channel in app.settings.notify.items()
    ]


def _channel(settings: Settings, name: str) -> NotifySettings:
    found = settings.notify.get(name)
    if found is None:
        known = ", ".join(sorted(settings.notify)) or "none; write [notify.NAME]"
        raise NotFound(f"channel {name!r}: not in greenlight.toml; there are: {known}")
    return found


def resolved(value: str | None, where: str, environ: Mapping[str, str]) -> str:
    """A setting, or what the variable holds that it names.

    Args:
        value: of the setting.
        where: the setting's path.
        environ: the variables in force.

    Raises:
        ConfigError: the variable is not set.
    """
    if value is None or not value.startswith("env:"):
        return value or ""
    name = value.removeprefix("env:")
    secret = environ.get(name, "").strip()
    if not secret:
        raise ConfigError([f"{where}: the variable {name} is not set"])
    return secret


def pages_of(settings: Settings, channel: NotifySettings) -> str | None:
    """Where people open the pages: as the channel says, or the gateway where others reach it."""
    if channel.pages is not None:
        return channel.pages
    host = settings.gateway.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None if host == "localhost" else settings.gateway_url
    return None if address.is_loopback or address.is_unspecified else settings.gateway_url
