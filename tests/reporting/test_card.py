"""A model card as a page (G3, R1): it stands alone, believes no label, and can be read."""

from __future__ import annotations

import functools
import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from eval import intent_eval, ner_eval, oos_eval, slices
from greenlight.core.evaluation import Part, Subject, merge
from greenlight.core.model_card import Facts
from greenlight.core.records import Evaluation, Version
from greenlight.core.states import VersionStatus
from greenlight.reporting import card, card_figures, judged, style
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


def scope(apart: float) -> dict[str, Any]:
    """A judgement of texts out of scope that lie this far out."""
    rng = np.random.default_rng(5)
    scores = np.concatenate([rng.normal(size=60), rng.normal(apart, 1, 40)]).tolist()
    return oos_eval.evaluate(scores, [False] * 60 + [True] * 40, [score > 1.6 for score in scores])


@functools.cache
def whole() -> dict[str, Any]:
    """A document with every part that has a figure."""
    found = document(("a", "b", "c"))
    texts = ["a word"] * 60 + ["A WORD, seen"] * 60 + ["it " * 20] * 30
    gold = ["a", "b", "c"] * 50
    said = ["a"] * 60 + gold[60:]
    cut = {"train": {"a": 9, "b": 8}, "known": {"a", "word", "it"}}
    found["intent"]["slices"] = slices.evaluate(texts, gold, said, **cut)
    found["oos"] = {"clinc": scope(3), "near": scope(1), "banking_like": {"reason": "none here"}}
    tags = ["O B-place", "O O", "B-person I-person"] * 40
    given = ["O B-place", "O O", "B-person O"] * 40
    names = ["B-person", "B-place", "I-person", "O"]
    cut = {"train": {"B-place": 9, "O": 90}, "known": {"a", "word"}}
    found["ner"] = {
        "test": ner_eval.evaluate(tags, given, names),
        "slices": slices.evaluate_tags(["a word"] * 120, tags, given, **cut),
    }
    return found


def test_every_part_has_its_figure_and_each_its_place(tmp_path: Path) -> None:
    """G3, E2: confusions, ROC, reliability, F1 by label and type, slices: pictures beside the card,
    each named once in its section."""
    told = facts(whole())
    paths = card.write(tmp_path, told)
    text = paths["markdown"].read_text(encoding="utf-8")
    names = re.findall(r"^!\[[^\n]+\]\(figures/([a-z-]+)\.svg\)$", text, re.MULTILINE)
    assert sorted(names) == sorted(card_figures.PLACES)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(names)
    for name in names:
        tree = ET.parse(tmp_path / "figures" / f"{name}.svg")
        assert tree.getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(tree.iter("{http://www.w3.org/2000/svg}path"))) > 5, name
        section = text[: text.index(f"figures/{name}.svg")].rsplit("\n## ", 1)[1]
        assert section.startswith(f"{card_figures.PLACES[name]}\n")
    page = Reader(paths["page"].read_text(encoding="utf-8"))
    assert len(page.named("svg")) == len(names)


def test_figures_of_an_older_card_do_not_stay(tmp_path: Path) -> None:
    """What a card no longer shows must not lie beside it; other people's files stay."""
    card.write(tmp_path, facts(whole()))
    (tmp_path / "figures" / "mine.svg").write_text("<svg/>", encoding="utf-8")
    paths = card.write(tmp_path, facts(None), page=False)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["mine.svg"]
    assert set(paths) == {"markdown"}
    assert "figures/" not in paths["markdown"].read_text(encoding="utf-8")


def test_a_card_of_tags_leads_with_their_f1() -> None:
    found = {"ner": whole()["ner"], "warnings": []}
    assert "Token F1 80.00% on 120 test sentences" in Reader(card.page(facts(found))).text


def test_links_of_a_card_lead_to_pages() -> None:
    told = msgspec.structs.replace(facts(None), docs="../../", sealed="../eval/eval.json")
    page = Reader(card.page(told))
    targets = [attributes.get("href") for attributes in page.named("a")]
    assert "../../docs/how-to/kill-switch.md" in targets
    assert "../eval/eval.json" in targets


def test_a_curve_goes_from_nothing_to_all() -> None:
    """The ROC of the part is drawn from (0, 0) to (1, 1), the model's own threshold as a dot."""
    found = scope(3)
    figure = card_figures.roc([("far", found["roc"], {"false": 0.05, "true": 0.9})])
    for axes in figure.axes:
        chance, curve, own = axes.get_lines()
        points = np.array(curve.get_xydata())
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]
        assert (np.diff(points, axis=0) >= 0).all()
        assert own.get_xydata().tolist() == [[0.05, 0.9]]
        assert len(chance.get_xydata()) == 2


def test_a_slice_with_too_few_rows_has_no_mark() -> None:
    """E2: no number where there is a reason."""
    found = whole()["intent"]
    figure = card_figures.slices(found["slices"], "intent", found["test"]["accuracy"])
    [axes] = figure.axes
    marks = [line for line in axes.get_lines() if line.get_marker() == "o"]
    entries = [entry for cut in found["slices"]["families"] for entry in cut["slices"]]
    known = [entry for entry in entries if "value" in entry["accuracy"]]
    assert 0 < len(known) < len(entries)
    assert [float(line.get_xdata()[0]) for line in marks] == [
        entry["accuracy"]["value"] for entry in known
    ]
    said = [text.get_text() for text in axes.texts]
    assert said == [entry["accuracy"]["reason"] for entry in entries if entry not in known]
