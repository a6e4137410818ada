"""Users of a gateway who predict, chat, listen to streams and judge, and keep a book of it.

What the book holds was acknowledged: an answer with its id, a stream with its `[DONE]`, a judgement
with its receipt. A judgement without one is sent again under its key, as a client should.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from greenlight.core.records import Feedback, Inference
from greenlight.lookup import everything
from greenlight.ports import Records
from tests.serving.harness import Client

UNRECORDED = "unrecorded"
"""The id of a chat that could not be put on record."""
KINDS = ("predict", "chat", "stream")
VALUES = ("GOOD", "BAD")
_PATIENCE = aiohttp.ClientTimeout(total=60)


class Book:
    """What became of every request."""

    def __init__(self) -> None:
        self.answered: dict[str, str] = {}
        """Inference → kind of the request."""
        self.judged: dict[str, str] = {}
        """Feedback → inference."""
        self.due: dict[str, dict[str, str]] = {}
        """Idempotency key → judgement that nobody has acknowledged yet."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """(kind, `ok`, `unrecorded`, `broken` or a status) → how often."""
        self.off_record: Counter[str] = Counter()
        """Who answered what could not be recorded, by what was said first."""

    def count(self, outcome: str) -> int:
        """How often something came out, whatever was asked."""
        return sum(n for (_, what), n in self.outcomes.items() if what == outcome)

    def kinds(self) -> set[str]:
        """Of which kinds something was acknowledged."""
        return set(self.answered.values()) | ({"feedback"} if self.judged else set())


class Users:
    """Several users at once."""

    def __init__(self, book: Book | None = None, kinds: tuple[str, ...] = KINDS) -> None:
        self.book = book or Book()
        self._kinds = kinds
        self._unjudged: list[str] = []
        self._resting = asyncio.Event()

    def rest(self) -> None:
        """Nobody asks anything new."""
        self._resting.set()

    async def live(self, client: Client, seed: int) -> None:
        """Ask and judge until told to rest, or until the gateway is gone."""
        luck = random.Random(seed)
        try:
            while not self._resting.is_set():
                kind = luck.choice(self._kinds)
                await self.ask(client, kind, f"user-{luck.randrange(1000)}")
                if self._unjudged and luck.random() < 0.8:
                    said = {"inference_id": self._unjudged.pop(), "value": luck.choice(VALUES)}
                    await self._judge(client, f"judged-{said['inference_id']}", said)
                elif self.book.due:
                    await self._judge(client, *luck.choice(list(self.book.due.items())))
        except (aiohttp.ClientError, ConnectionError):
            return

    async def ask(self, client: Client, kind: str, unit: str) -> str | None:
        """Ask once; the id of what was acknowledged."""
        asked = {"predict": _predict, "chat": _chat, "stream": _stream}[kind]
        outcome, id, said = await asked(client, unit)
        self.book.outcomes[kind, outcome] += 1
        if outcome == "unrecorded":
            self.book.off_record[said.partition(":")[0]] += 1
        if outcome != "ok":
            return None
        assert id not in self.book.answered
        self.book.answered[id] = kind
        self._unjudged.append(id)
        return id

    async def judge_again(self, client: Client) -> None:
        """Send what nobody has acknowledged once more."""
        for key, said in list(self.book.due.items()):
            await self._judge(client, key, said)

    async def _judge(self, client: Client, key: str, said: dict[str, str]) -> None:
        self.book.due[key] = said
        status, answer, _ = await client.post("/v1/feedback", said, {"Idempotency-Key": key})
        self.book.outcomes["feedback", "ok" if status in (200, 202) else str(status)] += 1
        if status in (200, 202):
            self.book.due.pop(key, None)  # two may have sent it at once
            self.book.judged[answer["id"]] = said["inference_id"]


class Crowd:
    """So many users at work; leaving lets them finish what they have begun."""

    def __init__(self, users: Users, client: Client, size: int = 8) -> None:
        self._users = users
        self._client = client
        self._size = size
        self._living: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Book:
        self._living = [
            asyncio.create_task(self._users.live(self._client, seed)) for seed in range(self._size)
        ]
        return self._users.book

    async def __aexit__(self, *exc: object) -> None:
        self._users.rest()
        await asyncio.gather(*self._living)


async def until(condition: Callable[[], bool], seconds: float = 0.0, within: float = 30.0) -> None:
    """Return once the condition holds, and no sooner than after `seconds`."""
    began = time.monotonic()
    async with asyncio.timeout(seconds + within):
        while not (condition() and time.monotonic() - began >= seconds):
            await asyncio.sleep(0.005)


async def more(book: Book, judgements: int, seconds: float = 0.0) -> None:
    """Return once so many more have been acknowledged, and no sooner than after `seconds`."""
    begun = len(book.judged)
    await until(lambda: len(book.judged) >= begun + judgements, seconds)


def settle(records: Records, book: Book) -> None:
    """Everything in the book is in the store exactly once."""
    inferences = [record.id for record in everything(records, Inference)]
    feedback = {record.id: record.inference_id for record in everything(records, Feedback)}
    assert len(inferences) == len(set(inferences))
    assert book.answered.keys() - set(inferences) == set()
    assert {id: of for id, of in book.judged.items() if feedback.get(id) != of} == {}
    again = [of for of, n in Counter(feedback.values()).items() if n > 1]
    assert again == [], "a judgement that was sent again was taken for another one"


async def _predict(client: Client, unit: str) -> tuple[str, str, str]:
    status, answer, _ = await client.predict(unit)
    if status != 200:
        return str(status), "", ""
    said = answer["output"]["label"]
    return ("unrecorded", "", said) if answer["id"] is None else ("ok", answer["id"], said)


def chat_body(unit: str, **more: Any) -> dict[str, Any]:
    """A chat of the task `support`."""
    messages = [{"role": "user", "content": "hello there"}]
    return {"model": "greenlight/support", "messages": messages, "user": unit, **more}


async def _chat(client: Client, unit: str) -> tuple[str, str, str]:
    status, answer, _ = await client.post("/v1/chat/completions", chat_body(unit))
    if status != 200:
        return str(status), "", ""
    said = answer["choices"][0]["message"]["content"]
    return _outcome(answer["id"]), answer["id"], said


async def _stream(client: Client, unit: str) -> tuple[str, str, str]:
    body = chat_body(unit, stream=True)
    async with client.session.post(
        "/v1/chat/completions", json=body, timeout=_PATIENCE
    ) as response:
        if response.status != 200:
            return str(response.status), "", ""
        events = [
            line.removeprefix(b"data: ").strip()
            async for line in response.content
            if line.startswith(b"data: ")
        ]
    if events[-1:] != [b"[DONE]"]:
        return "broken", "", ""
    chunks = [msgspec.json.decode(event) for event in events[:-1]]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    return _outcome(chunks[0]["id"]), chunks[0]["id"], said


def _outcome(id: str) -> str:
    return "unrecorded" if id == UNRECORDED else "ok"
