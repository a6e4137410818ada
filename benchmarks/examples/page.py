"""What DEMO.md shows of the examples: a block between two markers.

    python -m benchmarks.examples.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import ROOT
from benchmarks.pages import Found, Page, commit_of, table
from greenlight.core import fingerprint


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    came = found["provenance"]
    intent = found["intent"]
    parts = [
        f"`{came['command']}`, {commit_of(came)}.\n",
        "### Intents, and texts out of scope\n",
        f"Bundle `{fingerprint.short(intent['bundle'])}`, trained on BANKING77; "
        f"{_score(intent['rows'])}.\n",
        table(
            ("text", "what would be right", "label", "score", "how far out", "", "why it is here"),
            [_intent(row) for row in intent["rows"]],
        ),
    ]
    if "entities" in found:
        tagged = found["entities"]
        parts += [
            "### Entities\n",
            f"Bundle `{fingerprint.short(tagged['bundle'])}`, trained on WNUT-2017.\n",
            table(
                ("text", "what would be right", "found", "", "why it is here"),
                [_sentence(row) for row in tagged["rows"]],
            ),
        ]
    return parts


def _intent(row: dict[str, Any]) -> tuple[str, ...]:
    named = row["right"].split(" or ")
    right = " or ".join(f"`{label}`" for label in named) if row["right"] else "none"
    return (
        row["text"],
        right,
        f"`{row['label']}`",
        f"{row['score']:.2f}",
        "" if row["oos_score"] is None else f"{row['oos_score']:+.2f}",
        _verdict(row),
        row["why"],
    )


def _verdict(row: dict[str, Any]) -> str:
    """Whether the answer is what its author would call right, and what says so."""
    if not row["right"]:
        return "called out of scope" if row["oos"] else "**kept**"
    right = row["label"] in row["right"].split(" or ")
    if row["oos"]:
        return "right, and **called out of scope**" if right else "**wrong**, called out of scope"
    return "right" if right else "**wrong**"


def _score(rows: list[dict[str, Any]]) -> str:
    inside = [row for row in rows if row["right"]]
    outside = [row for row in rows if not row["right"]]
    right = sum(row["label"] in row["right"].split(" or ") for row in inside)
    alarms, called = (sum(bool(row["oos"]) for row in part) for part in (inside, outside))
    return (
        f"of {len(inside)} texts that have a label {right} got it, and {alarms} were called out of "
        f"scope all the same; of {len(outside)} that have none {called} were called out of scope"
    )


def _sentence(row: dict[str, Any]) -> tuple[str, ...]:
    right = "right" if row["found"] == row["right"] else "**not as it should be**"
    return (row["text"], row["right"] or "nothing", row["found"] or "nothing", right, row["why"])


PAGE = Page(path=ROOT / "DEMO.md", name="examples", block=block, drawn=lambda _: {})


if __name__ == "__main__":
    PAGE.write()
