"""`status` drawn for people: lines made of the plain values that it finds, at any width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from greenlight.core import reasons
from greenlight.core.alarms import Reading
from greenlight.core.answers import Copies
from greenlight.core.states import Phase, Variant
from greenlight.core.words import power, span, told
from greenlight.entrypoints.cli.common import moment, table
from greenlight.reporting.words import about

WIDE = 110
"""Columns from which on there is room for what a test is about. Without a limit nothing is wrapped,
and as much is shown."""
NARROW = 60
"""Below it tables stand on their side, and tests that do not count just now are left out."""
_LABEL = 11
_LONG, _SHORT = 20, 8
"""Columns of a bar where there is room and where there is not."""
_NAME, _SHORT_NAME = 24, 15
_NOTHING = 0.001
"""A share up to this is drawn as none: a test that saw nothing is off 0 by rounding."""
_FIELDS = ("units", "requests", "served", "failed", "good", "bad")
_SPENT = ("input_tokens", "output_tokens")
_TITLES = {
    "harm": "any of these rolls it back:",
    "promotion": "promotion needs all of these:",
    "step": "a step needs this, or enough outcomes:",
    "trust": "any of these holds everything:",
}
_BY_ALARM = "in this drill only the alarms roll it back:"
_STYLES = {"ok": "green", "rollback": "bold red", "page": "magenta"}


def text(found: Mapping[str, Any]) -> str:
    """The same without colours and without a limit to its lines."""
    return "\n".join(line.plain for line in picture(found, None))


def picture(found: Mapping[str, Any], width: int | None, trouble: str | None = None) -> list[Text]:
    """What `status` found, line by line.

    Args:
        found: as `status.look` gives it.
        width: columns that a line may have; None: as many as it takes.
        trouble: why there is nothing newer to show, if so.
    """
    page = _Page(width)
    count = found["gateways"]
    page.line(
        f"{found['project']} ({found['environment']})  {moment(found['at'])}  "
        f"{count} gateway{'' if count == 1 else 's'} alive",
        "bold" if count else "bold yellow",
    )
    if trouble is not None:
        page.line(trouble, "bold red")
    for fault in found["kill_faults"]:
        page.line(f"kill file: {fault}", "bold red")
    for name, task in found["tasks"].items():
        page.line("")
        _task(page, name, task, found)
    return page.lines


class _Page:
    """Lines that fit a width."""

    def __init__(self, width: int | None) -> None:
        self.width = width
        self.lines: list[Text] = []
        self._console = Console(width=width or 1)

    @property
    def bar(self) -> int:
        """Columns of a bar."""
        return _SHORT if self.narrow else _LONG

    @property
    def narrow(self) -> bool:
        """Whether there is little room."""
        return self.width is not None and self.width < NARROW

    def line(self, words: str | Text, style: str = "", indent: int = 0) -> None:
        """A line, or more where it is too long for one; those after the first begin further in."""
        made = Text(_clean(words), style) if isinstance(words, str) else words
        if self.width is None:
            self.lines.append(Text(" " * indent) + made)
            return
        room = max(self.width - indent, 1)
        for part in made.wrap(self._console, room) or [Text("")]:
            part.rstrip()
            self.lines.append(Text(" " * indent) + part)

    def fact(self, label: str, words: str | Text, style: str = "") -> None:
        """Words behind a label; more of them stand below each other."""
        first = len(self.lines)
        self.line(words, style, _LABEL)
        rest = self.lines[first]
        self.lines[first] = Text(label.ljust(_LABEL), "dim") + rest[_LABEL:]

    def way(self, rungs: Sequence[Mapping[str, Any]]) -> None:
        """The row of phases; none of them is broken into two lines."""
        room = None if self.width is None else self.width - _LABEL
        rows = [Text("")]
        for number, rung in enumerate(rungs):
            made = Text("→ " if number else "") + _rung(rung)
            if number and room is not None and len(rows[-1]) + 1 + len(made) > room:
                rows.append(made)
            else:
                rows[-1] += Text(" " if number else "") + made
        for number, row in enumerate(rows):
            self.fact("" if number else "way", row)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; on its side where it would be too wide."""
        upright = table(head, rows).splitlines()
        if self.width is not None and max(map(len, upright)) > self.width:
            sides = [[name, *(str(row[i]) for row in rows)] for i, name in enumerate(head)]
            upright = table(sides[0], sides[1:]).splitlines()
        for number, line in enumerate(upright):
            self.line(line, "" if number else "dim")


def _clean(words: str) -> str:
    """Text of people and models, without what would steer a terminal."""
    return "".join(mark if mark.isprintable() else " " for mark in words)


def _task(page: _Page, name: str, task: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    epoch = f", epoch {task['epoch']}" if task["epoch"] else ""
    page.line(f"{name}: live {task['live'] or 'nothing yet'}{epoch}", "bold")
    kill = task["kill"]
    if kill is not None and kill["state"] == "killed":
        page.fact(
            "killed",
            f"by {kill['by']} {span(found['at'] - kill['since'])} ago: {kill['why']}; "
            f"{kill['gateways_reached']} of {found['gateways']} gateways alive obey",
            "bold red",
        )
    if task["rollout"]:
        _rollout(page, task["rollout"], task, found)
    elif task["epoch"]:
        _gateways(page, task, found)
    if task["ended"]:
        _ended(page, task["ended"])
    for version in task["waiting"]:
        page.line(f"{version['version']} is {version['status']}: {version['sign_off']}")
    if task["next"]:
        page.line(f"next: {task['next']}", "bold")


def _gateways(page: _Page, task: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    there, alive = task["gateways_reached"], found["gateways"]
    words = f"{there} of {alive} alive route by this split" if alive else "none is alive"
    page.fact("gateways", words, "" if alive and there == alive else "yellow")


def _ended(page: _Page, ended: Mapping[str, Any]) -> None:
    decision = ended["decision"]
    why = f" ({decision['code']}): {decision['reason']}" if decision else ""
    word = str(ended["status"]).replace("_", " ")
    page.line(f"{ended['candidate']} was {word} at {moment(ended['at'])}{why}")
    incident = ended["incident"]
    if incident is not None:
        standing = incident["standing"]
        page.fact("incident", standing, "" if standing == "closed" else "yellow")


def _rollout(
    page: _Page, rollout: Mapping[str, Any], task: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    now = found["at"]
    kind = "A/A test" if rollout["aa"] else "drill" if rollout["drill"] else "rollout"
    page.line(
        f"{kind} {rollout['id']}: {rollout['candidate']} against {rollout['control']} since "
        f"{moment(rollout['since'])}"
    )
    page.way(rollout["way"])
    page.fact("split", _split(page, rollout))
    _gateways(page, task, found)
    if rollout["paused"] is not None:
        page.fact("paused", rollout["paused"], "bold yellow")
    _ahead(page, rollout, now)
    decision = rollout["decision"]
    if decision:
        page.fact(
            "decided",
            f"{span(now - decision['at'])} ago: {decision['action']} ({decision['code']}): "
            f"{decision['reason']}",
        )
    _alarms(page, rollout.get("alarms") or {})
    page.line("")
    _arms(page, rollout)
    _evidence(page, rollout)
    if rollout["launch"] > 1:
        page.line(
            f"launch {rollout['launch']} of this pair: every threshold is higher for it", "yellow"
        )


def _split(page: _Page, rollout: Mapping[str, Any]) -> Text:
    weight, step = rollout["weight"], f"step {rollout['step']} of {rollout['steps']}"
    says = f"{step}, {weight:.0%} of units on the candidate"
    if rollout["phase"] == Phase.PENDING:
        says = "not begun: nobody meets the candidate"
    elif not weight:
        says = f"{step}, copies only: no user meets it"
    return _bar(weight, page.bar, "blue") + Text(f"  {says}")


def _rung(rung: Mapping[str, Any]) -> Text:
    """A phase as it stands in the row of phases; the present one in brackets."""
    share = f" {rung['weight']:.0%}" if 0 < (rung["weight"] or 0) < 1 else ""
    words = f"{rung['phase'].replace('_', ' ')}{share}"
    if rung["place"] == "here":
        return Text(f"[{words}]", "bold cyan")
    return Text(words, "dim" if rung["place"] == "passed" else "")


def _ahead(page: _Page, rollout: Mapping[str, Any], now: int) -> None:
    """The next step, what it waits for, and what would end the rollout instead."""
    if rollout["next_step"] is not None:
        page.fact("next", rollout["next_step"], "bold")
        waits = [wait["says"] for wait in rollout["waits_for"]]
        for number, words in enumerate(waits or ["the controller's next look"]):
            page.fact("" if number else "waits for", words)
    if rollout["window_opens_at"] is not None:
        page.fact("opens in", span(rollout["window_opens_at"] - now))
    for number, end in enumerate(rollout["ends"]):
        style = "" if end["code"] == "horizon" else "bold red"
        page.fact("" if number else "or else", end["says"], style)


def _alarms(page: _Page, alarms: Mapping[str, Any]) -> None:
    """The declared alarms: how they are judged, and what each arm shows."""
    for number, (name, alarm) in enumerate(alarms.items()):
        reading = msgspec.convert(alarm, Reading)
        words = reasons.alarm(name, reading).removeprefix("alarm ")
        over = reading.arms[Variant.CANDIDATE].minutes_over
        if over:
            words += f"; the candidate is over it for {over} min"
        page.fact("" if number else "alarms", words, _STYLES.get(reading.judgement, "yellow"))


def _arms(page: _Page, rollout: Mapping[str, Any]) -> None:
    """What was counted of the arms, and of copies."""
    arms = [(arm, rollout["arms"].get(arm, {})) for arm in Variant]
    rows = [[arm, *(counts.get(f, 0) for f in _FIELDS), _share(counts)] for arm, counts in arms]
    page.table(("ARM", *(f.upper() for f in _FIELDS), "GOOD RATE"), rows)
    if any(counts.get("input_tokens") for _, counts in arms):
        spent = [(a, *(counts.get(f, 0) for f in _SPENT), _cost(counts)) for a, counts in arms]
        page.line("")
        page.table(("ARM", "TOKENS READ", "WRITTEN", "COST"), spent)
    made = msgspec.convert(rollout["copies"], Copies)
    if made.made or not rollout["weight"]:
        page.line(f"in the shadow: {told(made)}")
    if rollout["difference"]:
        low, high = rollout["difference"]
        page.line(f"better answers by {low:+.1%} to {high:+.1%} (95 %, may be watched)")


def _evidence(page: _Page, rollout: Mapping[str, Any]) -> None:
    """A bar for each test, grouped by what it does."""
    longest = _SHORT_NAME if page.narrow else _NAME
    column = min(longest, max(map(len, rollout["evidence"])))
    for purpose, title in _TITLES.items():
        tests = [
            (test, it)
            for test, it in rollout["evidence"].items()
            if it["purpose"] == purpose and it["log_e"] is not None
        ]
        if purpose == "harm" and rollout["trigger"] == "alarm":
            title = _BY_ALARM
        elif page.narrow:
            tests = [(test, it) for test, it in tests if it["counts"]]
        if tests:
            page.line("")
            page.line(title, "dim")
            page.lines += _bars(page, purpose, tests, column)
    gaps: dict[str, list[str]] = {}
    for test, reason in rollout["cannot_compute"].items():
        gaps.setdefault(reason, []).append(test)
    for reason, without in gaps.items():
        page.line(f"{', '.join(without)}: cannot be computed, because {reason}")
    for reason, number in rollout["excluded"].items():
        page.line(f"{number} exposures entered no test: {reason}")


def _bars(
    page: _Page, purpose: str, tests: Sequence[tuple[str, Mapping[str, Any]]], column: int
) -> Iterator[Text]:
    """log E from 0 to the threshold, and both as E."""
    for test, it in tests:
        log_e, limit = it["log_e"], it["log_threshold"]
        acts = log_e >= limit
        bad = purpose in ("harm", "trust")
        full = "red" if bad else "green"
        style = full if acts or not bad else "yellow"
        name = test if len(test) <= column else f"{test[: column - 1]}…"
        line = Text(name.ljust(column + 1), "" if it["counts"] else "dim")
        line += _bar(_reach(log_e, limit), page.bar, style if it["counts"] else "dim")
        if page.narrow:
            yield line + Text(f" {power(log_e)}/{power(limit)}", f"bold {full}" if acts else "")
            continue
        numbers = f"  E {power(log_e):>7}  acts at {power(limit):>7}"
        line += Text(numbers, f"bold {full}" if acts and it["counts"] else "")
        if not it["counts"]:
            line += Text("  (not now)", "dim")
        if page.width is None or page.width >= WIDE:
            line += Text(f"  {about(test)}", "dim")
        if page.width is not None:
            line.truncate(page.width, overflow="ellipsis")
        yield line


def _reach(log_e: float, limit: float) -> float:
    """How far log E has come from 0 to its threshold, in [0, 1]."""
    if log_e >= limit:
        return 1.0
    return log_e / limit if log_e > 0 else 0.0


def _bar(share: float, length: int, style: str) -> Text:
    """A bar; it is full only at 1, and empty only where there is next to nothing."""
    full = length if share >= 1 else min(length - 1, round(share * length))
    if share > _NOTHING:
        full = max(1, full)
    return Text("█" * full, style) + Text("░" * (length - full), "dim")


def _cost(counts: Mapping[str, float]) -> str:
    """What an arm cost in all, and per request."""
    requests = counts.get("requests", 0)
    each = f" ({counts['cost'] / requests:.6f} each)" if requests else ""
    return f"{counts.get('cost', 0.0):.4f}{each}"


def _share(counts: Mapping[str, float]) -> str:
    total = counts.get("good", 0) + counts.get("bad", 0)
    return f"{counts['good'] / total:.3f}" if total else "–"
