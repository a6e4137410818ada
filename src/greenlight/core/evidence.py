"""Evidence is a fold over the journal: the same entries give the same E, today and in an audit.

What an entry of each test says (`pi` is always the probability, given the past, that this unit
was to become a candidate in this epoch; `y` lies in [0, 1] and more of it is better):

| test          | an entry means                                  | y                            |
|---------------|-------------------------------------------------|------------------------------|
| `exposure`    | a unit's first inference in an epoch            | 0                            |
| `error`       | its first failed attempt there                  | 1 at its first request, or 0 |
| `latency_…`   | its first answer there that took over the bar   | the same                     |
| `fast`        | `fast_window` has passed since its exposure     | 0 if a BAD came, else 1      |
| `healthy`     | the same                                        | 0 if an attempt failed       |
| `shadow`      | a unit's first copy that one version failed and | 0                            |
|               | the other answered; `arm` is the one that failed|                              |
| `presence`    | `feedback_window` has passed since its exposure | 1 if feedback came           |
| `quality`     | the feedback that counts for it                 | 1 GOOD, 0 BAD                |
| `metric:NAME` | the same of a secondary metric                  | its value between its bounds |

Entries of one test come in order of exposure (of the event, for events), never in order of
feedback: when an outcome arrives may depend on what it says. An entry that is `excluded` is
counted with its reason and enters no test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core import budget
from greenlight.core.answers import Said
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import JournalEntry
from greenlight.core.states import Variant
from greenlight.core.stats.frequent import Frequent
from greenlight.core.stats.sequential import Difference
from greenlight.core.stats.srm import SampleRatioTest
from greenlight.core.trials import Trials

HALF_LIFE = 5
"""Minutes."""


class ArmCounts(msgspec.Struct):
    """What one arm has shown in one epoch, counted in units."""

    exposed: int = 0
    events: dict[str, int] = {}
    """Units that met an event, by its kind (`error`, `latency_p95`, …)."""
    matured: int = 0
    """Units whose feedback window has passed, with or without feedback."""
    outcomes: int = 0
    good: int = 0

    @property
    def failed(self) -> int:
        """Units that met a failure."""
        return self.events.get(budget.ERROR, 0)

    def __add__(self, other: ArmCounts) -> ArmCounts:
        kinds = self.events.keys() | other.events.keys()
        return ArmCounts(
            exposed=self.exposed + other.exposed,
            events={k: self.events.get(k, 0) + other.events.get(k, 0) for k in sorted(kinds)},
            matured=self.matured + other.matured,
            outcomes=self.outcomes + other.outcomes,
            good=self.good + other.good,
        )


class Recent(msgspec.Struct):
    """Counts that are forgotten by half every `HALF_LIFE` minutes: what is going on now.

    After days of health the share of all units that met an event hardly moves when a fault begins.
    """

    minute: int = 0
    exposed: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])
    """Of control and of the candidate."""
    events: dict[str, list[float]] = {}
    """The same by kind."""

    def reach(self, minute: int) -> None:
        """Forget what is due; a minute that is past is no minute."""
        if minute <= self.minute:
            return
        left = 0.5 ** ((minute - self.minute) / HALF_LIFE)
        self.minute = minute
        for counts in (self.exposed, *self.events.values()):
            counts[:] = [count * left for count in counts]

    def excess(self, kind: str) -> float:
        """Candidate's minus control's events per exposed unit; 0 where an arm met nobody."""
        control, candidate = self.exposed
        if min(control, candidate) <= 0:
            return 0.0
        events = self.events.get(kind, (0.0, 0.0))
        return events[1] / candidate - events[0] / control


class Evidence(msgspec.Struct):
    """Everything the verdict knows of a rollout's journal. Built by `begin` and `fold`."""

    trials: Trials
    """The tests, and what each of them has seen."""
    split: SampleRatioTest = msgspec.field(default_factory=SampleRatioTest)
    """Are units new to the rollout divided as they should be?"""
    sources: Frequent = msgspec.field(default_factory=Frequent)
    """Who gave the outcomes, as far as it is known."""
    difference: Difference = msgspec.field(default_factory=Difference)
    """How much better the candidate's answers are, for display."""
    at_risk: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Units without an event, [control, candidate], by kind and stratum: the epoch and π."""
    recent: Recent = msgspec.field(default_factory=Recent)
    """Exposures and events of the last minutes."""
    counts: dict[str, ArmCounts] = msgspec.field(default_factory=dict)
    """By epoch and arm, as `3/candidate`."""
    excluded: dict[str, int] = msgspec.field(default_factory=dict)
    """Exposures that entered no test, by reason."""
    closed: dict[str, int] = msgspec.field(default_factory=dict)
    """By group of tests, the moment up to which cohorts are closed (`stages.observe`); the fold
    does not look at it."""

    def arm(self, variant: Variant, epoch: int | None = None) -> ArmCounts:
        """Counts of an arm in one epoch, or over all epochs."""
        if epoch is not None:
            return self.counts.get(f"{epoch}/{variant}", ArmCounts())
        total = ArmCounts()
        for name, counts in self.counts.items():
            if name.endswith(f"/{variant}"):
                total += counts
        return total

    @property
    def log_e(self) -> dict[str, float]:
        """Natural logarithm of E of every test, by name; what it acts at: `budget.thresholds`."""
        return {**self.trials.log_e, budget.SAME_SPLIT: self.split.log_e}

    @property
    def peaks(self) -> dict[str, float]:
        """The highest log E that the tests of trust ever had: trust that is lost stays lost."""
        return {
            budget.SAME_SPLIT: self.split.peak,
            budget.SAME_VOICE: self.trials.presence_peak,
        }

    def excess(self, kind: str) -> float:
        """Candidate's minus control's share of exposed units that met an event: over the rollout or
        lately, whichever is larger.

        Over the rollout it is the difference within each epoch, weighted as by Mantel and Haenszel:
        pooled shares would set an outage of a time with few candidate units against errors of a
        time with many. 0 where no epoch has units of both arms.
        """
        total = excess = 0.0
        for epoch in sorted({int(name.partition("/")[0]) for name in self.counts}):
            own, other = (self.arm(v, epoch) for v in (Variant.CANDIDATE, Variant.CONTROL))
            if not own.exposed or not other.exposed:
                continue
            weight = own.exposed * other.exposed / (own.exposed + other.exposed)
            total += weight
            excess += weight * (
                own.events.get(kind, 0) / own.exposed - other.events.get(kind, 0) / other.exposed
            )
        return max(excess / total if total else 0.0, self.recent.excess(kind))

    @property
    def shadow_excess(self) -> float:
        """Share of control's units in the shadow for which only the candidate failed, less that for
        which only control did; 0 while there is no such unit."""
        alone = {v: self.arm(v).events.get(budget.SHADOW, 0) for v in Variant}
        epochs = {n.partition("/")[0] for n, c in self.counts.items() if budget.SHADOW in c.events}
        served = sum(self.arm(Variant.CONTROL, int(epoch)).exposed for epoch in epochs)
        return (alone[Variant.CANDIDATE] - alone[Variant.CONTROL]) / served if served else 0.0

    @property
    def late_share(self) -> float:
        """Share of the exposures that came after their cohort had closed."""
        late = self.excluded.get("late", 0)
        exposed = sum(counts.exposed for counts in self.counts.values())
        return late / (late + exposed) if late else 0.0


def begin(policy: DecisionPolicy) -> Evidence:
    """No evidence yet."""
    return Evidence(trials=Trials.of(policy))


def fold(
    evidence: Evidence,
    entries: Iterable[JournalEntry],
    policy: DecisionPolicy,
    weights: Mapping[int, float],
) -> Evidence:
    """Evidence after some more entries, which must come in order of `seq`.

    Args:
        evidence: the state so far; it is left as it is.
        entries: the entries that follow it.
        policy: the policy frozen at the rollout's start.
        weights: the split of each epoch of this rollout. What is tested per step begins anew with
            every wider split; superiority is tested on the last step before promotion only.

    Raises:
        ValueError: an entry of a test that does not exist.
    """
    state = _copy(evidence)
    kinds = budget.event_kinds(policy)
    last = policy.rollout.ladder[policy.rollout.last_step].weight
    for entry in entries:
        if entry.excluded is not None:
            if entry.test == "exposure":
                state.excluded[entry.excluded] = state.excluded.get(entry.excluded, 0) + 1
            continue
        weight = weights[entry.epoch]
        counts = state.counts.setdefault(f"{entry.epoch}/{entry.arm}", ArmCounts())
        candidate = entry.arm == Variant.CANDIDATE
        if entry.test == "exposure":
            counts.exposed += 1
            state.recent.reach(entry.minute)
            state.recent.exposed[candidate] += 1
            _expose(state, entry, weight, kinds, policy)
        elif entry.test in kinds:
            counts.events[entry.test] = counts.events.get(entry.test, 0) + 1
            state.recent.reach(entry.minute)
            state.recent.events.setdefault(entry.test, [0.0, 0.0])[candidate] += 1
            _take_event(state, entry)
        elif entry.test == budget.SHADOW:
            counts.events[budget.SHADOW] = counts.events.get(budget.SHADOW, 0) + 1
            state.trials.events[budget.SHADOW].take(int(candidate), 0.5, entry.minute)
        else:
            state.trials.take(entry, weight, last)
            if entry.test == "presence":
                counts.matured += 1
            elif entry.test == "quality":
                counts.outcomes += 1
                counts.good += int(entry.y)
                _hear(state, entry)
    return state


def outcome(said: Sequence[Said]) -> Said | None:
    """What the feedback on a unit in an epoch comes to; None without any.

    The inference that was judged first counts, by the last word on it.

    Args:
        said: in the order in which it was received and before the cohort closed.
    """
    if not said:
        return None
    judged = said[0].inference
    return [word for word in said if word.inference == judged][-1]


def freeze(evidence: Evidence) -> dict[str, Any]:
    """A JSON value that holds every float exactly (as hexadecimal text)."""
    frozen: dict[str, Any] = _to_hex(msgspec.to_builtins(evidence))
    return frozen


def thaw(state: dict[str, Any]) -> Evidence:
    """The evidence that `freeze` wrote, bit for bit."""
    return msgspec.convert(_from_hex(state), Evidence)


def _expose(
    state: Evidence,
    entry: JournalEntry,
    weight: float,
    kinds: Sequence[str],
    policy: DecisionPolicy,
) -> None:
    state.trials.reach(weight, policy)
    if not 0 < entry.pi < 1:
        return
    if entry.pi == weight:  # nothing was known of this unit's bucket
        state.split.update(entry.arm == Variant.CANDIDATE, weight, entry.epoch)
    for kind in kinds:
        _stratum(state, kind, entry)[entry.arm == Variant.CANDIDATE] += 1


def _take_event(state: Evidence, entry: JournalEntry) -> None:
    """Ask the test of first events whose unit it happened to.

    At a unit's first request it is the candidate's with probability π at most if the candidate is
    no worse. Later it is that of the units of its stratum that were without an event just before,
    and all of them have got through their first request. (To share out first requests among
    those at risk, themselves included, is unfair while they are few: an outage in the first seconds
    of an epoch raised E to 1,000 in up to 32 % of simulated rollouts; docs/evidence.md, traps.)
    An event of a unit that was not counted at risk in this stratum (late events) is none.
    """
    if not 0 < entry.pi < 1:
        return
    stratum = _stratum(state, entry.test, entry)
    candidate = entry.arm == Variant.CANDIDATE
    if stratum[candidate] == 0:
        return
    name = "errors" if entry.test == budget.ERROR else entry.test
    test = state.trials.events[name]
    share = entry.pi if entry.y else stratum[True] / sum(stratum)
    test.take(int(candidate), share, entry.minute)
    stratum[candidate] -= 1


def _hear(state: Evidence, entry: JournalEntry) -> None:
    if entry.source is not None:
        state.sources.add(entry.source)
    if 0 < entry.pi < 1:
        state.difference.update(entry.arm == Variant.CANDIDATE, entry.y, entry.pi)


def _stratum(state: Evidence, kind: str, entry: JournalEntry) -> list[int]:
    """Units of one epoch with one π are alike given the past: new, or seen as control at w′."""
    return state.at_risk.setdefault(f"{kind}/{entry.epoch}/{entry.pi.hex()}", [0, 0])


def _copy(evidence: Evidence) -> Evidence:
    return msgspec.convert(msgspec.to_builtins(evidence), Evidence)


def _to_hex(value: Any) -> Any:
    if isinstance(value, float):
        return f"hex:{value.hex()}"
    if isinstance(value, dict):
        return {name: _to_hex(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_hex(item) for item in value]
    return value


def _from_hex(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("hex:"):
        return float.fromhex(value[4:])
    if isinstance(value, dict):
        return {name: _from_hex(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_from_hex(item) for item in value]
    return value
