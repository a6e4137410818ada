"""greenlight.toml and the environment → frozen settings, or every fault at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from greenlight.config.checks import complete, inspect, warnings
from greenlight.config.dataset import DatasetSettings
from greenlight.config.killing import KillSettings
from greenlight.config.locate import Path as KeyPath
from greenlight.config.locate import line_of, locate
from greenlight.config.making import RuntimeSettings, TrainSettings
from greenlight.config.mirroring import MlflowSettings
from greenlight.config.notify import NotifySettings
from greenlight.config.reader import Reader, show_path
from greenlight.config.settings import (
    CacheSettings,
    ControllerSettings,
    Document,
    GatewaySettings,
    LedgerSettings,
    ProjectSettings,
    Settings,
    SpoolSettings,
    StoreSettings,
    TaskSettings,
    WorkerSettings,
)
from greenlight.core.errors import ConfigError
from greenlight.core.policy import Policy

__all__ = [
    "FILE",
    "CacheSettings",
    "ControllerSettings",
    "DatasetSettings",
    "Document",
    "GatewaySettings",
    "KillSettings",
    "LedgerSettings",
    "MlflowSettings",
    "NotifySettings",
    "ProjectSettings",
    "RuntimeSettings",
    "Settings",
    "SpoolSettings",
    "StoreSettings",
    "TaskSettings",
    "TrainSettings",
    "WorkerSettings",
    "load",
    "overrides",
    "warnings",
]

FILE = "greenlight.toml"
PREFIX = "GREENLIGHT_"

_GROUPS: dict[str, type[Policy]] = {
    "project": ProjectSettings,
    "store": StoreSettings,
    "cache": CacheSettings,
    "ledger": LedgerSettings,
    "kill": KillSettings,
    "gateway": GatewaySettings,
    "controller": ControllerSettings,
    "worker": WorkerSettings,
    "mlflow": MlflowSettings,
}


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read a greenlight.toml; variables such as GREENLIGHT_STORE_URL override what it says.

    Raises:
        ConfigError: with every fault, each on one line with file and line number.
    """
    raw, lines = _parse(path)
    reader = Reader()
    origins = _override(raw, environ)
    complete(raw)
    found = reader.table(Document, raw, ())
    inspect(raw, reader)
    if reader.faults:
        raise ConfigError(_report(path, lines, origins, reader.faults))
    document = {name: getattr(found, name) for name in Document.__struct_fields__}
    return Settings(root=str(path.resolve().parent), **document)


def overrides() -> dict[str, KeyPath]:
    """Every variable that overrides a setting, and the setting's path."""
    return {
        _variable(path): path
        for group, cls in _GROUPS.items()
        for path, _ in _scalars(cls, (group,))
    }


def _variable(path: KeyPath) -> str:
    return PREFIX + "_".join(str(key) for key in path).upper()


def _scalars(cls: type[Policy], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """The settings of a table and the tables in it, with their types."""
    hints = get_type_hints(cls)
    for field in cls.__struct_fields__:
        if isinstance(hints[field], type) and issubclass(hints[field], Policy):
            yield from _scalars(hints[field], (*path, field))
        else:
            yield (*path, field), hints[field]


def _parse(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text), locate(text)
    except UnicodeDecodeError as error:
        raise ConfigError(
            [f"{path.name}: not UTF-8 (byte {error.start}); save it as UTF-8"]
        ) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        number = line[1] if line else text.rstrip("\n").count("\n") + 1
        raise ConfigError([f"{path.name}:{number}: not TOML: {error}"]) from error
    except OSError as error:
        remedy = "write one by greenlight init (docs/tutorial.md), or name it by --config"
        raise ConfigError([f"{path}: {error.strerror}; {remedy}"]) from error


def _override(raw: dict[str, Any], environ: Mapping[str, str]) -> dict[KeyPath, str]:
    """Put what the environment says into the raw values; returns path → variable."""
    origins: dict[KeyPath, str] = {}
    for group, cls in _GROUPS.items():
        for path, hint in _scalars(cls, (group,)):
            variable = _variable(path)
            text = environ.get(variable)
            table = _table(raw, path[:-1]) if text else None
            if not text or table is None:
                continue
            origins[path] = variable
            whole = hint is int and re.fullmatch(r"-?\d+", text)
            table[str(path[-1])] = int(text) if whole else text
    return origins


def _table(raw: dict[str, Any], path: KeyPath) -> dict[str, Any] | None:
    """The table at a path, made where it is missing; None where something else stands there."""
    table: Any = raw
    for key in path:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return None
    found: dict[str, Any] = table
    return found


def _report(
    path: Path,
    lines: dict[KeyPath, int],
    origins: Mapping[KeyPath, str],
    faults: Iterable[tuple[KeyPath, str]],
) -> list[str]:
    """One line per fault, in the order of the file; those of the environment come last."""
    report = []
    for where, text in faults:
        origin = origins.get(where)
        number = line_of(lines, where)
        place = origin if origin else f"{path.name}:{number}"
        name = show_path(where)
        report.append((origin is not None, number, f"{place}: {name}: {text}" if name else text))
    return [text for _, _, text in sorted(report)]
