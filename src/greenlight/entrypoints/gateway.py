"""Running an ASGI application as a process: uvicorn with uvloop and httptools."""

from __future__ import annotations

import contextlib
import errno
import functools
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from greenlight.core.errors import GreenlightError, Refused

_BACKLOG = 2048
_GRACE_SECONDS = 15
_REMEDIES = {
    errno.EADDRINUSE: "stop what listens there, or choose another port ({}port)",
    errno.EACCES: "choose a port from 1024 on ({}port)",
}
_ELSEWHERE = "choose an address that this machine has ({}host), such as 127.0.0.1"


class NotStarted(GreenlightError):
    """The application could not start; the message says why."""


class _Heard:
    """Passes everything on to an application, and remembers why it could not start."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.reason = "the application did not start; see the log above"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as the application does."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, functools.partial(self._hear, send))
        else:
            await self._app(scope, receive, send)

    async def _hear(self, send: Any, message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":
            self.reason = f"cannot start: {message['message']}; mend that, and start it again"
            message = {**message, "message": ""}  # told once, in the end
        await send(message)


class _Server(uvicorn.Server):
    """A server that says when it listens, and when it begins to end."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], leaving: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._leaving = leaving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._leaving()
        await super().shutdown(sockets)


def listen(host: str, port: int, name: str = "gateway") -> socket.socket:
    """A socket that listens.

    Args:
        host: the address to listen on.
        port: the port, 0 for any free one.
        name: who listens, for the message.

    Raises:
        Refused: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # create_server repeats the address behind the reason, in parentheses.
        reason = str(error.strerror).partition(" (")[0]
        settings = "gateway." if name == "gateway" else "--"
        remedy = _REMEDIES.get(error.errno or 0, _ELSEWHERE).format(settings)
        raise Refused(
            f"{name}: cannot listen on {url_place(host, port)}: {reason}; {remedy}"
        ) from error
    # Accepted connections inherit this. Without it the head and the body of an answer, two small
    # writes, wait for each other through the client's delayed acknowledgement: 40 ms per answer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_place(host: str, port: int) -> str:
    """An address and a port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(
    app: Any,
    host: str,
    at: int | socket.socket,
    *,
    name: str = "gateway",
    ready: Callable[[str], None] | None = None,
    leaving: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way and return.

    Args:
        app: an ASGI application with lifespan.
        host: the address on which it listens.
        at: the port, 0 for any free one; or a socket that listens already.
        name: what to call it in the line printed when it listens.
        ready: called with the URL when it listens, instead of printing that line.
        leaving: called before the requests under way are waited for.

    Raises:
        Refused: the port is taken.
        NotStarted: the application did not start.
    """
    listener = listen(host, at, name) if isinstance(at, int) else at
    url = f"http://{url_place(host, listener.getsockname()[1])}"

    def tell() -> None:
        if ready is None:
            print(f"{name}: listening on {url}", flush=True)
        else:
            ready(url)

    heard = _Heard(app)
    config = uvicorn.Config(
        heard,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config, tell, leaving)
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal again once it has stopped; then there is nothing left to do.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    # uvicorn would end the process by itself where the application does not start.
    with listener, contextlib.suppress(SystemExit):
        server.run(sockets=[listener])
    if not server.started:
        raise NotStarted(f"{name}: {heard.reason}")
