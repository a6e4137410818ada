"""Which records refer to which, found in a store: a field holds another record's id or digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from greenlight.core.records import RECORDS, LedgerEntry, Record
from greenlight.lookup import everything
from greenlight.ports import Records


def references(records: Records) -> Mapping[tuple[str, str], list[str]]:
    """(record, record that it refers to) → the fields that do.

    A record with an id or a digest is found by its value wherever that stands, also inside a field
    (`lineage.run`). One that is known by a number within something else is found by the name of
    the field that holds the number (`epoch`, `epoch_seen`).
    """
    by_value = {
        str(record.key[0]): kind
        for kind in RECORDS
        if kind.KEY in (("id",), ("digest",))
        for record in everything(records, kind)
    }
    by_name = {kind.__name__.lower(): kind for kind in RECORDS if kind.KEY[-1] == "number"}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for kind in RECORDS:
        if kind is LedgerEntry:
            continue
        for record in everything(records, kind):
            for path, value in _values(record):
                target = by_value.get(value) if isinstance(value, str) else None
                if target is None and isinstance(value, int):
                    target = _named(path, by_name)
                if target is not None and not _is_key(kind, path):
                    found.setdefault((kind.__name__, target.__name__), {})[path] = None
    return {pair: sorted(paths) for pair, paths in found.items()}


def _values(record: Record) -> Iterator[tuple[str, Any]]:
    def inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for name, part in value.items():
                yield from inside(f"{path}.{name}", part)
        elif isinstance(value, list):
            for part in value:
                yield from inside(path, part)
        else:
            yield path, value

    for name, value in msgspec.to_builtins(record).items():
        yield from inside(name, value)


def _named(path: str, by_name: Mapping[str, type[Record]]) -> type[Record] | None:
    field = path.partition(".")[0]
    return next((kind for name, kind in by_name.items() if field.startswith(name)), None)


def _is_key(kind: type[Record], path: str) -> bool:
    """Whether it is the name that the record goes by itself."""
    return path in ("id", "digest") and (path,) == kind.KEY
