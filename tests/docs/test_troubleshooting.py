"""docs/troubleshooting.md tells of what is really said, and of all of it (X5)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.cli.messages import MESSAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
TESTS = sorted((ROOT / "tests" / "cli").glob("test_newcomer*.py"))


def sections() -> list[str]:
    """The messages that the page has a heading for."""
    return re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)


def texts(path: Path) -> set[str]:
    """Every string that a test file writes down."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_page_has_every_message_and_no_other() -> None:
    assert sorted(sections()) == sorted(message.begins for message in MESSAGES.values())


def test_every_message_is_brought_about_by_a_test() -> None:
    """Its case is named in a test, which holds what was said against the table."""
    used = set[str]().union(*map(texts, TESTS))
    assert [case for case in MESSAGES if case not in used] == []


def test_every_message_is_explained() -> None:
    """Under each heading there is something to read before the next one."""
    for body in re.split(r"^### .+$", PAGE, flags=re.MULTILINE)[1:]:
        assert re.sub(r"^## .+$", "", body, flags=re.MULTILINE).strip()
