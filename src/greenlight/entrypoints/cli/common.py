"""What the commands share: settings, the store, and how things are shown."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from greenlight import config, wiring
from greenlight.config import Settings
from greenlight.core import fingerprint
from greenlight.core.errors import Refused, UserError
from greenlight.core.records import Record, Version
from greenlight.lookup import everything
from greenlight.ports import Records

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs, instead of text."
)
task_argument = click.argument("task", required=False)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
as_option = click.option("--as", "name", help="Refuse if the key is not this person's.")

KEY_VARIABLE = "GREENLIGHT_PERSON_KEY"
"""Holds the secret of the person who calls."""

API_KEY_VARIABLE = "GREENLIGHT_API_KEY"
"""Holds the key of an application that asks the gateway."""

NEVER_SHOWN = frozenset({"salt"})
"""Who knows a rollout's salt can choose in which arm a unit lands."""


def settings(context: click.Context) -> Settings:
    """The configuration that the global options name.

    Raises:
        ConfigError: it is wrong or not there.
    """
    return config.load(context.find_root().obj, os.environ)


def own_secret() -> str:
    """The secret of the person who calls.

    Raises:
        UserError: there is none.
    """
    secret = os.environ.get(KEY_VARIABLE, "")
    if not secret:
        raise UserError(
            f"{KEY_VARIABLE} is not set: put your own key there (greenlight keys person NAME makes "
            "one), so that nobody can sign for you"
        )
    return secret


def refuse_another(found: Settings, secret: str, name: str | None) -> None:
    """Refuse a key of nobody in [people], or of somebody else than `--as` names.

    Raises:
        Refused: it is such a key.
    """
    person = wiring.person_of(found, secret)
    if name is not None and name != person.name:
        raise Refused(f"the key in {KEY_VARIABLE} is {person.name}'s, not {name}'s")


def initiator(app: wiring.App) -> str:
    """Who calls: the person whose key is at hand, else the user of this machine.

    It goes on record, and an initiator cannot sign what they brought about.
    """
    secret = os.environ.get(KEY_VARIABLE)
    return wiring.person_of(app.settings, secret).name if secret else getpass.getuser()


@contextmanager
def opened(context: click.Context) -> Iterator[wiring.App]:
    """The store and all else that the configuration names."""
    with wiring.open_app(settings(context)) as app:
        yield app


def public(record: Record) -> dict[str, Any]:
    """A record as plain values, without what nobody may see."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in fields.items() if name not in NEVER_SHOWN}


def show_json(value: object) -> None:
    """Print one JSON document, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def moment(at: int | None) -> str:
    """A time (µs since 1970) as UTC in ISO 8601, to the second."""
    if at is None:
        return "–"
    return datetime.fromtimestamp(at // 1_000_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(head))
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [list(head), *cells]
    ]
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Names and values, one pair per line."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in pairs)


def labels(records: Records) -> dict[str, str]:
    """Digest → label of every version."""
    return {version.digest: version.label for version in everything(records, Version)}


def name_of(digest: str | None, known: dict[str, str]) -> str:
    """What people call a version."""
    if digest is None:
        return "–"
    return known.get(digest, fingerprint.short(digest))


def inline(value: Any) -> str:
    """A small document on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {inline(item)}" for name, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
