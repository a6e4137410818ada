"""The classes that can be had from `greenlight` itself (N1)."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import greenlight

NAMES = (
    "FineTuningPipeline",
    "DataCollector",
    "ModelTrainer",
    "ModelEvaluator",
    "DeploymentManager",
    "ConnectionPoolManager",
    "CircuitBreaker",
)
SOURCE = Path(greenlight.__file__).parent


def test_these_are_all_of_them() -> None:
    """N1. A type checker is told the same."""
    assert sorted(greenlight.__all__) == sorted(NAMES)
    stub = ast.parse((SOURCE / "__init__.pyi").read_text(encoding="utf-8"))
    told = {
        alias.name: node.module
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == greenlight._PLACES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_the_real_thing(name: str) -> None:
    """N1: a class of this name where it is said to be, documented, and used by the product."""
    found = getattr(greenlight, name)
    assert inspect.isclass(found) and found.__name__ == name
    assert found.__module__ == greenlight._PLACES[name], "it is made there, not passed on"
    assert inspect.getdoc(found)
    methods = {
        method: value
        for method, value in vars(found).items()
        if not method.startswith("_") and inspect.isfunction(value)
    }
    assert methods and all(inspect.getdoc(value) for value in methods.values())
    assert callers(name, found.__module__), f"nothing in the product makes a {name}"


def callers(name: str, module: str) -> list[str]:
    """The other modules of the product that call this class."""
    return [
        path.name
        for path in sorted(SOURCE.rglob("*.py"))
        if path != SOURCE / Path(*module.split(".")[1:]).with_suffix(".py")
        and name in (text := path.read_text(encoding="utf-8"))
        and any(
            name in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call)
        )
    ]


def test_no_other_name_is_made_up() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'ModelTester'"):
        greenlight.ModelTester  # noqa: B018


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    """The commands that only read stay quick: naming the package loads none of these modules."""
    code = (
        "import sys, greenlight\n"
        "loaded = [name for name in sys.modules if name.startswith('greenlight.')]\n"
        "assert not loaded, loaded\n"
        "from greenlight import CircuitBreaker\n"
        "assert 'greenlight.core.breaker' in sys.modules\n"
        "assert 'greenlight.wiring' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
