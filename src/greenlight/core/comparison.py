"""Two versions' answers to the same texts: where they differ, and whether chance explains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from greenlight.core.errors import BadInput
from greenlight.core.stats.paired import Paired, paired


class LabelDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the texts of one true label."""

    label: str
    n: int
    only_a: int
    """Texts that only a gets right."""
    only_b: int
    difference: float
    """Share of the label's texts that b gets right less the share that a does."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two versions did on the same texts; a is what b is held against."""

    paired: Paired
    labels: list[LabelDifference]
    """True labels with a text that only one of them got right; the largest change comes first."""
    differing: list[int]
    """Places of the texts that they answer differently."""


def compare(gold: Sequence[str], a: Sequence[str], b: Sequence[str]) -> Comparison:
    """Hold b's answers against a's.

    Args:
        gold: the true labels.
        a: the labels that a gave, in the same order.
        b: those that b gave.

    Raises:
        BadInput: no texts, or unequal lengths.
    """
    if not len(gold) == len(a) == len(b):
        raise BadInput(f"cannot compare: {len(gold)} labels, {len(a)} and {len(b)} answers")
    right_a = [given == true for given, true in zip(a, gold, strict=True)]
    right_b = [given == true for given, true in zip(b, gold, strict=True)]
    sizes, only_a, only_b = Counter(gold), Counter[str](), Counter[str]()
    for true, first, second in zip(gold, right_a, right_b, strict=True):
        only_a[true] += first and not second
        only_b[true] += second and not first
    found = [
        LabelDifference(
            label=label,
            n=sizes[label],
            only_a=only_a[label],
            only_b=only_b[label],
            difference=(only_b[label] - only_a[label]) / sizes[label],
        )
        for label in sorted(sizes)
        if only_a[label] or only_b[label]
    ]
    return Comparison(
        paired=paired(right_a, right_b),
        labels=sorted(found, key=lambda entry: (-abs(entry.only_b - entry.only_a), entry.label)),
        differing=[
            place for place, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]
        ],
    )
