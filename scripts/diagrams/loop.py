"""The picture of the loop: what a run does, who signs, what users say, and what follows from it.

Plain SVG whose colours follow the reader's light or dark screen, on a ground of its own, so that it
can be read on any page.
"""

from __future__ import annotations

from pathlib import Path

from greenlight.stages.loop import STAGES

PATH = Path(__file__).parents[2] / "docs/images/loop.svg"

SAYS = (
    f"The loop: {', '.join(STAGES)} is one run; people approve; roll out, observe, decide goes on "
    "before users until a version is promoted or rolled back; what users said is the next dataset"
)
"""For those who do not see it."""

WIDTH, HEIGHT = 940, 290
_BOX, _TALL, _GAP = 104, 46, 20
_LEFT, _TOP, _BOTTOM = 42, 62, 186
_STYLE = """\
text { font: 15px system-ui, sans-serif; fill: #1f2937; text-anchor: middle }
.small { font-size: 13px; fill: #64748b }
.ground { fill: #ffffff; stroke: #e2e8f0 }
.run { fill: #dbeafe; stroke: #2563eb }
.people { fill: #fef3c7; stroke: #d97706 }
.users { fill: #d1fae5; stroke: #059669 }
.way { fill: none; stroke: #64748b; stroke-width: 1.6 }
.head { fill: #64748b }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb } .small { fill: #9ca3af }
  .ground { fill: #111827; stroke: #374151 }
  .run { fill: #1e3a8a } .people { fill: #78350f } .users { fill: #064e3b }
  .way { stroke: #9ca3af } .head { fill: #9ca3af }
}
"""


def drawn() -> str:
    """The picture as SVG."""
    parts = [
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>',
        *_run(),
        *_people(),
        *_users(),
        *_back(),
    ]
    return "\n".join([*_opening(), *parts, "</svg>", ""])


def _opening() -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'width="{WIDTH}" height="{HEIGHT}" aria-label="{SAYS}">',
        f"<title>{SAYS}</title>",
        f"<style>\n{_STYLE}</style>",
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]


def _run() -> list[str]:
    """The stages of a run, from left to right."""
    parts = [_text(_column(3) + _BOX / 2, _TOP - 22, "greenlight run, by hand or by schedule")]
    for place, stage in enumerate(STAGES):
        x, y = _column(place), _middle(_TOP)
        parts.append(_box("run", x, _TOP, stage))
        if place:
            parts.append(_way((x - _GAP, y), (x, y)))
    return parts


def _people() -> list[str]:
    """Who signs, between a run and a rollout."""
    last = _column(6)
    return [
        _way((last + _BOX / 2, _TOP + _TALL), (last + _BOX / 2, _BOTTOM)),
        _box("people", last, _BOTTOM, "approve"),
        _text(last + _BOX / 2, _BOTTOM + _TALL + 22, "people sign"),
    ]


def _users() -> list[str]:
    """What goes on before users, from right to left."""
    parts = []
    for column, verb in ((5, "roll out"), (4, "observe"), (3, "decide")):
        x = _column(column)
        parts += [
            _box("users", x, _BOTTOM, verb),
            _way((x + _BOX + _GAP, _middle(_BOTTOM)), (x + _BOX, _middle(_BOTTOM))),
        ]
    x = _column(4) + _BOX / 2
    return [*parts, _text(x, _BOTTOM + _TALL + 22, "every second, while users say GOOD or BAD")]


def _back() -> list[str]:
    """What becomes of a candidate, and how what users said comes back."""
    centre, y = _column(0) + _BOX / 2, _middle(_BOTTOM)
    outcome = _column(1) + _BOX / 2
    return [
        _way((_column(3), y), (_column(2) + _GAP + 10, y)),
        f'<text x="{outcome + 40:g}" y="{y - 4:g}">promote, or</text>',
        f'<text x="{outcome + 40:g}" y="{y + 16:g}">roll back</text>',
        f'<path class="way" marker-end="url(#head)" d="M{outcome - 12:g} {y:g} '
        f'H{centre:g} V{_TOP + _TALL:g}"/>',
        _text(centre + 30, _BOTTOM + _TALL + 22, "the next dataset"),
    ]


def _column(place: int) -> float:
    """Left edge of a column, counted from 0."""
    return _LEFT + place * (_BOX + _GAP)


def _middle(top: float) -> float:
    return top + _TALL / 2


def _box(kind: str, x: float, y: float, label: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{_BOX}" height="{_TALL}" rx="8"/>'
        f'<text x="{x + _BOX / 2:g}" y="{y + _TALL / 2 + 5:g}">{label}</text>'
    )


def _way(start: tuple[float, float], end: tuple[float, float]) -> str:
    return (
        f'<path class="way" marker-end="url(#head)" '
        f'd="M{start[0]:g} {start[1]:g} L{end[0]:g} {end[1]:g}"/>'
    )


def _text(x: float, y: float, words: str) -> str:
    return f'<text class="small" x="{x:g}" y="{y:g}">{words}</text>'
