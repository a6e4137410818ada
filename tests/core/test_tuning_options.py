"""T3: options of backend `openai` are looked at before anything runs, and name field and fix."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.core.errors import BadInput
from greenlight.core.records import DAY, SECOND
from greenlight.core.tuning_options import problems, read

LEAST: dict[str, Any] = {"url": "https://provider.example/v1", "model": "small"}


def test_what_is_not_set_has_the_design_s_defaults() -> None:
    """T4: 30 s for the creation of a job, 24 h for the job."""
    found = read(LEAST)
    assert (found.call_timeout, found.timeout) == (30 * SECOND, DAY)
    assert found.hyperparameters() == {
        "n_epochs": "auto",
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": "provider.example"}, "url: no address"),
        ({"url": "https://me:pw@provider.example/v1"}, "url: an address alone"),
        ({"url": "https://provider.example:x/v1"}, "url: no address"),
        ({"url": "https://provider.example/v1?key=1"}, "url: an address alone"),
        ({"url": "ftp://provider.example/v1"}, "url: no address"),
        ({"model": " "}, "model: no name"),
        ({"key": "sk-secret"}, "key: name the variable that holds it"),
        ({"suffix": "x" * 65}, "suffix: 65 characters; a provider takes 1 to 64"),
        ({"cost_limit": 5}, "cost_limit: nothing can be held against it without a price"),
        ({"prices": {"input": 1.0}}, "prices: input and output go together"),
        ({"prices": {"train": 1.0}}, "prices: object contains unknown field `train`"),
        ({"n_epochs": 0}, "n_epochs: "),
        ({"poll": "1m"}, "poll: expected `int`, got `str`"),
        ({"method": "dpo"}, "method: invalid enum value 'dpo'"),
        ({"epochs": 3}, "epochs: no such option; did you mean 'n_epochs'"),
    ],
)
def test_a_fault_is_named_with_its_field(change: dict[str, Any], told: str) -> None:
    found = list(problems(LEAST | change))
    assert len(found) == 1 and found[0].startswith(told)
    assert "sk-secret" not in found[0] and "pw@" not in found[0]
    with pytest.raises(BadInput, match=r"train\.options\.") as error:
        read(LEAST | change)
    assert error.value.param == next(iter(change))


def test_what_is_needed_is_named() -> None:
    assert [problem.partition(":")[0] for problem in problems({})] == ["url", "model"]


def test_where_the_model_answers() -> None:
    """S: the version is served at the provider, with its key and prices."""
    prices = {"training": 3.0, "input": 0.3, "output": 1.2}
    found = read(LEAST | {"key": "env:THE_KEY", "prices": prices, "url": "https://p.example/v1/"})
    assert found.runtime() == {
        "kind": "openai",
        "url": "https://p.example/v1",
        "key": "env:THE_KEY",
        "prices": {"input": 0.3, "output": 1.2},
    }
    assert read(LEAST).runtime() == {"kind": "openai", "url": LEAST["url"]}
