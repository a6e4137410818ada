"""A model card as Markdown with figures beside it, and as one page that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenlight.core import markdown, model_card
from greenlight.core.markdown import Image
from greenlight.core.model_card import Facts
from greenlight.reporting import card_figures, style
from greenlight.reporting.gallery import Picture
from greenlight.reporting.markup import document, escape, pictures, section
from greenlight.reporting.sections import told_section

MARKDOWN, PAGE, FIGURES = "model_card.md", "model_card.html", "figures"

_IN_HEADER = "Warnings"
_FIGURES_AFTER = "Most frequent confusions"

_CAPTIONS = {
    "Metrics": "Of the shipped bundle on the test rows; train and validation of a fit on train.",
    "Against the live version": "A positive difference is in favour of this version.",
    "Latency and cost of an answer": "As the provider was when the test rows were asked.",
    "Trained on shuffled labels": "The share of the most frequent label is what chance can reach.",
    "Weakest labels": "By F1 on the test rows.",
    "Most frequent confusions": "Test rows of one label that were given another.",
    "Out of scope": "Each line is other texts; kept and found are by two thresholds.",
    "Entities": "By whole entities.",
    "Fairness notes": "Each slice beside the rows that are not in it.",
    "Fairness notes: entities": "Each slice beside the sentences that are not in it.",
    "Risks and mitigations": "As large as the evaluation shows them.",
    "Failure modes": "What can fail in service.",
    "Drift baselines": "Shares of the test rows.",
    "Gates": "What the gates said of this evaluation.",
    "Approvals": "Each word is signed and names the evaluation that its speaker saw.",
    "Lineage": "Equal digests mean equal content.",
    "Measured on": "Numbers of time are those of this machine.",
}


def write(folder: str | Path, facts: Facts, *, page: bool = True) -> dict[str, Path]:
    """Write the card as Markdown with its figures, and as a page; returns where each is.

    Args:
        folder: takes both, and the figures in a folder of their own. Those of another card that
            this one does not have are taken away.
        facts: what it tells.
        page: whether to write the page too.
    """
    root = Path(folder)
    drawn = card_figures.pictures(facts.document)
    images: dict[str, list[Image]] = {}
    (root / FIGURES).mkdir(parents=True, exist_ok=True)
    for old in set((root / FIGURES).glob("*.svg")) - {_path(root, it) for it in drawn}:
        if old.stem in card_figures.PLACES:
            old.unlink()
    for picture in drawn:
        _path(root, picture).write_text(
            style.svg(picture.figure, picture.name) + "\n", encoding="utf-8"
        )
        place = card_figures.PLACES[picture.name]
        path = _path(Path(), picture).as_posix()
        images.setdefault(place, []).append(Image(path, picture.caption))
    paths = {"markdown": root / MARKDOWN}
    text = markdown.render(model_card.title(facts), model_card.sections(facts), images)
    paths["markdown"].write_text(text, encoding="utf-8")
    if page:
        paths["page"] = root / PAGE
        paths["page"].write_text(_page(facts, drawn), encoding="utf-8")
    return paths


def page(facts: Facts) -> str:
    """The card as one HTML file: no script, nothing fetched; equal facts give equal pages."""
    return _page(facts, card_figures.pictures(facts.document))


def _page(facts: Facts, drawn: Sequence[Picture]) -> str:
    found = facts.document
    parts = [_header(facts, found)]
    for told in model_card.sections(facts):
        if told.title != _IN_HEADER:
            parts.append(told_section(told, _CAPTIONS.get(told.title, told.title)))
        if told.title == _FIGURES_AFTER and drawn:
            parts.append(section("Figures", pictures(drawn)))
    parts.append(
        "<footer>Written by Greenlight from its records. The ledger holds the evaluation and every "
        "approval; <code>greenlight audit verify</code> checks it.</footer>"
    )
    return document(model_card.title(facts), parts)


def _path(root: Path, picture: Picture) -> Path:
    return root / FIGURES / f"{picture.name}.svg"


def _header(facts: Facts, found: Mapping[str, Any]) -> str:
    warned = ""
    if found.get("warnings"):
        items = "".join(f"<li>{escape(str(it['reason']))}</li>" for it in found["warnings"])
        warned = f'<aside class="warning">\n<h2>Warnings</h2>\n<ul>{items}</ul>\n</aside>\n'
    return (
        f'<header>\n<p class="eyebrow">Greenlight · {escape(facts.version.task)} · model card</p>\n'
        f'<h1>{escape(facts.version.label)}</h1>\n<p class="lead">{escape(_lead(found))}</p>\n'
        f"{warned}</header>"
    )


def _lead(found: Mapping[str, Any]) -> str:
    """The number that counts, in one sentence."""
    accuracy = found.get("intent", {}).get("test", {}).get("accuracy", {})
    if "value" in accuracy:
        return (
            f"Accuracy {accuracy['value']:.2%} on {accuracy['n']:,} test rows (95% interval "
            f"{accuracy['low']:.2%} to {accuracy['high']:.2%})."
        )
    test = found.get("ner", {}).get("test", {})
    f1 = test.get("token_micro_f1", {})
    if "value" in f1:
        return (
            f"Token F1 {f1['value']:.2%} on {test['sentences']:,} test sentences (95% interval "
            f"{f1['low']:.2%} to {f1['high']:.2%})."
        )
    return "No evaluation is on record."
