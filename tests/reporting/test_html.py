"""One page that stands alone and believes no label."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core.records import Rollout
from greenlight.reporting import report
from greenlight.reporting.html import Context, headline, page, standing_notes
from greenlight.reporting.summary import Summary, summarise

TASK = "intent"
HOSTILE = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Collects tags, attributes and text; notices tags that do not nest."""

    VOID = frozenset({"meta", "br", "img", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


FILES = [(HOSTILE, f'"demo/{HOSTILE}'), ("decisions", "demo/log.jsonl")]


def gather(story: Any) -> Context:
    """The context of a story's report."""
    notes = ["on the sample", HOSTILE]
    return report.gather(story.store, TASK, now=story.clock.now(), notes=notes, files=FILES)


gathered = functools.cache(gather)


@functools.cache
def read(story: Any) -> Reader:
    """A story's page, read."""
    return Reader(page(gathered(story)))


@pytest.mark.parametrize("name", ["story", "hostile", "fresh"])
def test_page_stands_alone(name: str, request: pytest.FixtureRequest) -> None:
    """No script, nothing fetched, every id once, every table with heads, every figure in words."""
    found = read(request.getfixturevalue(name))
    text = found.source
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(found.named("table")) == len(found.named("caption")) >= 5
    assert all(attributes.get("scope") in ("col", "row") for attributes in found.named("th"))
    figures = found.named("svg")
    assert figures and all(a.get("role") == "img" and a.get("aria-label") for a in figures)


def test_hostile_labels_stay_text(hostile: Any) -> None:
    found = read(hostile)
    assert not found.named("script") and "<script" not in found.source
    assert HOSTILE in found.text
    assert 'a$\\frac{b}$ & "q" \'--> 日本 😀' in found.text
    assert "\x00" not in found.source


def test_secret_salt_is_not_in_the_page(story: Any) -> None:
    """S2: whoever knows the salt can choose their arm."""
    text = read(story).source
    for rollout in story.store.scan(Rollout):
        assert rollout.salt and rollout.salt not in text


def test_page_tells_the_whole_story(story: Any) -> None:
    context, text = gathered(story), read(story).text
    for version in context.summary.versions:
        for digest in (version.digest, version.bundle, version.dataset, version.evaluation):
            assert digest is not None and digest in text
    for item in context.histories:
        for decision in item.decisions:
            assert decision.reason in text and decision.code in text
    for word in context.approvals:
        assert word.person in text and word.why in text
    assert len(context.approvals) == 6
    assert "on the sample" in text and "demo/log.jsonl" in text
    assert "recomputed from the journal and equals" in text


def test_equal_stories_give_equal_pages(story: Any, tmp_path: Path) -> None:
    written = report.write(tmp_path / "new" / "folder", gather(story))
    assert written.read_text(encoding="utf-8") == read(story).source
    names = sorted(path.name for path in (written.parent / "figures").iterdir())
    assert names == [
        "allocation.png",
        "evidence-1.png",
        "evidence-2.png",
        "rates-1.png",
        "rates-2.png",
        "versions.png",
    ]


def test_evidence_that_does_not_match_is_shouted(story: Any) -> None:
    context = gathered(story)
    doubtful = msgspec.structs.replace(context.histories[0], agrees=False)
    changed = msgspec.structs.replace(context, histories=[doubtful], pictures=[])
    text = Reader(page(changed)).text
    assert "The evidence does not match" in text
    assert "recomputed from the journal and equals" not in text


def told(status: str, **changes: Any) -> Summary:
    """A summary with one rollout that ended as given."""
    rollout: dict[str, Any] = {
        "id": "r",
        "candidate": "intent@2",
        "control": "intent@1",
        "aa": False,
        "status": status,
        "action": None,
        "code": None,
        "reason": None,
        "weights": [0.1],
        "max_weight": 0.1,
        "requests_assigned": 1,
        "requests_served": 1,
        "units_exposed": 1,
        "outcomes": 0,
        "seconds": 6.25,
        "seconds_from_exposure": 6.1,
        "log_e": {},
        "log_threshold": {},
        **changes,
    }
    body = {"task": TASK, "dataset": None, "versions": [], "rollouts": [rollout]}
    return msgspec.convert(body, Summary)


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (told("promoted"), "intent@2 was promoted after 6.2 s."),
        (told("running"), "intent@2 has been rolling out for 6.2 s."),
        (told("inconclusive"), "intent@2 ended without a decision after 6.2 s."),
        (
            told("rolled_back"),
            "intent@2 was rolled back 6.1 s after it met its first user (1 user met it, it "
            "answered 1 request).",
        ),
        (
            told("rolled_back", seconds_from_exposure=None),
            "intent@2 was rolled back after 6.2 s, before any user met it.",
        ),
    ],
)
def test_headline(summary: Summary, sentence: str) -> None:
    assert headline(summary) == sentence


def test_headline_of_many_and_of_none(new_story: Any) -> None:
    four = [item for _ in range(4) for item in told("promoted").rollouts]
    many = msgspec.structs.replace(told("promoted"), rollouts=four)
    assert headline(many).startswith("Of 4 rollouts the last 3: ")
    empty = new_story()
    assert "No version" in headline(summarise(empty.store, TASK))
    assert "No version" in Reader(page(gathered(empty))).text


def test_notes_say_what_a_test_does_not_show(story: Any) -> None:
    notes = " ".join(standing_notes(gathered(story).histories))
    assert "at some time" in notes and "on average" in notes
    assert "This policy is in a hurry" in notes
    assert "in a hurry" not in " ".join(standing_notes([]))
