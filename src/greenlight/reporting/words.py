"""Numbers and endings as people read them."""

from __future__ import annotations

from greenlight.core import budget
from greenlight.core.records import DAY, HOUR, MINUTE, SECOND, Rollout
from greenlight.core.states import RolloutStatus
from greenlight.reporting.history import Proportion

_NAMES = {
    "quality": "answers are worse",
    "early_harm": "more BAD soon after answering",
    "intention": "more BAD and fewer GOOD, over all units",
    "shadow": "copies that only the candidate fails",
    "errors": "more failures",
    budget.STRONG: "answers are better",
    "intention_better": "fewer BAD and as many GOOD, over all units",
    f"{budget.NO_WORSE}:quality": "answers are no worse",
    f"{budget.NO_WORSE}:step": "answers are no worse, to widen",
    f"{budget.NO_WORSE}:errors": "failures are no more",
    budget.SAME_SPLIT: "units are not divided as they should be",
    budget.SAME_VOICE: "feedback comes unequally often",
}


def rate(share: Proportion) -> str:
    """A proportion with its interval: `94.3% [92.1, 95.8]`."""
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def ending(rollout: Rollout, end: int) -> str:
    """How a rollout ended, after a subject: `was promoted after 25 s`.

    Args:
        rollout: ended, or running until now.
        end: its end, or now (µs since 1970).
    """
    length = duration(end - rollout.at)
    if rollout.status is RolloutStatus.PENDING:
        return f"has been waiting for its release window for {length}"
    if rollout.status is RolloutStatus.RUNNING:
        return f"has been running for {length}"
    if rollout.status is RolloutStatus.INCONCLUSIVE:
        return f"ended without a decision after {length}"
    return f"was {rollout.status.value.replace('_', ' ')} after {length}"


def duration(microseconds: int) -> str:
    """A duration for people: two figures that matter and a unit."""
    for unit, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if microseconds >= 2 * unit:
            return f"{microseconds / unit:.3g} {name}"
    seconds = microseconds / SECOND
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def decade(exponent: float) -> str:
    """A tick of a logarithmic axis, given its exponent."""
    whole = round(exponent)
    return f"{10**whole:,}" if 0 <= whole <= 3 else f"10{_superscript(whole)}"


def about(test: str) -> str:
    """What a test is about, in plain words."""
    if test in _NAMES:
        return _NAMES[test]
    kind, _, rest = test.partition(":")
    if kind == "metric":
        return f"{rest} is worse"
    if kind == budget.NO_WORSE:
        return f"{rest} is no worse"
    return {
        "latency_p95": "more answers slower than control's p95",
        "latency_p99": "more answers slower than control's p99",
        "latency_slo": "more answers slower than the objective",
    }.get(test, test)
