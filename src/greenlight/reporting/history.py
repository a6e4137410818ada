"""A rollout replayed from its journal: what its controller knew, and when.

Nothing here is remembered from the run itself. The entries that one look of the controller wrote
share their `at`, so the fold is taken look by look, and every E shown in a report is recomputed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from greenlight.core.answers import ArmSummary, Exposure
from greenlight.core.budget import thresholds
from greenlight.core.evidence import Evidence, begin, fold, outcome
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import (
    MINUTE,
    Decision,
    Epoch,
    EvidenceState,
    JournalEntry,
    Record,
    Rollout,
    Version,
)
from greenlight.core.states import Action, Variant
from greenlight.core.stats.sequential import bernoulli_interval
from greenlight.core.words import DISPLAYED
from greenlight.lookup import everything
from greenlight.ports import Records, Store

R = TypeVar("R", bound=Record)

ENDS = (Action.PROMOTE, Action.ROLLBACK, Action.WITHDRAW, Action.INCONCLUSIVE)
"""The actions that end a rollout."""

TIGHTEST = 500
"""Intervals that may be watched are narrowest, for what can be had at all, at so many outcomes."""

TOLERANCE = 1e-9
"""How far log E may be from what was recorded where it is recomputed on another build."""

FOREVER = 2**62
"""Later than anything that a store holds, in microseconds."""


class Proportion(msgspec.Struct, frozen=True, kw_only=True):
    """A share of n trials with its interval, all in [0, 1]."""

    value: float
    low: float
    high: float
    n: int


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome per unit and epoch: how many have matured, and how many of them are GOOD."""

    outcomes: int = 0
    good: int = 0

    @property
    def rate(self) -> Proportion | None:
        """The GOOD rate with an interval that may be watched; None where there is no outcome.

        It is a confidence sequence: with 95 % it covers the rate at every look together, as long
        as that does not change (`core.stats.sequential`).
        """
        if not self.outcomes:
            return None
        low, high = bernoulli_interval(self.good, self.outcomes, TIGHTEST, DISPLAYED)
        return Proportion(value=self.good / self.outcomes, low=low, high=high, n=self.outcomes)

    def __add__(self, other: Tally) -> Tally:
        return Tally(outcomes=self.outcomes + other.outcomes, good=self.good + other.good)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What was known after one look of the controller, at `at` (µs since 1970)."""

    at: int
    log_e: dict[str, float]
    """Natural logarithm of E by test."""
    arms: dict[Variant, Tally]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a unit's exposure at `at` (µs since 1970); `y` is 1 GOOD, 0 BAD."""

    at: int
    arm: Variant
    y: float


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation epoch, without its salt: who shared the traffic, and from when.

    `until` is the start of the next epoch, None for the newest one.
    """

    number: int
    rollout: str | None
    control: str
    candidate: str | None
    weight: float
    since: int
    until: int | None
    decision: str
    """The id of what began it."""

    @property
    def shares(self) -> dict[str, float]:
        """Version digest → share of units in [0, 1]; the shares sum to 1."""
        shares = {self.control: 1.0 - (self.weight if self.candidate else 0.0)}
        if self.candidate is not None:
            shares[self.candidate] = shares.get(self.candidate, 0.0) + self.weight
        return shares


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that happened in one rollout. Labels are those of the versions."""

    rollout: Rollout
    policy: DecisionPolicy
    control: str
    """The control's label."""
    candidate: str
    """The candidate's label."""
    moments: list[Moment]
    """In order of time; the first is the start, where nothing is known."""
    after: list[Outcome]
    """Of an ended rollout: outcomes of exposures whose cohort had not closed at its end, by time
    of exposure. No test ever saw them; they are for display."""
    thresholds: dict[str, float]
    """log E at which each test acts."""
    periods: list[Period]
    """The epochs of the task from this rollout's first one to the one that ended it."""
    decisions: list[Decision]
    arms: list[ArmSummary]
    exposed: int
    """Distinct units that were assigned to the candidate at least once."""
    first_exposure: int | None
    """When the first of them came (µs since 1970); to the minute where it has been erased."""
    agrees: bool
    """Whether the replayed log E equals, within `TOLERANCE`, what every decision recorded."""

    @property
    def own_periods(self) -> list[Period]:
        """The epochs of this rollout itself."""
        return [period for period in self.periods if period.rollout == self.rollout.id]

    @property
    def last(self) -> Moment:
        """The newest moment."""
        return self.moments[-1]

    def tally(self, arm: Variant) -> Tally:
        """Every outcome of an arm: those in the journal, and those that came after the end."""
        later = [outcome.y for outcome in self.after if outcome.arm == arm]
        return self.last.arms[arm] + Tally(outcomes=len(later), good=int(sum(later)))

    @property
    def end(self) -> int:
        """When it ended, or for a running one when it was last looked at (µs since 1970)."""
        if self.rollout.ended_at is not None:
            return self.rollout.ended_at
        return max([self.last.at, *(decision.at for decision in self.decisions)])

    @property
    def verdict(self) -> Decision | None:
        """The decision that ended it, else the newest one."""
        return next(
            (decision for decision in reversed(self.decisions) if decision.action in ENDS),
            self.decisions[-1] if self.decisions else None,
        )

    def crossed(self, test: str) -> Moment | None:
        """The first moment at which a test's E was at its threshold."""
        limit = self.thresholds[test]
        return next((moment for moment in self.moments if moment.log_e[test] >= limit), None)


def history(store: Store, rollout: Rollout, *, most: int | None = None) -> History:
    """Replay a rollout, running or ended.

    Args:
        store: records and events; only read.
        rollout: the rollout as the store holds it.
        most: about so many moments are kept, those of the decisions among them, however long it
            was; None keeps one for every look.
    """
    policy = msgspec.convert(rollout.policy, DecisionPolicy)
    periods = rollout_periods(store, rollout)
    weights = {period.number: period.weight for period in periods if period.rollout == rollout.id}
    decisions = sorted(
        everything(store, Decision, {"rollout": rollout.id}), key=lambda item: (item.at, item.id)
    )
    met = _Met()
    entries = met.noting(everything(store, JournalEntry, {"rollout": rollout.id}))
    looks = _looks(entries, [decision.at for decision in decisions], _stride(store, rollout, most))
    moments = _replay(rollout, policy, looks, weights)
    exposed, first = _exposed(store, rollout, met)
    return History(
        rollout=rollout,
        policy=policy,
        control=label(store, rollout.control),
        candidate=label(store, rollout.candidate),
        moments=moments,
        after=[] if rollout.ended_at is None else list(_after(store, rollout.id, policy)),
        thresholds=thresholds(policy),
        periods=periods,
        decisions=decisions,
        arms=store.summarise(rollout.id),
        exposed=exposed,
        first_exposure=first,
        agrees=all(_agrees(decision, moments) for decision in decisions),
    )


def histories(store: Store, task: str) -> list[History]:
    """Every rollout of a task, replayed, in order of their start."""
    found = sorted(everything(store, Rollout, {"task": task}), key=lambda item: (item.at, item.id))
    return [history(store, rollout) for rollout in found]


def rollout_periods(store: Records, rollout: Rollout) -> list[Period]:
    """The epochs of a task from a rollout's first one to the one that ended it, in order."""
    epochs = task_periods(store, rollout.task)
    own = [place for place, period in enumerate(epochs) if period.rollout == rollout.id]
    return epochs[own[0] : own[-1] + 2] if own else []


def task_periods(store: Records, task: str) -> list[Period]:
    """Every allocation epoch of a task, in order."""
    epochs = list(everything(store, Epoch, {"task": task}))
    following: list[Epoch | None] = [*epochs[1:], None]
    return [
        Period(
            number=epoch.number,
            rollout=epoch.rollout,
            control=epoch.control,
            candidate=epoch.candidate,
            weight=epoch.weight,
            since=epoch.at,
            until=None if after is None else after.at,
            decision=epoch.decision,
        )
        for epoch, after in zip(epochs, following, strict=True)
    ]


def label(store: Records, digest: str) -> str:
    """A version's label; its digest where the store does not know it."""
    version = store.get(Version, digest)
    return digest if version is None else version.label


class _Met:
    """The units that a journal says have met the candidate, noted while it passes by."""

    def __init__(self) -> None:
        self.units: set[str] = set()
        self.first: JournalEntry | None = None

    def noting(self, entries: Iterable[JournalEntry]) -> Iterator[JournalEntry]:
        """The same entries."""
        for entry in entries:
            if entry.test == "exposure" and entry.arm == Variant.CANDIDATE:
                self.units.add(entry.unit)
                self.first = self.first or entry
            yield entry


def _stride(store: Records, rollout: Rollout, most: int | None) -> int:
    """How many entries make a moment at least."""
    state = store.get(EvidenceState, rollout.id)
    return 1 if most is None or state is None else math.ceil(state.last_seq / most)


def _looks(
    entries: Iterable[JournalEntry], decided: Sequence[int], stride: int
) -> Iterator[list[JournalEntry]]:
    """The entries look by look; several looks at once where one has fewer than `stride` entries,
    but none from both sides of a decision."""
    waiting = list(decided)
    held: list[JournalEntry] = []
    for at, look in itertools.groupby(entries, key=lambda entry: entry.at):
        if held and waiting and waiting[0] < at:
            yield held
            held = []
        while waiting and waiting[0] < at:
            waiting.pop(0)
        held = [*held, *look]
        if len(held) >= stride:
            yield held
            held = []
    if held:
        yield held


def _replay(
    rollout: Rollout,
    policy: DecisionPolicy,
    looks: Iterable[Sequence[JournalEntry]],
    weights: Mapping[int, float],
) -> list[Moment]:
    evidence = begin(policy)
    moments = [_moment(rollout.at, evidence)]
    for look in looks:
        evidence = fold(evidence, look, policy, weights)
        moments.append(_moment(look[-1].at, evidence))
    return moments


def _moment(at: int, evidence: Evidence) -> Moment:
    arms = {}
    for variant in Variant:
        counts = evidence.arm(variant)
        arms[variant] = Tally(outcomes=counts.outcomes, good=counts.good)
    return Moment(at=at, log_e=evidence.log_e, arms=arms)


def _agrees(decision: Decision, moments: Sequence[Moment]) -> bool:
    recorded = decision.evidence.get("log_e")
    if recorded is None:
        return True
    known = [moment for moment in moments if moment.at <= decision.at]
    return bool(known) and all(
        test in known[-1].log_e
        and math.isclose(known[-1].log_e[test], value, rel_tol=0.0, abs_tol=TOLERANCE)
        for test, value in recorded.items()
    )


def _exposed(store: Store, rollout: Rollout, met: _Met) -> tuple[int, int | None]:
    """How many units met the candidate and when the first did, the latest events included.

    The journal names the units but not the moments; exposures that came after its last look are
    not in it yet. Of what was erased the journal still has the minute.
    """
    late = store.exposures(rollout.id, lacking="exposure", until=FOREVER, limit=FOREVER)
    fresh: list[Exposure] = [one for one in late if one.variant == Variant.CANDIDATE]
    moments = [exposure.at for exposure in fresh]
    if met.first is not None:
        past = store.past(rollout.id, [met.first.unit]).get(met.first.unit, [])
        known = [exposure.at for exposure in past if exposure.variant == Variant.CANDIDATE]
        moments += known or [rollout.at + (met.first.minute - 1) * MINUTE]
    return len(met.units | {exposure.unit for exposure in fresh}), min(moments, default=None)


def _after(store: Store, rollout: str, policy: DecisionPolicy) -> Iterator[Outcome]:
    """Outcomes that are in no journal, by the rule of the `quality` test."""
    waiting = store.exposures(rollout, lacking="presence", until=FOREVER, limit=FOREVER)
    said = store.feedback_on(rollout, "quality", waiting, policy.rollout.feedback_window)
    for exposure in waiting:
        word = outcome(said.get((exposure.unit, exposure.epoch), ()))
        if word is not None:
            yield Outcome(at=exposure.at, arm=exposure.variant, y=word.value)
