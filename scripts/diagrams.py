"""Writes docs/lifecycle.md from the transition table in `greenlight.core.lifecycle`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from greenlight.core.lifecycle import (
    FIRST_ROLLOUT_STATUS,
    FIRST_VERSION_STATUS,
    ROLLOUT,
    VERSION,
    Transition,
    mermaid,
)

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"

TEXT = """\
# Lifecycle

<!-- Written by scripts/diagrams.py from src/greenlight/core/lifecycle.py. Change it there. -->

What may follow what is said in one table, `greenlight.core.lifecycle`. This page is generated
from it.

## Versions

```mermaid
{version}
```

- **Gates** judge the sealed evaluation. They may judge again until people have signed; after that
  a further evaluation is recorded but moves nothing.
- **Sign-off** is for people, each with their own key. The status follows their words: it becomes
  `approved` when the quorum is met on one evaluation, and falls back when somebody takes their word
  back. Whether approvals hold is checked again at the start, before each widening and before
  promotion, because a signature may expire while the status stays.
- A word on a version that is in traffic (`canary`, `live`) is recorded and does not change its
  status; without a valid quorum the rollout gets no further.
- What has **left traffic** (`rolled_back`, `shelved`, `retired`) comes back only by signatures
  given after it left.

{version_table}

## Rollouts

```mermaid
{rollout}
```

An ended rollout stays ended: another attempt is another rollout, with a new salt.

{rollout_table}
"""


def page() -> str:
    """The text of docs/lifecycle.md."""
    return TEXT.format(
        version=mermaid(VERSION, FIRST_VERSION_STATUS, "register"),
        version_table=_table(VERSION),
        rollout=mermaid(ROLLOUT, FIRST_ROLLOUT_STATUS, "start"),
        rollout_table=_table(ROLLOUT),
    )


def _table(rows: Iterable[Transition[Any]]) -> str:
    lines = ["| from | event | to | who |", "|---|---|---|---|"]
    lines += [f"| `{t.source}` | `{t.event}` | `{t.target}` | {t.who} |" for t in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
