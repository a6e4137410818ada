"""Comparing two answers to one request, of which a user sees only control's (EVIDENCE: shadow).

If the candidate fails no more often than control, then of the requests that exactly one of them
failed, it was the candidate with a probability of ½ at most: a pair is a bet at even odds. A unit
counts once, for a unit that fails once is likely to fail again.
"""

from __future__ import annotations

from greenlight.core.states import Status, Variant

_FAILED = frozenset({Status.ERROR, Status.TIMEOUT, Status.REFUSED})


def failed_alone(control: Status, candidate: Status) -> Variant | None:
    """The arm that failed a request which the other answered; None: both did the same.

    A refusal of what the other answers is a failure. Where one was not asked (its breaker was
    open) or nobody knows how its answer ended, there is nothing to compare.
    """
    if control in _FAILED and candidate == Status.OK:
        return Variant.CONTROL
    if candidate in _FAILED and control == Status.OK:
        return Variant.CANDIDATE
    return None
