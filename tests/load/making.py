"""A load test's summary, as the service level wants it, for tests that need one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from greenlight.core.load import Summary

SUMMARY = Summary(
    provenance={"command": "python -m tests.load.run", "commit": "c0ffee", "cores": 2},
    note="",
    task="intent",
    asked=2.0,
    ramp_s=60.0,
    steady_s=600.0,
    requests=1203,
    errors_5xx=1,
    timeouts=2,
    errors_4xx=3,
    p50_ms=7.0,
    p95_ms=12.5,
    p99_ms=31.25,
    rate=2.0,
    met=True,
    versions={"intent@1": 1197},
)


def summed(**changes: Any) -> dict[str, Any]:
    """It as a file has it, with other values in some fields."""
    fields = {name: getattr(SUMMARY, name) for name in Summary.__struct_fields__}
    return {**fields, **changes}


def written(file: Path, **changes: Any) -> Path:
    """It in a file."""
    file.write_text(json.dumps(summed(**changes)), encoding="utf-8")
    return file
