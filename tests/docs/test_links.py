"""Every relative link in a Markdown file leads to a file, and to a heading where it names one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE
)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def documents() -> list[Path]:
    """Markdown files that are there and tracked, or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {ROOT / name for name in listed.stdout.split("\0") if name}
    return sorted(path for path in found if path.exists())


def anchors(text: str) -> set[str]:
    """What GitHub lets one link to: the headings in lower case, spaces as hyphens."""
    bare = re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = (re.sub(r"\]\([^)]*\)", "", title) for title in HEADING.findall(bare))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def leads(aim: Path, fragment: str) -> bool:
    """Is there such a file, with such a heading if it is Markdown and a fragment is asked for?"""
    if not fragment or aim.suffix != ".md":
        return aim.exists()
    return aim.is_file() and fragment in anchors(aim.read_text(encoding="utf-8"))


def broken(path: Path) -> list[str]:
    """The relative links of a file that lead nowhere."""
    found = []
    text = path.read_text(encoding="utf-8")
    for match in LINK.finditer(CODE.sub("", text)):
        target = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, fragment = target.partition("#")
        aim = (path.parent / unquote(name)).resolve() if name else path
        if not leads(aim, fragment):
            found.append(target)
    return found


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_resolve(path: Path) -> None:
    assert not broken(path)


def test_the_index_names_every_page() -> None:
    """X5: what is not in docs/README.md is not found."""
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(docs).as_posix() for path in documents() if docs in path.parents]
    own = [page for page in pages if page != "README.md" and not page.startswith("adr/0")]
    assert [page for page in own if f"({page})" not in index] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](gone.md)", ["gone.md"]),
        ("[a](here.md#no-such-thing)", ["here.md#no-such-thing"]),
        ("![a](<gone.png>)", ["gone.png"]),
        ("[a]: gone.md", ["gone.md"]),
        ('[`a`](gone.md "title")', ["gone.md"]),
        ("[a](here.md#one-more-time) [b](#own) [c](https://example.org/x)\n# Own", []),
        ("`[a](gone.md)` and\n```\n[a](gone.md)\n```\n", []),
    ],
)
def test_broken_links_are_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "here.md").write_text("## One *more* time!\n", encoding="utf-8")
    document = tmp_path / "document.md"
    document.write_text(text, encoding="utf-8")
    assert broken(document) == expected
