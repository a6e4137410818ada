"""Commands that run until they are told to stop: gateway, controller, worker, up."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from greenlight import wiring
from greenlight.core.errors import GreenlightError
from greenlight.entrypoints.cli.common import opened

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

keyless_option = click.option(
    "--no-keys",
    "keyless",
    is_flag=True,
    help="Answer everybody at an address that others can reach, where there is no API key.",
)


@click.command()
@keyless_option
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that answer, for more than one core.",
)
@click.option("--child", type=int, hidden=True, help="The number of this process among them.")
@click.option("--socket", "inherited", type=int, hidden=True, help="Where it accepts.")
@click.option("--tell", type=int, hidden=True, help="Where it says that it listens.")
@click.pass_context
def gateway(
    context: click.Context,
    keyless: bool,
    workers: int,
    child: int | None,
    inherited: int | None,
    tell: int | None,
) -> None:
    """Answer requests until SIGTERM; see docs/http.md."""
    log_to_stderr()
    if child is not None and inherited is not None and tell is not None:
        _as_child(context, keyless, child, inherited, tell)
        return
    with opened(context) as app:
        if workers == 1:
            _serve(app, _say, keyless)
            return
        settings = app.settings.gateway
        wiring.check_exposed(app, settings.host, allowed=keyless)
        host, port = settings.host, settings.port
    _several(context, workers, host, port, keyless)


def _several(context: click.Context, workers: int, host: str, port: int, keyless: bool) -> None:
    """Several processes that accept from one socket; this one only minds them."""
    from greenlight.entrypoints.gateway import listen, url_place
    from greenlight.entrypoints.several import Several

    command = [sys.executable, "-m", "greenlight.entrypoints.cli"]
    command += ["--config", str(context.find_root().obj), "gateway"]
    command += ["--no-keys"] if keyless else []
    with listen(host, port) as listener:
        address = f"http://{url_place(host, listener.getsockname()[1])}"
        several = Several(command, workers, listener)
        context.exit(several.run(lambda: _say(f"{address} ({workers} processes)")))


def _as_child(
    context: click.Context, keyless: bool, number: int, inherited: int, tell: int
) -> None:
    """One of several gateways: its own replica, on the socket that it was given."""
    from greenlight.entrypoints.gateway import serve

    threading.Thread(target=_end_with_parent, daemon=True).start()
    with opened(context) as app:
        settings = app.settings.gateway
        wiring.check_exposed(app, settings.host, allowed=keyless)
        replica = f"{socket.gethostname()}:{settings.port}/{number}"
        built = wiring.build_gateway(app, replica=replica, shares_metrics=True)
        listener = socket.socket(fileno=inherited)
        serve(built, settings.host, listener, ready=lambda _: _tell(tell))


def _tell(fd: int) -> None:
    os.write(fd, b".")
    os.close(fd)


@click.command()
@click.pass_context
def controller(context: click.Context) -> None:
    """Look at the evidence and decide until SIGTERM."""
    from greenlight.entrypoints.controller import control

    log_to_stderr()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    with opened(context) as app:
        click.echo(f"controller: looking every {app.settings.controller.interval / 1e6:g} s")
        clean = control(app, _name(), stop)
    if not clean:
        _leave()


@click.command()
@click.option("--with-parent", is_flag=True, hidden=True, help="End when standard input does.")
@click.pass_context
def worker(context: click.Context, with_parent: bool) -> None:
    """Carry out runs that are due or were left off, until SIGTERM.

    A run under way is left as it is, and whoever looks next goes on with it.
    """
    from greenlight.entrypoints.mirroring import beside
    from greenlight.entrypoints.worker import attend

    log_to_stderr()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    mirroring = None
    with opened(context) as app, contextlib.suppress(KeyboardInterrupt):
        click.echo(f"worker: looking every {app.settings.worker.interval / 1e6:g} s")
        with beside(app) as mirroring:
            attend(app, threading.Event())
    if mirroring is not None and mirroring.is_alive():
        _leave()  # MLflow does not answer; what it lacks is made up for by the next worker


@click.command()
@keyless_option
@click.pass_context
def up(context: click.Context, keyless: bool) -> None:
    """Run gateway and controller in one process, and a worker beside it, until SIGTERM."""
    log_to_stderr()
    unclean = threading.Event()
    with opened(context) as app, _controller(app, unclean) as begin, _worker(context) as work:

        def listening(url: str) -> None:
            begin(url)
            work()
            _say_what_to_open(app)

        _serve(app, listening, keyless, pages=True)
    if unclean.is_set():
        _leave()


def _leave() -> NoReturn:
    """End at once: Python aborts at its end where a thread still writes to the log."""
    sys.stdout.flush()
    os._exit(0)


def _serve(
    app: wiring.App, listening: Callable[[str], None], keyless: bool, pages: bool = False
) -> None:
    """Answer requests; `listening` is called with the address once it listens."""
    from greenlight.entrypoints.gateway import serve

    settings = app.settings.gateway
    wiring.check_exposed(app, settings.host, allowed=keyless)
    # Several gateways of one machine differ by their ports; after a restart the name is the same.
    replica = f"{socket.gethostname()}:{settings.port}"
    built = wiring.build_gateway(app, replica=replica, pages=pages)
    serve(built, settings.host, settings.port, ready=listening, leaving=built.leave)


def _say(url: str) -> None:
    click.echo(f"gateway: listening on {url}")


def _say_what_to_open(app: wiring.App) -> None:
    """The addresses for a browser, and what each task waits for. A store that is away is no end."""
    from greenlight.wiring.next_step import next_step

    url = app.settings.gateway_url
    click.echo(f"pages: {url}/\nmetrics: {url}/metrics")
    with contextlib.suppress(GreenlightError):
        for task in app.settings.tasks:
            if step := next_step(app, task):
                click.echo(f"{task}: next: {step}")


@contextmanager
def _controller(app: wiring.App, unclean: threading.Event) -> Iterator[Callable[[str], None]]:
    """A controller on a thread of its own, from when the gateway listens until it ends.

    A gateway that cannot listen leaves nothing decided behind. `unclean` is set where a thread of
    the controller's could not be waited for.
    """
    from greenlight.entrypoints.controller import control

    stop = threading.Event()

    def run() -> None:
        if not control(app, _name(), stop):
            unclean.set()

    thread = threading.Thread(target=run, name="controller")

    def begin(url: str) -> None:
        _say(url)
        thread.start()

    try:
        yield begin
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()


@contextmanager
def _worker(context: click.Context) -> Iterator[Callable[[], None]]:
    """A worker in a process of its own, from when the gateway listens until it ends.

    Training in the gateway's process would make its requests wait. The worker sees the end of its
    standard input however this process ends.
    """
    command = [sys.executable, "-m", "greenlight.entrypoints.cli"]
    command += ["--config", str(context.find_root().obj), "worker", "--with-parent"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield lambda: started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    finally:
        for process in started:
            process.terminate()
            process.wait()


def _end_with_parent() -> None:
    # Not sys.stdin: a thread that waits in there holds its lock, and Python aborts at the end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _name() -> str:
    """A holder of the lease, unlike any other."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def log_to_stderr() -> None:
    """Log what happens, as a process does that runs until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    # What a new or an older store is brought to takes a moment, and is nobody's business.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # That a schema is upgraded is worth a line; which parts of Alembic load is not.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
