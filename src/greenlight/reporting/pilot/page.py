"""A pilot report as Markdown with figures beside it, and as one page that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from greenlight import artifacts
from greenlight.core import markdown
from greenlight.core.markdown import Image
from greenlight.reporting import gallery, judged, style
from greenlight.reporting.gallery import Picture
from greenlight.reporting.history import History
from greenlight.reporting.markup import document, escape, pictures, section
from greenlight.reporting.pilot.content import IN_TRAFFIC, OFFLINE, sections, title
from greenlight.reporting.pilot.facts import Facts
from greenlight.reporting.pilot.verdict import decision
from greenlight.reporting.sections import told_section

MARKDOWN, PAGE, FIGURES = "pilot_report.md", "pilot_report.html", "figures"
PREFIX = "pilot-"
"""Of the figures' files: a model card beside it has its own."""

_CAPTIONS = {
    "Configuration": "As the run was begun.",
    "Stages": "In the order in which they ended.",
    "Outputs": "What the run put on record.",
    OFFLINE: "On rows that nobody chose anything by.",
    "Latency and cost of an answer": "As the provider was when the test rows were asked.",
    "Gates": "What the gates said of this evaluation.",
    "Approvals": "Each word is signed and names the evaluation that its speaker saw.",
    IN_TRAFFIC: "Both over the whole rollout; the intervals may be watched.",
}


def write(
    folder: str | Path, facts: Facts, told: Sequence[History], *, page: bool = True
) -> dict[str, Path]:
    """Write the report as Markdown with its figures, and as a page; returns where each is.

    Args:
        folder: takes both, and the figures in a folder of their own. Those of another report that
            this one does not have are taken away.
        facts: what it tells.
        told: the version's rollouts, replayed; the last one is drawn.
        page: whether to write the page too.

    Raises:
        Unwritable: the folder cannot be written to.
    """
    root = Path(folder)
    offline, traffic = _drawn(facts, told)
    images: dict[str, list[Image]] = {}
    with artifacts.writing(root):
        (root / FIGURES).mkdir(parents=True, exist_ok=True)
        drawn = {_path(root, one) for one in (*offline, *traffic)}
        for old in set((root / FIGURES).glob(f"{PREFIX}*.svg")) - drawn:
            old.unlink()
        for place, found in ((OFFLINE, offline), (IN_TRAFFIC, traffic)):
            for one in found:
                drawing = style.svg(one.figure, f"{PREFIX}{one.name}") + "\n"
                _path(root, one).write_text(drawing, encoding="utf-8")
                shown = Image(_path(Path(), one).as_posix(), one.caption)
                images.setdefault(place, []).append(shown)
        paths = {"markdown": root / MARKDOWN}
        text = markdown.render(title(facts), sections(facts), images)
        paths["markdown"].write_text(text, encoding="utf-8")
        if page:
            paths["page"] = root / PAGE
            paths["page"].write_text(_page(facts, [*offline, *traffic]), encoding="utf-8")
    return paths


def _drawn(facts: Facts, told: Sequence[History]) -> tuple[list[Picture], list[Picture]]:
    offline = [one for one in judged.pictures(facts.document) if one.name == "live"]
    if not told:
        return offline, []
    last = told[-1]
    colours = style.colours([last.rollout.control, last.rollout.candidate])
    return offline, gallery.pictures_of(last, colours)


def _page(facts: Facts, drawn: Sequence[Picture]) -> str:
    made = decision(facts)
    head = (
        f'<header>\n<p class="eyebrow">Greenlight · {escape(facts.run.task)} · pilot report</p>\n'
        f"<h1>Run {facts.run.number}</h1>\n"
        f'<p class="lead">Broader rollout: {escape(made.answer)}.</p>\n</header>'
    )
    parts = [
        head,
        *(told_section(one, _CAPTIONS.get(one.title, one.title)) for one in sections(facts)),
    ]
    if drawn:
        parts.append(section("Figures", pictures(drawn)))
    parts.append(
        "<footer>Written by Greenlight from its records. The ledger holds every run, approval and "
        "decision; <code>greenlight audit verify</code> checks it.</footer>"
    )
    return document(title(facts), parts)


def _path(root: Path, picture: Picture) -> Path:
    return root / FIGURES / f"{PREFIX}{picture.name}.svg"
