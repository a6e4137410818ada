"""API keys of one installation, and a gateway that must not be left without any."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from greenlight.core import keys
from greenlight.core.errors import Refused
from greenlight.core.records import ApiKey
from greenlight.lookup import find_key
from greenlight.stages import keys as stage
from greenlight.wiring.app import App


def create_key(
    app: App,
    name: str,
    scopes: Sequence[str],
    *,
    rate: str | None = None,
    burst: int | None = None,
    lasts: int | None = None,
    by: str,
) -> tuple[ApiKey, str]:
    """Make a key; returns its record and its text. See `stages.keys.create`.

    Args:
        app: the open store and settings.
        name: what people call it.
        scopes: what it is good for.
        rate: how often it may ask, such as "20/s".
        burst: how many requests at once.
        lasts: microseconds until it expires; None: it does not.
        by: who makes it.
    """
    now = app.clock.now()
    return stage.create(
        app.store,
        name=name,
        scopes=scopes,
        rate=None if rate is None else keys.rate_of(rate),
        burst=burst,
        expires_at=None if lasts is None else now + lasts,
        by=by,
        now=now,
        random=app.random,
    )


def revoke_key(app: App, name: str, *, by: str, why: str) -> ApiKey:
    """Take back the key of that id or name; see `stages.keys.revoke`."""
    found = find_key(app.store, name)
    return stage.revoke(app.store, found, by=by, why=why, now=app.clock.now())


def check_exposed(app: App, host: str, *, allowed: bool) -> None:
    """Refuse to answer everybody without a key at an address that others can reach.

    Args:
        app: the open store and settings.
        host: the address to listen on.
        allowed: whether somebody said that this is meant.

    Raises:
        Refused: the message names the ways out.
    """
    if allowed or is_loopback(host) or app.store.scan(ApiKey, limit=1):
        return
    raise Refused(
        f"gateway.host {host!r} can be reached from elsewhere and there is no API key, so that "
        "everybody could ask and judge; make one (greenlight keys create NAME --scope predict "
        "--scope feedback), or listen on 127.0.0.1, or say --no-keys if that is meant"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name counts only if it is `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
