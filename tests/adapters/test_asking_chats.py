"""A chat asked offline: the messages of a row with the version's instructions (E4, D4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.adapters.runtimes.offline import OfflineModel
from greenlight.adapters.runtimes.openai_chat import OpenAIChatRuntime
from greenlight.core.errors import BadInput
from greenlight.core.records import MILLISECOND, SECOND
from greenlight.models import chat
from greenlight.models.chat import ChatModel
from greenlight.testing import FakeClock
from greenlight.testing.provider import ChatProvider

TALK = ChatModel(model="small", system="Be short.", defaults={"temperature": 0.5})
ASKED = '[{"role":"user","content":"Tea?"},{"role":"assistant","content":"Yes."}]'


@pytest.fixture
def provider() -> Iterator[ChatProvider]:
    """Says again what was said last; nothing to see, where that was `silence`."""
    with ChatProvider(lambda said: " \n" if said == "silence" else f" {said}\n") as there:
        yield there


def offline(provider: ChatProvider, talk: ChatModel = TALK) -> OfflineModel:
    def opened() -> OpenAIChatRuntime:
        return OpenAIChatRuntime(
            provider.url, talk, clock=FakeClock(), timeout=10 * SECOND, failures=1000
        )

    return OfflineModel(opened, talk.labels, pause=MILLISECOND)


def test_the_answer_is_the_label(provider: ChatProvider) -> None:
    """Whole, and as it came; a chat has no list of labels, and no score."""
    model = offline(provider)
    [found] = model.predict([ASKED])
    assert (found.label, found.score, list(model.labels)) == (" Yes.\n", None, [])
    assert provider.seen == [
        {
            "temperature": 0.5,
            "model": "small",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "Tea?"},
                {"role": "assistant", "content": "Yes."},
            ],
        }
    ]


def test_it_is_asked_as_the_gateway_asks(provider: ChatProvider, tmp_path: Path) -> None:
    """D4: the bundle that is judged asks what the bundle that serves would."""
    from greenlight.core.chat import HEAD, body_for, request_of
    from greenlight.serving.wire import decode

    chat.write(tmp_path, TALK)
    body = b'{"model":"greenlight/talk","messages":%b}' % ASKED.encode()
    request = request_of(decode(HEAD, body), body)
    served = body_for(request, TALK.model, system=TALK.system, defaults=TALK.defaults)

    assert msgspec.json.decode(served) == chat.load(tmp_path).body(ASKED)


def test_silence_is_an_answer_that_is_wrong(provider: ChatProvider) -> None:
    silent = '[{"role":"user","content":"silence"}]'
    assert [one.label for one in offline(provider).predict([silent, ASKED])] == ["", " Yes.\n"]


@pytest.mark.parametrize(
    ("talk", "text", "told"),
    [
        (TALK, "Tea?", "messages: not a JSON array"),
        (ChatModel(model="small", system="Write to {name}."), ASKED, "metadata.name"),
    ],
)
def test_what_cannot_be_asked_as_it_was_is_refused(
    provider: ChatProvider, talk: ChatModel, text: str, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        offline(provider, talk).predict([text])


def test_a_chat_without_instructions(provider: ChatProvider) -> None:
    asked: list[dict[str, Any]] = ChatModel(model="small").body(ASKED)["messages"]
    assert [one["role"] for one in asked] == ["user", "assistant"]
