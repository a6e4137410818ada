"""`greenlight predict` and `feedback`, against a real gateway over HTTP."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenlight.core import keys
from tests.cli.project import Project
from tests.serving.harness import V1, World, asynchronous, eventually, serving

SECRET = keys.make(bytes(range(keys.RANDOM_BYTES)))


@contextmanager
def answering(status: int, body: bytes, shown: list[str | None] | None = None) -> Iterator[str]:
    """A server that says the same to everybody, and notes the keys that it is shown."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if shown is not None:
                shown.append(self.headers["authorization"])
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_prediction_and_a_word_on_it(project: Project, tmp_path: Path) -> None:
    """S7: the id that predict prints is what feedback takes."""

    @asynchronous
    async def talk() -> None:
        world = World(tmp_path / "spool")
        world.epoch(1)
        async with serving(world.gateway()) as client:
            async with client.session.get("/healthz") as response:
                url = str(response.url.origin())

            async def call(*words: str) -> str:
                return await asyncio.to_thread(project.ok, *words, "--url", url)

            text = await call("predict", "intent", "hello", "--unit", "user-7")
            assert text.splitlines()[0] == "v1  0.750"
            id = text.split("greenlight feedback ")[1].split()[0]
            said = await call("feedback", id, "good", "--comment", "well put")
            assert said.startswith(f"GOOD on {id}: ")
            alone = await call("predict", "intent", "hello again", "-q")
            said = await call("feedback", alone.removesuffix("\n"), "bad")
            await eventually(lambda: len(world.feedback()) == 2 or None)
        good, bad = sorted(world.feedback().values(), key=lambda word: -word.value)
        assert (good.inference_id, good.value, good.comment) == (id, 1.0, "well put")
        assert alone == f"{bad.inference_id}\n" and alone != f"{id}\n"
        assert world.inferences()[id].unit == "user-7"

    talk()


def test_a_prediction_may_say_why(project: Project, tmp_path: Path) -> None:
    """S7: the reason stands below the label, and not where there is none."""

    @asynchronous
    async def talk() -> None:
        world = World(tmp_path / "spool")
        world.epoch(1)
        async with serving(world.gateway()) as client:

            async def call() -> list[str]:
                words = ("predict", "intent", "hello", "--url", client.url)
                return (await asyncio.to_thread(project.ok, *words)).splitlines()

            assert len(await call()) == 2
            world.models[V1].reason = "two ideas on one card"
            label, reason, _ = await call()
            assert (label, reason) == ("v1  0.750", "  two ideas on one card")

    talk()


def test_what_the_gateway_refuses_is_the_callers_to_mend(project: Project, tmp_path: Path) -> None:
    @asynchronous
    async def talk() -> None:
        world = World(tmp_path / "spool")
        world.epoch(1)
        async with serving(world.gateway()) as client:
            async with client.session.get("/healthz") as response:
                url = str(response.url.origin())
            for words, says in (
                (["predict", "intents", "hello"], "answered 404"),
                (["predict", "intent", "  "], "the text is empty"),
                (["feedback", "42", "BAD"], "42"),
            ):
                message = await asyncio.to_thread(project.refused, 2, *words, "--url", url)
                assert says in message

    talk()


def test_without_a_gateway(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for words in (["predict", "intent", "hi"], ["feedback", "42", "GOOD"]):
        message = project.refused(1, *words, GREENLIGHT_GATEWAY_PORT=str(port))
        assert f"no gateway answers at http://127.0.0.1:{port}" in message
        assert "start one: greenlight up" in message


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (503, b'{"error": {"message": "the spool is full"}}', 1, "answered 503: the spool is full"),
        (500, b"oops", 1, "answered 500: oops"),
        (501, b"<!DOCTYPE HTML>\n<p>\n  Error\n</p>", 1, "501: <!DOCTYPE HTML> <p> Error </p>"),
        (429, b"", 2, "answered 429: no message"),
        (200, b"<html>", 2, "is no gateway"),
    ],
)
def test_other_answers(project: Project, status: int, body: bytes, code: int, says: str) -> None:
    with answering(status, body) as url:
        assert says in project.refused(code, "predict", "intent", "hi", "--url", url)


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://"])
def test_addresses_that_are_none(project: Project, url: str) -> None:
    result = project.call("predict", "intent", "hi", "--url", url)
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert result.stderr.startswith("greenlight: ")


def test_the_key_of_the_environment_is_shown_to_the_gateway(project: Project) -> None:
    """S8: where keys are needed, these commands need one too."""
    shown: list[str | None] = []
    body = b'{"id": "i-1", "output": {"label": "card", "score": null}}'
    with answering(200, body, shown) as url:
        words = ["predict", "intent", "hi", "--url", url]
        project.ok(*words, GREENLIGHT_API_KEY=f"{SECRET}\n")
        project.ok(*words, GREENLIGHT_API_KEY="")
    assert shown == [f"Bearer {SECRET}", None]


@pytest.mark.parametrize("key", [SECRET[:-1], f"{SECRET}\r\nX-More: 1", "glp_" + SECRET[4:]])
def test_what_is_no_key_is_neither_sent_nor_repeated(project: Project, key: str) -> None:
    shown: list[str | None] = []
    with answering(200, b"{}", shown) as url:
        words = ["predict", "intent", "hi", "--url", url]
        message = project.refused(2, *words, GREENLIGHT_API_KEY=key)
    assert shown == []
    assert "GREENLIGHT_API_KEY holds no key" in message and SECRET[21:30] not in message
