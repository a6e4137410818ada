"""From a row back to the conversation that it was, so that what was asked is what is learnt (D4).

A row says which instructions served it by the digest of their bundle; a dataset carries the
instructions themselves, in `prompts.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from greenlight import artifacts
from greenlight.core import messages
from greenlight.core.errors import BadInput
from greenlight.core.messages import ASSISTANT, SYSTEM, USER, Message
from greenlight.models import chat, prompt
from greenlight.models.chat import ChatModel
from greenlight.models.prompt import Decoding, Prompt
from greenlight.ports import Example

ADAPTER: Literal["lora"] = "lora"
"""The kind of `models.lora`, whose bundles hold their instructions as a dataset does."""


class Conversations:
    """The instructions of a dataset's rows, by the digest of their bundle. Immutable."""

    def __init__(self, prompts: Mapping[str, Mapping[str, Any]]) -> None:
        """Read them.

        Args:
            prompts: digest → what `contents` gives, as `prompts.json` holds it.

        Raises:
            BadInput: instructions that this release cannot read.
        """
        self._asked = {digest: _read(found) for digest, found in prompts.items()}

    def __getitem__(self, digest: str) -> Prompt | ChatModel:
        """The instructions of that bundle.

        Raises:
            BadInput: they are not here.
        """
        found = self._asked.get(digest)
        if found is None:
            raise BadInput(
                f"prompt {digest or '(none)'}: the dataset does not hold what this row was asked "
                "with; name a template (train.options.prompt) for rows that came without one"
            )
        return found

    def asked(self, text: str, digest: str) -> list[Message]:
        """What the provider was sent for a text.

        Raises:
            BadInput: unknown instructions, or a text of a chat that is no messages.
        """
        return asked(self[digest], text)

    def whole(self, row: Example) -> list[Message]:
        """The conversation of a row, with the answer that is to be learnt at its end.

        Raises:
            BadInput: as `asked`.
        """
        return [*self.asked(row.text, row.prompt), Message(ASSISTANT, row.answer or row.label)]

    def leading(self, rows: Iterable[Example]) -> str:
        """The digest of the instructions that most of the rows were served with; of equals, the
        one that comes first by its digest.

        Raises:
            BadInput: no row has any.
        """
        counts = Counter(row.prompt for row in rows if row.prompt)
        if not counts:
            raise BadInput("no row says what it was asked with; name a template", "prompt")
        return min(counts, key=lambda digest: (-counts[digest], digest))


def asked(instructions: Prompt | ChatModel, text: str) -> list[Message]:
    """What a provider is sent for a text, given the instructions of a version.

    Raises:
        BadInput: a text of a chat that is no messages, or instructions with places that only a
            request could fill.
    """
    if isinstance(instructions, Prompt):
        return [Message(USER, instructions.render(text))]
    system = instructions.instructions({})
    return [*([Message(SYSTEM, system)] if system is not None else []), *messages.read(text)]


def contents(folder: str | Path, digest: str) -> dict[str, Any] | None:
    """What a dataset keeps of a version's bundle; None for a model that is asked nothing but the
    text.

    Raises:
        Tampered: the bundle is not as it was sealed.
        BadInput: instructions that this release cannot read.
    """
    manifest = artifacts.unseal(folder, digest)
    kind = manifest.get("kind")
    if kind == prompt.KIND:
        found = prompt.load(folder, digest)
        return {
            "kind": kind,
            "template": found.template,
            "model": found.model,
            "labels": list(found.labels),
            "settings": msgspec.to_builtins(found.decoding),
        }
    if kind == chat.KIND:
        talk = chat.load(folder, digest)
        return {"kind": kind, **msgspec.to_builtins(talk)}
    if kind == ADAPTER:  # its weights are not looked at
        return artifacts.read_prompts(folder).get(manifest["settings"]["prompt"])
    return None


def rebuildable(found: Mapping[str, Any]) -> bool:
    """Whether what was asked follows from a row: not where places were filled from a request's
    metadata, which is not kept."""
    return found["kind"] == prompt.KIND or not chat.places(found["system"] or "")


def _read(found: Mapping[str, Any]) -> Prompt | ChatModel:
    try:
        if found["kind"] == prompt.KIND:
            return Prompt(
                found["template"],
                model=found["model"],
                labels=found["labels"],
                decoding=msgspec.convert(found["settings"], Decoding),
            )
        return msgspec.convert(
            {name: value for name, value in found.items() if name != "kind"}, ChatModel
        )
    except (KeyError, msgspec.ValidationError) as error:
        raise BadInput(f"prompts.json: instructions that are not read here ({error!r})") from error
