"""Chat completions: the likeliest answer of a model, with what it holds of it.

A completion's tokens are not words. An answer is one token, for the model chooses it whole; one
that says more behind a colon (`REJECT: two ideas`) is two, what stands before the colon and the
rest, so that the first token's probability is that of all answers that begin so.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Annotated, Any

import msgspec

from greenlight.core.errors import BadInput
from greenlight.core.finetuning import BYTES_PER_TOKEN, tokens_of
from greenlight.models.linear import Doubles
from greenlight.serving.http import JSON_TYPE, Header, Response
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.conversations import messages_of

_EVENTS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)
_LEAST = 1e-12
"""No probability is told as less, so that its logarithm is a number."""


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of the body of `POST /v1/chat/completions`. What else stands there (temperature,
    seed, max_tokens …) changes nothing: the answer is the likeliest one, and whole."""

    model: str
    messages: Annotated[list[Any], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None


class _Token(msgspec.Struct, frozen=True):
    """A token, its share among those that could stand there, and these."""

    text: str
    share: float
    rivals: Sequence[tuple[str, float]]


def answer(catalog: Catalog, request: Request, id: str, created: int) -> Response:
    """Answer a request; a model may be loaded for it, so it belongs on a thread.

    Raises:
        BadInput: something that is not done here, or messages that are none.
        Problem: there is no such model (404).
    """
    _refuse(request)
    messages = messages_of(request.messages)
    answers, shares = catalog.shares(request.model, messages)
    found = _tokens(answers, shares)
    said = "".join(token.text for token in found)
    asked, told = tokens_of(messages), math.ceil(len(said.encode()) / BYTES_PER_TOKEN)
    usage = {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}
    head = {"id": id, "created": created, "model": request.model, "system_fingerprint": None}
    if request.stream:
        wanted = request.stream_options is not None and request.stream_options.include_usage
        events = list(_events(request, head, found, usage if wanted else None))
        return Response(b"", headers=_EVENTS, stream=_sent(events))
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said, "refusal": None},
        "logprobs": _logprobs(request, found),
        "finish_reason": "stop",
    }
    body = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    return Response(msgspec.json.encode(body), headers=(JSON_TYPE,))


def _refuse(request: Request) -> None:
    form = (request.response_format or {}).get("type", "text")
    for name, found in (
        ("n", (request.n or 1) != 1),
        ("tools", bool(request.tools)),
        ("functions", bool(request.functions)),
        ("response_format", form != "text"),
    ):
        if found:
            raise BadInput(
                f"{name}: this server's models choose among the answers that they learnt, one at "
                f"a time and as text; leave {name} out",
                name,
            )


def _tokens(answers: Sequence[str], shares: Doubles) -> list[_Token]:
    """An answer in its tokens, the likeliest one at each place."""
    pairs = [_split(answer) for answer in answers]
    found = [_likeliest([before for before, _ in pairs], shares)]
    same = [place for place, (before, _) in enumerate(pairs) if before == found[0].text]
    rest = _likeliest([pairs[place][1] for place in same], shares[same])
    return [*found, rest] if rest.text else found


def _likeliest(texts: Sequence[str], shares: Doubles) -> _Token:
    total: dict[str, float] = {}
    for text, share in zip(texts, shares.tolist(), strict=True):
        total[text] = total.get(text, 0.0) + share
    whole = sum(total.values()) or 1.0
    ranked = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
    rivals = [(text, share / whole) for text, share in ranked]
    return _Token(*rivals[0], rivals)


def _split(answer: str) -> tuple[str, str]:
    before, mark, after = answer.partition(":")
    return (before, mark + after) if before.strip() and after.strip() else (answer, "")


def _logprobs(request: Request, found: Sequence[_Token]) -> dict[str, Any] | None:
    if not request.logprobs:
        return None
    top = request.top_logprobs or 0
    content = [
        {
            **_logprob(token.text, token.share),
            "top_logprobs": [_logprob(*rival) for rival in token.rivals[:top]],
        }
        for token in found
    ]
    return {"content": content, "refusal": None}


def _logprob(text: str, share: float) -> dict[str, Any]:
    return {
        "token": text,
        "logprob": math.log(min(1.0, max(share, _LEAST))),
        "bytes": list(text.encode("utf-8", "surrogatepass")),
    }


def _events(
    request: Request, head: dict[str, Any], found: Sequence[_Token], usage: dict[str, int] | None
) -> Iterator[bytes]:
    """The server-sent events of a stream: a chunk for each token."""
    first: dict[str, Any] = {"role": "assistant"}
    chunks: list[dict[str, Any]] = [
        {
            "index": 0,
            "delta": {**(first if place == 0 else {}), "content": token.text},
            "logprobs": _logprobs(request, [token]),
            "finish_reason": None,
        }
        for place, token in enumerate(found)
    ]
    chunks.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"})
    whole = {**head, "object": "chat.completion.chunk"}
    for chunk in chunks:
        yield _event({**whole, "choices": [chunk]})
    if usage is not None:
        yield _event({**whole, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


async def _sent(events: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for event in events:
        yield event
