"""docs/CLASS_DIAGRAM.md: the records, the ports with what implements them, and the pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import greenlight
from greenlight import recording
from greenlight.core.records import RECORDS, Record, Rollout
from greenlight.ports import Records
from greenlight.stages import loop, pipeline
from scripts.diagrams.inspecting import (
    begun_with,
    fields,
    implementers,
    methods,
    parts_of,
    ports,
    public_classes,
    source_file,
)
from scripts.diagrams.references import references
from scripts.diagrams.text import block, plain, summary

TEXT = """\
# Classes

<!-- Written by `python -m scripts.diagrams`, from the classes themselves. -->

## What `import greenlight` gives

{public}

## Records

Frozen values that a store keeps ([records.py](../src/greenlight/core/records.py)), in the order of
the loop. The fields that identify a record are marked `key`. An arrow says that a field holds the
id or the digest of another record; the arrows were found in the store of the run that
[SEQUENCE_DIAGRAM.md](SEQUENCE_DIAGRAM.md) shows, by looking for the keys of its records in the
fields of the others. The ledger's entries refer to everything and have no arrows here.

### From data to sign-off

{records_made}

### From traffic to decision

{records_met}

## Ports

What the stages need of the world, as protocols, and every class that can stand behind each: those
which have its methods, with the same parameters.

{ports}

## The pipeline

{pipeline_text}

{pipeline}
"""


def page(records: Records) -> str:
    """The text of docs/CLASS_DIAGRAM.md; the references are those found among `records`."""
    made = RECORDS[: RECORDS.index(Rollout)]
    met = RECORDS[RECORDS.index(Rollout) :]
    found = references(records)
    within = {part for port in ports() for part in parts_of(port)}
    parts = [*public_classes(recording), *public_classes(loop), *public_classes(pipeline)]
    return TEXT.format(
        public=_listed([getattr(greenlight, name) for name in sorted(greenlight.__all__)]),
        records_made=block(_records(made, found)),
        records_met=block(_records(met, found)),
        ports="\n\n".join(_port(port) for port in ports() if port not in within),
        pipeline_text=_listed(parts),
        pipeline=block(_collaborators(parts)),
    )


def _records(kinds: Iterable[type[Record]], found: Mapping[tuple[str, str], Iterable[str]]) -> str:
    lines = ["classDiagram", "    direction LR"]
    names = []
    for kind in kinds:
        names.append(kind.__name__)
        marked = [
            f"{name}: {hint}" + (" · key" if name in kind.KEY else "")
            for name, hint in fields(kind).items()
        ]
        lines += _class(kind.__name__, marked)
    for (source, target), paths in sorted(found.items()):
        if source in names:
            lines.append(f"    {source} --> {target} : {plain(', '.join(paths))}")
    return "\n".join(lines)


def _port(port: type) -> str:
    """A port's heading, diagram and table."""
    lines = ["classDiagram", "    direction RL"]
    for part in (*parts_of(port), port):
        lines += _class(part.__name__, _members(part), "port")
    lines += [f"    {port.__name__} --|> {part.__name__}" for part in parts_of(port)]
    lines += [f"    {made.__name__} ..|> {port.__name__}" for made in implementers(port)]
    named = [f"**{part.__name__}**: {summary(part)}" for part in parts_of(port)]
    words = ". ".join([summary(port), *named])
    return "\n\n".join(
        [
            f"### {port.__name__}",
            f"{words} ({_link(port)}).",
            block("\n".join(lines)),
            _listed(implementers(port)),
        ]
    )


def _listed(classes: Iterable[type]) -> str:
    rows = [f"| `{made.__name__}` | {_link(made)} | {summary(made)} |" for made in classes]
    return "\n".join(["| class | in | is |", "|---|---|---|", *rows])


def _collaborators(classes: list[type]) -> str:
    """Classes with their members: an arrow to what one holds, dashed to what its methods take or
    make."""
    lines = ["classDiagram", "    direction LR"]
    names = {made.__name__ for made in classes}
    known = names | {kind.__name__ for kind in RECORDS} | {port.__name__ for port in ports()}
    arrows: dict[tuple[str, str, str], dict[str, None]] = {}
    for made in classes:
        lines += _class(made.__name__, _members(made))
        hints = [(name, hint, "-->") for name, hint in (fields(made) | begun_with(made)).items()]
        hints += [
            (name, hint, "..>")
            for name, told in methods(made).items()
            for hint in (*told.given.values(), told.made)
        ]
        for name, hint, arrow in hints:
            for other in _named(hint) & known - {made.__name__}:
                arrows.setdefault((made.__name__, arrow, other), {})[name] = None
    for (source, arrow, target), why in sorted(arrows.items()):
        lines.append(f"    {source} {arrow} {target} : {', '.join(why)}")
    return "\n".join(lines)


def _named(hint: str) -> set[str]:
    return set(re.findall(r"\b[A-Z]\w*\b", hint))


def _members(made: type) -> list[str]:
    return [f"{name}: {hint}" for name, hint in fields(made).items()] + [
        f"{name}({', '.join(told.given)}) {told.made}" for name, told in methods(made).items()
    ]


def _class(name: str, members: Iterable[str], mark: str | None = None) -> list[str]:
    inside = [f"        {plain(member)}" for member in members]
    if mark is not None:
        inside.insert(0, f"        <<{mark}>>")
    return [f"    class {name} {{", *inside, "    }"]


def _link(made: type) -> str:
    path = source_file(made)
    return f"[{path.removeprefix('src/greenlight/')}](../{path})"
