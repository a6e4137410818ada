"""The tests of a rollout in the order in which people ask about them, each with a plain name."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenlight.dashboard import charts
from greenlight.reporting.purposes import Bar, Purpose, bars
from greenlight.reporting.underway import Underway
from greenlight.reporting.words import about


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """A test with its E (natural logarithms), or why it has none."""

    id: str
    name: str
    log_e: float | None
    limit: float | None
    """log E at which it acts; None where it cannot be computed."""
    reach: float
    """How far its bar reaches, in [0, 1]."""
    counts: bool
    """Whether it does what its group says as things stand."""
    gap: str = ""
    """Why it cannot be computed."""

    @property
    def acts(self) -> bool:
        """Whether it counts and its E is at its threshold."""
        if self.log_e is None or self.limit is None:
            return False
        return self.counts and self.log_e >= self.limit


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Tests that do the same when they reach their thresholds."""

    title: str
    says: str
    kind: str
    """`harm`, `proof`, `trust` or `shown`."""
    tests: Sequence[Test]


_GROUPS: tuple[tuple[Purpose, str, str], ...] = (
    ("harm", "harm", "What would roll it back"),
    ("promotion", "proof", "What promotes it"),
    ("step", "proof", "What gives it its next step"),
    ("trust", "trust", "Whether the evidence can be trusted"),
    ("shown", "shown", "What is only shown"),
)
"""Of each group its purpose, its kind and its title."""


def groups(found: Underway) -> list[Group]:
    """Every test of a rollout: what rolls back, what promotes, what makes the rest untrusted."""
    gaps = {gap.test: gap.reason for gap in found.missing}
    there = bars(found)
    # What has no threshold either can only be a test of latency: all others always have one.
    lost = gaps.keys() - {bar.test for bar in there}
    made = []
    for purpose, kind, title in _GROUPS:
        own = [bar for bar in there if bar.purpose == purpose]
        tests = [_test(bar, gaps) for bar in own]
        if purpose == "harm":
            tests += [_lost(test, reason) for test, reason in gaps.items() if test in lost]
        if tests:
            says = _says(purpose, own, found.policy.trigger)
            made.append(Group(title=title, says=says, kind=kind, tests=tests))
    return made


def _says(purpose: Purpose, own: Sequence[Bar], trigger: str) -> str:
    """What the tests of a purpose do."""
    if purpose == "harm" and trigger == "alarm":
        return "In this drill only its alarms roll it back: these are shown, and do nothing."
    needed = "; ".join(about(bar.test) for bar in own)
    return {
        "harm": "Any one of these at its threshold takes the candidate out of traffic.",
        "promotion": f"At the last step it takes all of: {needed}.",
        "step": "A step takes this, or enough outcomes.",
        "trust": "One of these at its threshold holds everything; the highest E ever counts.",
        "shown": "These decide nothing as things stand.",
    }[purpose]


def _test(bar: Bar, gaps: dict[str, str]) -> Test:
    limit, log_e = bar.log_threshold, bar.log_e
    return Test(
        id=bar.test,
        name=about(bar.test),
        log_e=log_e,
        limit=limit,
        reach=charts.evidence(log_e, limit),
        counts=bar.counts,
        gap=gaps.get(bar.test, "") if log_e is None else "",
    )


def _lost(test: str, reason: str) -> Test:
    return Test(
        id=test, name=about(test), log_e=None, limit=None, reach=0.0, counts=False, gap=reason
    )
