"""Turns raw TOML values into settings, and finds every fault on the way instead of the first."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from greenlight.config import units
from greenlight.config.locate import Path
from greenlight.core.nearest import suggest
from greenlight.core.policy import Policy
from greenlight.core.quantities import DURATIONS, SIZES

FAULTY: Any = msgspec.UNSET
"""Stands for a value that could not be read; its fault has been reported."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

_FIELD = re.compile(r"([a-z_]+)((?:\.[\w-]+)*): (.*)", re.DOTALL)
_KINDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number"}


class Reader:
    """Reads values by the type hints of the settings.

    `faults` collects (path, what is wrong), `structs` every table that is sound by itself.
    """

    def __init__(self) -> None:
        self.faults: list[tuple[Path, str]] = []
        self.structs: dict[Path, msgspec.Struct] = {}

    def fault(self, path: Path, text: str) -> Any:
        """Report a fault; returns `FAULTY`."""
        self.faults.append((path, text))
        return FAULTY

    def read(self, hint: Any, value: object, path: Path) -> Any:
        """The value as `hint` wants it, or `FAULTY` after reporting why not."""
        origin = get_origin(hint)
        if origin is types.UnionType:
            return self.read(get_args(hint)[0], value, path)
        if hint is Any:
            return self._free(value, path)
        if origin is Literal:
            return self._choice(get_args(hint), value, path)
        if origin is dict:
            return self._named(get_args(hint)[1], value, path)
        if origin is tuple:
            return self._array(get_args(hint)[0], value, path)
        if issubclass(hint, msgspec.Struct):
            return self.table(hint, value, path)
        return self._scalar(hint, value, path)

    def table(
        self, cls: type[msgspec.Struct], value: object, path: Path, name: str | None = None
    ) -> Any:
        """A struct from a table; `name` is the table's own name where the struct keeps it."""
        if not isinstance(value, dict):
            return self.fault(path, f"expected a table, got {_show(value)}")
        hints = get_type_hints(cls)
        fields = {field.encode_name: field for field in msgspec.structs.fields(cls)}
        given: dict[str, Any] = {} if name is None else {"name": name}
        known = [key for key in fields if key not in given]
        for key in value.keys() - set(known):
            self.fault((*path, key), "unknown key" + suggest(key, known))
        for key in known:
            own = fields[key].name
            if key in value:
                given[own] = self.read(hints[own], value[key], (*path, key))
            elif fields[key].required:
                given[own] = self.fault((*path, key), "missing")
        return self._build(cls, given, path)

    def _build(self, cls: type[msgspec.Struct], given: Mapping[str, Any], path: Path) -> Any:
        """The struct, unless a field is faulty or they contradict each other.

        The constructor would report contradictions as one text. Asked of a draft they come one by
        one, and with defaults in place of faulty fields so do those between the others.
        """
        faulty = [key for key, value in given.items() if value is FAULTY]
        draft = {key: value for key, value in given.items() if value is not FAULTY}
        for field in msgspec.structs.fields(cls):
            if field.name not in draft and not field.required:
                make = field.default_factory
                draft[field.name] = make() if callable(make) else field.default
        before = len(self.faults)
        if issubclass(cls, Policy) and len(draft) == len(cls.__struct_fields__):
            for problem in cls.problems(cast(Any, types.SimpleNamespace(**draft))):
                named = _FIELD.fullmatch(problem)
                sound = named is not None and not any(key in problem for key in faulty)
                if sound or not faulty:
                    self._place(cls, problem, path)
        if len(self.faults) > before or faulty:
            return FAULTY
        self.structs[path] = cls(**given)
        return self.structs[path]

    def _place(self, cls: type[msgspec.Struct], problem: str, path: Path) -> None:
        """Report a policy's problem at the field that it names."""
        match = _FIELD.fullmatch(problem)
        known = {field.encode_name for field in msgspec.structs.fields(cls)}
        if match is None or match[1] not in known:
            self.fault(path, problem)
        else:
            self.fault((*path, match[1], *match[2].split(".")[1:]), match[3])

    def _free(self, value: object, path: Path) -> Any:
        """What stands in a table whose keys are another's affair, such as a trainer's options: its
        durations and sizes carry units all the same."""
        if isinstance(value, dict):
            found = {key: self._free(item, (*path, key)) for key, item in value.items()}
            return FAULTY if FAULTY in found.values() else found
        return value if _quantity(path[-1]) is None else self._scalar(int, value, path)

    def _named(self, hint: Any, value: object, path: Path) -> Any:
        """A table of things that have names."""
        if not isinstance(value, dict):
            return self.fault(path, f"expected a table, got {_show(value)}")
        keeps_name = isinstance(hint, type) and "name" in getattr(hint, "__struct_fields__", ())
        found = {}
        for key, item in value.items():
            if hint is not Any and not NAME.fullmatch(key):
                found[key] = self.fault(
                    (*path, key), "a name has lower-case letters, digits, - and _, a letter first"
                )
            elif keeps_name:
                found[key] = self.table(hint, item, (*path, key), name=key)
            else:
                found[key] = self.read(hint, item, (*path, key))
        return FAULTY if FAULTY in found.values() else found

    def _array(self, hint: Any, value: object, path: Path) -> Any:
        if not isinstance(value, list):
            return self.fault(path, f"expected an array [ … ], got {_show(value)}")
        found = tuple(self.read(hint, item, (*path, index)) for index, item in enumerate(value))
        return FAULTY if FAULTY in found else found

    def _choice(self, choices: tuple[str, ...], value: object, path: Path) -> Any:
        if value in choices:
            return value
        if not isinstance(value, str):
            return self.fault(
                path, f"expected text, one of {', '.join(choices)}; got {_show(value)}"
            )
        return self.fault(path, f"{value!r} is not known{suggest(value, choices)}")

    def _scalar(self, hint: type, value: object, path: Path) -> Any:
        quantity = _quantity(path[-1])
        if hint is int and quantity is not None:
            try:
                return quantity(value)
            except ValueError as error:
                return self.fault(path, str(error))
        if hint is float and type(value) is int:
            return float(value)
        if type(value) is not hint:
            return self.fault(path, f"expected {_KINDS[hint]}, got {_show(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            return self.fault(path, f"expected a finite number, got {value}")
        return value


def show_path(path: Path) -> str:
    """The path as people write it: tasks.intent.rollout.steps[1].weight."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _quantity(key: str | int) -> Callable[[object], int] | None:
    if key in DURATIONS:
        return units.duration
    if key in SIZES:
        return units.size
    return None


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
