"""The figures of a report in order, each with the words that belong under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from greenlight.core.words import power
from greenlight.reporting import figures
from greenlight.reporting.history import History
from greenlight.reporting.summary import Summary
from greenlight.reporting.words import duration, ending

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """A figure, the name of its file and of its ids, and its caption."""

    name: str
    figure: Figure
    caption: str


MOST = 6
"""Rollouts that are drawn: the newest ones."""


def pictures(
    summary: Summary, told: Sequence[History], colours: Mapping[str, str]
) -> list[Picture]:
    """Draw everything there is to show of a task.

    Args:
        summary: the task's versions and rollouts.
        told: its rollouts, replayed; the newest `MOST` are drawn.
        colours: by version digest (`style.colours`).
    """
    drawn = []
    told = told[-MOST:]
    if told:
        drawn.append(Picture("allocation", figures.allocation(told, colours), _ALLOCATION))
    for number, item in enumerate(told, start=1):
        drawn.append(Picture(f"evidence-{number}", figures.evidence(item), _evidence(item)))
        drawn.append(Picture(f"rates-{number}", figures.rates(item, colours), _rates(item)))
    if summary.versions:
        drawn.append(Picture("versions", figures.versions(summary.versions, colours), _VERSIONS))
    return drawn


def pictures_of(item: History, colours: Mapping[str, str]) -> list[Picture]:
    """Draw one rollout: its evidence, its splits, what was said."""
    return [
        Picture("evidence", figures.evidence(item), _evidence(item)),
        Picture("split", figures.allocation([item], colours), _ALLOCATION),
        Picture("rates", figures.rates(item, colours), _rates(item)),
    ]


_ALLOCATION = (
    "Who answered. The height of a colour is the share of users that a version was given; each "
    "flag is a decision of the controller (or the start of a rollout by a person)."
)

_VERSIONS = (
    "Offline accuracy beside what users said, with 95% intervals; the two panels have scales of "
    "their own. A version may score well from its bundle and still answer badly where it is served."
)


def _evidence(item: History) -> str:
    limits = item.thresholds
    parts = [
        f"{item.candidate} against {item.control}: it {ending(item.rollout, item.end)}. Each line "
        "is the evidence E of one test, on a logarithmic scale. It starts at 1, rises only if the "
        "arms differ in the direction that the test bets on, and acts at its dashed line: "
        f"{power(limits['quality'])} to roll back"
    ]
    if any(moment.log_e["superiority"] for moment in item.moments):
        parts.append(
            f", {power(limits['superiority'])} to promote. Better answers are tested at the last "
            "step before promotion only."
        )
    else:
        parts.append(". It did not come to the last step, where better answers would be tested.")
    window = duration(item.policy.rollout.fast_window)
    parts.append(f" Early BAD counts what was said within {window} of an answer.")
    return "".join(parts)


def _rates(item: History) -> str:
    text = (
        f"The share of GOOD among the outcomes of {item.candidate} and {item.control} so far; an "
        "outcome is the first judged answer of a user in one split. The bars are 95% confidence "
        "sequences, which may be watched; they are for display: the decision rests on E."
    )
    if item.after:
        text += " Dotted: outcomes that came in after the decision, which no test has seen."
    return text
