"""A model server whose latency, failures and accuracy are known, and can be changed under way.

    python -m benchmarks.rollback.model PORT ROWS SEED

ROWS are JSON lines {"text", "label"}: the truth. Every first part of a path is a model of its own:
`POST /NAME/predict` answers as docs/http.md says, `POST /NAME/behave` takes a `Behaviour`, and
`GET /healthz` answers when it listens. Latency is lognormal.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import uvloop

from benchmarks.connection import Connection

MEDIAN_MS = 75.0
SIGMA = 0.25
"""Of the logarithm: 95 of 100 answers take less than 113 ms, 99 less than 134 ms."""
SCORE = 0.9


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is like."""

    accuracy: float = 0.94
    """The probability with which it tells the true label."""
    errors: float = 0.0
    """The probability with which it answers 500 instead."""
    slower: float = 1.0
    """How many times as long as usual it takes."""


class Row(msgspec.Struct, frozen=True):
    """A text and its true label."""

    text: str
    label: str


class _Request(msgspec.Struct, frozen=True):
    inputs: list[str]


class _Answer(msgspec.Struct, frozen=True):
    label: str
    score: float


class _Answers(msgspec.Struct, frozen=True):
    predictions: list[_Answer]


class Model:
    """One model: its behaviour and its luck."""

    def __init__(self, truth: Mapping[str, str], rng: np.random.Generator) -> None:
        self.behaviour = Behaviour()
        self._truth = truth
        self._labels = sorted(set(truth.values()))
        self._rng = rng

    def latency(self) -> float:
        """How long the next answer takes, in seconds."""
        usual = MEDIAN_MS / 1000 * float(np.exp(SIGMA * self._rng.standard_normal()))
        return usual * self.behaviour.slower

    def answer(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to a request."""
        if self._rng.random() < self.behaviour.errors:
            return 500, b'{"error":"it fails, as it was told to"}'
        texts = msgspec.json.decode(body, type=_Request).inputs
        made = [_Answer(self._label(text), SCORE) for text in texts]
        return 200, msgspec.json.encode(_Answers(made))

    def _label(self, text: str) -> str:
        true = self._truth.get(text)
        if true is not None and self._rng.random() < self.behaviour.accuracy:
            return true
        others = [label for label in self._labels if label != true]
        return others[int(self._rng.integers(len(others)))]


class Models:
    """The models of this server, made when they are first asked for."""

    def __init__(self, truth: Mapping[str, str], seed: int) -> None:
        self._truth = truth
        self._seed = seed
        self._made: dict[str, Model] = {}

    def named(self, name: str) -> Model:
        """The model of a name; the same seed and name have the same luck."""
        if name not in self._made:
            rng = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
            self._made[name] = Model(self._truth, rng)
        return self._made[name]


class Answering(Connection):
    """One connection to the models."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def on_message_complete(self) -> None:
        """Answer, in due time."""
        url, body = self.take()
        name, _, what = url.decode().strip("/").partition("/")
        if what == "predict":
            model = self._models.named(name)
            status, answer = model.answer(body)
            loop = asyncio.get_running_loop()
            loop.call_later(model.latency(), self._send, status, answer)
        elif what == "behave":
            self._models.named(name).behaviour = msgspec.json.decode(body, type=Behaviour)
            self._send(200, b"{}")
        else:
            self._send(200 if name == "healthz" else 404, b"{}")

    def _send(self, status: int, body: bytes) -> None:
        if self.transport.is_closing():
            return
        words = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}[status]
        head = f"HTTP/1.1 {status} {words}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


def truth_in(rows: Path) -> dict[str, str]:
    """Text → true label, of a file of JSON lines."""
    lines = rows.read_bytes().splitlines()
    return {row.text: row.label for row in (msgspec.json.decode(line, type=Row) for line in lines)}


async def _serve(port: int, models: Models) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(models), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    port, rows, seed = sys.argv[1:]
    models = Models(truth_in(Path(rows)), int(seed))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(port), models))


if __name__ == "__main__":
    main()
