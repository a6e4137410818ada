"""What DEMO.md shows of the drills: a block between two markers, a figure, and pictures.

    python -m benchmarks.drills.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.drills import figures
from benchmarks.harness import ROOT
from benchmarks.pages import IMAGES, Found, Page, made_by, table

SHOWN = ("errors", "alarm")
"""Fault and trigger of the drill that DEMO.md shows."""
PICTURES = {"drill-timeline": "figures/timeline.png", "drill-page": "page.png"}
"""Name of a picture → the file in an evidence folder that it is a copy of."""
_TEXTS = {
    "drill-timeline": "The timeline of the drill as its evidence draws it",
    "drill-page": "The rollout's page after the rollback, as the evidence keeps it",
}


def picture_path(name: str) -> Path:
    """Where a copy is kept."""
    return IMAGES / f"{name}.png"


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    shown = next(
        held
        for held in found["drills"]
        if (held["drill"]["fault"], held["drill"]["trigger"]) == SHOWN
    )
    passed = sum(held["drill"]["passed"] for held in found["drills"])
    return [
        f"{made_by(found)}: {passed} of {len(found['drills'])} passed.\n",
        f"![{figures.SAYS}](docs/images/{figures.COURSE}.svg)\n",
        results(found),
        "### Canary, alarm, rollback\n",
        *(f"{sentence}\n" for sentence in shown["story"]),
        table(
            ("after", "what happened"),
            [(f"{event['after_s']:.1f} s", _plain(event["what"])) for event in shown["timeline"]],
        ),
        *(f"![{_TEXTS[name]}](docs/images/{name}.png)\n" for name in PICTURES),
    ]


def results(found: Found) -> str:
    """Every drill, one line each."""
    return table(
        ("drill", "detected", "alarm → control", "decision → last gateway", "all back", "candidate",
         "errors users saw", "passed"),
        [_row(held["drill"]) for held in found["drills"]],
    )  # fmt: skip


def _row(drill: Found) -> tuple[str, ...]:
    propagation = drill["propagation_ms"]
    return (
        figures.title(drill),
        _seconds(drill["detection_s"]),
        _seconds(drill["alarm_to_control_s"]),
        "" if propagation is None else f"{propagation:.0f} ms",
        _seconds(drill["whole_s"]),
        f"{drill['requests']:,} requests of {drill['units']:,} users",
        f"{drill['user_errors']:,}",
        "yes" if drill["passed"] else f"**no**: {drill['why']}",
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


PAGE = Page(path=ROOT / "DEMO.md", name="drills", block=block, drawn=figures.drawn)


if __name__ == "__main__":
    PAGE.write()
