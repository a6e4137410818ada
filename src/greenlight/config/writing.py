"""Settings → the text of a greenlight.toml that says the same: what `load` reads, backwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from greenlight.config.settings import Document
from greenlight.config.units import DURATION_UNITS
from greenlight.core.quantities import DURATIONS, SIZES
from greenlight.core.records import MILLISECOND

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAME = "name"


def write(document: Document) -> str:
    """The text of a configuration. What has its default is left out."""
    tables = _plain(document)
    own = {name: tables[name] for name in Document.__struct_fields__ if name in tables}
    return "\n".join(_table(own, ()))


def _plain(struct: msgspec.Struct, *, named: bool = False) -> dict[str, Any]:
    """A table's keys and values as the file has them; `named`: its name is the table's own."""
    found = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if (named and field.name == _NAME) or (not field.required and value == _default(field)):
            continue
        found[field.encode_name] = _value(field.encode_name, value)
    return found


def _default(field: msgspec.structs.FieldInfo) -> Any:
    make = field.default_factory
    return make() if callable(make) else field.default


def _value(key: str, value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _plain(value)
    if isinstance(value, Mapping):
        return {
            name: _plain(item, named=True)
            if isinstance(item, msgspec.Struct)
            else _value(name, item)
            for name, item in value.items()
        }
    if isinstance(value, tuple | list):
        return [_value("", item) for item in value]
    if type(value) is int and key in DURATIONS:
        return _duration(value)
    return f"{value}B" if type(value) is int and key in SIZES else value


def _duration(value: int) -> str:
    """Microseconds in the largest unit of which they are a whole number."""
    for unit, size in sorted(DURATION_UNITS.items(), key=lambda item: -item[1]):
        if value % size == 0 and value:
            return f"{value // size}{unit}"
    return f"{float(Fraction(value, MILLISECOND))}ms"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: its own keys first, then the tables in it."""
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (own or not table):
        yield f"[{'.'.join(map(_key, path))}]"
    for key, value in own.items():
        yield f"{_key(key)} = {_inline(value)}"
    if own or (path and not table):
        yield ""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _table(value, (*path, key))


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    """A JSON string is a TOML string, but for the one character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
