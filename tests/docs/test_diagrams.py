"""The diagrams in docs/ are what the code says, and Mermaid can read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.core.records import RECORDS
from greenlight.ports import Clock, Store
from greenlight.ports.cache import Cache
from greenlight.testing import FakeClock
from scripts.diagrams import inspecting, sequences
from scripts.diagrams.pages import PAGES
from scripts.diagrams.references import references
from scripts.diagrams.story import Story, tell
from scripts.diagrams.telling import records
from scripts.diagrams.text import plain
from scripts.diagrams.tracing import Message, Trace, Watched, acting, collapsed

BLOCK = re.compile(r"^```mermaid\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
NAME = r"[A-Za-z_]\w*"
STATEMENTS = {
    "stateDiagram-v2": [rf"(\[\*\]|{NAME}) --> (\[\*\]|{NAME})(: [^;:]+)?"],
    "classDiagram": [
        r"direction (LR|RL|TB|BT)",
        rf"class {NAME} \{{",
        r"<<\w+>>",
        r"\}",
        rf"{NAME} (-->|\.\.>|--\|>|\.\.\|>) {NAME}( : [^;:]+)?",
        rf"{NAME}: [^(){{}};]+",
        rf"{NAME}\([^(){{}};]*\) [^(){{}};]+",
    ],
    "sequenceDiagram": [
        r"autonumber",
        r"(participant|actor) p\d+ as \S.*",
        r"p\d+(->>|-->>)p\d+: \S.*",
        r"Note over p\d+: \S.*",
    ],
}
ESCAPE = re.compile(r"#(\d+|[a-z]+);")


@pytest.fixture(scope="module")
def story() -> Story:
    return tell()


def diagrams(text: str) -> list[str]:
    """The Mermaid blocks of a page."""
    return BLOCK.findall(text)


def faults(diagram: str) -> list[str]:
    """What Mermaid would stumble over, as far as the statements go that are used here."""
    first, *lines = diagram.split("\n")
    if first not in STATEMENTS:
        return [f"unknown kind: {first}"]
    found = []
    inside = False
    for line in lines:
        bare = ESCAPE.sub("", line.strip())
        if ";" in bare or "#" in bare or "<" in bare.replace("<<port>>", ""):
            found.append(f"not escaped: {line}")
        if not any(re.fullmatch(form, bare) for form in STATEMENTS[first]):
            found.append(f"no statement: {line}")
        if bare.endswith("{") or bare == "}":
            if inside is bare.endswith("{"):
                found.append(f"braces: {line}")
            inside = bare.endswith("{")
    if inside:
        found.append("a class is not closed")
    known = set(re.findall(r"^ +(?:participant|actor) (p\d+)", diagram, re.MULTILINE))
    used = set(re.findall(r"\bp\d+(?=-|:| as)|(?<=>)p\d+", diagram))
    return found + [f"nobody is called {name}" for name in sorted(used - known)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_what_the_code_says(path: Path, story: Story) -> None:
    """X4: a change of a table, a class or a call shows in the documents."""
    assert path.read_text(encoding="utf-8") == PAGES[path](story), "run python -m scripts.diagrams"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_mermaid_can_read_it(path: Path) -> None:
    """X4"""
    found = diagrams(path.read_text(encoding="utf-8"))
    assert found
    for diagram in found:
        assert not faults(diagram)


@pytest.mark.parametrize(
    "diagram",
    [
        "pie",
        "stateDiagram-v2\n    a -> b",
        "classDiagram\n    class A {\n        x: int",
        "classDiagram\n    }",
        "classDiagram\n    class A {\n        f(a: g(b)) int\n    }",
        "classDiagram\n    A -> B",
        "sequenceDiagram\n    participant p1 as A\n    p1->>p2: hello",
        "sequenceDiagram\n    participant p1 as A\n    p1->>p1: run intent#1",
        "sequenceDiagram\n    participant p1 as A\n    p1->>p1: a; b",
        "sequenceDiagram\n    participant p1 as A\n    p1->>p1",
    ],
)
def test_faults_are_found(diagram: str) -> None:
    assert faults(diagram)


def test_texts_are_escaped() -> None:
    trace = Message("Store", "Store", "run intent#1; <b>")
    line = sequences.sequence([trace]).splitlines()[-1]
    assert line == "    Note over p1: run intent#35;1#59; #lt;b#gt;"
    assert not faults(sequences.sequence([trace])) and plain("run 1") == "run 1"


class TestWhatTheStoryShows:
    """What the scenes must show, whatever else they show."""

    def test_every_kind_of_record(self, story: Story) -> None:
        assert all(story.store.scan(kind, limit=1) for kind in RECORDS)

    def test_references(self, story: Story) -> None:
        """R1: a version leads back to its run and its data, a decision to its epoch."""
        found = references(story.store)
        assert found["Version", "Run"] == ["lineage.run"]
        assert found["Version", "Dataset"] == ["lineage.dataset"]
        assert found["Inference", "Version"] == ["fallback_from", "served_version", "version"]
        assert found["Decision", "Epoch"] == ["epoch_seen"]
        assert found["RunProgress", "Run"] == ["run"]

    def test_what_is_finished_is_not_called_again(self, story: Story) -> None:
        """T2: the process that goes on after SIGKILL begins with the stage that was cut off."""
        begun = {
            name: [
                message.text.removeprefix("stage ")
                for message in story.scenes["killed"]
                if message.source == name and message.text.startswith("stage ")
            ]
            for name in ("Process A", "Process B")
        }
        assert begun == {"Process A": ["collect", "curate", "train"], "Process B": ["train"]}

    def test_equal_inputs_are_not_paid_for_twice(self, story: Story) -> None:
        """T2, E5"""
        called = {message.target for message in story.scenes["again"]}
        assert called.isdisjoint({"Trainer", "Model"}) and "Source" in called

    def test_the_gateway_reads_nothing_for_a_request(self, story: Story) -> None:
        scene = story.scenes["request"]
        begin = next(n for n, m in enumerate(scene) if m.source == "Client")
        assert [m for m in scene[begin:] if m.source == "Gateway" and m.target == "Store"] == []


class TestInspecting:
    """Which class can stand behind which port is seen, not said."""

    def test_fakes_and_adapters(self) -> None:
        assert [made.__name__ for made in inspecting.implementers(Clock)] == [
            "FakeClock",
            "SystemClock",
        ]
        assert [made.__name__ for made in inspecting.implementers(Store)] == [
            "MemoryStore",
            "SqlStore",
        ]

    def test_what_differs_does_not_implement(self) -> None:
        class Right(FakeClock):
            pass

        class Other:
            def now(self, zone: str) -> int:
                return 0

        class Late:
            async def now(self) -> int:
                return 0

        class Wider:
            def now(self, zone: str = "UTC") -> int:
                return 0

        assert [inspecting.implements(made, Clock) for made in (Right, Other, Late, Wider)] == [
            True,
            False,
            False,
            True,
        ]
        assert not inspecting.implements(MemoryStore, Cache)

    def test_attributes_count(self) -> None:
        class Named(Protocol):
            @property
            def name(self) -> str: ...

        class Yes:
            name = "yes"

        class No:
            pass

        assert inspecting.implements(Yes, Named) and not inspecting.implements(No, Named)


class TestTracing:
    """What is written down is what was called."""

    def test_calls_have_callers(self) -> None:
        trace = Trace()
        store = Watched(trace, MemoryStore(), "Store", records())
        with trace.scene() as told, acting("Gateway"):
            store.scan(RECORDS[0])
            store.scan(RECORDS[1])
            store.lease("controller", "one", 0, 10)
            assert store.lease("controller", "two", 1, 10) is None
        with acting("Gateway"):
            store.scan(RECORDS[0])
        assert [(message.text, times) for message, times in collapsed(told)] == [
            ("Dataset, Run", 1),
            ("lease controller", 1),
            ("token 1", 1),
            ("lease controller", 1),
            ("somebody else has it", 1),
        ]

    def test_repeats_are_told_once(self) -> None:
        def told(kind: str, *texts: str) -> list[Message]:
            return [Message("a", "b", text, kind) for text in texts]

        def short(messages: Sequence[Message]) -> list[tuple[str, int]]:
            return [(message.text, times) for message, times in collapsed(messages)]

        assert short(told("call", "x", "x", "y", "x")) == [("x", 2), ("y", 1), ("x", 1)]
        assert short(told("read", "x", "x", "y", "x")) == [("x, y", 1)]
