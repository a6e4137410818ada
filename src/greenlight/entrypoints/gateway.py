"""Running an ASGI application as a process: uvicorn with uvloop and httptools."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from greenlight.core.errors import GreenlightError, Refused

_BACKLOG = 2048
_GRACE_SECONDS = 15


class NotStarted(GreenlightError):
    """The application could not start; its log says why."""


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int, name: str = "gateway") -> socket.socket:
    """A socket that listens.

    Args:
        host: the address to listen on.
        port: the port, 0 for any free one.
        name: who listens, for the message.

    Raises:
        Refused: the port is taken.
    """
    try:
        listener = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        # create_server repeats the address behind the reason, in parentheses.
        reason = str(error.strerror).partition(" (")[0]
        raise Refused(
            f"{name}: cannot listen on {host}:{port}: {reason}; stop what listens there, or choose "
            "another port"
        ) from error
    # Accepted connections inherit this. Without it the head and the body of an answer, two small
    # writes, wait for each other through the client's delayed acknowledgement: 40 ms per answer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(
    app: Any,
    host: str,
    at: int | socket.socket,
    *,
    name: str = "gateway",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way and return.

    Args:
        app: an ASGI application with lifespan.
        host: the address on which it listens.
        at: the port, 0 for any free one; or a socket that listens already.
        name: what to call it in the line printed when it listens.
        ready: called with the URL when it listens, instead of printing that line.

    Raises:
        Refused: the port is taken.
        NotStarted: the application did not start.
    """
    listener = listen(host, at, name) if isinstance(at, int) else at
    url = f"http://{host}:{listener.getsockname()[1]}"

    def tell() -> None:
        if ready is None:
            print(f"{name}: listening on {url}", flush=True)
        else:
            ready(url)

    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config, tell)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it has stopped; then there is nothing left to do.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    with listener:
        server.run(sockets=[listener])
    if not server.started:
        raise NotStarted(f"{name}: the application did not start; see the log above")
