"""What classes there are, what they hold and do, and which of them can stand behind which port."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

import greenlight

ROOT = Path(__file__).parents[2]
_ASIDE = re.compile(r"greenlight\.entrypoints|.*\.migrations|.*\.__main__")
"""Processes, and what Alembic loads by itself: no port is implemented there."""


class Signature(msgspec.Struct, frozen=True):
    """A method as it is shown: what is given, with its type, and the type of what is made."""

    given: dict[str, str]
    made: str


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    """Every module of the package that may hold ports or what implements them."""
    found = pkgutil.walk_packages(greenlight.__path__, "greenlight.")
    names = [info.name for info in found if not _ASIDE.match(info.name)]
    return tuple(importlib.import_module(name) for name in names)


def public_classes(module: ModuleType) -> list[type]:
    """The public classes that a module defines, in its order."""
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]


@functools.cache
def ports() -> tuple[type, ...]:
    """Every protocol of `greenlight.ports`, and those of the stages that some class implements."""
    every = [made for made in _classes() if _is_port(made)]
    stages = [port for port in every if port.__module__.startswith("greenlight.stages.")]
    return (
        *(port for port in every if port.__module__.startswith("greenlight.ports")),
        *(port for port in stages if implementers(port)),
    )


def parts_of(port: type) -> tuple[type, ...]:
    """The ports that a port is put together from."""
    return tuple(base for base in _port_bases(port) if base is not port)


@functools.cache
def implementers(port: type) -> tuple[type, ...]:
    """Every public class that has all that a port asks for, in alphabetical order."""
    found = [made for made in _classes() if not _is_port(made) and implements(made, port)]
    return tuple(sorted(found, key=lambda made: made.__name__))


def implements(made: type, port: type) -> bool:
    """Whether a class has a port's methods, with the same parameters, and its attributes."""
    return all(_takes_the_same(made, port, name) for name in _port_methods(port)) and all(
        _holds(made, name) for name in _port_fields(port)
    )


def fields(made: type) -> dict[str, str]:
    """What instances hold, by name: the type as it is written in the source."""
    if issubclass(made, msgspec.Struct):
        hints = {
            name: hint
            for base in reversed(made.__mro__)
            for name, hint in inspect.get_annotations(base).items()
        }
        return {name: str(hints[name]) for name in made.__struct_fields__}
    own = vars(made)
    held = {
        name: str(hint) for name, hint in inspect.get_annotations(made).items() if name[0] != "_"
    }
    properties = {
        name: str(inspect.signature(value.fget).return_annotation)
        for name, value in own.items()
        if isinstance(value, property) and value.fget is not None and name[0] != "_"
    }
    return held | properties


def methods(made: type) -> dict[str, Signature]:
    """The public methods that a class itself defines, and `__call__`."""
    return {
        name: _signature(value)
        for name, value in vars(made).items()
        if inspect.isfunction(value) and (name[0] != "_" or name == "__call__")
    }


def begun_with(made: type) -> dict[str, str]:
    """What a class is set up with, beside a struct's fields: name and type."""
    if issubclass(made, msgspec.Struct) or not inspect.isfunction(vars(made).get("__init__")):
        return {}
    return _signature(vars(made)["__init__"]).given


def source_file(made: type) -> str:
    """The file that defines a class, relative to the repository."""
    return Path(inspect.getfile(made)).resolve().relative_to(ROOT).as_posix()


def _classes() -> Iterator[type]:
    for module in modules():
        yield from public_classes(module)


def _is_port(made: type) -> bool:
    return bool(vars(made).get("_is_protocol", False))


def _port_bases(port: type) -> list[type]:
    return [
        base for base in reversed(port.__mro__) if _is_port(base) and base.__module__ != "typing"
    ]


def _port_methods(port: type) -> dict[str, Signature]:
    return {name: told for base in _port_bases(port) for name, told in methods(base).items()}


def _port_fields(port: type) -> dict[str, str]:
    return {name: hint for base in _port_bases(port) for name, hint in fields(base).items()}


def _takes_the_same(made: type, port: type, name: str) -> bool:
    own, asked = getattr(made, name, None), getattr(port, name)
    if not inspect.isfunction(own):
        return False
    if inspect.iscoroutinefunction(own) != inspect.iscoroutinefunction(asked):
        return False
    has, wants = (list(inspect.signature(one).parameters.values()) for one in (own, asked))
    same = [(one.name, one.kind) for one in has[: len(wants)]] == [
        (one.name, one.kind) for one in wants
    ]
    return same and all(more.default is not more.empty for more in has[len(wants) :])


def _holds(made: type, name: str) -> bool:
    """Whether instances have such an attribute: declared, or set by one of the class's methods."""
    if name in getattr(made, "__struct_fields__", ()) or hasattr(made, name):
        return True
    return any(
        name in inspect.get_annotations(base) or _sets(base, name)
        for base in made.__mro__
        if base.__module__.startswith("greenlight.")
    )


def _sets(made: type, name: str) -> bool:
    return re.search(rf"\bself\.{name}\b[^=\n]*=[^=]", inspect.getsource(made)) is not None


def _signature(function: Any) -> Signature:
    signature = inspect.signature(function)
    given = {
        name: str(parameter.annotation)
        for name, parameter in signature.parameters.items()
        if name != "self"
    }
    return Signature(given, str(signature.return_annotation))
