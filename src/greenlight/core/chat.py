"""OpenAI's chat completions on the wire: what a gateway must read of them, and what it replaces.

Fields that it has no use for are handed on as they came, byte by byte (tools, response formats,
whatever comes next). What would tell which version answered is replaced on the way back: the id is
the inference's, the model is the name that the client asked for, and a provider's own fields
(`system_fingerprint`, `service_tier`) stay behind.

(OpenAI API reference, "Create chat completion" and "Chat completion chunk object"; server-sent
events: HTML Living Standard, 9.2.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from greenlight.core.errors import BadInput, ModelFailed

PREFIX = "greenlight/"
DONE = b"[DONE]"
LONGEST_EVENT = 1 << 20
"""Bytes of one server-sent event."""

Raw = msgspec.Raw
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises: no JSON of this shape, not UTF-8, nested too deeply."""


class Tokens(msgspec.Struct, frozen=True):
    """What a provider counted; None where it did not say."""

    input: int | None = None
    output: int | None = None


class Request(msgspec.Struct, frozen=True):
    """A chat as a client asks for it."""

    task: str
    unit: str | None
    """OpenAI's `safety_identifier`, or else `user`."""
    stream: bool
    usage: bool
    """Whether a stream is to end with the count of tokens."""
    fields: dict[str, Raw]
    """The whole body by field."""
    metadata: dict[str, Any]
    options: dict[str, Raw] = {}
    """`stream_options` by field."""

    @property
    def model(self) -> str:
        """The name that the client asked for."""
        return PREFIX + self.task


class Completion(msgspec.Struct, frozen=True):
    """A whole answer. `text` is what is kept of it: the content, or the tool calls as JSON."""

    choices: Raw
    usage: Raw | None
    created: int
    text: str
    tokens: Tokens


class Chunk(msgspec.Struct, frozen=True):
    """A bit of an answer; one without choices brings the count of tokens."""

    choices: Raw
    usage: Raw | None
    text: str
    tokens: Tokens | None
    empty: bool
    """Without choices."""
    last: bool
    """Its choice says why the answer ends."""


class StreamOptions(msgspec.Struct, frozen=True):
    """`include_usage`: whether a stream ends with the count of tokens."""

    include_usage: bool = False


class Message(msgspec.Struct, frozen=True):
    """One message of a chat; what else it has is handed on as it came."""

    role: str
    content: Any = None


class Head(msgspec.Struct, frozen=True):
    """What is read of a request; every other field is handed on as it came."""

    model: str
    messages: Raw
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None


class Words(msgspec.Struct, frozen=True):
    """What a model said; what else there is comes as the provider sent it."""

    content: str | None = None
    tool_calls: Raw | msgspec.UnsetType = msgspec.UNSET
    refusal: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """One answer; what else it has comes as the provider sent it."""

    message: Words


class _Bit(msgspec.Struct, frozen=True):
    delta: Words = Words()
    finish_reason: str | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""More than that no store keeps."""


class Usage(msgspec.Struct, frozen=True):
    """The provider's count of tokens; what else it counts comes as it was sent."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None


class _Answer(msgspec.Struct, frozen=True):
    choices: Raw
    usage: Raw = Raw(b"null")
    created: int = 0


class _Event(msgspec.Struct, frozen=True):
    choices: Raw = Raw(b"[]")
    usage: Raw = Raw(b"null")
    error: Raw = Raw()


HEAD = msgspec.json.Decoder(Head)
_MESSAGES = msgspec.json.Decoder(list[Message])
_ANSWER = msgspec.json.Decoder(_Answer)
_CHOICES = msgspec.json.Decoder(list[Choice])
_EVENT = msgspec.json.Decoder(_Event)
_BITS = msgspec.json.Decoder(list[_Bit])
_USAGE = msgspec.json.Decoder(Usage | None)


def request_of(head: Head, body: bytes) -> Request:
    """A request whose head has been decoded.

    Raises:
        BadInput: it is no chat, or of no task.
    """
    if not head.model.startswith(PREFIX) or head.model == PREFIX:
        raise BadInput(f"model {head.model[:80]!r}: write {PREFIX}TASK (GET /v1/models)", "model")
    try:
        fields = _FIELDS.decode(body)
        options = _FIELDS.decode(fields["stream_options"]) if head.stream_options else {}
    except _MALFORMED as error:
        raise BadInput(f"malformed request: {error}") from error
    return Request(
        task=head.model.removeprefix(PREFIX),
        unit=head.safety_identifier if head.safety_identifier is not None else head.user,
        stream=bool(head.stream),
        usage=head.stream_options is not None and head.stream_options.include_usage,
        fields=fields,
        metadata=head.metadata or {},
        options=options,
    )


def messages_of(request: Request) -> list[tuple[str, Any]]:
    """Role and content of each message.

    Raises:
        BadInput: no messages, or something that is none.
    """
    try:
        messages = _MESSAGES.decode(request.fields["messages"])
    except _MALFORMED as error:
        raise BadInput(f"malformed request: messages: {error}", "messages") from error
    if not messages:
        raise BadInput("messages: send at least one", "messages")
    return [(message.role, message.content) for message in messages]


def spoken(messages: str) -> list[tuple[str, str]]:
    """Who said what in recorded messages (JSON), for people; what is no text is shown as JSON."""
    try:
        found = _MESSAGES.decode(messages)
    except _MALFORMED:
        return [("", messages)]
    return [(message.role, _shown(message.content)) for message in found]


def _shown(content: Any) -> str:
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def last_words(messages: Sequence[tuple[str, Any]]) -> str:
    """The text that the user said last.

    Raises:
        BadInput: there is none.
    """
    for number, (role, content) in reversed(list(enumerate(messages))):
        if role != "user":
            continue
        if isinstance(content, str):
            return content
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict)]
            texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
            if texts:
                return "\n".join(texts)
        raise BadInput(f"messages[{number}].content: no text in it", f"messages[{number}].content")
    raise BadInput("messages: no message of a user, so there is nothing to answer", "messages")


def body_for(
    request: Request,
    model: str,
    *,
    system: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    count_streams: bool = True,
) -> bytes:
    """What a provider is asked.

    Args:
        request: what the client asked.
        model: what the provider calls its model.
        system: the version's own instructions, put before the messages.
        defaults: fields for requests that do not have them.
        count_streams: ask for the count of tokens at the end of a stream, whether or not the
            client did.
    """
    fields = dict(request.fields)
    for name, value in (defaults or {}).items():
        fields.setdefault(name, Raw(msgspec.json.encode(value)))
    fields["model"] = Raw(msgspec.json.encode(model))
    if system is not None:
        # There is a message (`messages_of`), so their bracket is replaced and none is read anew.
        first = msgspec.json.encode({"role": "system", "content": system})
        fields["messages"] = Raw(b"[" + first + b"," + bytes(fields["messages"])[1:])
    if request.stream and count_streams:
        own = None if "stream_options" in request.fields else (defaults or {}).get("stream_options")
        options = {**request.options, **(own or {}), "include_usage": True}
        fields["stream_options"] = Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


def completion_of(answer: bytes) -> Completion:
    """Read a provider's answer.

    Raises:
        ModelFailed: it is none.
    """
    try:
        found = _ANSWER.decode(answer)
        choices = _CHOICES.decode(found.choices)
        tokens = tokens_of(found.usage)
        text = _said(choices[0].message) if choices else ""
    except _MALFORMED as error:
        raise ModelFailed(f"no completion: {error}") from error
    if not choices:
        raise ModelFailed("a completion without a choice")
    usage = None if tokens is None else found.usage
    return Completion(found.choices, usage, found.created, text, tokens or Tokens())


def chunk_of(event: bytes) -> Chunk:
    """Read the data of one event of a provider's stream.

    Raises:
        ModelFailed: it is no chunk, or an error.
    """
    try:
        found = _EVENT.decode(event)
        bits = _BITS.decode(found.choices)
        tokens = tokens_of(found.usage)
        text = _said(bits[0].delta) if bits else ""
    except _MALFORMED as error:
        raise ModelFailed(f"no chunk of a completion: {error}") from error
    if bytes(found.error):
        raise ModelFailed(f"the stream says: {bytes(found.error)[:200]!r}")
    last = any(bit.finish_reason is not None for bit in bits)
    usage = None if tokens is None else found.usage
    return Chunk(found.choices, usage, text, tokens, not bits, last)


def completion_body(id: str, model: str, made: Completion) -> bytes:
    """The answer as the client gets it."""
    usage = b"" if made.usage is None else b',"usage":' + bytes(made.usage)
    return b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":%b%b}' % (
        msgspec.json.encode(id),
        made.created,
        msgspec.json.encode(model),
        bytes(made.choices),
        usage,
    )


def chunk_head(id: str, model: str, created: int) -> bytes:
    """The beginning that all chunks of one stream have in common."""
    return b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
        msgspec.json.encode(id),
        created,
        msgspec.json.encode(model),
    )


def chunk_event(head: bytes, chunk: Chunk, usage: bool) -> bytes:
    """A chunk as the client gets it; `usage`: whether it asked for the count of tokens."""
    counted = b',"usage":' + bytes(chunk.usage or b"null") if usage else b""
    return b'%b"choices":%b%b}\n\n' % (head, bytes(chunk.choices), counted)


def spoken_choices(text: str) -> Raw:
    """A text as the choices of a whole answer, for a model that does not talk by itself."""
    message = {"role": "assistant", "content": text}
    return _single({"index": 0, "message": message, "finish_reason": "stop"})


def spoken_delta(text: str) -> Raw:
    """The same as the choices of a stream's only chunk."""
    delta = {"role": "assistant", "content": text}
    return _single({"index": 0, "delta": delta, "finish_reason": "stop"})


class Events:
    """Takes server-sent events out of the bytes that arrive; told the bytes, it does no I/O."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The data of every event that is complete by now.

        Raises:
            ModelFailed: an event is too long.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
        if len(self._rest) + sum(map(len, self._data)) > LONGEST_EVENT:
            raise ModelFailed(f"an event of more than {LONGEST_EVENT} bytes")
        return events


def _single(choice: dict[str, Any]) -> Raw:
    return Raw(msgspec.json.encode([choice]))


def _said(words: Words) -> str:
    if words.content:
        return words.content
    if words.refusal:
        return words.refusal
    calls = words.tool_calls
    if isinstance(calls, msgspec.UnsetType) or bytes(calls) == b"null":
        return ""
    return bytes(calls).decode()


def tokens_of(usage: Raw) -> Tokens | None:
    """What a provider counted, from the `usage` of its answer; None where that is null.

    Raises:
        msgspec.DecodeError: it is no count.
    """
    counted = _USAGE.decode(usage)
    return counted and Tokens(counted.prompt_tokens, counted.completion_tokens)
