"""Kept connections against a server that answers byte by byte what it is told (S1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from greenlight.adapters.runtimes import connections
from greenlight.adapters.runtimes.connections import (
    Address,
    BrokenConnection,
    ConnectionPoolManager,
)
from tests.serving.harness import asynchronous

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Script:
    """Answers each request with the next of these, and counts; None closes the connection."""

    def __init__(self, *answers: bytes | Sequence[bytes] | None) -> None:
        self.answers = list(answers)
        self.accepted = 0
        self.requests: list[bytes] = []
        self.url = ""
        self.pools = ConnectionPoolManager()
        self.go = asyncio.Event()
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                if isinstance(answer, bytes):
                    writer.write(answer)
                    if b"connection: close" in answer or b"200 Until" in answer:
                        return
                    continue
                for part in answer:
                    writer.write(part)
                    await writer.drain()
                    await self.go.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def playing(script: Script) -> AsyncIterator[Address]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script.url = f"http://127.0.0.1:{port}"
    made = script.pools.address(f"{script.url}/v1/x?a=1", {"content-type": "text/plain"})
    try:
        yield made
    finally:
        await made.close()
        server.close()
        await server.wait_closed()


async def ask(made: Address, body: bytes = b"body") -> tuple[int, bytes]:
    answer = await made.post(body)
    try:
        return answer.status, await answer.read()
    finally:
        answer.release()


@asynchronous
async def test_a_connection_is_used_again() -> None:
    script = Script(OK, OK, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", OK)
    async with playing(script) as made:
        assert [await ask(made) for _ in range(4)] == [
            (200, b"hi"),
            (200, b"hi"),
            (200, b"abc"),
            (200, b"hi"),
        ]
    assert script.accepted == 1
    first = script.requests[0]
    assert first.startswith(b"POST /v1/x?a=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert first.endswith(b"content-type: text/plain\r\ncontent-length: 4\r\n\r\nbody")


@asynchronous
async def test_as_many_connections_as_requests_under_way() -> None:
    script = Script(*[[OK]] * 3, OK)
    async with playing(script) as made:
        answers = await asyncio.gather(*(made.post(b"") for _ in range(3)))
        for answer in answers:
            answer.release()
        script.go.set()
    assert script.accepted == 3


@asynchronous
async def test_one_that_the_server_has_closed_is_replaced() -> None:
    """The request is sent once more where not a byte came back, and only on a kept connection."""
    script = Script(OK, None, OK, None)
    async with playing(script) as made:
        assert await ask(made) == (200, b"hi")
        assert await ask(made) == (200, b"hi")
        assert (script.accepted, len(script.requests)) == (2, 3)
        script.answers = [OK[:20], OK]
        script.answers[0] = b"HTTP/1.1 200 Until\r\ncontent-length: 5\r\n\r\nhi"
        with pytest.raises(BrokenConnection, match="ended before the answer did"):
            await ask(made)
        assert len(script.requests) == 4


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (None, "ended before the answer did"),
        (b"ICY 200 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n", "no HTTP"),
        (b"HTTP/1.1 200 Until\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "ended before"),
    ],
)
@asynchronous
async def test_what_is_no_answer(answer: bytes | None, fault: str) -> None:
    async with playing(Script(answer)) as made:
        with pytest.raises(BrokenConnection, match=fault):
            await ask(made)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 Until\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    ],
)
@asynchronous
async def test_ways_to_end_an_answer(answer: bytes, body: bytes) -> None:
    async with playing(Script(answer, OK)) as made:
        assert await ask(made) == (200, body)
        assert await ask(made) == (200, b"hi")


@asynchronous
async def test_bits_come_as_they_are_sent() -> None:
    script = Script([CHUNKED + b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"])
    async with playing(script) as made:
        answer = await made.post(b"")
        bits = answer.bits()
        assert await anext(bits) == b"abc"
        script.go.set()
        assert await anext(bits) == b"de"
        assert [bit async for bit in bits] == []
        answer.release()


@asynchronous
async def test_what_is_let_go_before_its_end_is_closed() -> None:
    script = Script([CHUNKED + b"3\r\nabc\r\n"])
    async with playing(script) as made:
        answer = await made.post(b"")
        answer.release()
        script.go.set()
        await script.closed.wait()


@asynchronous
async def test_an_answer_to_nothing_closes_the_connection() -> None:
    """Or it would be taken for the answer to the next request."""
    script = Script(OK + OK, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nright")
    async with playing(script) as made:
        assert await ask(made) == (200, b"hi")
        assert await ask(made) == (200, b"right")
    assert script.accepted == 2


@asynchronous
async def test_a_slow_reader_makes_the_server_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PAUSE_AT", 1000)
    bit = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    script = Script(CHUNKED + bit * 20_000 + b"0\r\n\r\n")
    async with playing(script) as made:
        answer = await made.post(b"")
        size = most = 0
        async for data in answer.bits():
            size += len(data)
            most = max(most, len(data))
        answer.release()
    assert size == 20_000_000 and most < 2_000_000


@asynchronous
async def test_a_whole_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_BYTES", 1000)
    script = Script(CHUNKED + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 50)
    async with playing(script) as made:
        with pytest.raises(BrokenConnection, match="more than 1000 bytes"):
            await ask(made)


@asynchronous
async def test_nobody_listens() -> None:
    async with playing(Script()) as made:
        pass
    with pytest.raises(BrokenConnection, match="cannot connect"):
        await ask(made)


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(ValueError, match="line break"):
        ConnectionPoolManager().address(
            "http://localhost/", {"authorization": "Bearer x\r\nhost: evil"}
        )


@asynchronous
async def test_those_who_post_to_one_server_share_its_connections() -> None:
    """N1: a candidate meets the provider over what control has opened, and leaves it to control."""
    script = Script(*[OK] * 4)
    async with playing(script) as control:
        pools, url = script.pools, script.url
        assert await ask(control) == (200, b"hi")
        candidate = pools.address(f"{url}/v1/y", {"authorization": "Bearer other"})
        assert await ask(candidate) == (200, b"hi")
        await candidate.close()
        await candidate.close()
        assert await ask(control) == (200, b"hi")
    assert script.accepted == 1
    assert b"bearer" not in script.requests[2].lower()


@asynchronous
async def test_after_the_last_one_the_connections_are_closed() -> None:
    script = Script(OK, OK)
    async with playing(script) as made:
        answer = await made.post(b"")
        assert await answer.read() == b"hi"
        other = script.pools.address(script.url, {})
        await other.close()
        assert not script.closed.is_set()
        answer.release()
        await made.close()
        await asyncio.wait_for(script.closed.wait(), 10)


@asynchronous
async def test_what_comes_back_after_the_last_one_left_is_closed() -> None:
    script = Script(OK)
    async with playing(script) as made:
        answer = await made.post(b"")
        await made.close()
        assert await answer.read() == b"hi"
        answer.release()
        await asyncio.wait_for(script.closed.wait(), 10)


@asynchronous
async def test_no_more_are_kept_than_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEPT", 1)
    script = Script([OK], [OK], OK, OK)
    async with playing(script) as made:
        answers = await asyncio.gather(*(made.post(b"") for _ in range(2)))
        script.go.set()
        for answer in answers:
            assert await answer.read() == b"hi"
            answer.release()
        await script.closed.wait()
        assert await ask(made) == (200, b"hi")
    assert script.accepted == 2
