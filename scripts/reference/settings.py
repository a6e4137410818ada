"""Every setting of greenlight.toml with its type, default and meaning, from the structs.

The meaning is the text that stands under the field in the source.
"""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from greenlight import config
from greenlight.adapters.trainers import encoder_finetune, sparse, token_tagger
from greenlight.config import Document, units
from greenlight.core.policy import Step
from greenlight.core.quantities import DURATIONS, SIZES
from greenlight.models import encoded
from scripts.reference.blocks import table

PLACEHOLDERS = {
    "people": "NAME",
    "tasks": "NAME",
    "notify": "NAME",
    "gates": "METRIC",
    "metrics": "METRIC",
    "alarms": "ALARM",
}
"""Tables whose keys are names of the user's own, and what stands for such a name."""

NAMED = ("people", "notify", "tasks")
"""Groups of tables that the user names."""

TABLES = (
    "gates",
    "approval",
    "rollout",
    "evidence",
    "metrics",
    "alarms",
    "segments",
    "capture",
)
"""Tables of a task that have a section of their own."""

OPTIONS: Mapping[str, type[msgspec.Struct]] = {
    "sparse": sparse.Settings,
    "encoder-head": encoded.HeadSettings,
    "encoder-finetune": encoder_finetune.Settings,
    "token-tagger": token_tagger.Settings,
}
"""What backends let one choose; those for language models have pages of their own."""

SEE = {
    "cache.url": "[cache](#cache)",
    "gateway.host": "[keys](http.md#keys)",
    "ledger.heads": "[audit](audit.md)",
    "tasks.NAME.capture.pii": "[data protection](data-protection.md)",
    "tasks.NAME.dataset.source": "[data](#data)",
    "tasks.NAME.rollout.shadow": "[shadow](http.md#shadow)",
}
"""Setting → where more is told of it."""

_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    tuple: "array",
    dict: "table",
}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting; `default` is `msgspec.NODEFAULT` where it must be given."""

    path: str
    hint: Any
    default: Any
    meaning: str

    @property
    def name(self) -> str:
        """The key alone."""
        return self.path.rpartition(".")[2]


def blocks() -> dict[str, str]:
    """The blocks of docs/configuration.md."""
    groups: dict[str, list[Setting]] = {name: [] for name in ("installation", *NAMED)}
    groups |= {name: [] for name in TABLES}
    for setting in settings(Document):
        groups[_group(setting.path)].append(setting)
    made = {f"settings {name}": _rows(found) for name, found in groups.items()}
    options = {f"options {name}": _options(struct) for name, struct in OPTIONS.items()}
    return {**made, **options, "environment": _variables()}


def settings(struct: type[msgspec.Struct], path: str = "") -> Iterator[Setting]:
    """Everything that can be set in a table and in those below it."""
    hints, meanings = get_type_hints(struct), docstrings(struct)
    for field in msgspec.structs.fields(struct):
        if field.name == "name" and path.endswith(("NAME", "ALARM")):
            continue  # the table's own key
        where = f"{path}.{field.encode_name}" if path else field.encode_name
        below, inner = _below(field.name, where, hints[field.name])
        if inner is None or below.endswith("[]"):
            make = field.default_factory
            yield Setting(
                path=where,
                hint=hints[field.name],
                default=make() if callable(make) else field.default,
                meaning=meanings.get(field.name, ""),
            )
        if inner is not None:
            yield from settings(inner, below)


def _below(name: str, where: str, hint: Any) -> tuple[str, type[msgspec.Struct] | None]:
    """Path and struct of what lies below a field; None where it holds plain values."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict:
        where, hint = f"{where}.{PLACEHOLDERS.get(name, 'KEY')}", arguments[1]
    elif origin is tuple:
        where, hint = f"{where}[]", arguments[0]
    inner = isinstance(hint, type) and issubclass(hint, msgspec.Struct)
    return where, hint if inner else None


@functools.cache
def docstrings(struct: type) -> Mapping[str, str]:
    """Field → the text under it in the source, those of base classes included."""
    found: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if not base.__module__.startswith("greenlight."):
            continue
        body = ast.parse(inspect.getsource(base)).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, after in zip(body.body, body.body[1:], strict=False):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[node.target.id] = " ".join(str(after.value.value).split())
    return found


def kind(setting: Setting) -> str:
    """What a setting is, in a word or two."""
    hint = setting.hint
    if get_origin(hint) in (types.UnionType, Union):
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(hint))
    if hint is int and setting.name in DURATIONS:
        return "duration"
    if hint is int and setting.name in SIZES:
        return "size"
    return _KINDS[get_origin(hint) or hint]


def default(setting: Setting) -> str:
    """A default as one would write it in the file."""
    value = setting.default
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None:
        return "–"
    if isinstance(value, tuple) and value and isinstance(value[0], Step):
        return ", ".join(_rung(step) for step in value)
    return f"`{_toml(setting.name, value)}`"


def _rung(step: Step) -> str:
    soak = f" for {_shortest(step.soak, units.DURATION_UNITS)}" if step.soak else ""
    return f"{step.weight:.0%}{soak}".replace("%", " %")


def _toml(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and name in DURATIONS:
        return f'"{_shortest(value, units.DURATION_UNITS)}"'
    if isinstance(value, int) and name in SIZES:
        return f'"{_shortest(value, units.SIZE_UNITS)}"'
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {item}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _shortest(amount: int, known: Mapping[str, int]) -> str:
    """The shortest way to write a quantity with one of these units."""
    if not amount:
        return "0s"
    exact = {name: amount // unit for name, unit in known.items() if amount % unit == 0}
    name = min(exact, key=lambda unit: exact[unit])
    return f"{exact[name]}{name}"


def _group(path: str) -> str:
    """The block that a setting belongs to."""
    first, _, rest = path.partition(".")
    if first not in NAMED:
        return "installation"
    own = rest.split(".")[1].removesuffix("[]") if first == "tasks" else ""
    return own if own in TABLES else first


def _rows(found: list[Setting]) -> str:
    rows = []
    for setting in found:
        see = f" See {SEE[setting.path]}." if setting.path in SEE else ""
        rows.append((f"`{setting.path}`", kind(setting), default(setting), setting.meaning + see))
    return table(("setting", "type", "default", "meaning"), rows)


def _options(struct: type[msgspec.Struct]) -> str:
    """A backend's options, but for those that it has from another."""
    (parent,) = struct.__bases__
    known = set(getattr(parent, "__struct_fields__", ()))
    rows = [
        (f"`{option.path}`", kind(option), default(option), option.meaning)
        for option in settings(struct)
        if option.path not in known
    ]
    return table(("option", "type", "default", "meaning"), rows)


def _variables() -> str:
    found = config.overrides().items()
    rows = [(f"`{name}`", f"`{'.'.join(map(str, path))}`") for name, path in found]
    return table(("variable", "overrides"), rows)
