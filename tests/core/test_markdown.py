"""Texts of others in Markdown, as a reader of CommonMark sees them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from greenlight.core import markdown
from greenlight.core.markdown import Image
from greenlight.core.model_card import Code, Link, Section, Table

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SIGNS = "\\`*_{}[]()<>#+-.!|~=&;:'\"/1aB \t\n"
TEXTS = st.text(alphabet=SIGNS, min_size=1, max_size=30).filter(lambda text: bool(text.split()))


def flat(text: str) -> str:
    return " ".join(text.split())


def inlines(tokens: Sequence[Token]) -> list[list[tuple[str, str]]]:
    """(type, content) of what is in each line, cell or heading."""
    found = []
    for token in tokens:
        if token.type == "inline":
            found.append([(one.type, one.content) for one in token.children or ()])
    return found


def said(line: Sequence[tuple[str, str]]) -> str:
    """A line that is nothing but text."""
    assert {kind for kind, _ in line} <= {"text", "text_special"}, line
    return "".join(content for _, content in line)


@given(TEXTS)
@example("1. one")
@example("1) one")
@example("a ##")
@example("#")
@example("- - -")
@example("===")
@example("> &lt;b&gt; &#60; R&D")
@example("_a_ snake_case __b__ ~~c~~")
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    """As title, heading, paragraph, name, value, warning, cell and caption."""
    section = Section(
        title=text,
        text=text,
        items=[(text, text)],
        warnings=[text],
        table=Table(head=["a", "b"], rows=[(text, "|")]),
    )
    page = markdown.render(text, [section], {text: [Image("a.png", text)]})
    tokens = READER.parse(page)
    title, heading, warning, paragraph, item, a, b, cell, pipe, image, caption = inlines(tokens)
    for line in (title, heading, paragraph, cell):
        assert said(line) == flat(text)
    assert said(warning[4:]) == f": {flat(text)}"
    assert said(item) == f"{flat(text)}: {flat(text)}"
    assert (said(a), said(b), said(pipe)) == ("a", "b", "|")
    assert [kind for kind, _ in image] == ["image"]
    assert said(caption[1:-1]) == flat(text)
    blocks = [token.type for token in tokens if token.nesting == 1 and token.level == 0]
    assert blocks == [
        "heading_open",
        "heading_open",
        "bullet_list_open",
        "paragraph_open",
        "bullet_list_open",
        "table_open",
        "paragraph_open",
        "paragraph_open",
    ]


@given(TEXTS)
def test_a_link_shows_its_text(text: str) -> None:
    page = markdown.render("t", [Section(title="s", items=[("n", Link(text, target="a.md"))])])
    *_, line = inlines(READER.parse(page))
    assert line[0] == ("text", "n: ")
    assert [line[1][0], line[-1][0]] == ["link_open", "link_close"]
    assert said(line[2:-1]) == flat(text)


@pytest.mark.parametrize("text", ["a?", "b|c", "snake_case", "0.5 of 3", "R&D", "x-y"])
def test_what_means_nothing_stays_readable_in_the_source(text: str) -> None:
    """Strokes stand only where they are needed; a name in code has none but in a pipe."""
    page = markdown.render("t", [Section(title="s", text=text, items=[("n", Code(text))])])
    assert text.replace("|", "\\|") in page.splitlines()
    assert f"- n: `{text.replace('|', chr(92) + '|')}`" in page.splitlines()
