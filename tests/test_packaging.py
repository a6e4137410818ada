"""constraints.txt pins everything that an installation brings in, and nothing but versions."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
UNASKED = {"locust", "peft", "torch", "transformers"}
"""Of the extras `load`, `lora` and `train`, which CI does not install; what they bring in is looked
at where it is."""
PIN = re.compile(r"([a-z0-9-]+)==([0-9][a-z0-9.]*)")


def pins() -> dict[str, str]:
    """Distribution → version, as constraints.txt has it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            match = PIN.fullmatch(line)
            assert match, f"constraints.txt: {line!r} is no exact pin"
            found[match[1]] = match[2]
    return found


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: to build, to run and to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    texts = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(text for extra in extras for text in extra),
    ]
    return [Requirement(text) for text in texts]


def needed(requirement: Requirement, seen: set[str]) -> None:
    """Add to `seen` what is installed because of a requirement, that included."""
    name = canonicalize_name(requirement.name)
    if name in seen:
        return
    seen.add(name)
    for text in metadata.requires(name) or ():
        below = Requirement(text)
        if below.marker is None or below.marker.evaluate({"extra": ""}):
            needed(below, seen)


def test_every_declared_dependency_is_pinned_to_a_version_it_allows() -> None:
    pinned = pins()
    for requirement in declared():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: no pin in constraints.txt"
        assert version in requirement.specifier, f"{requirement}: the pin is {version}"


def test_every_transitive_dependency_is_pinned() -> None:
    seen: set[str] = set()
    for requirement in declared():
        if requirement.name in UNASKED and not importlib.util.find_spec(requirement.name):
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            needed(requirement, seen)
    assert len(seen) > len(declared())
    assert seen <= pins().keys(), f"no pin for {sorted(seen - pins().keys())}"
