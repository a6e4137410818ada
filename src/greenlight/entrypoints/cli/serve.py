"""Commands that run until they are told to stop: gateway, controller, up."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from greenlight import wiring
from greenlight.entrypoints.cli.common import opened

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@click.command()
@click.pass_context
def gateway(context: click.Context) -> None:
    """Answer requests until SIGTERM; see docs/http.md."""
    _log()
    with opened(context) as app:
        _serve(app, _say)


@click.command()
@click.pass_context
def controller(context: click.Context) -> None:
    """Look at the evidence and decide until SIGTERM."""
    from greenlight.entrypoints.controller import control

    _log()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    with opened(context) as app:
        click.echo(f"controller: looking every {app.settings.controller.interval / 1e6:g} s")
        control(app, _name(), stop)


@click.command()
@click.pass_context
def up(context: click.Context) -> None:
    """Run gateway and controller in one process until SIGTERM."""
    _log()
    with opened(context) as app, _controller(app) as begin:
        _serve(app, begin)


def _serve(app: wiring.App, listening: Callable[[str], None]) -> None:
    """Answer requests; `listening` is called with the address once it listens."""
    from greenlight.entrypoints.gateway import serve

    settings = app.settings.gateway
    # Several gateways of one machine differ by their ports; after a restart the name is the same.
    replica = f"{socket.gethostname()}:{settings.port}"
    built = wiring.build_gateway(app, replica=replica)
    serve(built, settings.host, settings.port, ready=listening)


def _say(url: str) -> None:
    click.echo(f"gateway: listening on {url}")


@contextmanager
def _controller(app: wiring.App) -> Iterator[Callable[[str], None]]:
    """A controller on a thread of its own, from when the gateway listens until it ends.

    A gateway that cannot listen leaves nothing decided behind.
    """
    from greenlight.entrypoints.controller import control

    stop = threading.Event()
    thread = threading.Thread(target=control, args=(app, _name(), stop), name="controller")

    def begin(url: str) -> None:
        _say(url)
        thread.start()

    try:
        yield begin
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()


def _name() -> str:
    """A holder of the lease, unlike any other."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
