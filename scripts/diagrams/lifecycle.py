"""docs/lifecycle.md, from the transition tables in `greenlight.core.lifecycle`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from greenlight.core.lifecycle import (
    FIRST_PHASE,
    FIRST_RUN_STATUS,
    FIRST_VERSION_STATUS,
    ROLLOUT,
    RUN,
    VERSION,
    Transition,
    mermaid,
)
from scripts.diagrams.text import block

TEXT = """\
# Lifecycle

<!-- Written by `python -m scripts.diagrams` from src/greenlight/core/lifecycle.py. -->

What may follow what is said in one place, the tables of `greenlight.core.lifecycle`. This page is
generated from them.

## Runs

{run}

A run is one turn of the pipeline
([AUTOMATED_FINETUNING_PIPELINE.md](AUTOMATED_FINETUNING_PIPELINE.md)).

- A process that is killed leaves its run `running`: whoever resumes it goes on where it was.
- To **abort** is to ask. Whoever carries the run out ends at its next sign of progress and clears
  away what is half made; where nobody carries it out, who asks does so.
- An ended run stays ended: the next one takes over what it had finished.

{run_table}

## Versions

{version}

- **Gates** judge the sealed evaluation. They may judge again until people have signed; after that a
  further evaluation is recorded but moves nothing.
- **Sign-off** is for people, each with their own key. The status follows their words: it becomes
  `approved` when the quorum is met on one evaluation, and falls back when somebody takes their word
  back. Whether approvals hold is checked again at the start, before each widening and before
  promotion, because a signature may expire while the status stays.
- A word on a version that is in traffic (`canary`, `live`) is recorded and does not change its
  status; without a valid quorum the rollout gets no further.
- What ran before Greenlight did is **adopted**: live at once, where a task has nothing live yet, on
  one person's word, which is good for this version as control alone
  ([why](adr/0011-a-baseline-is-adopted.md)). A rejection leaves it `live` and closes the task.
- What has **left traffic** (`rolled_back`, `shelved`, `retired`) comes back only by signatures
  given after it left.

{version_table}

## Rollouts

{rollout}

- A rollout that starts outside its release window is **pending**: nobody meets the candidate
  until the window opens. The approvals are checked again then.
- In the **shadow** the candidate gets copies and no traffic. From the first step to the last but
  one it is a **canary**; from the **last step** it is promoted, or, where some units are held
  back, first brought to all others (**holdback**): it is proved by then, and has no horizon any
  more.
- A pause changes nothing but that: what harms is rolled back all the same.
- An ended rollout stays ended: another attempt is another rollout, with a new salt. There is one
  exception. Where the kill switch was used before a promotion, the gateways refused that
  promotion, and the controller **undoes** it: the versions change places again.

{rollout_table}

Widen, promote, rollback and withdraw also happen by a person's order, at once and without a
controller.
"""


def page() -> str:
    """The text of docs/lifecycle.md."""
    return TEXT.format(
        run=block(mermaid(RUN, FIRST_RUN_STATUS, "begin")),
        run_table=_table(RUN),
        version=block(mermaid(VERSION, FIRST_VERSION_STATUS, "register")),
        version_table=_table(VERSION),
        rollout=block(mermaid(ROLLOUT, FIRST_PHASE, "start")),
        rollout_table=_table(ROLLOUT),
    )


def _table(rows: Iterable[Transition[Any]]) -> str:
    lines = ["| from | event | to | who |", "|---|---|---|---|"]
    lines += [f"| `{t.source}` | `{t.event}` | `{t.target}` | {t.who} |" for t in rows]
    return "\n".join(lines)
