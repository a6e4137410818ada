"""Slices of the test rows in place of groups of users, whom the data do not name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from greenlight.core.model_card.parts import Section, Table, cells, sentence

TITLE = "Fairness notes"

Entry = Mapping[str, Any]

_WHAT = {
    "intent": ("accuracy", "difference", "accuracy"),
    "ner": ("token_micro_f1", "token_micro_f1_difference", "token F1"),
}
"""Part → where a slice's number stands, where its difference from the rest, and what it is."""

_NOTHING_TO_FIND = {"reason": "says nothing: there is no entity to find"}

_ALONE = (
    "The data name no groups of users, so that of groups nothing is known. These slices stand in: "
    "who writes without capitals or without marks, in many words or few, with words that nobody "
    "wrote before, or of what is seldom asked. Every row is in one slice of each family."
)


def notes(document: Mapping[str, Any]) -> list[Section]:
    """One section for each part that was cut into slices, at least one in all."""
    parts = [name for name in _WHAT if "families" in document.get(name, {}).get("slices", {})]
    if not parts:
        return [Section(title=TITLE, text=f"{_ALONE} {sentence({})}")]
    return [_section(document[name]["slices"], name, first=name == parts[0]) for name in parts]


def entries(slices: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(family, slice) of everything that was cut."""
    for cut in slices.get("families", []):
        for entry in cut["slices"]:
            yield str(cut["family"]), entry


def numbers(
    family: str, entry: Mapping[str, Any], part: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A slice's number, and its difference from the rest; either may be a reason.

    Where there is nothing to find F1 is 0 or cannot be computed, whatever the model does, so that
    it is no number of the slice of texts without an entity.
    """
    value, difference, _ = _WHAT[part]
    if part == "ner" and (family, entry["slice"]) == ("entities", "none"):
        return _NOTHING_TO_FIND, _NOTHING_TO_FIND
    return entry[value], entry[difference]


def measure(part: str) -> str:
    """What the number of a slice is."""
    return _WHAT[part][2]


def _section(slices: Mapping[str, Any], part: str, *, first: bool) -> Section:
    found = [(family, entry, *numbers(family, entry, part)) for family, entry in entries(slices)]
    compared = [it for it in found if "value" in it[3]]
    scope = any("value" in entry.get("false_alarms", {}) for _, entry, *_ in found)
    text = (
        f"A slice needs {slices['least']} rows, and so does its rest. Of {len(compared)} "
        "comparisons of a number at 95 % about one in twenty is beyond its interval by chance "
        "alone, and the two slices of a family of two say the same thing twice. A difference may "
        "come of what is asked there and not of how."
    )
    items = [
        (
            "Behind the rest by more than chance explains",
            _listed(compared, lambda it: it["high"] < 0),
        ),
        ("Ahead of it", _listed(compared, lambda it: it["low"] > 0)),
        ("Too few rows to tell", _few(found, slices["least"])),
    ]
    head = ["slice", "rows", measure(part), "95 % interval", "less the rest", "95 % interval"]
    rows = [_row(*it) for it in found]
    if scope:
        alarms = [
            (family, entry, entry["false_alarms"], entry["false_alarms_difference"])
            for family, entry, *_ in found
        ]
        known = [it for it in alarms if "value" in it[3]]
        more = _listed(known, lambda it: it["low"] > 0)
        items.insert(1, ("Called out of scope more often than the rest", more))
        head += ["called out of scope", "less the rest", "95 % interval"]
        rows = [
            (*row, cells(share)[0], *cells(apart, signed=True))
            for row, (*_, share, apart) in zip(rows, alarms, strict=True)
        ]
    return Section(
        title=TITLE if part == "intent" or first else f"{TITLE}: entities",
        text=f"{_ALONE} {text}" if first else text,
        items=items,
        table=Table(head, rows),
    )


def _row(family: str, entry: Entry, value: Entry, difference: Entry) -> tuple[str, ...]:
    return (
        f"{family}: {entry['slice']} ({entry['what']})",
        f"{entry['n']:,}",
        *cells(value),
        *cells(difference, signed=True),
    )


def _listed(found: Sequence[tuple[str, Entry, Entry, Entry]], test: Callable[[Entry], bool]) -> str:
    """The slices whose difference from the rest passes a test, with that difference."""
    names = [
        f"{family}: {entry['slice']} ({difference['value']:+.4f})"
        for family, entry, _, difference in found
        if test(difference)
    ]
    return ", ".join(names) or "none"


def _few(found: Sequence[tuple[str, Entry, Entry, Entry]], least: int) -> str:
    """The slices that have too few rows for a difference, or whose rest has."""
    rows: Counter[str] = Counter()
    for family, entry, *_ in found:
        rows[family] += entry["n"]
    names = [
        f"{family}: {entry['slice']} ({entry['n']:,})"
        for family, entry, _, difference in found
        if "value" not in difference and min(entry["n"], rows[family] - entry["n"]) < least
    ]
    return ", ".join(names) or "none"
