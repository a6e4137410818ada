"""Asking the assigned version, and control where a candidate fails: the same for every endpoint.

A candidate gets as long as leaves control time to answer within the same patience: what is usual
less control's 95th percentile, but half of it at least.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from greenlight.core.errors import ModelFailed, RequestRefused
from greenlight.core.states import Status, Variant
from greenlight.serving.assigning import assign
from greenlight.serving.routing import Route, Served

log = logging.getLogger(__name__)

T = TypeVar("T")

Call = Callable[[Served, float | None], Awaitable[T]]
"""Asks a version, with a patience in seconds where it is less than usual; raises ModelFailed."""


class Attempt(msgspec.Struct, Generic[T]):
    """What became of a call to the assigned version, and who answered in the end."""

    variant: Variant
    assigned: Served
    weight: float
    """The candidate's share of units like this one."""
    alone: bool
    """Whether the other arm's breaker was open when the call was made."""
    status: Status = Status.OK
    own_ms: float = 0.0
    """How long the assigned version took to answer or to fail: its own time, not control's."""
    model_s: float = 0.0
    """Time spent waiting for models, in seconds."""
    value: T | None = None
    """The answer; None if nobody gave one."""
    answered: Served | None = None
    """Who gave it."""
    failure: ModelFailed | None = None
    """Why the last version that was asked did not answer."""


def _begun(route: Route, place: float, weight: float) -> Attempt[T]:
    """An attempt for a unit at this place of the route's buckets; nobody has been asked yet."""
    arm, assigned = assign(route, place, weight)
    other = route.control if arm is Variant.CANDIDATE else route.candidate
    alone = other is not None and other.runtime.open_since is not None
    return Attempt(arm, assigned, weight, alone)


def _patience(route: Route, attempt: Attempt[T]) -> float | None:
    """How long the assigned version may take, in seconds, where that is less than usual."""
    budget = route.plan.budget
    if attempt.variant is Variant.CONTROL or budget is None:
        return None
    return max(budget - route.control.p95.value / 1000, budget / 2)


async def ask(route: Route, place: float, weight: float, call: Call[T]) -> Attempt[T]:
    """Ask the version that is assigned to this place, and control if a candidate fails."""
    attempt: Attempt[T] = _begun(route, place, weight)
    within = _patience(route, attempt)
    value, failure = await timed(attempt, attempt.assigned, call, within)
    attempt.value, attempt.failure = value, failure
    attempt.own_ms = attempt.model_s * 1000
    if attempt.failure is None:
        attempt.answered = attempt.assigned
        if attempt.variant is Variant.CONTROL:
            route.control.p95.add(attempt.own_ms)
    else:
        attempt.status = Status(attempt.failure.status)
        if attempt.variant is Variant.CANDIDATE:
            await _fall_back(route, attempt, call)
    return attempt


async def _fall_back(route: Route, attempt: Attempt[T], call: Call[T]) -> None:
    """Let control answer for a candidate that has failed.

    A request that the candidate refused and control answered is the candidate's failure; one that
    both refuse is nobody's.
    """
    before = attempt.failure
    value, failure = await timed(attempt, route.control, call, None)
    attempt.value, attempt.failure = value, failure
    if attempt.failure is None:
        attempt.answered = route.control
    refused = isinstance(before, RequestRefused)
    if refused and not isinstance(attempt.failure, RequestRefused):
        attempt.status = Status.ERROR


async def timed(
    attempt: Attempt[Any], served: Served, call: Call[T], within: float | None
) -> tuple[T | None, ModelFailed | None]:
    """Answer or failure of one call; its time is added to what the attempt spent on models."""
    began = time.perf_counter()
    try:
        return await call(served, within), None
    except ModelFailed as error:
        return None, error
    except Exception as error:
        # Whatever a model raises is the model's failure; the user still gets an answer.
        log.exception("%s failed", served.label)
        return None, ModelFailed(repr(error))
    finally:
        attempt.model_s += time.perf_counter() - began
