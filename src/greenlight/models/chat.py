"""A chat model at a provider as a bundle: which model is asked, and with what instructions.

| file | holds |
|---|---|
| `system.txt` | instructions that go before every chat, if there are any |

The manifest names the model and the settings of requests that bring none of their own. In the
instructions `{name}` stands for the field of that name in the request's `metadata`. Where the
provider is, and whose key opens it, is no part of the bundle but of how it is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from greenlight import artifacts
from greenlight.core import messages
from greenlight.core.errors import BadInput
from greenlight.models.prompt import Answered

FORMAT = 1
KIND = "chat"
FILE = "system.txt"
LONGEST = 100_000
"""Characters of the instructions."""

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ChatModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked, and how."""

    model: str
    """What the provider calls it."""
    system: str | None = None
    """Instructions that go before every chat."""
    defaults: dict[str, Any] = {}
    """Fields of requests that do not have them, such as `temperature`."""
    count_streams: bool = True
    """Ask for the count of tokens at the end of a stream (`stream_options`)."""

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise BadInput("no model is named: say what the provider calls it", "model")
        if self.system is not None and not 0 < len(self.system.strip()) <= LONGEST:
            raise BadInput(f"instructions have 1 to {LONGEST} characters", "system")
        reserved = sorted(self.defaults.keys() & {"model", "messages", "stream"})
        if reserved:
            raise BadInput(f"{reserved[0]}: not a setting, but what is asked", reserved[0])

    def instructions(self, metadata: Mapping[str, Any]) -> str | None:
        """The instructions for one request.

        Raises:
            BadInput: the request lacks a field that they have a place for.
        """
        if self.system is None:
            return None
        return _PLACE.sub(lambda place: _field(metadata, place.group(1)), self.system)

    @property
    def labels(self) -> Sequence[str]:
        """None: any words are an answer."""
        return ()

    def body(self, text: str) -> dict[str, Any]:
        """The request to the provider about recorded messages, offline.

        Raises:
            BadInput: the text is no messages, or the instructions have places, for which there is
                no metadata here.
        """
        system = self.instructions({})
        first = [] if system is None else [messages.Message(messages.SYSTEM, system)]
        said = [*first, *messages.read(text)]
        return {**self.defaults, "model": self.model, "messages": msgspec.to_builtins(said)}

    def read(self, answer: str) -> Answered | None:
        """The whole answer; None where nothing was said."""
        return Answered(answer, None, len(answer)) if answer.strip() else None


def places(system: str) -> list[str]:
    """The fields of a request's metadata that instructions have places for."""
    return _PLACE.findall(system)


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    kind: Literal["chat"]
    model: str
    defaults: dict[str, Any]
    count_streams: bool
    files: dict[str, str]


def write(folder: str | Path, made: ChatModel) -> str:
    """Write a bundle to an empty folder; equal models give equal bytes. Returns its digest."""
    root = Path(folder)
    if made.system is not None:
        (root / FILE).write_text(made.system, encoding="utf-8", newline="")
    body = {
        "format": FORMAT,
        "kind": KIND,
        "model": made.model,
        "defaults": made.defaults,
        "count_streams": made.count_streams,
    }
    return artifacts.seal(root, body)


def load(folder: str | Path, expected_digest: str | None = None) -> ChatModel:
    """Load one after checking every byte of its bundle.

    Raises:
        Tampered: not the expected bundle, or a file was changed, removed or added.
        BadInput: sealed as it should be, but no chat model that this release can read.
    """
    root = Path(folder)
    body = artifacts.unseal(root, expected_digest)
    try:
        manifest = msgspec.convert(body, _Manifest)
        system = (root / FILE).read_text(encoding="utf-8") if FILE in manifest.files else None
    except (msgspec.MsgspecError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{root}: no chat model that this release can read ({error})") from error
    if manifest.format != FORMAT:
        raise BadInput(f"{root}: chat format {manifest.format}; this release reads {FORMAT}")
    return ChatModel(
        model=manifest.model,
        system=system,
        defaults=manifest.defaults,
        count_streams=manifest.count_streams,
    )


def _field(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    if not isinstance(value, str):
        raise BadInput(
            f"metadata.{name}: the version's instructions have a place for this text; send it",
            f"metadata.{name}",
        )
    return value
