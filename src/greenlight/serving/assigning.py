"""Which of a route's versions a unit meets: the one place that decides, for answers and flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenlight.core.assignment import variant
from greenlight.core.states import Variant
from greenlight.serving.routing import Route, Served


def weight_for(route: Route, metadata: Mapping[str, Any]) -> float:
    """The candidate's share of units like this one: 0 or 1 in a segment, else the route's.

    Segments steer who meets a candidate that has traffic; they never give traffic to one that has
    none. The record of the inference has this weight, so a test sees that nothing was left to
    chance (π is 0 or 1) and leaves it out.
    """
    if route.weight > 0:
        for segment in route.plan.segments:
            if all(metadata.get(name) == value for name, value in segment.when.items()):
                return segment.weight
    return route.weight


def assign(route: Route, place: float, weight: float | None = None) -> tuple[Variant, Served]:
    """The arm of a unit and the version that it meets there.

    Args:
        route: the task's route.
        place: the unit's bucket under the route's salt, in [0, 1); 1 is control's whatever the
            weight.
        weight: the candidate's share of units like this one, see `weight_for`.
    """
    share = route.weight if weight is None else weight
    if route.candidate is not None and place < 1 and variant(place, share) is Variant.CANDIDATE:
        return Variant.CANDIDATE, route.candidate
    return Variant.CONTROL, route.control
