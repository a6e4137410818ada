"""A model card as a page (G3, R1): it stands alone, believes no label, and can be read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from eval import intent_eval
from greenlight.core.evaluation import Part, Subject, merge
from greenlight.core.model_card import Facts
from greenlight.core.records import Evaluation, Version
from greenlight.core.states import VersionStatus
from greenlight.reporting import card, judged, style
from tests.reporting.test_html import HOSTILE, Reader

NASTY = (HOSTILE, 'a$\\frac{b}$ & "q" 日本 😀', "x" * 80 + "\x00\n", "plain")


def document(names: tuple[str, ...], *, scores: bool = True, live: bool = True) -> dict[str, Any]:
    """An evaluation of a model that is right three times out of four."""
    rng = np.random.default_rng(3)
    gold = [name for name in names for _ in range(12)]
    given = [str(rng.choice(names)) if rng.random() < 0.25 else name for name in gold]
    told = [float(rng.random()) if scores else None for _ in gold]
    changes = [
        {"label": name, "n": 12, "only_live": n % 3, "only_candidate": n % 5}
        for n, name in enumerate(names)
    ]
    results: dict[str, dict[str, Any]] = {
        "intent": {
            "test": intent_eval.evaluate(gold, given, told, names),
            "train_val_gap": {"value": 0.08},
        },
        "live": {
            "version": "sha256:l",
            "label": HOSTILE,
            "accuracy": {"value": -0.02, "low": -0.05, "high": 0.01},
            "p_value": 0.2,
            "n": len(gold),
            "both": 1,
            "only_live": 2,
            "only_candidate": 3,
            "neither": 4,
            "per_label": changes,
        },
    }
    if not live:
        results["live"] = {"none": True, "reason": "no version is live"}
    subject = Subject(
        task="intent", version="sha256:v", bundle="sha256:b", dataset={}, protocol={}, code="c"
    )
    return merge(
        [
            Part(
                part=name,
                subject=subject,
                inputs="i",
                result=result,
                environment={},
                wall_clock_s=1.0,
            )
            for name, result in results.items()
        ]
    )


def facts(found: dict[str, Any] | None, label: str = "intent@2") -> Facts:
    version = Version(
        digest="sha256:v",
        task="intent",
        label=label,
        bundle="sha256:b",
        runtime={"kind": "in_process"},
        lineage={"source": "added"},
        initiator="ana",
        status=VersionStatus.EVALUATED,
        at=1,
    )
    evaluation = None
    if found is not None:
        evaluation = Evaluation(digest="sha256:e", version="sha256:v", document=found, at=3)
    return Facts(
        version=version,
        run=None,
        dataset=None,
        evaluation=evaluation,
        gates=[],
        approvals=[],
        traced=None,
    )


@pytest.fixture(scope="module")
def page() -> Reader:
    return Reader(card.page(facts(document(NASTY), label=HOSTILE)))


def test_the_page_stands_alone(page: Reader) -> None:
    """No script, nothing fetched, every id once, every figure in words."""
    assert not {"script", "link", "img", "image", "iframe"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = page.named("svg")
    assert len(figures) == 4
    assert all(it.get("role") == "img" and it.get("aria-label") for it in figures)
    assert len(page.named("table")) == len(page.named("caption")) >= 4


def test_hostile_labels_stay_text(page: Reader) -> None:
    assert "<script" not in page.source
    assert HOSTILE in page.text
    assert "\x00" not in page.source


def test_warnings_stand_at_the_top(page: Reader) -> None:
    """T7"""
    assert page.text.index("overfit") < page.text.index("Intended use")
    assert page.text.count("overfit") == 1


def test_versions_that_answer_alike_have_their_figure() -> None:
    """E4: no label changed between the live version and this one."""
    live = document(("a", "b"))["live"] | {"per_label": []}
    judged.paired(live).draw_without_rendering()


@pytest.mark.parametrize("count", [2, 20, 77, 120])
def test_the_matrix_has_a_name_on_every_row(count: int) -> None:
    """Readable with 77 labels: no two names touch, and all lie within the figure."""
    test = document(tuple(f"label_number_{n:03}_of_many" for n in range(count)))["intent"]["test"]
    shown = judged._shown(test)
    assert len(shown) == min(count, judged.MOST_LABELS)
    for draw in (judged.confusion, judged.per_label):
        figure = draw(test, shown)
        figure.draw_without_rendering()
        for axes in figure.axes:
            boxes = [text.get_window_extent() for text in axes.get_yticklabels()]
            assert all(box.x0 >= 0 for box in boxes)
            edges = sorted((box.y0, box.y1) for box in boxes)
            pairs = itertools.pairwise(edges)
            assert all(
                after[0] > before[1] - 0.12 * (before[1] - before[0]) for before, after in pairs
            )


def test_what_there_is_no_number_for_is_not_drawn() -> None:
    """A model without scores has no reliability diagram; nothing live, no comparison."""
    drawn = judged.pictures(document(("a", "b"), scores=False, live=False))
    assert [picture.name for picture in drawn] == ["confusion", "labels"]
    assert judged.pictures({}) == []
    bare = Reader(card.page(facts(None)))
    assert "No evaluation is on record." in bare.text
    assert not bare.named("svg")


def test_of_many_labels_the_weakest_are_shown() -> None:
    names = tuple(f"label {n:03}" for n in range(judged.MOST_LABELS + 5))
    found = document(names)
    (confusion, *_) = judged.pictures(found)
    assert "The 100 weakest labels only." in confusion.caption
    entries = found["intent"]["test"]["per_label"]
    left = set(range(len(names))) - set(judged._shown(found["intent"]["test"]))
    assert min(entries[n]["f1"] for n in left) >= sorted(e["f1"] for e in entries)[99]


def test_equal_facts_give_equal_files(tmp_path: Path) -> None:
    told = facts(document(("a", "b")))
    first, second = card.write(tmp_path / "1", told), card.write(tmp_path / "2", told)
    for name in ("markdown", "page"):
        assert first[name].read_bytes() == second[name].read_bytes()
    assert "# Model card: intent@2" in first["markdown"].read_text(encoding="utf-8")
    other = msgspec.structs.replace(told, traced=3)
    assert style.svg(judged.reliability(document(("a", "b"))["intent"]["test"]), "r")
    assert card.page(other) == card.page(told)  # without a data set, no rows are spoken of
