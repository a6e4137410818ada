"""The tests of one rollout: which entries feed which of them, and over which part of it.

| test               | fed by               | over          | its null                       |
|--------------------|----------------------|---------------|--------------------------------|
| `quality`          | `quality`            | everything ¹  | never worse ²                  |
| `early_harm`       | `fast`               | everything ¹  | never worse                    |
| `intention`        | every matured unit ³ | everything ¹  | not more BAD and fewer GOOD    |
| `errors`           | first failures       | everything ¹  | no more of them                |
| `latency_…`        | first slow answers   | everything ¹  | no more of them than tolerated |
| `metric:NAME`      | `metric:NAME`        | everything ¹  | worse by its margin at most    |
| `superiority`      | `quality`            | the last step | never better                   |
| `intention_better` | every matured unit ³ | the step      | not fewer BAD and as many GOOD |
| `no_worse:step`    | `quality`            | the step      | worse by `step_margin` or more |
| `no_worse:errors`  | `healthy`            | the step      | `error_margin` more fail       |
| `no_worse:quality` | `quality`            | the last step | worse by its margin or more    |
| `no_worse:NAME`    | `metric:NAME`        | the last step | worse by its margin or more    |
| `presence`         | `presence`           | everything    | feedback comes alike           |

¹ With restarts, so that harm which begins late is seen soon.
² Where non-inferiority promotes, `quality` is its reverse: worse by more than the margin.
³ Intention to treat: BAD within the window and GOOD within it are outcomes of all exposed units,
whether anybody said anything or not. Both of a pair must be shown, so its E is the smaller one.
"""

from __future__ import annotations

import math

import msgspec

from greenlight.core import budget
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import MINUTE, JournalEntry
from greenlight.core.states import Variant
from greenlight.core.stats.betting import MarginTest
from greenlight.core.stats.evalues import AssignmentTest, EventTest
from greenlight.core.stats.numbers import FLOATS

_HIDDEN = ("bad_more", "bad_less", "good_less", "good_as_much", "heard_more", "heard_less")
"""Halves of pairs: shown as the pair."""


class Trials(msgspec.Struct):
    """The tests by name, of each kind of arithmetic."""

    assignment: dict[str, AssignmentTest]
    margin: dict[str, MarginTest]
    events: dict[str, EventTest]
    step_weight: float = 0.0
    """The split of the step whose tests are running."""
    presence_peak: float = 0.0

    @classmethod
    def of(cls, policy: DecisionPolicy) -> Trials:
        """Fresh tests."""
        rules = policy.evidence
        horizon = max(1, math.ceil(policy.rollout.horizon / MINUTE))
        assignment = {
            "early_harm": AssignmentTest("harm", horizon=horizon),
            "bad_more": AssignmentTest("harm", horizon=horizon),
            "superiority": AssignmentTest("superiority"),
            "heard_more": AssignmentTest("superiority"),
            "heard_less": AssignmentTest("harm"),
        }
        margin = {
            "good_less": MarginTest(rules.good_margin, reverse=True, horizon=horizon),
            "no_worse:quality": MarginTest(policy.quality.scaled_margin),
        }
        if rules.promote_on == "superiority":
            assignment["quality"] = AssignmentTest("harm", horizon=horizon)
        else:
            own = policy.quality.scaled_margin
            margin["quality"] = MarginTest(own, reverse=True, horizon=horizon)
        for name, metric in policy.secondaries.items():
            if metric.bounds is not None:
                own = metric.scaled_margin
                margin[f"metric:{name}"] = MarginTest(own, reverse=True, horizon=horizon)
                margin[f"no_worse:{name}"] = MarginTest(own)
        tolerances = {"errors": rules.error_tolerance}
        tolerances |= dict.fromkeys(budget.event_kinds(policy)[1:], rules.latency_tolerance)
        tolerances |= {budget.SHADOW: rules.error_tolerance} if policy.rollout.shadow else {}
        events = {name: EventTest(m, horizon=horizon) for name, m in tolerances.items()}
        made = cls(assignment=assignment, margin=margin, events=events)
        made._begin_step(policy)
        return made

    def reach(self, weight: float, policy: DecisionPolicy) -> None:
        """Begin the tests of a step anew when its split is met for the first time."""
        if weight > self.step_weight:
            self.step_weight = weight
            self._begin_step(policy)

    def take(self, entry: JournalEntry, weight: float, last_weight: float) -> None:
        """Feed an entry to the tests that it is for (first events and exposures are for others).

        Args:
            entry: one that is not excluded.
            weight: the split of its epoch.
            last_weight: the split of the last step before promotion.

        Raises:
            ValueError: no test is fed by it.
        """
        step, last = weight == self.step_weight, weight == last_weight
        if entry.test == "fast":
            self._compare("early_harm", entry, entry.y)
        elif entry.test == "healthy":
            if step:
                self._bound("no_worse:errors", entry, entry.y)
        elif entry.test == "presence":
            self._take_presence(entry, step)
        elif entry.test == "quality":
            self._take_quality(entry, step, last)
        elif entry.test.startswith("metric:"):
            self._bound(entry.test, entry, entry.y)
            if last:
                self._bound(f"no_worse:{entry.test.removeprefix('metric:')}", entry, entry.y)
        else:
            raise ValueError(f"journal entry {entry.seq}: no test is named {entry.test!r}")

    @property
    def log_e(self) -> dict[str, float]:
        """Natural logarithm of E of every test, by name."""
        found: dict[str, float] = {}
        for tests in (self.assignment, self.margin, self.events):
            found |= {name: test.log_e for name, test in tests.items()}
        halves = {name: found.pop(name) for name in _HIDDEN}
        found["intention"] = min(halves["bad_more"], halves["good_less"])
        found["intention_better"] = min(halves["bad_less"], halves["good_as_much"])
        found["presence"] = _mean(halves["heard_more"], halves["heard_less"])
        return found

    def _begin_step(self, policy: DecisionPolicy) -> None:
        rules = policy.evidence
        self.assignment["bad_less"] = AssignmentTest("superiority")
        self.margin["good_as_much"] = MarginTest(rules.good_margin)
        self.margin["no_worse:step"] = MarginTest(policy.rollout.step_margin)
        self.margin["no_worse:errors"] = MarginTest(rules.error_margin)

    def _take_quality(self, entry: JournalEntry, step: bool, last: bool) -> None:
        if "quality" in self.assignment:
            self._compare("quality", entry, entry.y)
        else:
            self._bound("quality", entry, entry.y)
        if step:
            self._bound("no_worse:step", entry, entry.y)
        if last:
            self._compare("superiority", entry, entry.y)
            self._bound("no_worse:quality", entry, entry.y)
        self._intend(entry, step, bad=1 - entry.y, good=entry.y)

    def _take_presence(self, entry: JournalEntry, step: bool) -> None:
        self._compare("heard_more", entry, entry.y)
        self._compare("heard_less", entry, entry.y)
        more, less = (self.assignment[name].log_e for name in ("heard_more", "heard_less"))
        self.presence_peak = max(self.presence_peak, _mean(more, less))
        if not entry.y:  # whoever said something has an entry of `quality`, too
            self._intend(entry, step, bad=0.0, good=0.0)

    def _intend(self, entry: JournalEntry, step: bool, *, bad: float, good: float) -> None:
        self._compare("bad_more", entry, 1 - bad)
        self._bound("good_less", entry, good)
        if step:
            self._compare("bad_less", entry, 1 - bad)
            self._bound("good_as_much", entry, good)

    def _compare(self, name: str, entry: JournalEntry, y: float) -> None:
        candidate = int(entry.arm == Variant.CANDIDATE)
        self.assignment[name].take(candidate, y, entry.pi, entry.minute)

    def _bound(self, name: str, entry: JournalEntry, y: float) -> None:
        candidate = int(entry.arm == Variant.CANDIDATE)
        self.margin[name].take(candidate, y, entry.pi, entry.minute)


def _mean(a: float, b: float) -> float:
    return FLOATS.log_sum([a, b]) - math.log(2)
