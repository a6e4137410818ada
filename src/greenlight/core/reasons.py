"""What a verdict says to people: one sentence for each code, with the numbers it rests on."""

from __future__ import annotations

from collections.abc import Mapping

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
    "page": "both arms breach it, so it says nothing of the candidate; somebody should look",
    "hold": "there is too little traffic to tell",
}


def harm(test: str) -> str:
    """What a test of harm has shown."""
    if test.startswith("latency_"):
        return f"more of the candidate's units met slow answers ({test.removeprefix('latency_')})"
    if test.startswith("metric:"):
        return f"{test.removeprefix('metric:')} is worse by more than its margin"
    return HARM[test]


def reached(log_e: float, limit: float) -> str:
    """E and the threshold that it has reached."""
    return f"E = {power(log_e)} ≥ {power(limit)}"


def listed(counts: Mapping[str, int]) -> str:
    """Counts by arm."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
