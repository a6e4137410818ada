"""What happened in sentences, what is not known, and how to check it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from greenlight.core import aftermath
from greenlight.core.records import SECOND
from greenlight.core.states import RolloutStatus, Variant
from greenlight.reporting.incident.dossier import Dossier, TestFacts, VersionFacts
from greenlight.reporting.words import about, duration

_ENDED = {
    RolloutStatus.ROLLED_BACK: "was rolled back",
    RolloutStatus.PROMOTED: "was promoted",
    RolloutStatus.INCONCLUSIVE: "ended without a decision",
    RolloutStatus.WITHDRAWN: "was withdrawn",
}
_UNKNOWN = aftermath.BAD - {"differs"} | {"cannot_compute", "nobody"}
"""Results of a step that leave something unknown; what differs is known, and told (`story`)."""


def headline(dossier: Dossier) -> str:
    """What happened, in one line."""
    candidate, ended = version(dossier, Variant.CANDIDATE).label, _ENDED[dossier.rollout.status]
    seconds = None if dossier.detection is None else dossier.detection.seconds
    if seconds is None:
        after = f"{duration(_us(dossier.rollout.seconds))}, before any user met it"
        return f"{candidate} {ended} after {after}"
    took = duration(_us(seconds))
    drill = "Drill: " if dossier.rollout.drill else ""
    return f"{drill}{candidate} {ended} {took} after it met its first user"


def story(dossier: Dossier) -> list[str]:
    """What happened, in three sentences: how it began, why it ended, what was done."""
    return [_beginning(dossier), _ending(dossier), _afterwards(dossier)]


def deciding(dossier: Dossier) -> TestFacts | None:
    """The test that the decision rests on; None: none."""
    tests = () if dossier.decision is None else dossier.decision.tests
    return next((test for test in tests if test.decided), None)


def version(dossier: Dossier, variant: Variant) -> VersionFacts:
    """The version of an arm."""
    return next(it for it in dossier.versions if it.variant == variant)


def unknown(dossier: Dossier) -> list[str]:
    """What is not known, and why."""
    return [
        *_unmeasured(dossier),
        *_unfinished(dossier),
        "A test that acts has shown that the candidate was worse than control at some time, by "
        "the assumptions of docs/evidence.md. It has not shown by how much, or why.",
        "Units that were erased since are counted; when the first of them came is then known to "
        "the minute.",
        "Times of gateways are by their own clocks.",
    ]


def verify(rollout: str) -> list[str]:
    """Commands that check what is said here against the store."""
    return [
        f"greenlight decisions replay {rollout}",
        "greenlight audit verify",
        f"greenlight incidents show {rollout}",
        f"greenlight rollouts evidence {rollout}",
    ]


def _beginning(dossier: Dossier) -> str:
    candidate, control = (version(dossier, v).label for v in (Variant.CANDIDATE, Variant.CONTROL))
    began = _moment(dossier.rollout.started_at)
    shares = [split.weight for split in dossier.splits]
    if not shares:
        return f"The rollout of {candidate} beside {control} was begun at {began} and had to wait."
    first = f"at {shares[0]:.0%} of the users" if shares[0] else "with copies of their requests"
    most = max(shares)
    widened = f", and came to {most:.0%}" if most > shares[0] else ""
    drill = f" It was a drill ({dossier.rollout.drill})." if dossier.rollout.drill else ""
    return f"{candidate} was put beside {control} at {began}, {first}{widened}.{drill}"


def _ending(dossier: Dossier) -> str:
    decision, affected = dossier.decision, dossier.affected
    met = (
        f"{_count(affected.units, 'user')} had met it, it had answered "
        f"{_count(affected.answered, 'request')} and failed {affected.failed:,}, and "
        f"{affected.bad:,} of its answers were called BAD"
    )
    if decision is None:
        return f"It ended, and no decision on that is on record; {met}."
    seconds = None if dossier.detection is None else dossier.detection.seconds
    when = "" if seconds is None else f" {duration(_us(seconds))} after its first user"
    return f"It {_ENDED[dossier.rollout.status]}{when}, because {_because(dossier)}; {met}."


def _because(dossier: Dossier) -> str:
    decision, test = dossier.decision, deciding(dossier)
    assert decision is not None
    if test is not None:
        return (
            f"the evidence said “{about(test.test)}”: E = {test.e}, and the threshold is "
            f"{test.threshold}"
        )
    if decision.by == "person":
        return f"somebody said so ({decision.reason})"
    return decision.reason


def _afterwards(dossier: Dossier) -> str:
    control = version(dossier, Variant.CONTROL).label
    if dossier.rollout.status == RolloutStatus.PROMOTED:
        return f"Since then it has answered everybody in the place of {control}."
    spread, base = dossier.propagation, dossier.steps.get(aftermath.BASELINE, {})
    if spread is None:
        routed = f"All traffic went back to {control}"
    elif spread.missing or spread.silent or spread.worst_ms is None:
        routed = f"Traffic went back to {control}, but not on every gateway ({spread.says})"
    else:
        routed = f"All traffic was back at {control} within {spread.worst_ms:,.0f} ms"
    return f"{routed}; {_checked(base.get('result'), str(base.get('says', '')))}."


def _checked(result: str | None, says: str) -> str:
    if result == "confirmed":
        return f"its evaluation was asked again, and {says}"
    if result == "differs":
        return f"its evaluation was asked again, and it is NOT what was evaluated: {says}"
    if result is None:
        return "whether it is as it was evaluated has not been asked yet"
    return f"whether it is as it was evaluated is not known: {says}"


def _unmeasured(dossier: Dossier) -> Iterator[str]:
    if dossier.decision is not None:
        for test, reason in dossier.decision.cannot_compute.items():
            yield f"“{about(test)}” ({test}) cannot be computed: {reason}."
        if not dossier.decision.recomputed:
            yield (
                "At least one E that a decision recorded is not what its journal gives now. Do not "
                "rely on this folder before you know why."
            )
    for arm in dossier.arms:
        if arm.good_rate is None:
            yield f"The GOOD rate of {arm.label} ({arm.variant}) is not known: no outcome matured."
    if dossier.control_since is not None and not dossier.control_since.requests:
        yield "No gateway has asked control anything since, as far as the store knows."


def _unfinished(dossier: Dossier) -> Iterator[str]:
    if dossier.rollout.status != RolloutStatus.ROLLED_BACK:
        return
    for step in aftermath.STEPS:
        known = dossier.steps.get(step, {})
        if known.get("result") in _UNKNOWN:
            yield f"{step}: {known['says']}."
        elif "at" not in known and step != aftermath.EVIDENCE:
            yield f"{step}: not done yet when this was written."
    spread = dossier.propagation
    if spread is not None and not all(gateway.exact for gateway in spread.gateways):
        yield "A gateway had taken over a later routing already: its time is an upper bound."


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _us(seconds: float) -> int:
    return round(seconds * SECOND)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
