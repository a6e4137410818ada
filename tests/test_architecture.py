"""The rules of the house that import-linter cannot see, and proof that each of them bites."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CLOCK = ROOT / "src/greenlight/adapters/clock.py"
MAX_LINES = 400

PURE = frozenset(
    [
        "base64",
        "bisect",
        "collections",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "statistics",
        "string",
        "typing",
        "unicodedata",
        "__future__",
        "numpy",
        "scipy",
        "msgspec",
        "phonenumbers",  # the numbering plans of all countries, as tables and regular expressions
    ]
)
"""What the core may import beside itself: an allowlist cannot rot the way a denylist does."""

CLOCK_READS = frozenset(
    [
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "time.clock_gettime",
        "time.clock_gettime_ns",
        "time.ctime",
        "time.gmtime",
        "time.localtime",
        "time.strftime",
        "time.time",
        "time.time_ns",
    ]
)
"""Readings of the wall clock. Measuring an interval (`time.monotonic`, `perf_counter`) is none."""

THIRD_PARTY = frozenset(
    {
        "53261da888122daf2d120d925458631d9619e15d82e56052e7a42e535ce32b63",
        "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
        "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
        "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
        "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
        "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
        "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
        "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }
)
"""SHA-256 of the files of BANKING77, CLINC150 and WNUT-2017 and of the encoder's weights."""


def imported(source: str) -> set[str]:
    """Every module that a source text imports, by its full name; relative ones start with a dot."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {module} if node.module else {module + alias.name for alias in node.names}
    return found


def beyond(source: str, package: str, allowed: frozenset[str]) -> set[str]:
    """Imports that are neither `package`, nor inside it, nor below an allowed top-level name."""
    return {
        name
        for name in imported(source)
        if not (name == package or name.startswith(f"{package}."))
        and name.split(".")[0] not in allowed
    }


def clock_reads(source: str) -> list[str]:
    """Every use of the wall clock, as `line: name`, whatever name it was imported under."""
    tree = ast.parse(source)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return [
        f"{node.lineno}: {name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and (name := _resolved(node, names)) in CLOCK_READS
    ]


def _resolved(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_resolved(node.value, names)}.{node.attr}"
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def too_long(source: str) -> bool:
    return len(source.splitlines()) > MAX_LINES


def is_third_party(data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() in THIRD_PARTY


def under(folder: str) -> list[Path]:
    return [path for path in SOURCES if path.is_relative_to(ROOT / "src" / folder)]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", under("greenlight/core"), ids=name_of)
def test_core_imports_only_what_is_pure(path: Path) -> None:
    found = beyond(path.read_text(encoding="utf-8"), "greenlight.core", PURE)
    assert not found, f"{sorted(found)}: the core does no I/O; pass in what it needs"


@pytest.mark.parametrize("path", under("eval"), ids=name_of)
def test_evaluation_protocol_knows_nothing_of_greenlight_but_its_core(path: Path) -> None:
    """E1: the protocol stands alone."""
    source = path.read_text(encoding="utf-8")
    found = {name for name in imported(source) if name.split(".")[0] == "greenlight"}
    outside = {name for name in found if not name.startswith("greenlight.core")}
    assert not outside, f"{sorted(outside)}: eval may import greenlight.core only"


@pytest.mark.parametrize("path", [path for path in SOURCES if path != CLOCK], ids=name_of)
def test_only_the_clock_adapter_reads_the_clock(path: Path) -> None:
    found = clock_reads(path.read_text(encoding="utf-8"))
    assert not found, f"{found}: take `now` as an argument or ask the Clock port"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_outgrows_its_purpose(path: Path) -> None:
    assert not too_long(path.read_text(encoding="utf-8")), f"split it: over {MAX_LINES} lines"


def test_no_file_of_a_third_party_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert ROOT / "tests/test_architecture.py" in paths
    found = [
        name_of(path) for path in paths if path.is_file() and is_third_party(path.read_bytes())
    ]
    assert not found, f"{found}: data sets and weights are fetched, never committed"


@pytest.mark.parametrize(
    "source",
    [
        "import secrets",
        "import os.path",
        "from pathlib import Path",
        "from .. import ports",
        "from greenlight import ports",
        "import greenlight.adapters.clock",
        "def f():\n    import random",
        "from greenlight.core_extra import x",
    ],
)
def test_impure_import_is_caught(source: str) -> None:
    assert beyond(source, "greenlight.core", PURE)


@pytest.mark.parametrize(
    "source",
    [
        "from greenlight.core.records import Epoch",
        "import numpy as np",
        "from scipy import special",
    ],
)
def test_pure_import_is_allowed(source: str) -> None:
    assert not beyond(source, "greenlight.core", PURE)


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nnow = t.time_ns",
        "from time import time\ntime()",
        "from time import time_ns as now\nnow()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "import datetime as dt\ndt.datetime.utcnow()",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import date as d\nd.today()",
        "import time\ntime.localtime()",
    ],
)
def test_clock_read_is_caught(source: str) -> None:
    assert clock_reads(source)


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.monotonic()",
        "from time import perf_counter\nperf_counter()",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
        "clock.now()",
        "self.time()",
    ],
)
def test_interval_or_port_is_no_clock_read(source: str) -> None:
    assert not clock_reads(source)


def test_long_file_is_caught() -> None:
    assert too_long("x = 1\n" * (MAX_LINES + 1))
    assert not too_long("x = 1\n" * MAX_LINES)


@pytest.mark.needs("data")
def test_third_party_file_is_caught() -> None:
    path = Path(os.environ["GREENLIGHT_DATASETS"], "banking77", "test.csv")
    assert is_third_party(path.read_bytes())
    assert not is_third_party(path.read_bytes() + b"\n")
