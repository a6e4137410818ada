"""Evidence is a fold over the journal: the same entries give the same E, today and in an audit.

What an entry of each test says (`pi` is always the probability, given the past, that this unit
was to become a candidate in this epoch):

| test       | an entry means                                  | y                       |
|------------|-------------------------------------------------|-------------------------|
| `exposure` | a unit's first inference in an epoch            | 0                       |
| `error`    | its first failed attempt there                  | 1                       |
| `fast`     | `fast_window` has passed since its exposure     | 0 if a BAD came, else 1 |
| `presence` | `feedback_window` has passed since its exposure | 1 if feedback came      |
| `quality`  | the feedback that counts for it                 | 1 GOOD, 0 BAD           |

Entries of one test come in order of exposure (of the event, for `error`), never in order of
feedback: when an outcome arrives may depend on what it says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import MINUTE, JournalEntry, Variant
from greenlight.core.stats.core_test import CoreTest
from greenlight.core.stats.event_test import EventTest

TESTS = ("exposure", "error", "fast", "presence", "quality")

HARM_TESTS = ("quality", "early_harm", "errors")
"""The tests that can roll back; they share alpha_harm evenly, and this is fixed."""


class ArmCounts(msgspec.Struct):
    """What one arm has shown in one epoch, counted in units."""

    exposed: int = 0
    failed: int = 0
    matured: int = 0
    """Units whose feedback window has passed, with or without feedback."""
    outcomes: int = 0
    good: int = 0


class Evidence(msgspec.Struct):
    """Everything the verdict knows of a rollout's journal. Built by `begin` and `fold`."""

    harm: CoreTest
    early_harm: CoreTest
    errors: EventTest
    superiority: CoreTest
    at_risk: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """Units without an event, [control, candidate], by stratum: the epoch and π."""
    counts: dict[str, ArmCounts] = msgspec.field(default_factory=dict)
    """By epoch and arm, as `3/candidate`."""

    def arm(self, variant: Variant, epoch: int | None = None) -> ArmCounts:
        """Counts of an arm in one epoch, or over all epochs."""
        if epoch is not None:
            return self.counts.get(f"{epoch}/{variant}", ArmCounts())
        total = ArmCounts()
        for name, counts in self.counts.items():
            if name.endswith(f"/{variant}"):
                for field in total.__struct_fields__:
                    setattr(total, field, getattr(total, field) + getattr(counts, field))
        return total

    @property
    def log_e(self) -> dict[str, float]:
        """Natural logarithm of E of every test, by name."""
        return {
            "quality": self.harm.log_e,
            "early_harm": self.early_harm.log_e,
            "errors": self.errors.log_e,
            "superiority": self.superiority.log_e,
        }


def thresholds(policy: DecisionPolicy) -> dict[str, float]:
    """log E at which each test acts."""
    each = math.log(len(HARM_TESTS) / policy.evidence.alpha_harm)
    acts = dict.fromkeys(HARM_TESTS, each)
    return {**acts, "superiority": -math.log(policy.evidence.alpha_superiority)}


def begin(policy: DecisionPolicy) -> Evidence:
    """No evidence yet."""
    horizon = max(1, math.ceil(policy.rollout.horizon / MINUTE))
    return Evidence(
        harm=CoreTest.of("harm", horizon),
        early_harm=CoreTest.of("harm", horizon),
        errors=EventTest.of(horizon, policy.evidence.error_tolerance),
        superiority=CoreTest.of("superiority"),
    )


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
        weights: the split of each epoch of this rollout. Superiority is tested on the epochs of
            the last step before promotion only.

    Raises:
        ValueError: an entry of a test that does not exist.
    """
    state = _copy(evidence)
    last_weight = policy.rollout.steps[policy.rollout.last_step].weight
    for entry in entries:
        counts = state.counts.setdefault(f"{entry.epoch}/{entry.arm}", ArmCounts())
        candidate = entry.arm == Variant.CANDIDATE
        if entry.test == "exposure":
            counts.exposed += 1
            if 0 < entry.pi < 1:
                _stratum(state, entry)[candidate] += 1
        elif entry.test == "error":
            counts.failed += 1
            _take_error(state, entry, candidate)
        elif entry.test == "fast":
            state.early_harm.update(entry.y, candidate, entry.pi, entry.minute)
        elif entry.test == "presence":
            counts.matured += 1
        elif entry.test == "quality":
            counts.outcomes += 1
            counts.good += int(entry.y)
            state.harm.update(entry.y, candidate, entry.pi, entry.minute)
            if weights[entry.epoch] == last_weight:
                state.superiority.update(entry.y, candidate, entry.pi, entry.minute)
        else:
            raise ValueError(f"journal entry {entry.seq}: no test is named {entry.test!r}")
    return state


def outcome(said: Sequence[tuple[str, float, int]]) -> float | None:
    """What the feedback on a unit in an epoch comes to; None without any.

    The inference that was judged first counts, by the last word on it.

    Args:
        said: (inference, value, received at), in the order in which it was received and before
            the cohort closed.
    """
    if not said:
        return None
    judged = said[0][0]
    return [value for inference, value, _ in said if inference == judged][-1]


def freeze(evidence: Evidence) -> dict[str, Any]:
    """A JSON value that holds every float exactly (as hexadecimal text)."""
    frozen: dict[str, Any] = _to_hex(msgspec.to_builtins(evidence))
    return frozen


def thaw(state: dict[str, Any]) -> Evidence:
    """The evidence that `freeze` wrote, bit for bit."""
    return msgspec.convert(_from_hex(state), Evidence)


def _take_error(state: Evidence, entry: JournalEntry, candidate: bool) -> None:
    """A failure of a unit that was not counted at risk in this stratum (late events) is none."""
    if not 0 < entry.pi < 1:
        return
    stratum = _stratum(state, entry)
    if stratum[candidate] == 0:
        return
    state.errors.update(candidate, stratum[True] / sum(stratum), entry.minute)
    stratum[candidate] -= 1


def _stratum(state: Evidence, entry: JournalEntry) -> list[int]:
    """Units of one epoch with one π are alike given the past: new, or seen as control at w′."""
    return state.at_risk.setdefault(f"{entry.epoch}/{entry.pi.hex()}", [0, 0])


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
