"""Blocks of a page that nobody types: what stands between two markers is written by a program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

END = "<!-- reference:end -->"
_BLOCK = re.compile(
    r"^<!-- reference:begin (?P<name>[^>]+) -->\n.*?^<!-- reference:end -->$",
    re.MULTILINE | re.DOTALL,
)


def begin(name: str) -> str:
    """The marker before a block."""
    return f"<!-- reference:begin {name} -->"


def written(page: str, blocks: Mapping[str, str]) -> str:
    """A page with every block as it should be.

    Args:
        page: the page as it is.
        blocks: name → what should stand there.

    Raises:
        ValueError: the page lacks a block, has one twice, or has one that nothing is known of.
    """
    there = [found["name"] for found in _BLOCK.finditer(page)]
    for name in blocks:
        if there.count(name) != 1:
            raise ValueError(
                f"the block {name!r} stands there {there.count(name)} times and should once: "
                f"write the lines {begin(name)} and {END} where it goes"
            )
    for name in there:
        if name not in blocks:
            raise ValueError(f"nothing is known of the block {name!r}: take its two markers out")
    return _BLOCK.sub(lambda found: f"{begin(found['name'])}\n{blocks[found['name']]}{END}", page)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; line breaks in cells become spaces."""
    first, *below = (
        "| " + " | ".join(" ".join(cell.split()) for cell in line) + " |\n"
        for line in (head, *rows)
    )
    return "".join([first, "|---" * len(head) + "|\n", *below])
