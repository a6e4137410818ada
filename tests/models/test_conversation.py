"""From a row back to what a provider was sent (D4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight import artifacts
from greenlight.core import messages
from greenlight.core.errors import BadInput, Tampered
from greenlight.core.messages import Message
from greenlight.models import chat, conversation, lora, prompt
from greenlight.models.chat import ChatModel
from greenlight.models.conversation import Conversations
from greenlight.models.prompt import Decoding, Prompt
from greenlight.ports import Example

JUDGE = Prompt(
    "Is it good?\n{labels}\n\n{input}",
    model="small",
    labels=["NO", "YES"],
    decoding=Decoding(max_tokens=7),
)


def kept(folder: Path, made: Prompt | ChatModel) -> tuple[str, dict[str, Any]]:
    """A bundle, as a dataset keeps it."""
    folder.mkdir()
    kind = prompt if isinstance(made, Prompt) else chat
    digest = kind.write(folder, made)  # type: ignore[arg-type]
    found = conversation.contents(folder, digest)
    assert found is not None
    return digest, found


def test_a_prompt_is_rendered_as_it_was_served(tmp_path: Path) -> None:
    digest, found = kept(tmp_path / "a", JUDGE)
    talk = Conversations({digest: found})
    text = " two  spaces\nand {labels}"
    assert talk.asked(text, digest) == [Message("user", JUDGE.render(text))]
    row = Example(text, "NO", digest, "NO: too short")
    assert talk.whole(row)[-1] == Message("assistant", "NO: too short")
    assert talk.whole(Example(text, "NO", digest))[-1] == Message("assistant", "NO")
    again = talk[digest]
    assert isinstance(again, Prompt)
    assert (again.decoding, again.labels, again.model) == (JUDGE.decoding, ("NO", "YES"), "small")


def test_a_chat_gets_its_instructions_back(tmp_path: Path) -> None:
    model = ChatModel(model="small", system="Be brief.", defaults={"temperature": 0.2})
    digest, found = kept(tmp_path / "a", model)
    talk = Conversations({digest: found})
    said = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    assert talk.asked(messages.write(said), digest) == [Message("system", "Be brief."), *said]
    assert talk[digest] == model
    plain, bare = kept(tmp_path / "b", ChatModel(model="small"))
    assert Conversations({plain: bare}).asked(messages.write(said), plain) == list(said)


def test_places_that_a_request_filled_cannot_be_rebuilt(tmp_path: Path) -> None:
    """D4: metadata is not kept, so nobody knows what was asked."""
    _, found = kept(tmp_path / "a", ChatModel(model="small", system="You serve {name}."))
    assert not conversation.rebuildable(found)
    assert conversation.rebuildable(kept(tmp_path / "b", ChatModel(model="small", system="Hi"))[1])
    assert conversation.rebuildable(kept(tmp_path / "c", ChatModel(model="small"))[1])
    assert conversation.rebuildable(kept(tmp_path / "d", JUDGE)[1])


def test_most_rows_name_the_instructions_that_go_on(tmp_path: Path) -> None:
    first, found = kept(tmp_path / "a", JUDGE)
    second, other = kept(
        tmp_path / "b", Prompt("{labels} {input}", model="m", labels=["NO", "YES"])
    )
    talk = Conversations({first: found, second: other})
    rows = [Example("a", "NO", name) for name in (first, second, second, "")]
    assert talk.leading(rows) == second
    assert talk.leading(rows[:2]) == min(first, second)
    with pytest.raises(BadInput, match="name a template"):
        talk.leading(rows[3:])


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    digest, found = kept(tmp_path / "a", JUDGE)
    with pytest.raises(BadInput, match=r"prompt \(none\).*train\.options\.prompt"):
        Conversations({}).asked("a", "")
    for broken in ({"kind": "prompt"}, {**found, "template": "no place"}, {"kind": "chat"}):
        with pytest.raises(BadInput):
            Conversations({digest: broken})
    (tmp_path / "a" / "prompt.txt").write_text("{labels}{input}")
    with pytest.raises(Tampered):
        conversation.contents(tmp_path / "a", digest)


def test_an_adapter_gives_what_it_was_asked_with(tmp_path: Path) -> None:
    """D4: rows that an open-weight model answered are learnt as they were served, too."""
    given = {"kind": "chat", "model": "base", "system": "Be brief."}
    artifacts.write_prompts(tmp_path, {"p1": given})
    digest = artifacts.seal(tmp_path, {"kind": lora.KIND, "settings": {"prompt": "p1"}})
    assert conversation.contents(tmp_path, digest) == given
