"""The channels on which people hear of what happens. Nothing is sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from greenlight.core.errors import ConfigError
from greenlight.core.records import MINUTE
from greenlight.ports.notifier import NotDelivered
from greenlight.stages.notify import backlog
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning
from greenlight.wiring.notifying import open_mail, open_notifier, resolved

LONG = 10 * MINUTE
"""A channel that is so long behind has no controller, or waits for its receiver."""


def channels(subject: Subject) -> Iterator[Finding]:
    """The variables of every channel, and whether something answers where it leads."""
    for name, channel in subject.settings.notify.items():
        try:
            if channel.kind == "email":
                place = f"{channel.host}: takes mail"
                open_mail(subject.settings, name, subject.environ, subject.patience).check()
            else:
                open_notifier(subject.settings, name, subject.clock, subject.environ)
                url = resolved(channel.url, f"notify.{name}.url", subject.environ)
                place = f"{urlsplit(url).hostname}: answers"
                _reach(url, subject.patience)
        except ConfigError as error:
            what = "; ".join(error.problems)
            yield fault("notify", what, "set it for the controller; its messages wait meanwhile")
        except (NotDelivered, OSError) as error:
            what = f"{name} ({channel.kind}): {_told(error)}"
            yield fault("notify", what, f"mend it, then: greenlight notify test {name}")
        else:
            yield ok("notify", f"{name} ({channel.kind}): {place}; nothing was sent")
        yield from _late(subject, name, channel.kind)


def _late(subject: Subject, name: str, kind: str) -> Iterator[Finding]:
    if subject.store is None:
        return
    found = backlog(subject.store, name, kind, subject.clock.now())
    if found.seconds > LONG / 1_000_000:
        why = f": {found.error}" if found.error else ""
        yield warning(
            "notify",
            f"{name} ({kind}): {found.seconds:.0f} s behind{why}",
            "see that a controller runs (greenlight up or greenlight controller), and: "
            f"greenlight notify test {name}",
        )


def _reach(url: str, patience: float) -> None:
    """Connect to where a message would go first, with TLS if it would; nothing is sent.

    Raises:
        OSError: it cannot be reached, or its certificate is not trusted.
    """
    aim = urlsplit(url)
    proxy = urllib.request.getproxies().get(aim.scheme)
    if proxy and not urllib.request.proxy_bypass(aim.hostname or ""):
        aim = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = aim.port or (443 if aim.scheme == "https" else 80)
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(
            socket.create_connection((aim.hostname or "", port), timeout=patience)
        )
        if aim.scheme == "https":
            trusted = ssl.create_default_context()
            stack.enter_context(trusted.wrap_socket(plain, server_hostname=aim.hostname))


def _told(error: NotDelivered | OSError) -> str:
    if isinstance(error, NotDelivered):
        return str(error)
    return f"cannot be reached: {error.strerror or type(error).__name__}"
