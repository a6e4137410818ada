"""[notify.NAME]: channels on which people and programs hear of what happens.

One table for every kind of channel: what a kind has no use for must not stand there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlsplit

from greenlight.core.notices import USUAL
from greenlight.core.policy import Policy
from greenlight.core.telling import Kind

_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+")

NEEDED = {"webhook": ("url", "secret"), "slack": ("url",), "email": ("host", "sender", "to")}
"""Kind → settings that it cannot do without."""

POSSIBLE = {"webhook": (), "slack": (), "email": ("port", "security", "user", "password")}
"""Kind → settings that it may have besides."""

PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""Security → the port where a server for mail is usually found."""

_WHAT = {
    "url": "the address that messages are posted to",
    "secret": "the variable with the secret that they are signed with, as in env:ACME_HOOK_SECRET",
    "host": "the server that takes mail",
    "sender": "the address that mail comes from",
    "to": 'who gets it, as in ["oncall@acme.example"]',
}


class NotifySettings(Policy, frozen=True, kw_only=True):
    """[notify.NAME]: a channel."""

    kind: Literal["webhook", "slack", "email"]
    """`webhook`: JSON, signed. `slack`: an incoming webhook of Slack, Mattermost or what else takes
    such messages. `email`: by SMTP."""
    on: tuple[Kind, ...] | None = None
    """The kinds of messages that it gets, such as `["rollback", "hold"]`; without it, what ends a
    rollout or waits for somebody."""
    pages: str | None = None
    """Where people open the pages, such as `"https://greenlight.acme.example"`, for links. Without
    it, the gateway's own address where that is one which others can open."""
    url: str | None = None
    """Needed by `webhook` and `slack`. The address that messages are posted to. If there is a
    secret in it, as in Slack's, `env:NAME`, a variable that holds it."""
    secret: str | None = None
    """Needed by `webhook`. Where the secret is that messages are signed with: `env:NAME`."""
    host: str | None = None
    """Needed by `email`. The server that takes mail."""
    port: int | None = None
    """Its port. Without it 587, 465 with `tls`, 25 with `none`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How mail is kept from being read on its way to the server: by TLS from STARTTLS on, by `tls`
    from the start, or not."""
    user: str | None = None
    """Who logs in at the server, if anybody has to."""
    password: str | None = None
    """Where the user's password is: `env:NAME`."""
    sender: str | None = None
    """Needed by `email`. The address that mail comes from."""
    to: tuple[str, ...] | None = None
    """Needed by `email`. The addresses that get it."""

    def problems(self) -> Iterable[str]:
        own = (*NEEDED[self.kind], *POSSIBLE[self.kind])
        for name in NEEDED[self.kind]:
            if not getattr(self, name):
                yield f"{name}: {self.kind} needs it: {_WHAT[name]}"
        for name in sorted({*_WHAT, *POSSIBLE["email"]} - {*own}):
            if getattr(self, name) not in (None, "starttls"):
                yield f"{name}: {self.kind} has no use for it; leave it out"
        if self.on == ():
            yield "on: nothing would ever be sent; name kinds, or leave the setting out"
        if self.pages is not None and not _is_address(self.pages):
            yield "pages: write an address such as https://greenlight.acme.example"
        yield from _address_problems(self)
        yield from _secret_problems(self)
        yield from _mail_problems(self)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of messages that it gets."""
        return frozenset(USUAL if self.on is None else self.on)


def _address_problems(channel: NotifySettings) -> Iterable[str]:
    if channel.url is None or channel.kind == "email" or _VARIABLE.fullmatch(channel.url):
        return
    if channel.kind == "slack":
        yield "url: it is a secret; name the variable that holds it, as in env:ACME_SLACK_URL"
    elif not _is_address(channel.url):
        # It may hold a secret, so it is not shown.
        yield (
            "url: this is no address without a secret; write https://host/path, or name the "
            "variable that holds it, as in env:ACME_HOOK_URL"
        )


def _secret_problems(channel: NotifySettings) -> Iterable[str]:
    for name in ("secret", "password"):
        value = getattr(channel, name)
        if value is not None and not _VARIABLE.fullmatch(value):
            yield f"{name}: name the variable that holds it, as in env:ACME_{name.upper()}"


def _mail_problems(channel: NotifySettings) -> Iterable[str]:
    if channel.kind != "email":
        return
    if channel.port is not None and not 1 <= channel.port <= 65535:
        yield f"port: {channel.port} is outside 1–65535"
    if (channel.user is None) != (channel.password is None):
        yield "user: who logs in needs a password, and a password a user"
    elif channel.user is not None and channel.security == "none":
        yield "security: without it anybody on the way could read the password"
    for name, addresses in (("sender", (channel.sender,)), ("to", channel.to or ())):
        for address in addresses:
            if address is not None and not (address.isascii() and _ADDRESS.fullmatch(address)):
                yield f"{name}: {address!r} is no address; write one such as ops@acme.example"


def is_web(text: str) -> bool:
    """Whether this is an address of the web."""
    try:
        found = urlsplit(text)
        _ = found.port  # where it is no number this says so
    except ValueError:
        return False
    return found.scheme in ("http", "https") and bool(found.hostname)


def _is_address(text: str) -> bool:
    """Whether this is an address of the web that holds no secret."""
    if not is_web(text) or re.search(r"\s", text):
        return False
    found = urlsplit(text)
    return "@" not in found.netloc and not found.query
