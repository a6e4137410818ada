"""Chat completions of a model that is served here, by the names of the protocol.

The model decodes greedily, whatever a request says of temperature and the like. A stream holds the
whole answer in one chunk.
(OpenAI API reference, "Create chat completion" and "Chat completion chunk object".)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

import msgspec

from greenlight.core.chat import DONE
from greenlight.core.messages import Message
from greenlight.core.records import SECOND
from greenlight.models.speaker import Said
from greenlight.serving.http import Header, Response, json_response

EVENTS: Header = (b"content-type", b"text/event-stream; charset=utf-8")


@runtime_checkable
class Talker(Protocol):
    """A model that answers messages in words."""

    def says(self, messages: Sequence[Message]) -> Said:
        """The answer to messages as they are."""
        ...


class _Stream(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What is read of a request."""

    model: str
    """The digits of the digest of a bundle."""
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _Stream | None = None


DECODER = msgspec.json.Decoder(Asked)


def listed(model: str) -> Response:
    """The only model that there is, as the protocol lists models."""
    only = {"id": model, "object": "model", "created": 0, "owned_by": "greenlight"}
    return json_response({"object": "list", "data": [only]})


def response(asked: Asked, said: Said, now: int) -> Response:
    """The answer as a client of the protocol takes it.

    Args:
        asked: the request.
        said: what the model answers.
        now: the time, in microseconds since 1970-01-01 UTC.
    """
    head = {"id": f"chatcmpl-{now}", "created": now // SECOND, "model": asked.model}
    message = {"role": "assistant", "content": said.words}
    finish = "stop" if said.ended else "length"
    spoken = len(said.logprobs)
    usage = {
        "prompt_tokens": said.read,
        "completion_tokens": spoken,
        "total_tokens": said.read + spoken,
    }
    if not asked.stream:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        found = {"object": "chat.completion", "choices": [choice], "usage": usage}
        return json_response(head | found)
    choice = {"index": 0, "delta": message, "finish_reason": finish}
    chunks: list[dict[str, Any]] = [{"choices": [choice]}]
    if asked.stream_options is not None and asked.stream_options.include_usage:
        chunks.append({"choices": [], "usage": usage})
    head["object"] = "chat.completion.chunk"
    events = [*(msgspec.json.encode(head | chunk) for chunk in chunks), DONE]
    return Response(b"".join(b"data: %b\n\n" % event for event in events), headers=(EVENTS,))
