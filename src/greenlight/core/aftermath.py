"""What follows a rollback, step by step: which step is due, and when it is tried again (O3).

| step         | does                                                    | may end as             |
|--------------|---------------------------------------------------------|------------------------|
| `propagated` | waits until every live gateway routes by the rollback   | everywhere, missing,   |
|              |                                                         | nobody                 |
| `caches`     | drops what was remembered of the version that went      | dropped                |
| `baseline`   | asks control its evaluation again                       | confirmed, differs,    |
|              |                                                         | cannot_compute         |
| `evidence`   | writes the evidence folder                              | written                |

A step is in `Incident.steps` under its name. While it has an `at` it is done, with its `result`
and what there is to say of it (`says`); until then it has its `tries`, the last `error` and when
it is tried again (`next_at`). A try is counted before it begins, so that a step which ends its
process is given up like one that fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from greenlight.core.incidents import Incident
from greenlight.core.records import MINUTE, SECOND

PROPAGATED, CACHES, BASELINE, EVIDENCE = "propagated", "caches", "baseline", "evidence"
STEPS = (PROPAGATED, CACHES, BASELINE, EVIDENCE)
"""In the order in which they are taken."""
DRILL = "drill"
"""Where a drill puts what it measured; nobody waits for it."""
GIVEN_UP = "given_up"

BAD = frozenset({"differs", "missing", GIVEN_UP})
"""Results of a step that somebody should see to."""

TRIES = 6
"""A step that has failed so often is given up, and the next one is taken."""
FIRST_PAUSE = SECOND
"""After the first try that failed; each pause is twice the one before."""
LONGEST_PAUSE = 30 * SECOND
SILENT = 10 * SECOND
"""A gateway that has been silent for longer is not waited for."""
PATIENCE = 2 * MINUTE
"""For so long after a rollback gateways are waited for that do not route by it."""

SURPRISE = 0.001
"""A re-run of an evaluation differs where so few right answers, or so many, come by chance less
often than this, if the version answers as it did."""
SLACK = 0.005
"""Share of the rows that another machine may answer otherwise, by rounding."""


def is_done(incident: Incident, step: str) -> bool:
    """Whether a step has come to an end, given up or not."""
    return "at" in incident.steps.get(step, {})


def due(incident: Incident, now: int) -> str | None:
    """The step to take now; None: all are done, or the next one is not to be tried yet."""
    for step in STEPS:
        if not is_done(incident, step):
            return step if incident.steps.get(step, {}).get("next_at", 0) <= now else None
    return None


def is_complete(incident: Incident) -> bool:
    """Whether every step is done, so that the incident can be closed."""
    return all(is_done(incident, step) for step in STEPS)


def is_spent(incident: Incident, step: str) -> bool:
    """Whether a step has been tried often enough."""
    return bool(incident.steps.get(step, {}).get("tries", 0) >= TRIES)


def trying(incident: Incident, step: str, now: int) -> dict[str, Any]:
    """What is kept of a step while it is tried once more."""
    tries = incident.steps.get(step, {}).get("tries", 0) + 1
    pause = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE)
    error = "under way, unless the process that was at it has ended"
    return {"tries": tries, "next_at": now + pause, "error": error}


def failed(incident: Incident, step: str, error: str) -> dict[str, Any]:
    """What is kept of a step whose try has failed."""
    return {**incident.steps[step], "error": error}


def given_up(incident: Incident, step: str) -> dict[str, Any]:
    """What a step has come to that was tried often enough."""
    known = incident.steps[step]
    says = f"given up after {known['tries']} tries: {known['error']}"
    return {"result": GIVEN_UP, "says": says, "tries": known["tries"]}


def told(incident: Incident) -> Iterator[tuple[str, int | None, str]]:
    """Each step with when it was done (None: not yet) and what there is to say of it."""
    for step in STEPS:
        known: Mapping[str, Any] = incident.steps.get(step, {})
        if "at" in known:
            yield step, known["at"], str(known.get("says", known.get("result", "done")))
        elif known:
            yield step, None, f"try {known['tries']} of {TRIES}: {known['error']}"
        else:
            yield step, None, "not yet"


def standing(incident: Incident) -> str:
    """Where an incident stands, in a few words."""
    results = {step: incident.steps.get(step, {}).get("result") for step in STEPS}
    if incident.closed_at is None:
        left = [step for step in STEPS if not is_done(incident, step)]
        return f"open: {left[0]} is next" if left else "open: about to be closed"
    bad = [f"{step} {result}" for step, result in results.items() if result in BAD]
    return f"closed, not as it should be: {', '.join(bad)}".replace("_", " ") if bad else "closed"


def chance(hits: int, rows: int, all_hits: int, all_rows: int) -> float:
    """How likely right answers as few or as many are, if a version answers as it did.

    The rows are drawn from those of an evaluation, so the number of right ones is hypergeometric;
    this is twice the smaller tail, and 1 at most. `SLACK` of the rows is taken to be rounding and
    brings the count nearer to what is expected; where all rows are asked, nothing but that is
    left to chance.

    Args:
        hits: right answers now.
        rows: how many were asked, at least 1.
        all_hits: right answers in the evaluation.
        all_rows: its rows, no fewer than were asked.
    """
    slack = math.ceil(SLACK * rows)
    # Compared in whole numbers: where all rows are asked the expectation is met exactly.
    if hits * all_rows < rows * all_hits:
        counts = range(hits + slack + 1)
        expected = (hits + slack) * all_rows >= rows * all_hits
    else:
        counts = range(max(0, hits - slack), rows + 1)
        expected = (hits - slack) * all_rows <= rows * all_hits
    if expected:
        return 1.0
    missed = all_rows - all_hits
    ways = sum(math.comb(all_hits, k) * math.comb(missed, rows - k) for k in counts if k <= rows)
    return min(1.0, 2 * ways / math.comb(all_rows, rows))
