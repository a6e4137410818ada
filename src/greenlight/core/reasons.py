"""What a verdict says to people: one sentence for each code, with the numbers it rests on."""

from __future__ import annotations

from collections.abc import Mapping

from greenlight.core.alarms import KINDS, Judgement, Reading
from greenlight.core.states import Variant
from greenlight.core.words import power

HARM = {
    "errors": "more of the candidate's units met a failure than of control's, at some time",
    "shadow": "of the requests that only one of both versions could answer, the candidate failed "
    "more than control",
    "quality": "the candidate's answers were worse than control's at some time",
    "early_harm": "the candidate drew more BAD than control soon after answering",
    "intention": "of all units that met it, more said BAD and fewer said GOOD than of control's",
}
BETTER = {
    "superiority": "the candidate's answers were better than control's at some time of the last "
    "step, and no worse in everything else that is asked",
    "no_worse:quality": "the candidate's answers are no worse than control's by more than the "
    "margin",
    "intention_better": "of all units that met it, fewer said BAD and as many GOOD as of control's",
}
UNPROVED = {
    "superiority": "not shown to be better yet",
    "no_worse:quality": "not shown to be no worse yet",
    "intention_better": "not shown to be better over all exposed units yet",
}
PROMOTED = {
    "superiority": "superior",
    "no_worse:quality": "no_worse",
    "intention_better": "intention",
}
ALARM = {
    "ok": "below its threshold",
    "rollback": "the candidate breaches it, control does not",
    "page": "control breaches it, so it says nothing of the candidate; somebody should look",
    "page_both": "both arms breach it, so it says nothing of the candidate; somebody should look",
    "page_unseen": "the candidate breaches it and control cannot be seen, so there is nothing to "
    "compare it with; somebody should look",
    "young": "it has not been watched for long enough yet",
    "no_data": "there is too little traffic to tell, which is not health",
    "stale": "a gateway has not reported the last minutes, so nobody knows",
    "failing": "it cannot be measured: the store does not answer (see the controller's log)",
}
"""What an alarm's judgement means; a page has three reasons, and no data has two."""


def harm(test: str) -> str:
    """What a test of harm has shown."""
    if test.startswith("latency_"):
        return f"more of the candidate's units met slow answers ({test.removeprefix('latency_')})"
    if test.startswith("metric:"):
        return f"{test.removeprefix('metric:')} is worse by more than its margin"
    return HARM[test]


def alarm(name: str, reading: Reading) -> str:
    """What there is to say of an alarm, with its numbers."""
    arms = ", ".join(
        f"{arm.value} {measured(name, value)}"
        for arm, value in ((arm, one.value) for arm, one in reading.both)
        if value is not None
    )
    means = meaning(reading)
    said = f"alarm {name}: {ALARM[means]}"
    if means == "young":
        said += f", {reading.left_s} s are still to come"
    limit = f"{measured(name, reading.over)} for {reading.for_s // 60} min is the limit"
    return f"{said} ({arms}; {limit})" if arms else f"{said} ({limit})"


def alarms(readings: Mapping[str, Reading], judgement: Judgement) -> str:
    """What there is to say of all the alarms that are judged so; empty: none is."""
    return "; ".join(
        # A decision that is taken once more must find the same words, in whatever order they lay.
        alarm(name, reading)
        for name, reading in sorted(readings.items())
        if reading.judgement == judgement
    )


def meaning(reading: Reading) -> str:
    """The key of `ALARM` that fits."""
    states = {arm: one.state for arm, one in reading.arms.items()}
    if reading.judgement == "no_data" and reading.left_s:
        return "young"
    if reading.judgement != "page" or states[Variant.CANDIDATE] != "breached":
        return reading.judgement
    return "page_both" if states[Variant.CONTROL] == "breached" else "page_unseen"


def measured(name: str, value: float) -> str:
    """An alarm's measurement with its unit, as exact as it matters."""
    unit = KINDS[name].unit
    if unit == "ms":
        return f"{value:.1f} ms"
    return f"{value:.4g} bits" if unit == "bits" else f"{100 * value:.3g}%"


def reached(log_e: float, limit: float) -> str:
    """E and the threshold that it has reached."""
    return f"E = {power(log_e)} ≥ {power(limit)}"


def listed(counts: Mapping[str, int]) -> str:
    """Counts by arm."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
