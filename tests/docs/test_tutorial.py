"""Tutorial, README and the how-to of a chat, pasted as they stand: what they say happens."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenlight.testing.provider import ChatProvider
from tests.docs.walking import Block, Shell, blocks, unanswered

ROOT = Path(__file__).parents[2]
PORT, PROVIDER = "8400", "https://api.openai.com/v1"
"""What is another here than on the pages: where the gateway listens, and the chat's provider."""

ASK = (
    'curl -s "$OPENAI_BASE_URL/chat/completions" -H "content-type: application/json" '
    """-d '{"model": "greenlight/support", "messages": [{"role": "user", "content": "hello"}]}'"""
)
READY = "curl -s --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:8400/readyz"


class Walk:
    """A shell in an empty folder, and the words of a page that are others here."""

    def __init__(self, shell: Shell, others: dict[str, str]) -> None:
        self._shell = shell
        self._others = others

    def through(self, steps: Iterable[Block]) -> None:
        """Paste blocks, and hold what they answer against what the page says."""
        for block in steps:
            said = self.paste(block.commands)
            missing = unanswered(self._here(block.answers), said)
            assert not missing, f"{block.commands}\nanswers\n{said}\nand not\n{missing}"

    def paste(self, commands: str) -> str:
        return self._shell.paste(self._here(commands))

    def json(self, command: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.paste(f"{command} --json"))

    def _here(self, text: str) -> str:
        for word, other in self._others.items():
            text = text.replace(word, other)
        return text


@contextmanager
def walk(folder: Path, *, provider: str = PROVIDER) -> Iterator[Walk]:
    """Somebody who begins in an empty folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    here = folder / "here"
    here.mkdir(parents=True)
    environ = {"GREENLIGHT_GATEWAY_PORT": port, "OPENAI_API_KEY": "sk-of-the-test"}
    shell = Shell(here, folder, environ)
    try:
        yield Walk(shell, {PORT: port, PROVIDER: provider})
    finally:
        shell.close()


def page(name: str) -> list[Block]:
    """What is pasted from a page."""
    return list(blocks((ROOT / name).read_text(encoding="utf-8")))


LOOK, *CHAT = page("README.md")


@pytest.mark.timeout(400)
def test_the_tutorial_and_a_look_around(tmp_path: Path) -> None:
    """X5, X1, O1, O3: from an empty folder and a CSV file to a version that is live, one that the
    evidence promoted and one that it rolled back; then the README's look at such a folder.

    All in one test, for the tutorial is walked once.
    """
    with walk(tmp_path) as reader:
        reader.through(page("docs/tutorial.md"))
        versions = {v["label"]: v["status"] for v in reader.json("greenlight versions list")}
        assert versions == {
            "questions@1": "retired",
            "questions@2": "live",
            "questions@3": "rolled_back",
        }
        rolled_back, promoted = reader.json("greenlight rollouts list")
        assert (promoted["status"], rolled_back["status"]) == ("promoted", "rolled_back")
        assert _last(reader, promoted) == ("promote", "superior")
        action, code = _last(reader, rolled_back)
        assert action == "rollback" and code in ("quality", "early_harm", "intention")
        assert _actions(reader, promoted) == ["start", "widen", "promote"]
        assert _actions(reader, rolled_back) == ["start", "rollback"], "never widened"
        assert reader.paste("cat users.log").strip() == "", "no reader met a failure"
        reader.through([LOOK])


def _decisions(reader: Walk, rollout: dict[str, Any]) -> list[dict[str, Any]]:
    """The decisions of a rollout, the oldest first."""
    listed = reader.json(f"greenlight decisions list --rollout {rollout['id']}")
    return list(reversed(listed))


def _last(reader: Walk, rollout: dict[str, Any]) -> tuple[str, str]:
    last = _decisions(reader, rollout)[-1]
    return last["action"], last["code"]


def _actions(reader: Walk, rollout: dict[str, Any]) -> list[str]:
    """What was done, without the moments at which nothing was."""
    found = _decisions(reader, rollout)
    return [decision["action"] for decision in found if decision["action"] not in ("stay", "hold")]


def test_a_chat_in_three_lines(tmp_path: Path) -> None:
    """X1: what the README says to do in front of a model that is there."""
    with ChatProvider(lambda text: f"you said {text}", key="sk-of-the-test") as provider:
        with walk(tmp_path / "readme", provider=provider.url) as reader:
            reader.through(CHAT)
            reader.paste(READY)
            answer = json.loads(reader.paste(ASK))
        assert answer["choices"][0]["message"]["content"] == "you said hello"
        with walk(tmp_path / "how-to", provider=provider.url) as reader:
            reader.through(page("docs/how-to/chat.md"))
    assert [request["model"] for request in provider.seen] == ["gpt-5-mini"] * 2


@pytest.mark.parametrize(
    ("expected", "said", "missing"),
    [
        ("a\n…\nc", "a\nb\nc", []),
        ("a …\nb", "a 1\nb  ", []),
        ("b\na", "a\nb", ["a"]),
        ("E = … ≥ 20", "E = 3 ≥ 200", ["E = … ≥ 20"]),
        ("a\na", "a", ["a"]),
    ],
)
def test_what_does_not_come_is_found(expected: str, said: str, missing: list[str]) -> None:
    assert unanswered(expected, said) == missing


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    with walk(tmp_path) as reader:
        assert reader.paste("word=first\nprintf '%s\\n' $word") == "first\n\n"
        assert reader.paste("echo $word again").startswith("first again\n")
        with pytest.raises(AssertionError, match="FAILED: false"):
            reader.paste("true\nfalse\ntrue")
