"""Evidence in words: one way to write it for people, wherever it is shown."""

from __future__ import annotations

import math

from greenlight.core.answers import Copies
from greenlight.core.records import DAY, HOUR, MINUTE, SECOND

DISPLAYED = 0.05
"""α of intervals that are shown: they cover at every look together with 95 %."""


def told(copies: Copies) -> str:
    """What became of the copies that a candidate got in the shadow."""
    if not copies.made:
        return "the candidate has got no copy yet"
    same = f"{copies.agreed / copies.compared:.1%}" if copies.compared else "nothing to compare"
    return (
        f"of {copies.made:,} copies the candidate answered {copies.answered:,} and failed "
        f"{copies.failed:,}, in {copies.latency_ms:.1f} ms on average; the same answer as control: "
        f"{same}"
    )


def power(log_e: float) -> str:
    """E for people: plain digits where they serve, a power of ten where E is huge."""
    exponent = log_e / math.log(10)
    if exponent < -2:
        return "< 0.01"
    if exponent >= 5:
        return f"10^{exponent:.1f}"
    value = math.exp(log_e)
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value >= 1 else f"{value:.2g}"


def span(microseconds: int) -> str:
    """A duration to wait for, in its two largest units: `4 min 10 s`; what is begun counts."""
    left = max(0, -(-microseconds // SECOND) * SECOND)
    parts: list[str] = []
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        count, left = divmod(left, unit)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"
