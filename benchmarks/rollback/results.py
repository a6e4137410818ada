"""Medians, goals and tables, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.gateway.goals import Goal
from benchmarks.pages import Found, number, table
from benchmarks.rollback.measures import spread
from benchmarks.rollback.runs import FAULTS

Rows = Sequence[dict[str, Any]]

OBEYED_MS, TAKEN_OVER_S = 1000.0, 5.0
"""What all replicas may take (REQUIREMENTS O3), and a controller in the place of a dead one."""


def results(setting: Mapping[str, Any], rows: Mapping[str, Rows]) -> dict[str, Any]:
    """Everything that is saved.

    Args:
        setting: what was running, and for how long.
        rows: `runs` of candidates that the evidence decided on, those that `alarms` alone decided
            on, `takeovers` from a controller that was killed, and `kills` by the kill switch.
    """
    decided = [*rows["runs"], *rows["alarms"], *rows["takeovers"]]
    found: dict[str, Any] = {
        "setting": dict(setting),
        "faults": {
            fault.name: _fault(
                fault.title, _of(rows["runs"], fault.name), _of(rows["alarms"], fault.name)
            )
            for fault in FAULTS
            if _of(rows["runs"], fault.name) or _of(rows["alarms"], fault.name)
        },
        "propagation_ms": spread(_propagation(decided)),
        "takeover_s": spread([row["takeover_s"] for row in _in_time(rows["takeovers"])]),
        "kill_ms": spread(_obeyed(rows["kills"])),
        "goals": goals(decided, rows["takeovers"], rows["kills"]),
        **rows,
    }
    builtins: dict[str, Any] = msgspec.to_builtins(found)
    return builtins


def _of(rows: Rows, fault: str) -> Rows:
    return [row for row in rows if row["fault"] == fault]


def _in_time(takeovers: Rows) -> Rows:
    """Those whose leader was killed before it had decided."""
    return [row for row in takeovers if not row["decided_before"]]


def _propagation(rows: Rows) -> list[float]:
    return [ms for row in rows for ms in row["propagation_ms"].values()]


def _fault(title: str, rows: Rows, watched: Rows) -> dict[str, Any]:
    """What came of one kind of candidate."""
    seen = [row for row in rows if row["decided"]]
    return {
        "title": title,
        "runs": len(rows),
        "not_seen": len(rows) - len(seen),
        "codes": [row["code"] for row in rows],
        "detection_s": spread([row["detection_s"] for row in seen]),
        "last_replica_ms": spread([max(row["propagation_ms"].values()) for row in rows]),
        "assigned": spread([row["assigned"] for row in rows]),
        "answered": spread([row["answered"] for row in rows]),
        "users": spread([row["users"] for row in rows]),
        "errors_seen": sum(row["errors_seen"] for row in rows),
        "requests": sum(row["requests"] for row in rows),
        "alarm": watched[0] if watched else None,
    }


def goals(decided: Rows, takeovers: Rows, kills: Rows) -> list[Goal]:
    """What was to be reached, and whether it was."""
    spans, late = _propagation(decided), [row["takeover_s"] for row in _in_time(takeovers)]
    words, every = _obeyed(kills), [*decided, *kills]
    applied, taken, killed = spread(spans), spread(late), spread(words)
    return [
        _goal(
            f"from a decision until a replica obeys it, p99 of {len(spans)}",
            "ms",
            OBEYED_MS,
            None if applied is None else applied.p99,
        ),
        _goal("errors that users saw", "", 0, sum(row["errors_seen"] for row in every)),
        _goal(
            "requests that went to a candidate after it was out of traffic",
            "",
            0,
            sum(len(row["violations"]) for row in every),
        ),
        _goal("decided twice", "", 0, sum(len(row["twice"]) for row in decided)),
        _goal(
            f"from the death of the leader until the other decides, the longest of {len(late)}",
            "s",
            TAKEN_OVER_S,
            None if taken is None else taken.max,
        ),
        _goal(
            f"from a kill until a replica obeys it, the store being away, p99 of {len(words)}",
            "ms",
            OBEYED_MS,
            None if killed is None else killed.p99,
        ),
    ]


def _obeyed(kills: Rows) -> list[float]:
    return [ms for row in kills for ms in row["obeyed_ms"]]


def _goal(name: str, unit: str, bound: float, value: float | None) -> Goal:
    met = None if value is None else value <= bound
    return Goal(name=name, unit=unit, bound=bound, value=value, met=met)


def report(found: Found) -> str:
    """All tables for which there are results."""
    tables = {
        "runs": faults_table,
        "alarms": alarms_table,
        "takeovers": takeovers_table,
        "kills": kills_table,
    }
    made = [goals_table(found), *(draw(found) for part, draw in tables.items() if found[part])]
    return "\n".join(made)


def goals_table(found: Found) -> str:
    """The goals, each with what was measured."""
    met = {True: "yes", False: "**no**", None: "not measured"}
    return table(
        ("what", "goal", "measured", "met"),
        [
            (
                goal["name"],
                f"≤ {goal['bound']:g} {goal['unit']}".strip(),
                "" if goal["value"] is None else f"{short(goal['value'])} {goal['unit']}".strip(),
                met[goal["met"]],
            )
            for goal in found["goals"]
        ],
    )


def faults_table(found: Found) -> str:
    """By candidate: how soon the evidence had it out of traffic, and an alarm."""
    rows = [
        (
            fault["title"],
            _codes(fault["codes"]),
            _detection(fault),
            _spread(fault["last_replica_ms"], "ms"),
            _spread(fault["answered"]),
            _spread(fault["users"]),
            short(fault["errors_seen"]),
        )
        for fault in found["faults"].values()
        if fault["runs"]
    ]
    head = ("candidate", "decided by", "from first user to decision", "until the last replica")
    return table((*head, "requests it answered", "users who met it", "errors users saw"), rows)


def alarms_table(found: Found) -> str:
    """The evidence beside alarms alone."""
    rows = []
    for fault in found["faults"].values():
        alarm, seen = fault["alarm"], fault["detection_s"]
        if alarm is None:
            continue
        rows.append(
            (
                fault["title"],
                "" if seen is None else f"{short(seen['median'])} s",
                _alarm(alarm),
                "" if not fault["runs"] else short(fault["answered"]["median"]),
                short(alarm["answered"]) + ("" if alarm["decided"] else ", and it went on"),
                _arithmetic(alarm["by_arithmetic_min"]),
            )
        )
    head = ("candidate", "evidence, median", "alarm", "answers by it: evidence", "alarm")
    return table((*head, "by arithmetic on the log, minutes"), rows)


def takeovers_table(found: Found) -> str:
    """Every controller that was killed."""
    rows = [
        (
            row["killed"],
            "decided before" if row["decided_before"] else f"{row['first_look_s']:.1f} s",
            "" if row["decided_before"] else f"{row['takeover_s']:.1f} s",
            f"`{row['code']}`",
            "; ".join(row["twice"]) or "no",
            short(row["errors_seen"]),
        )
        for row in found["takeovers"]
    ]
    head = ("killed", "the other's first look", "its decision", "by", "anything twice")
    return table((*head, "errors users saw"), rows)


def kills_table(found: Found) -> str:
    """Every use of the kill switch."""
    rows = [
        (
            row["outage"],
            f"{row['word_ms']:.0f} ms",
            ", ".join(f"{ms:.0f}" for ms in sorted(row["obeyed_ms"])),
            f"{row['last_s']:.1f} s",
            short(row["errors_seen"]),
            len(row["violations"]),
            f"{row['on_record_s']:.1f} s",
        )
        for row in found["kills"]
    ]
    head = ("the store", "command to word", "word to each replica, ms", "command to the last one")
    more = ("errors users saw", "sent to it after that", "on record, once the store is back")
    return table((*head, *more), rows)


def short(value: float) -> str:
    """A count in full, anything else to three digits that count."""
    return f"{value:,.0f}" if value == int(value) else number(value)


def _codes(codes: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(f"`{code}`" for code in codes))


def _detection(fault: Found) -> str:
    """How soon, or that it was not seen."""
    missed, seen = fault["not_seen"], fault["detection_s"]
    none = f"none in {missed} run{'s' if missed > 1 else ''}"
    if seen is None:
        return none
    return _spread(seen, "s") + (f", {none}" if missed else "")


def _spread(found: Found, unit: str = "") -> str:
    """The median, and every value."""
    each = ", ".join(short(value) for value in found["all"])
    return f"**{short(found['median'])}** {unit} ({each})".replace("  ", " ")


def _alarm(alarm: Found) -> str:
    return f"{short(alarm['detection_s'])} s" if alarm["decided"] else "none"


def _arithmetic(found: Found) -> str:
    return ", ".join(f"{name} {'–' if n is None else n}" for name, n in found.items())
