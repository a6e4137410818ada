"""Every setting stands in docs/configuration.md with its default, and its example is valid."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from greenlight import config
from greenlight.adapters.trainers import encoder_finetune, sparse, token_tagger
from greenlight.config import Document, units
from greenlight.core.quantities import DURATIONS, SIZES
from greenlight.models import encoded

PAGE = Path(__file__).parents[2] / "docs/configuration.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
NAMED = {
    "people": "NAME",
    "tasks": "NAME",
    "notify": "NAME",
    "gates": "METRIC",
    "metrics": "METRIC",
    "alarms": "ALARM",
}


def settings(cls: type, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, type, default) of every setting; `msgspec.NODEFAULT` where it must be given."""
    hints = get_type_hints(cls)
    for field in msgspec.structs.fields(cls):
        if field.name == "name" and path.endswith(("NAME", "ALARM")):
            continue
        where = f"{path}.{field.encode_name}" if path else field.encode_name
        hint = hints[field.name]
        inner = get_args(hint)[-1] if get_origin(hint) is dict else hint
        if get_origin(hint) is tuple and isinstance(get_args(hint)[0], type):
            inner = get_args(hint)[0]
            if issubclass(inner, msgspec.Struct):
                yield from settings(inner, f"{where}[]")
        elif get_origin(hint) is dict and isinstance(inner, type) and inner is not str:
            if issubclass(inner, msgspec.Struct):
                yield from settings(inner, f"{where}.{NAMED[field.name]}")
                continue
        elif isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from settings(inner, where)
            continue
        make = field.default_factory
        yield where, hint, make() if callable(make) else field.default


def shortest(amount: int, units: dict[str, int]) -> str:
    """The shortest way to write a quantity with one of these units."""
    exact = {name: amount // unit for name, unit in units.items() if amount % unit == 0}
    name = min(exact, key=lambda unit: exact[unit])
    return f"{exact[name]}{name}"


def written(name: str, hint: Any, default: Any) -> str:
    """A default as it would be written in the file."""
    if default is msgspec.NODEFAULT:
        return "required"
    if default is None:
        return "–"
    if name in DURATIONS and hint is int:
        return f'`"{shortest(default, units.DURATION_UNITS) if default else "0s"}"`'
    if name in SIZES and hint is int:
        return f'`"{shortest(default, units.SIZE_UNITS)}"`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, dict):
        pairs = ", ".join(f"{key} = {value}" for key, value in default.items())
        return f"`{{ {pairs} }}`" if pairs else "`{}`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


def kind_of(name: str, hint: Any) -> str:
    """What the second column says of a type."""
    if get_origin(hint) is types.UnionType:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(hint))
    if hint is int and name in DURATIONS:
        return "duration"
    if hint is int and name in SIZES:
        return "size"
    kinds = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        tuple: "array",
        dict: "table",
    }
    return kinds[get_origin(hint) or hint]


BACKENDS: dict[str, type[msgspec.Struct]] = {
    "sparse": sparse.Settings,
    "encoder-head": encoded.HeadSettings,
    "encoder-finetune": encoder_finetune.Settings,
    "token-tagger": token_tagger.Settings,
}
OPTIONS = re.compile(
    r"<!-- reference:begin options (\S+) -->\n(.*?)<!-- reference:end -->", re.DOTALL
)

TEXT = PAGE.read_text(encoding="utf-8")
SETTINGS = {path: (hint, default) for path, hint, default in settings(Document)}
ROWS = {name: (kind, default) for name, kind, default in ROW.findall(OPTIONS.sub("", TEXT))}


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_is_documented_with_type_and_default(path: str) -> None:
    """X5: the reference of the configuration is complete."""
    assert path in ROWS, f"docs/configuration.md has no row for {path}"
    hint, default = SETTINGS[path]
    name = path.rpartition(".")[2].removesuffix("[]")
    kind, shown = ROWS[path]
    assert kind == kind_of(name, hint)
    if not path.endswith("rollout.steps"):
        assert shown == written(name, hint, default)


def test_nothing_is_documented_that_cannot_be_set() -> None:
    assert set(ROWS) - set(SETTINGS) == set()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_option_is_documented_with_its_default(backend: str) -> None:
    """T3: those of `encoder-finetune` beside those of `encoder-head`, which it has, too."""
    tables = {name: ROW.findall(text) for name, text in OPTIONS.findall(TEXT)}
    assert set(tables) == set(BACKENDS)
    shown = {name: default for name, _, default in tables[backend]}
    wanted = {
        path: written("", hint, default) for path, hint, default in settings(BACKENDS[backend])
    }
    if backend == "encoder-finetune":
        shown |= {name: default for name, _, default in tables["encoder-head"]}
    assert shown == wanted


def test_every_variable_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in config.overrides() if f"`{name}`" not in page] == []


def test_the_example_is_valid_and_names_the_defaults(tmp_path: Path) -> None:
    """What the example writes down is what one gets without writing it."""
    example = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    path = tmp_path / config.FILE
    path.write_text(example, encoding="utf-8")
    full = config.load(path, {})
    assert config.warnings(full) == []
    kept = [re.sub(r"#.*", "", line).rstrip() for line in example.splitlines()]
    bare = "\n".join(kept)
    for table in ("rollout", "approval", "evidence", "runtime"):
        bare = re.sub(rf"\[tasks\.intent\.{table}\][^\[]*(\[ *\n[^\]]*\][^\[]*)?", "", bare)
    path.write_text(bare, encoding="utf-8")
    assert config.load(path, {}).task("intent").policy == full.task("intent").policy
    assert config.load(path, {}).task("intent").approval == full.task("intent").approval
