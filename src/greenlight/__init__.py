"""Greenlight: every new version of a model earns its traffic with evidence.

The classes that do the work can be had from here. Each is loaded when it is first asked for: what
answers requests, or prints help, does not wait for what trains. Type checkers read `__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "CircuitBreaker": "greenlight.core.breaker",
    "ConnectionPoolManager": "greenlight.adapters.runtimes.connections",
    "DataCollector": "greenlight.sources.feedback",
    "DeploymentManager": "greenlight.wiring.control",
    "FineTuningPipeline": "greenlight.stages.pipeline",
    "ModelEvaluator": "greenlight.stages.evaluate",
    "ModelTrainer": "greenlight.adapters.trainers.openai",
}
"""Name → where it is. The names of modules stand here as text: what lies below this package may
import it, and must not import what lies above (pyproject.toml, import-linter)."""

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    """One of the classes above, loaded now.

    Raises:
        AttributeError: there is no such name.
    """
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(place), name)
    return found
