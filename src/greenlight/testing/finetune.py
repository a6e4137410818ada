"""`greenlight finetune-server` on a port of this machine, in the process of a test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from greenlight.core.errors import GreenlightError
from greenlight.wiring.tuning import build_tuning_server


class _Server(uvicorn.Server):
    """A server on a thread, of which another waits until it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = threading.Event()
        """It listens, or could not start."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()

    def serve_until_told(self, listener: socket.socket) -> None:
        """What its thread does."""
        try:
            with contextlib.suppress(SystemExit):  # uvicorn's end where it cannot start
                self.run(sockets=[listener])
        finally:
            self.begun.set()


@contextmanager
def finetune_server(
    folder: Path,
    *,
    base_models: Sequence[str] = (),
    key: str | None = None,
    encoder: bool = False,
    faults: Sequence[str] = (),
    port: int = 0,
    behind: Callable[[Any], Any] = lambda app: app,
) -> Iterator[str]:
    """A fine-tuning service that listens until the end of the block.

    Args:
        folder: where it keeps everything; what is there from before, it goes on with.
        base_models: `NAME` or `NAME=FILE.jsonl`, beside `greenlight-small`.
        key: what opens it; without one it is open to this machine, whatever key is sent.
        encoder: whether models are fitted with the sentence encoder; TF-IDF alone is quicker.
        faults: `KIND[:TIMES][@PATH]`; more can be asked for at `/admin/faults`.
        port: 0 for any free one.
        behind: the ASGI application → one that stands before it, such as one that takes its time.

    Yields:
        Its address, as `http://127.0.0.1:PORT/v1`.

    Raises:
        GreenlightError: it did not start.
    """
    app = build_tuning_server(
        folder,
        base_models=base_models,
        key=key,
        encoder=encoder,
        asked_faults=faults,
        rehearsing=True,
    )
    config = uvicorn.Config(
        behind(app),
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = threading.Thread(target=server.serve_until_told, args=(listener,))
    with listener:
        thread.start()
        try:
            server.begun.wait()
            if not server.started:
                raise GreenlightError("the fine-tuning service did not start; the log says why")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()
