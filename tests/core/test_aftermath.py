"""Which step follows a rollback, when it is tried again, and what a re-run says (O3)."""

from __future__ import annotations

import msgspec
import pytest
from scipy.stats import hypergeom

from greenlight.core import aftermath
from greenlight.core.aftermath import STEPS, TRIES, chance, due, standing, told
from greenlight.core.incidents import Incident
from greenlight.core.records import SECOND


def incident(**steps: dict[str, object]) -> Incident:
    return Incident(
        rollout="r",
        task="intent",
        control="sha256:a",
        candidate="sha256:b",
        decision="d",
        code="quality",
        reason="worse",
        drill=None,
        at=0,
        steps=steps,
    )


DONE = {"at": 1, "result": "done", "says": "as it should"}


def test_steps_are_taken_in_order_and_each_waits_for_the_one_before() -> None:
    assert due(incident(), 0) == "propagated"
    assert due(incident(propagated=DONE), 0) == "caches"
    assert due(incident(propagated=DONE, caches={"next_at": 5, "tries": 1}), 4) is None
    assert due(incident(propagated=DONE, caches={"next_at": 5, "tries": 1}), 5) == "caches"
    whole = incident(**dict.fromkeys(STEPS, DONE))
    assert due(whole, 0) is None and aftermath.is_complete(whole)
    assert not aftermath.is_complete(incident(evidence=DONE))


def test_pauses_double_up_to_a_bound() -> None:
    found, pauses = incident(), []
    for _ in range(TRIES):
        tried = aftermath.trying(found, "baseline", 7)
        pauses.append((tried["next_at"] - 7) // SECOND)
        found = incident(baseline=tried)
    assert pauses == [1, 2, 4, 8, 16, 30]
    assert aftermath.is_spent(found, "baseline")
    lost = aftermath.given_up(
        incident(baseline=aftermath.failed(found, "baseline", "no")), "baseline"
    )
    assert lost == {"result": "given_up", "says": "given up after 6 tries: no", "tries": 6}


def test_where_an_incident_stands_in_words() -> None:
    assert standing(incident()) == "open: propagated is next"
    done = dict.fromkeys(STEPS, DONE)
    assert standing(incident(**done)) == "open: about to be closed"
    closed = msgspec.structs.replace(incident(**done), closed_at=9)
    assert standing(closed) == "closed"
    lost = {**done, "evidence": {**DONE, "result": "given_up"}}
    ill = "closed, not as it should be: "
    assert standing(msgspec.structs.replace(closed, steps=lost)) == f"{ill}evidence given up"
    worse = {name: {**DONE, "result": name} for name in ("missing", "differs")}
    all_of_it = {**lost, "propagated": worse["missing"], "baseline": worse["differs"]}
    assert standing(msgspec.structs.replace(closed, steps=all_of_it)) == (
        f"{ill}propagated missing, baseline differs, evidence given up"
    )
    rows = list(told(incident(propagated=DONE, caches={"tries": 2, "error": "away"})))
    assert rows == [
        ("propagated", 1, "as it should"),
        ("caches", None, "try 2 of 6: away"),
        ("baseline", None, "not yet"),
        ("evidence", None, "not yet"),
    ]


@pytest.mark.parametrize("hits", [0, 400, 430, 445, 459, 460, 463, 466, 467, 480, 500])
def test_chance_is_twice_the_tail_of_the_hypergeometric(hits: int) -> None:
    """Against scipy, with the slack of half a percent brought to bear by hand."""
    mean = 500 * 2854 / 3080
    near = hits + 3 if hits < mean else hits - 3
    if (near >= mean) == (hits < mean) or near == mean:
        expected = 1.0
    elif hits < mean:
        expected = min(1.0, 2 * hypergeom.cdf(near, 3080, 2854, 500))
    else:
        expected = min(1.0, 2 * hypergeom.sf(near - 1, 3080, 2854, 500))
    assert chance(hits, 500, 2854, 3080) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_where_all_rows_are_asked_nothing_but_rounding_is_forgiven() -> None:
    assert [chance(hits, 200, 196, 200) for hits in (194, 195, 196, 197, 198)] == [0, 1, 1, 1, 0]
    assert chance(0, 1, 0, 1) == 1.0
