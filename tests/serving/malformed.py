"""Malformed requests from a seed, and a client that sends them byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import Any, Self

import msgspec
from msgspec import Raw

from greenlight.core import ids
from greenlight.serving.settings import MIB

PREDICT, CHAT, FEEDBACK = "/v1/tasks/intent/predict", "/v1/chat/completions", "/v1/feedback"
FLAGS = "/ofrep/v1/evaluate/flags"
ENDPOINTS = (PREDICT, PREDICT, CHAT, CHAT, FEEDBACK, FEEDBACK, FLAGS, f"{FLAGS}/intent")
FRAGMENTS = (
    *(b"null", b"true", b"[]", b"{}", b"[[]]", b"0", b'""', b'" \\t\\n"', b'"%b"' % (b"x" * 300)),
    *(b"1e999", b"-1e999", b"1e-999", b"-0", b"1" + b"0" * 30, b"9" * 400, b"9" * 5000),
    *(b"NaN", b"Infinity", b"nul", b"01", b"1.", b"+1", b"'x'", b"", b'"', b'"\\q"', b'"\\u12"'),
    *(b'"a\x00b"', b'"\x1f"', b'"a\\u0000b"', b'"\\\\u0000"', b'{"\\u0000":1}', b'{"a":1,"a":2}'),
    *(b'"\\ud800"', b'"\\udc00x"', b'"\\ud800\\ud800"', b'"\\ud800\\u0041"', b'"\\ud83d\\ude00"'),
    *(b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'{"\xff":1}', b'[{"name":"\xff"}]'),
    *(b'"%b"' % (b"\xc3\xa9" * 100), b'["GOOD"]', b'{"include_usage":1e999}', b'{"x":9e9999}'),
)
"""What is put in the place of a value; some of it is right."""
DEPTHS = (2, 100, 900, *range(960, 1000, 4), 5000, 100_000)
HEADERS = (
    *(b"x-greenlight-unit: ana", b"x-greenlight-unit:", b"x-greenlight-unit: \xff\xfe"),
    *(b"x-greenlight-unit: " + b"u" * 300, b"x-greenlight-unit: \xc3\xa9", b"X-Greenlight-Unit: a"),
    *(b"x-greenlight-session: \x80", b"x-greenlight-session: s", b"x-greenlight-session: \t"),
    *(b"content-type: text/xml", b"content-type: application/json; charset=utf-16"),
    *(b"content-type: multipart/form-data", b"content-type: \xff", b"content-encoding: gzip"),
    *(b"idempotency-key: k", b"idempotency-key:", b"idempotency-key: " + b"k" * 129),
    *(
        b"idempotency-key: \xff",
        b"if-none-match: *",
        b"if-none-match: \xff",
        b"expect: 100-continue",
    ),
    *(b"authorization: Bearer glk_0123456789abcdef_x", b"authorization: \xff", b"authorization:"),
    *(b"accept: text/event-stream", b"origin: null", b"cookie: " + b"c" * 4000, b"upgrade: h2c"),
    *(b"content-length: x", b"content-length: -1", b"content-length: 99999999999"),
    *(b"content-length: " + b"9" * 5000, b"transfer-encoding: chunked", b"bad header", b": x"),
)


class Answer(msgspec.Struct, frozen=True):
    """What came back; without a status the connection was closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes


class Malice:
    """Requests for every POST endpoint: some good, most spoilt in one way or another."""

    def __init__(self, random: Random, authorization: str, now: int) -> None:
        self._random = random
        self._now = now
        self._authorization = authorization.encode()
        self.known: list[str] = []
        """Ids of inferences that were answered; feedback is given on them."""

    def request(self) -> tuple[bytes, bool]:
        """The bytes of a request, and whether its length is told wrongly."""
        path = self._random.choice(ENDPOINTS)
        body = self._body(path)
        headers = [b"authorization: Bearer " + self._authorization]
        if self._random.random() < 0.4:
            headers += self._random.choices(HEADERS, k=self._random.randint(1, 3))
        target = path.encode()
        if self._random.random() < 0.05:
            target += self._random.choice(
                (b"%00", b"%ff", b"/%zz", b"?a=%ff", b"/" * 9, b"x" * 5000)
            )
        told = any(b"content-length" in one or b"transfer-encoding" in one for one in headers)
        if self._random.random() < 0.1 and not told:
            headers.append(b"transfer-encoding: chunked")
            body = (
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _parts(body))
                + b"0\r\n\r\n"
            )
        elif not told:
            headers.append(b"content-length: %d" % len(body))
        head = b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % (target, b"\r\n".join(headers))
        return head + body, told

    def _body(self, path: str) -> bytes:
        good = msgspec.json.encode(self._good(path))
        spoil: Callable[[bytes, str], bytes] = self._random.choices(
            (self._keep, self._swap, self._nest, self._garble, self._odd, self._oversize),
            weights=(15, 45, 8, 22, 9, 1),
        )[0]
        return spoil(good, path)

    def _good(self, path: str) -> dict[str, Any]:
        random = self._random
        unit = f"u{random.randrange(50)}"
        if path == PREDICT:
            text = {"inputs": ["hello", "there"]} if random.random() < 0.3 else {"input": "hello"}
            return {**text, "unit": unit, "metadata": {"country": "DE"}}
        if path == CHAT:
            task = random.choice(("intent", "support"))
            asked = [{"role": r, "content": "hello", "name": "ana"} for r in ("system", "user")]
            stream = {"stream": True, "stream_options": {"include_usage": random.random() < 0.5}}
            return {
                "model": f"greenlight/{task}",
                "messages": asked,
                "user": unit,
                "metadata": {"a": "b"},
                "temperature": 0.5,
                "response_format": {"type": "text"},
                **(stream if random.random() < 0.5 else {}),
            }
        if path == FEEDBACK:
            said = [self._said() for _ in range(random.randint(1, 3))]
            return {"feedback": said} if random.random() < 0.4 else said[0]
        return {"context": {"targetingKey": unit, "country": "DE"}}

    def _said(self) -> dict[str, Any]:
        random = self._random
        young, old = (ids.uuid7(at, random.randbytes(10)) for at in (self._now, 1))
        [id] = random.choices((random.choice(self.known or [old]), young, old), (18, 1, 1))
        said = {"value": random.choice(("GOOD", "BAD"))}
        rated = {"metric": "stars", "value": random.randrange(6)}
        more = {"comment": "so so", "reviewer": "eve", "reason_code": "r", "correction": "x"}
        return {"inference_id": id, **(rated if random.random() < 0.2 else said), **more}

    def _keep(self, good: bytes, path: str) -> bytes:
        return good

    def _swap(self, good: bytes, path: str) -> bytes:
        """A value anywhere is another, or a field is there twice."""
        fragment = self._random.choice(FRAGMENTS)
        if self._random.random() < 0.2:
            return b"{" + (b'"x":%b,' % fragment) + good[1:]
        if self._random.random() < 0.1:
            return good[:-1] + b"," + good[1:]
        return self._put(good, fragment)

    def _nest(self, good: bytes, path: str) -> bytes:
        depth = self._random.choice(DEPTHS)
        first, last = self._random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")))
        return self._put(good, first * depth + b"1" + last * depth)

    def _put(self, good: bytes, fragment: bytes) -> bytes:
        """The body with a fragment in the place of some value."""
        value = msgspec.json.decode(good)
        inside: Any = value
        while True:
            name = self._random.choice(
                list(inside) if isinstance(inside, dict) else range(len(inside))
            )
            below = inside[name]
            if isinstance(below, dict | list) and below and self._random.random() < 0.7:
                inside = below
                continue
            inside[name] = Raw(fragment)
            return msgspec.json.encode(value)

    def _garble(self, good: bytes, path: str) -> bytes:
        """Cut short, or with bytes that have no business there."""
        random = self._random
        at = random.randrange(len(good))
        if random.random() < 0.5:
            return good[:at]
        return (
            good[:at] + random.randbytes(random.randint(1, 4)) + good[at + random.randint(0, 2) :]
        )

    def _odd(self, good: bytes, path: str) -> bytes:
        random = self._random
        whole = (b"[%b]" % good, b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), good * 2)
        noise = random.randbytes(random.randint(1, 400))
        return random.choice((b"", b" \n", b"null", b"[]", b"1", noise, *whole))

    def _oversize(self, good: bytes, path: str) -> bytes:
        return good[:-1] + b'," ":"%b"}' % (b"x" * self._random.choice((MIB // 2, MIB, 3 * MIB)))


class Wire:
    """A connection that sends bytes as they are, and another one once it has been closed."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._address = host, int(port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, within: float = 10) -> Answer:
        """Send a request; fails if there is neither an answer nor an end in time."""
        async with asyncio.timeout(within):
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(*self._address)
            assert self._reader is not None
            try:
                self._writer.write(request)
                answer = await _read(self._reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                answer = Answer(0, {}, b"")
            if answer.status == 0 or answer.headers.get("connection") == "close":
                await self.close()
            return answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def send_part(self, request: bytes) -> None:
        """Send what a request begins with, and leave."""
        await self.close()
        _, writer = await asyncio.open_connection(*self._address)
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def close(self) -> None:
        """Leave; the next request opens another connection."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
            self._reader = self._writer = None


async def _read(reader: asyncio.StreamReader) -> Answer:
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status >= 200:
            break
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if status == 304:
        return Answer(status, headers, b"")
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    if headers.get("transfer-encoding") != "chunked":
        return Answer(status, headers | {"connection": "close"}, await reader.read())
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return Answer(status, headers, body)


def _parts(body: bytes) -> list[bytes]:
    return [body[at : at + 100] for at in range(0, min(len(body), 1000), 100)] + (
        [body[1000:]] if len(body) > 1000 else []
    )
