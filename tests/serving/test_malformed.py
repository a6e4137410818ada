"""Whatever is sent, there is an answer, and nothing acknowledged is lost (S3, S4, S7, S8)."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import chat
from greenlight.core.records import Feedback, Inference, Version
from greenlight.core.states import Status
from greenlight.serving.spool import REJECTED
from greenlight.stages import keys
from tests.serving.harness import World, asynchronous, eventually
from tests.serving.malformed import CHAT, Answer, Malice, Wire
from tests.serving.open_world import open_world
from tests.serving.provider import saying
from tests.serving.scene import scene

WIRES = 4
HELLO = b'"model":"greenlight/support","messages":[{"role":"user","content":"hi"}]'
EXPECTED = {200, 202, 304, 400, 401, 404, 405, 409, 413, 422}


def lasting(folder: Path) -> World:
    """A world whose store is a file."""
    world = World(folder / "spool")
    versions = world.store.scan(Version)
    world.store = SqlStore(f"sqlite:///{folder}/store.db")
    world.store.commit(append=versions)
    return world


class Tally:
    """What was answered and acknowledged."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.inferences: set[str] = set()
        self.feedback: set[str] = set()

    def take(self, request: bytes, answer: Answer) -> list[str]:
        """Count an answer; the inferences that it names."""
        self.statuses[answer.status] += 1
        assert answer.status in EXPECTED, (answer, request[:2000])
        kind = answer.headers.get("content-type", "")
        plain = kind.startswith(("text/plain", "text/event-stream")) or answer.status == 304
        said: dict[str, Any] = {} if plain else msgspec.json.decode(answer.body)
        if answer.status >= 400:
            # What is no HTTP is refused by the server in plain text, before anything of ours.
            assert plain or "error" in said or "errorCode" in said, answer
        named = [one["id"] for one in (said, *said.get("results", ())) if "output" in one]
        if "x-greenlight-inference-id" in answer.headers:
            named.append(answer.headers["x-greenlight-inference-id"])
        self.inferences |= set(named)
        receipts = [one for one in (said, *said.get("feedback", ())) if "inference_id" in one]
        self.feedback |= {one["id"] for one in receipts}
        return named if answer.status == 200 else []


async def pester(url: str, tally: Tally, malice: Malice, random: Random, requests: int) -> None:
    """Send so many requests over one connection after the other."""
    async with Wire(url) as wire:
        for _ in range(requests):
            request, garbled = malice.request()
            if random.random() < 0.02:
                await wire.send_part(request[: random.randrange(len(request))])
            elif garbled:
                # Nobody can say where it ends: the gateway may wait for more, which never comes.
                await wire.send_part(request)
            else:
                malice.known += tally.take(request, await wire.ask(request))


async def everything_is_answered(folder: Path, requests: int) -> None:
    world, tally = lasting(folder), Tally()
    _, secret = keys.create(
        world.store,
        name="everything",
        scopes=("predict", "feedback", "flags"),
        rate=None,
        burst=None,
        expires_at=None,
        by="ana",
        now=world.clock.now(),
        random=Random(1).randbytes,
    )
    with closing(world.store):
        async with open_world(folder, world) as (_, client):
            async with asyncio.TaskGroup() as group:
                for number in range(WIRES):
                    random = Random(number)
                    malice = Malice(random, secret, world.clock.now())
                    group.create_task(pester(client.url, tally, malice, random, requests // WIRES))
            status, _ = await client.get("/readyz")
            assert status == 200
        assert all(tally.statuses[status] for status in (200, 400, 401, 404)), tally.statuses
        stored = Counter(record.id for record in world.store.scan(Inference, limit=100_000))
        said = Counter(record.id for record in world.store.scan(Feedback, limit=100_000))
    assert tally.inferences and tally.inferences <= stored.keys()
    assert tally.feedback and tally.feedback <= said.keys()
    assert set((stored + said).values()) == {1}
    assert not (folder / "spool" / REJECTED).exists()


@asynchronous
async def test_whatever_is_sent_is_answered(tmp_path: Path) -> None:
    """S3, S4, S7, S8: 300 requests; none is a server's error, none is lost."""
    await everything_is_answered(tmp_path, 300)


@pytest.mark.slow
@pytest.mark.timeout(900)
@asynchronous
async def test_whatever_is_sent_is_answered_for_long(tmp_path: Path) -> None:
    """S3, S4, S7, S8: the same with 10,000."""
    await everything_is_answered(tmp_path, 10_000)


@pytest.mark.parametrize(
    "body",
    [
        b'{"\xff":1,%b}' % HELLO,
        b'{"x":"\xff",%b}' % HELLO,
        b'{"x":"\xed\xa0\x80",%b}' % HELLO,
        b'{"model":"greenlight/support","messages":[{"role":"user","content":"hi","x":"\xff"}]}',
        b'{"model":"greenlight/support","messages":[{"role":"user","content":"hi","x":"\\ud800"}]}',
        b'{"stream":true,"stream_options":{"\xff":1},%b}' % HELLO,
    ],
)
@asynchronous
async def test_what_is_handed_on_is_looked_at(tmp_path: Path, body: bytes) -> None:
    """S4: what is not UTF-8 is the client's fault, in fields that nobody reads, too."""
    async with open_world(tmp_path) as (_, client):
        status, answer, _ = await client.post(CHAT, body)
        assert (status, answer["error"]["code"]) == (400, "bad_input")


@asynchronous
async def test_numbers_that_no_machine_holds_are_no_failure_of_a_version(tmp_path: Path) -> None:
    """S4: they are handed on, and the provider refuses them."""
    async with open_world(tmp_path) as (world, client):
        body = b'{"stream":true,"stream_options":{"x":1e999},%b}' % HELLO
        status, answer, _ = await client.post(CHAT, body)
        assert (status, answer["error"]["code"]) == (400, "refused_by_model")
        await eventually(world.inferences)
        assert [record.status for record in world.inferences().values()] == [Status.REFUSED]


@asynchronous
async def test_no_depth_is_a_failure_of_a_version(tmp_path: Path) -> None:
    """S4: with a system prompt to be put before the messages, and options to be added to."""
    places = (b'"x":%b,%b', b'"stream_options":{"x":%b},%b', b'"metadata":{"x":%b},%b')
    inside = b'"model":"greenlight/support","messages":[{"role":"user","content":%b}]%b'
    async with open_world(tmp_path) as (world, client):
        for depth in range(900, 1000, 3):
            deep = b"[" * depth + b"]" * depth
            bodies = [place % (deep, HELLO) for place in places] + [inside % (deep, b"")]
            for body in bodies:
                url = f"{client.url}{CHAT}"
                async with client.session.post(url, data=b'{"stream":true,%b}' % body) as response:
                    text = await response.text()
                assert response.status in (200, 400), (depth, body[:40], text)
        assert not {record.status for record in world.inferences().values()} & {Status.ERROR}


@asynchronous
async def test_a_word_that_looks_like_a_nul_is_none(tmp_path: Path) -> None:
    """S3: who asks about `\\u0000` sends no NUL."""
    async with open_world(tmp_path) as (world, client):
        for words, expected in (
            ("\\u0000", 200),
            ("\\\x00", 422),
            ("\x00", 422),
            ("\\\\u0000", 200),
        ):
            asked = {
                "model": "greenlight/support",
                "messages": [{"role": "user", "content": words}],
            }
            status, _, _ = await client.post(CHAT, asked)
            assert status == expected, words
        await eventually(lambda: len(world.inferences()) == 2)


@asynchronous
async def test_a_count_that_no_store_keeps_does_not_stop_the_store(tmp_path: Path) -> None:
    """S3: of tokens, by a provider that has lost its senses."""
    async with scene(tmp_path) as on:
        choice = b'"choices":[{"message":{"content":"hi"}}]'
        for count in (b"10000000000000000000", b"-1", b"9" * 400):
            on.blue.fault = saying(b'{%b,"usage":{"prompt_tokens":%b}}' % (choice, count))
            status, answer, _ = await on.ask()
            assert (status, answer["error"]["code"]) == (503, "no_answer")
        on.blue.fault = None
        await eventually(lambda: len(on.world.inferences()) == 3)
        assert {record.input_tokens for record in on.world.inferences().values()} == {None}


@pytest.mark.parametrize("spoilt", [b'"content":"\xff"', b'"tool_calls":["\xff"]'])
@asynchronous
async def test_a_stream_that_is_no_text_is_a_failure(tmp_path: Path, spoilt: bytes) -> None:
    """S5: in its first bit control answers; later it is told, and counts against its version."""
    events = [b'data: {"choices":[{"delta":{%b}}]}\n\n' % bit for bit in (b'"content":"a"', spoilt)]
    async with scene(tmp_path, weight=1.0) as on:
        on.green.fault = saying(b"".join(events))
        assert b'"code":"no_answer"' in await on.stream()
        assert (await on.record()).status is Status.ERROR
    async with scene(tmp_path / "again", weight=1.0) as on:
        on.green.fault = saying(events[1])
        assert b"blue" in await on.stream()
        assert (await on.record()).status is Status.ERROR


def test_what_a_provider_is_asked() -> None:
    """S1: options of the client's, or else of the version; the version's words come first."""
    body = b'{"stream":true,"model":"greenlight/x","messages":\n [ {"role":"user"}]%b}'
    own = {"stream_options": {"a": 1}}
    for given, options in (
        (b"", {"a": 1}),
        (b',"stream_options":null', {}),
        (b',"stream_options":{"b":[2],"include_usage":false}', {"b": [2]}),
    ):
        sent = body % given
        request = chat.request_of(chat.HEAD.decode(sent), sent)
        asked = msgspec.json.decode(chat.body_for(request, "m", system="s", defaults=own))
        assert asked["messages"] == [{"role": "system", "content": "s"}, {"role": "user"}]
        assert asked["stream_options"] == {**options, "include_usage": True}
