"""The tests of a rollout in the order in which people ask about them, each with a plain name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from greenlight.core import budget
from greenlight.dashboard import charts
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
    gap: str = ""
    """Why it cannot be computed."""

    @property
    def acts(self) -> bool:
        """Whether its E is at its threshold."""
        return self.log_e is not None and self.limit is not None and self.log_e >= self.limit


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Tests that do the same when they reach their thresholds."""

    title: str
    says: str
    kind: str
    """`harm`, `proof` or `trust`."""
    tests: Sequence[Test]


def groups(found: Underway) -> list[Group]:
    """Every test of a rollout: what rolls back, what promotes, what makes the rest untrusted."""
    harm = budget.harm_tests(found.policy)
    trust = (budget.SAME_SPLIT, budget.SAME_VOICE)
    limits = found.tests
    proofs = [test for test in limits if test not in (*harm, *trust)]
    gaps = {gap.test: gap.reason for gap in found.missing}
    lost = [test for test in gaps if test not in limits]
    peaks = found.evidence.peaks
    return [
        Group(
            title="What would roll it back",
            says="Any one of these at its threshold takes the candidate out of traffic.",
            kind="harm",
            tests=_tests([*harm, *(t for t in lost if t.startswith("latency"))], limits, gaps),
        ),
        Group(
            title="What promotes it",
            says=_promotes(found),
            kind="proof",
            tests=_tests(
                [*proofs, *(t for t in lost if not t.startswith("latency"))], limits, gaps
            ),
        ),
        Group(
            title="Whether the evidence can be trusted",
            says="One of these at its threshold holds everything; the highest E ever counts.",
            kind="trust",
            tests=_tests(trust, {t: (peaks[t], limits[t][1]) for t in trust}, gaps),
        ),
    ]


def _promotes(found: Underway) -> str:
    main = about(budget.main_proof(found.policy))
    return (
        f"At the last step it takes all of: {main}"
        + "".join(f"; {about(test)}" for test in budget.proofs(found.policy))
        + "."
    )


def _tests(
    ids: Sequence[str],
    limits: Mapping[str, tuple[float | None, float]],
    gaps: Mapping[str, str],
) -> list[Test]:
    tests = []
    for id in ids:
        log_e, limit = limits.get(id, (None, None))
        reach = 0.0 if limit is None else charts.evidence(log_e, limit)
        gap = gaps.get(id, "") if log_e is None else ""
        tests.append(Test(id=id, name=about(id), log_e=log_e, limit=limit, reach=reach, gap=gap))
    return tests
