"""O2: alarms over the minutes of a rollout, and that nothing is lost when the watcher is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.alarms import AlarmRule, Reading
from greenlight.core.answers import ArmMinute
from greenlight.core.records import MINUTE, SECOND
from greenlight.core.states import Variant
from greenlight.core.stats.drift import jensen_shannon
from greenlight.core.watches import Watches, by_chance

ORIGIN = 1_800_000_007 * SECOND
CONTROL, CANDIDATE = Variant.CONTROL, Variant.CANDIDATE


def rules(*names: str, minutes: int = 3, over: float = 0.1, least: int = 10) -> dict[str, Any]:
    """Alarms by name, with one threshold for all of them."""
    return {
        name: AlarmRule(name=name, over=over, duration=minutes * MINUTE, min_requests=least)
        for name in names
    }


def minute(number: int, variant: Variant, **counts: Any) -> ArmMinute:
    return ArmMinute(at=ORIGIN + number * MINUTE, variant=variant, **counts)


def watched(declared: dict[str, Any], *found: ArmMinute, shadow: bool = False) -> Watches:
    """After as many minutes as were seen."""
    watches = Watches(declared, origin=ORIGIN, shadow=shadow)
    end = max(one.at for one in found) + MINUTE
    watches.feed((ORIGIN, end), found)
    return watches


def state(watches: Watches, name: str) -> tuple[str, dict[str, str]]:
    """How an alarm is judged, and how its arms stand."""
    reading = watches.read(0)[name]
    return reading.judgement, {arm.value: one.state for arm, one in reading.arms.items()}


HEALTHY = {"requests": 100, "timed": 100, "p95_ms": 0.05, "good": 50, "bad": 1}
HARMFUL: dict[str, dict[str, Any]] = {
    "p95_latency_ms": {"p95_ms": 0.2},
    "server_error_rate": {"failed": 11},
    "bad_feedback_rate": {"bad": 10},
}


@pytest.mark.parametrize("name", HARMFUL)
def test_each_alarm_is_on_its_own_measurement(name: str) -> None:
    """O2: latency, failures and feedback, in each arm by itself."""
    declared = rules(*HARMFUL)
    bad = {**HEALTHY, **HARMFUL[name]}
    harmed = [minute(n, CANDIDATE, **bad) for n in range(3)]
    healthy = [minute(n, CONTROL, **HEALTHY) for n in range(3)]
    found = watched(declared, *harmed, *healthy)
    for other in declared:
        expected = "breached" if other == name else "ok"
        judgement = "rollback" if other == name else "ok"
        assert state(found, other) == (judgement, {"control": "ok", "candidate": expected})
    both = watched(declared, *harmed, *(minute(n, CONTROL, **bad) for n in range(3)))
    assert state(both, name)[0] == "page"
    silent = watched(declared, *harmed)
    assert state(silent, name) == ("rollback", {"control": "no_data", "candidate": "breached"})


def test_copies_are_watched_in_the_shadow_and_users_out_of_it() -> None:
    """O2, S6: nobody is answered in the shadow, and no copy is made out of it."""
    declared = rules("p95_latency_ms", "shadow_disagreement_rate")
    copies = [minute(n, CANDIDATE, compared=20, agreed=17) for n in range(3)]
    found = watched(declared, *copies, shadow=True)
    assert list(found.read(0)) == ["shadow_disagreement_rate"]
    assert state(found, "shadow_disagreement_rate") == ("rollback", {"candidate": "breached"})
    assert list(watched(declared, *copies).read(0)) == ["p95_latency_ms"]
    alike = [minute(n, CANDIDATE, compared=20, agreed=18) for n in range(3)]
    found = watched(declared, *alike, shadow=True)
    assert state(found, "shadow_disagreement_rate") == ("ok", {"candidate": "ok"})


def shifted(share: float, count: int = 400, minutes: int = 3) -> Watches:
    """Control answers `a` half of the time, the candidate so often."""
    found = []
    for n in range(minutes):
        first = round(share * count)
        found += [
            minute(n, CONTROL, labels={"a": count // 2, "b": count // 2}),
            minute(n, CANDIDATE, labels={"a": first, "b": count - first}),
        ]
    return watched(rules("class_shift", over=0.05), *found)


def test_a_shift_of_labels_is_the_candidates_alone() -> None:
    """O2: over the whole duration, measured against control, which cannot breach it."""
    assert state(shifted(0.5), "class_shift") == ("ok", {"candidate": "ok"})
    assert state(shifted(0.8), "class_shift") == ("rollback", {"candidate": "breached"})
    reading = shifted(0.8).read(0)["class_shift"].arms[CANDIDATE]
    assert (reading.requests, reading.minutes_over) == (1200, 3)
    assert reading.value == pytest.approx(jensen_shannon([600, 600], [960, 240]))
    assert state(shifted(0.8, minutes=2), "class_shift")[0] == "no_data"


def test_a_shift_that_chance_explains_is_none() -> None:
    """O2: too few requests for so many labels are no data, whatever the distance."""
    found = shifted(1.0, count=6)
    reading = found.read(0)["class_shift"].arms[CANDIDATE]
    assert reading.value is not None and reading.value > 0.3
    assert (reading.state, reading.requests) == ("no_data", 18)
    only = watched(
        rules("class_shift"),
        *(minute(n, arm, labels={"a": 50}) for n in range(3) for arm in Variant),
    )
    assert state(only, "class_shift") == ("ok", {"candidate": "ok"})


@pytest.mark.parametrize(
    ("labels", "control", "candidate"), [(2, 2000, 200), (77, 5400, 600), (150, 13500, 1500)]
)
def test_equal_arms_hardly_ever_are_as_far_apart(labels: int, control: int, candidate: int) -> None:
    """O2: what counts as chance is, less than once in a thousand times."""
    rng = np.random.default_rng(2025)
    limit, beyond, runs = by_chance(labels, control, candidate), 0, 4000
    shares = rng.dirichlet(np.ones(labels))
    for one, other in zip(
        rng.multinomial(control, shares, runs),
        rng.multinomial(candidate, shares, runs),
        strict=True,
    ):
        beyond += jensen_shannon(one, other) > limit
    assert beyond / runs < 0.001


@pytest.mark.parametrize(("labels", "least"), [(2, 87), (77, 564)])
def test_how_many_requests_a_shift_takes(labels: int, least: int) -> None:
    """O2: as docs/evidence.md says, at a split of 10 % and a threshold of .05."""
    assert by_chance(labels, 9 * least, least) <= 0.05
    assert by_chance(labels, 9 * (least - 1), least - 1) > 0.05
    assert by_chance(1, 5, 5) == 0.0


def test_minutes_are_due_once_they_are_complete() -> None:
    """O2: a minute counts only once everything of it is in the store, and is asked for once."""
    watches = Watches(rules("p95_latency_ms"), origin=ORIGIN, shadow=False)
    assert watches.due(ORIGIN - MINUTE) is None
    assert watches.due(ORIGIN + MINUTE - 2) is None
    first = watches.due(ORIGIN + MINUTE - 1)
    assert first == (ORIGIN, ORIGIN + MINUTE)
    watches.feed(first, [])
    assert watches.due(ORIGIN + MINUTE - 1) is None
    late = watches.due(ORIGIN + 9 * MINUTE)
    assert late == (ORIGIN + 6 * MINUTE, ORIGIN + 9 * MINUTE), "no more than count"
    assert Watches({}, origin=ORIGIN, shadow=False).due(ORIGIN + 9 * MINUTE) is None


def test_how_long_still() -> None:
    """O2: whole seconds until the duration has passed once, and the end of what counts."""
    watches = Watches(rules("p95_latency_ms"), origin=ORIGIN, shadow=False)
    reading = watches.read(ORIGIN + SECOND // 2)["p95_latency_ms"]
    assert (reading.left_s, reading.at, reading.for_s) == (180, None, 180)
    watches.feed((ORIGIN, ORIGIN + 2 * MINUTE), [])
    reading = watches.read(ORIGIN + 2 * MINUTE + SECOND)["p95_latency_ms"]
    assert (reading.left_s, reading.at) == (59, ORIGIN + 2 * MINUTE)
    assert watches.read(ORIGIN + 9 * MINUTE)["p95_latency_ms"].left_s == 0


def test_what_cannot_be_seen_is_neither_healthy_nor_harmful() -> None:
    """O2, HABITS: no data is not read as healthy."""
    found = watched(
        rules("p95_latency_ms"),
        *(minute(n, CANDIDATE, **{**HEALTHY, "p95_ms": 9.0}) for n in range(3)),
        *(minute(n, CONTROL, **HEALTHY) for n in range(3)),
    )
    assert state(found, "p95_latency_ms")[0] == "rollback"
    for unseen in ("stale", "failing"):
        reading = found.read(0, unseen)["p95_latency_ms"]
        assert reading.judgement == unseen
        assert {one.state for one in reading.arms.values()} == {unseen}
        assert reading.arms[CANDIDATE].value == 9.0, "what was seen last stays known"


counts = st.builds(
    lambda requests, failed, said, labels: {
        "requests": requests,
        "failed": min(failed, requests),
        "timed": requests,
        "p95_ms": float(failed),
        "good": said[0],
        "bad": said[1],
        "labels": labels,
    },
    st.integers(0, 20),
    st.integers(0, 20),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 60), max_size=3),
)
lives = st.lists(st.tuples(st.none() | counts, st.none() | counts), min_size=1, max_size=14)


def looked(
    declared: dict[str, Any], life: list[Any], looks: list[int], restarts: set[int]
) -> list[dict[str, Reading]]:
    """What is read after each look; some looks begin anew with nothing but the store."""
    stored = [
        minute(n, arm, **seen)
        for n, pair in enumerate(life)
        for arm, seen in zip(Variant, pair, strict=True)
        if seen is not None
    ]
    watches, readings = Watches(declared, origin=ORIGIN, shadow=False), []
    for n, until in enumerate(looks):
        if n in restarts:
            watches = Watches(declared, origin=ORIGIN, shadow=False)
        span = watches.due(ORIGIN + until * MINUTE)
        if span is not None:
            watches.feed(span, [one for one in stored if span[0] <= one.at < span[1]])
        readings.append(watches.read(ORIGIN + until * MINUTE))
    return readings


@given(
    life=lives,
    skipped=st.sets(st.integers(0, 14)),
    restarts=st.sets(st.integers(0, 14)),
    minutes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_a_restart_changes_nothing(
    life: list[Any], skipped: set[int], restarts: set[int], minutes: tuple[int, int]
) -> None:
    """O2: whoever begins anew asks for the minutes that count, and says the same."""
    declared = {
        **rules("server_error_rate", "p95_latency_ms", minutes=minutes[0]),
        **rules("bad_feedback_rate", "class_shift", minutes=minutes[1]),
    }
    looks = [n for n in range(len(life) + 2) if n not in skipped]
    assert looked(declared, life, looks, restarts) == looked(declared, life, looks, set())
