"""docs/http.md says what there is: every metric, error code and endpoint."""

from __future__ import annotations

import re
from pathlib import Path

from greenlight.serving import app, http
from greenlight.serving.meters import Meters
from greenlight.serving.notify_meter import NotifyMeter
from greenlight.serving.settings import MIB, Settings

TEXT = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


def test_every_metric_is_documented() -> None:
    """M1: and nothing else is."""
    meters = Meters(lambda: [])
    meters.show(NotifyMeter(lambda: []))
    own = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in meters.registry.collect()
        if metric.name.startswith("greenlight_")
    }
    assert set(re.findall(r"`(greenlight_\w+)", TEXT)) == own


def test_every_error_is_documented() -> None:
    rows = set(re.findall(r"^\| (\d{3}) \| `(\w+)`", TEXT, re.MULTILINE))
    assert rows == {(str(status), code) for _, status, code in http.STATUS} | {("500", "internal")}


def test_every_endpoint_is_documented() -> None:
    paths = re.findall(r"^\| `(?:GET|POST) (/\S+)`", TEXT, re.MULTILINE)
    assert {app._endpoint(path) for path in paths} == {
        "predict",
        "chat",
        "models",
        "feedback",
        "flags",
        "healthz",
        "readyz",
        "metrics",
        "openapi",
        "api",
    }
    own = [path.removesuffix("/{key}") for path in paths if not path.startswith("/api")]
    assert all(path.replace("{task}", "TASK") in app._PLACES for path in own)


def test_the_limits_are_as_documented() -> None:
    settings = Settings()
    assert settings.max_body == MIB and "at most 1 MiB" in TEXT
    assert f"1 to {settings.max_batch} texts" in TEXT
    assert settings.pending == 60_000_000 and "younger than 60 s" in TEXT
    assert f"{settings.remembered:,} keys" in TEXT
