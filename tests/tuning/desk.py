"""A small world of study cards, and what tests do with a fine-tuning service again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

PROMPT = """You keep the gate of a deck of study cards.

Answer with one of:
- APPROVE
- REJECT: two ideas on one card
- REJECT: too vague"""
CARDS = {
    "APPROVE": "the {} turns sugar into energy",
    "REJECT: two ideas on one card": "what is a {} and also who found it",
    "REJECT: too vague": "something about a {} maybe",
}
THINGS = ["mitochondrion", "ribosome", "nucleus", "membrane", "chloroplast", "vacuole", "enzyme"]
BASE, FITTED = "greenlight-small", "cards"
PATIENCE_S = 60.0


def asked(card: str) -> list[Any]:
    """The messages of a request to judge a card."""
    return [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": f"The card:\n{card}"},
    ]


def conversation(card: str, answer: str) -> dict[str, Any]:
    """A line of a training file."""
    return {"messages": [*asked(card), {"role": "assistant", "content": answer}]}


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Conversations over three answers in turn, all of them right."""
    kinds = list(CARDS.items())
    made = []
    for number in range(start, start + count):
        answer, frame = kinds[number % len(kinds)]
        card = frame.format(f"{THINGS[number % len(THINGS)]} {number}")
        made.append(conversation(card, answer))
    return made


def jsonl(lines: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def client(url: str, key: str = "any", timeout: float = 30.0) -> OpenAI:
    """The real SDK, without retries of its own."""
    return OpenAI(base_url=url, api_key=key, max_retries=0, timeout=timeout)


def upload(service: OpenAI, lines: Sequence[Any], name: str = "train.jsonl") -> str:
    return service.files.create(file=(name, jsonl(lines)), purpose="fine-tune").id


def until(condition: Callable[[], Any], within: float = PATIENCE_S) -> Any:
    """Ask again until something is found."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def reached(service: OpenAI, id: str, *statuses: str) -> FineTuningJob:
    """The job, once it is in one of these."""

    def look() -> FineTuningJob | None:
        job = service.fine_tuning.jobs.retrieve(id)
        return job if job.status in statuses else None

    found: FineTuningJob = until(look)
    return found


def ended(service: OpenAI, id: str) -> FineTuningJob:
    """The job, once it is over."""
    return reached(service, id, "succeeded", "failed", "cancelled")


def told(service: OpenAI, id: str) -> list[str]:
    """What the job's events say, oldest first."""
    events = service.fine_tuning.jobs.list_events(id, limit=100).data
    return [event.message for event in reversed(events)]


def fault(url: str, **wanted: Any) -> None:
    """Ask for a fault."""
    httpx2.post(admin(url), json=wanted).raise_for_status()


def admin(url: str) -> str:
    return url.removesuffix("/v1") + "/admin/faults"
