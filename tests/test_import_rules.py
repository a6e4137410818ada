"""Each import contract of pyproject.toml reports a deliberate breakage (`make check` runs them)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BREAKAGES = {
    "Layers: an import may only point down": (
        "greenlight/models/linear.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from greenlight import config",
    ),
    "Stages hand over through the store, never to each other": (
        "greenlight/stages/train.py",
        "from greenlight.stages import evaluate",
    ),
    "Adapters do not know each other": (
        "greenlight/adapters/blobs.py",
        "from greenlight.adapters import clock",
    ),
    "Pages ask the store and the stages; what stands behind a port they do not know": (
        "greenlight/dashboard/charts.py",
        "from greenlight.adapters import signing",
    ),
    "Entry points reach adapters, serving, models and data sets through the wiring": (
        "greenlight/entrypoints/__init__.py",
        "from greenlight.adapters import clock",
    ),
    "The fine-tuning service trains and serves; it knows no store, no data set and no stage": (
        "greenlight/tuning/wire.py",
        "from greenlight.adapters import clock",
    ),
    "The core and the ports do no I/O, read no clock and draw no luck": (
        "greenlight/core/ids.py",
        "import os",
    ),
    "The evaluation protocol stands on the core alone": (
        "eval/intent_eval.py",
        "from greenlight import artifacts",
    ),
    "Only stages evaluate": ("greenlight/models/bundle.py", "from eval import intent_eval"),
    "No cycles": ("greenlight/core/errors.py", "from greenlight.core import ids"),
}
"""Contract → a file, and a line that must not stand in it."""


def broken_contracts(tree: Path) -> set[str]:
    """The names of the contracts that a copy of the sources breaks."""
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in result.stdout, result.stdout + result.stderr
    return set(re.findall(r"^(.+) BROKEN$", result.stdout, re.MULTILINE))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources and their contracts."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_has_its_breakage(tree: Path) -> None:
    settings = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == BREAKAGES.keys()


def test_every_breakage_is_reported(tree: Path) -> None:
    for file, line in BREAKAGES.values():
        with (tree / "src" / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")
    assert broken_contracts(tree) == BREAKAGES.keys()


def test_a_module_without_a_place_is_reported_and_nothing_else_is(tree: Path) -> None:
    (tree / "src/greenlight/stray.py").write_text('"""Nowhere."""\n', encoding="utf-8")
    assert broken_contracts(tree) == {"Layers: an import may only point down"}
