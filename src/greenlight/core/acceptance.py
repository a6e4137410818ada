"""What a release must reach, as ACCEPTANCE.md says it for people and for programs (G6).

The page holds two blocks of TOML, marked in the line of their fence: `toml targets` and
`toml deliverables`. Everything that gates a release stands in them; the text around them explains.
Their content and the sources of the evaluation protocol have one digest. It is written on the page
and is what people sign (`core.sign_off`), so that a bar cannot be moved without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput

FILE = "ACCEPTANCE.md"

SECTIONS = (
    "Quality",
    "Service levels and rollout",
    "Governance",
    "Security, observability, cost",
    "Deliverables",
    "Non-goals",
    "Change control",
    "Sign-off",
)
"""The page's sections, numbered from 1."""

ANY = "*"
"""A step of a metric's path that stands for every entry of a list or of a table."""

Verdict = Literal[
    "met",
    "goal missed",
    "warned",
    "information",
    "missed",
    "absent",
    "changed",
    "unsigned",
]

PASSING: frozenset[Verdict] = frozenset({"met", "goal missed", "warned", "information"})
"""What does not stand in the way of a release."""

_SIGNS = {"at_least": "≥", "at_most": "≤", "below": "<", "is": "="}
_WRITTEN = re.compile(r"^(Digest of targets and protocol: )`([^`\n]*)`$", re.MULTILINE)
_TINY = 1e-9


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Target(_Table, frozen=True, kw_only=True):
    """A number, and what it must be."""

    id: str
    what: str
    section: Literal[1, 2]
    metric: str = ""
    """Where it stands in the document, with dots; `*` stands for every entry, of which the worst
    counts. Empty where nothing measures it beforehand."""
    file: str = ""
    """The document, where it is not the sealed evaluation."""
    direction: Literal["at_least", "at_most", "below", "is"]
    required: bool | float | None = None
    """Without it the number must be there, whatever it is."""
    goals: tuple[float, ...] = ()
    """What is aimed at; a release may miss it, and says so."""
    interval: bool = False
    """Whether `low` and `high` must stand beside it."""
    unit: str = ""
    level: Literal["required", "warning", "information"] = "required"
    """Whether missing it blocks, is shown to who signs, or is only told."""
    data: str = ""
    """The data set whose tasks have the gates of `enforced`."""
    enforced: tuple[str, ...]
    """By what: `gate METRIC.BOUND`, `alarm NAME`, `warning`, or `release check`."""


class Alarm(_Table, frozen=True, kw_only=True, rename={"duration": "for"}):
    """An alarm as every task of a release declares it, or has it by default."""

    name: str
    over: float
    duration: str
    min_requests: int


class Looser(_Table, frozen=True, kw_only=True):
    """A gate that ships with another bar than the target's, and why."""

    where: str
    gate: str
    value: float
    why: str


class Deliverable(_Table, frozen=True, kw_only=True):
    """Something that must be there: files (`*` as in a shell), commands, targets of make."""

    what: str
    requirement: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    make: tuple[str, ...] = ()


class _Targets(_Table, frozen=True, kw_only=True):
    evaluation: str
    protocol: tuple[str, ...]
    target: tuple[Target, ...]
    alarm: tuple[Alarm, ...] = ()
    looser: tuple[Looser, ...] = ()


class _Deliverables(_Table, frozen=True, kw_only=True):
    deliverable: tuple[Deliverable, ...]


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What ACCEPTANCE.md demands."""

    evaluation: str
    """The sealed evaluation, from the root."""
    protocol: tuple[str, ...]
    """The sources of the protocol, from the root; `*` as in a shell."""
    targets: tuple[Target, ...]
    alarms: tuple[Alarm, ...]
    looser: tuple[Looser, ...]
    deliverables: tuple[Deliverable, ...]
    content: dict[str, Any]
    """Both blocks as they stand: comments and order of keys mean nothing."""
    written: str
    """The digest that section 7 has."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `greenlight release check`."""

    section: int
    what: str
    found: str
    required: str
    verdict: Verdict
    next: str = ""
    """What to do about it; empty where there is nothing to do."""

    @property
    def ok(self) -> bool:
        """Whether it does not stand in the way."""
        return self.verdict in PASSING


def parse(text: str) -> Acceptance:
    """What a page demands.

    Raises:
        BadInput: a section, a block or the digest's line is missing or there twice, a block is not
            what it should be, or two targets have one id.
    """
    lacking = [
        f"{number}. {title}"
        for number, title in enumerate(SECTIONS, start=1)
        if f"\n## {number}. {title}\n" not in text
    ]
    if lacking:
        raise BadInput(f"{FILE}: no section {'; '.join(lacking)}; write it, with ## in front")
    raw = {name: block(text, name) for name in ("targets", "deliverables")}
    try:
        fingerprint.canonical(raw)
    except ValueError as error:
        raise BadInput(f"{FILE}: {error}") from error
    targets = _converted(raw["targets"], _Targets, "targets")
    needed = _converted(raw["deliverables"], _Deliverables, "deliverables")
    ids = [target.id for target in targets.target]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise BadInput(f"{FILE}: two targets are called {', '.join(twice)}; a name is for one")
    for target in targets.target:
        if problem := _problem(target):
            raise BadInput(f"{FILE}: target {target.id}: {problem}")
    written = _WRITTEN.findall(text)
    if len(written) != 1:
        raise BadInput(
            f"{FILE}: one line `Digest of targets and protocol: …` belongs in section 7, there are "
            f"{len(written)}"
        )
    return Acceptance(
        evaluation=targets.evaluation,
        protocol=targets.protocol,
        targets=targets.target,
        alarms=targets.alarm,
        looser=targets.looser,
        deliverables=needed.deliverable,
        content=raw,
        written=written[0][1],
    )


def block(text: str, name: str) -> dict[str, Any]:
    """The content of the block that is marked with a name.

    Raises:
        BadInput: there is none, there are two, or it is no TOML.
    """
    found = re.findall(rf"^```toml {name}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise BadInput(f"{FILE}: one block ```toml {name} is needed, there are {len(found)}")
    try:
        return msgspec.toml.decode(found[0], type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise BadInput(f"{FILE}: the block {name} cannot be read: {error}") from error


def digest(demanded: Acceptance, protocol: Mapping[str, str]) -> str:
    """Names the targets, the deliverables and the protocol: what people sign.

    Args:
        demanded: as `parse` gives it.
        protocol: the digest of each source of the protocol, by its path.
    """
    return fingerprint.digest({**demanded.content, "protocol": dict(protocol)})


def with_digest(text: str, name: str) -> str:
    """The page with another digest in section 7."""
    return _WRITTEN.sub(rf"\g<1>`{name}`", text)


def judge(target: Target, document: Mapping[str, Any] | None, reason: str = "") -> Row:
    """Hold a document against a target.

    Args:
        target: what is demanded.
        document: the evaluation or whatever else holds the number; None where it cannot be had or
            believed.
        reason: why not.
    """
    row = Row(
        section=target.section,
        what=target.what,
        found="",
        required=_wanted(target),
        verdict="information",
    )
    if not target.metric:
        return msgspec.structs.replace(row, found="not measured before a release")
    values, why = _values(target, document) if document is not None else ([], reason)
    if not values:
        verdict: Verdict = "absent" if target.level == "required" else "warned"
        return msgspec.structs.replace(
            row, found=why, verdict=verdict, next=f"measure it: {_measured_by(target)}"
        )
    worst = _worst(target, values)
    shown = _shown(worst, target.unit)
    if not _reached(target, worst, target.required):
        verdict = "missed" if target.level == "required" else "warned"
        return msgspec.structs.replace(
            row,
            found=shown,
            verdict=verdict,
            next="" if verdict == "warned" else "a better version",
        )
    short = [goal for goal in target.goals if not _reached(target, worst, goal)]
    if short:
        return msgspec.structs.replace(
            row, found=shown, verdict="goal missed", next="say in docs/baseline.md what was tried"
        )
    return msgspec.structs.replace(row, found=shown, verdict="met")


def _problem(target: Target) -> str | None:
    if target.direction == "is" and not isinstance(target.required, bool):
        return "what `is` must have true or false as `required`"
    if target.direction != "is" and isinstance(target.required, bool):
        return f"required {target.required} is no number to be {target.direction}"
    if target.level == "required" and not target.metric:
        return "without a metric nobody can tell whether it is met; give one, or another level"
    lacking = [goal for goal in target.goals if not _reached(target, goal, target.required)]
    if lacking:
        return f"the goal {lacking[0]:g} does not even reach what is required"
    return None


def _converted(content: dict[str, Any], kind: type[Any], name: str) -> Any:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{FILE}: block {name}: {error}") from error


def _values(target: Target, document: Mapping[str, Any]) -> tuple[list[bool | float], str]:
    """The numbers that a path leads to, or why there are none."""
    places = list(_walk(document, target.metric.split(".")))
    values = [value for value in places if isinstance(value, bool | int | float)]
    others = [place for place in places if not isinstance(place, bool | int | float)]
    if target.direction != "is":  # what took no time has none; what must hold must hold of each
        others = [place for place in others if place is not None]
    if others or not values:
        reasons = [one["reason"] for one in others if isinstance(one, Mapping) and "reason" in one]
        lacks = f"{target.metric} is not there for each" if values else f"no {target.metric}"
        return [], str(reasons[0]) if reasons else lacks
    if (target.direction == "is") != all(isinstance(value, bool) for value in values):
        return [], f"{target.metric} is {values[0]!r}"
    if target.interval:
        beside = target.metric.rpartition(".")[0].split(".")
        for found in _walk(document, beside):
            ends = (found.get("low"), found.get("high")) if isinstance(found, Mapping) else (None,)
            if not all(isinstance(end, int | float) for end in ends):
                return [], f"{target.metric} without its interval"
    return values, ""


def _walk(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    """What a path leads to. Where a reason stands in its way, that; else None."""
    if not steps:
        yield value
    elif steps[0] == ANY:
        inner = value.values() if isinstance(value, Mapping) else value
        for item in inner if isinstance(value, Mapping | list) else ():
            yield from _walk(item, steps[1:])
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _walk(value[steps[0]], steps[1:])
    else:
        yield value if isinstance(value, Mapping) and "reason" in value else None


def _worst(target: Target, values: Sequence[bool | float]) -> bool | float:
    if target.direction == "is":
        return next((v for v in values if v is not target.required), values[0])
    return min(values) if target.direction == "at_least" else max(values)


def _reached(target: Target, value: bool | float, bound: bool | float | None) -> bool:
    if bound is None:
        return True
    if target.direction == "is":
        return value is bound
    if target.direction == "below":
        return value < bound
    return value >= bound - _TINY if target.direction == "at_least" else value <= bound + _TINY


def _wanted(target: Target) -> str:
    sign = _SIGNS[target.direction]
    bar = "reported" if target.required is None else f"{sign} {_bar(target.required, target.unit)}"
    goals = ", ".join(_bar(goal, target.unit) for goal in target.goals)
    return bar + (f" (goal {sign} {goals})" if goals else "")


def _measured_by(target: Target) -> str:
    if target.file:
        return f"the command that {target.file} names"
    return "greenlight eval load" if target.metric.startswith("load.") else "make eval"


def _bar(value: bool | float, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" + (f" {unit}" if unit else "")


def _shown(value: bool | float, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.1f} {unit}" if unit else f"{value:.4f}"
