"""The gateway's port: free, or answered by a gateway of this installation."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from greenlight.reporting.underway import alive
from greenlight.wiring.doctor.asking import Silent, get
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok


def gateway(subject: Subject) -> Iterator[Finding]:
    """Try to listen there; where somebody does already, ask who."""
    wanted = subject.settings.gateway
    address = f"{wanted.host}:{wanted.port}"
    try:
        family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
        with socket.create_server((wanted.host, wanted.port), family=family):
            pass
    except OSError as error:
        yield _taken(subject, address, error)
    else:
        yield ok("gateway", f"{address} is free")


def _taken(subject: Subject, address: str, error: OSError) -> Finding:
    url = subject.settings.gateway_url
    # create_server repeats the address behind the reason, in parentheses.
    reason = str(error.strerror).partition(" (")[0]
    try:
        answer = get(f"{url}/healthz", patience=subject.patience)
    except Silent as silent:
        return fault(
            "gateway",
            f"{address}: cannot listen ({reason}), and no gateway answers ({silent})",
            "stop what listens there, or choose another gateway.port or gateway.host",
        )
    own = _own(subject)
    if answer.status == 200 and own is not None:
        return ok("gateway", f"{url}: the gateway {own} of this installation answers")
    return fault(
        "gateway",
        f"{address}: something answers {answer.status} there that is no gateway of this store",
        "stop it, or choose another gateway.port",
    )


def _own(subject: Subject) -> str | None:
    """A replica of this store that runs on that port of this machine."""
    if subject.store is None:
        return None
    name = f"{socket.gethostname()}:{subject.settings.gateway.port}"
    replicas = alive(subject.store, subject.clock.now())
    return next((one.id for one in replicas if one.id.partition("/")[0] == name), None)
