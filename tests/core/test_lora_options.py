"""What [tasks.NAME.train.options] of backend `hf-lora` may say (T3)."""

from __future__ import annotations

from typing import Any

import pytest

from greenlight.core import lora_options
from greenlight.core.errors import BadInput

GOOD: dict[str, Any] = {"base": "models/tiny", "serve": "http://models.test:9000/"}


def test_a_base_and_an_address_are_enough() -> None:
    assert list(lora_options.problems(GOOD)) == []
    found = lora_options.read(GOOD)
    assert (found.base, found.revision, found.target_modules) == ("models/tiny", None, ())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"epoch": 3}, "epoch: no such option; did you mean 'epochs'?"),
        ({"base": ""}, "base: no name;"),
        ({"serve": "models.test:9000"}, "serve: no address; write it as in http://"),
        ({"serve": "http://models.test:port"}, "serve: no address; write it as in http://"),
        ({"serve": "http://me:secret@models.test"}, "serve: an address alone, without a user"),
        ({"r": 0}, "r: expected `int` >= 1"),
        ({"dropout": 1.0}, "dropout: expected `float` < 1.0"),
        ({"device": "tpu"}, "device: invalid enum value 'tpu'"),
        ({"target_modules": "q_proj"}, "target_modules: expected `array`"),
        ({"max_tokens": 64}, "answer_tokens: 128 of 64 (max_tokens) leave nothing"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], problem: str) -> None:
    (found,) = lora_options.problems(GOOD | changes)
    assert found.startswith(problem)
    with pytest.raises(BadInput, match=r"^train\.options\."):
        lora_options.read(GOOD | changes)


def test_what_is_missing_is_named_with_an_example() -> None:
    assert list(lora_options.problems({})) == [
        'base: missing; write it as in base = "models/llama"',
        'serve: missing; write it as in serve = "http://models.internal:9000"',
    ]


def test_it_is_run_by_a_model_server() -> None:
    """S1: which is told the bundle; of a chat it is asked by OpenAI's protocol."""
    options = lora_options.read(GOOD | {"serve": "http://models.test/{bundle}"})
    url = "http://models.test/{bundle}"
    assert options.runtime("classify") == {"kind": "http", "url": url, "names_bundle": True}
    assert options.runtime("chat") == {"kind": "openai", "url": f"{url}/v1"}
    assert lora_options.address(f"{url}/v1", "sha256:0a1b") == "http://models.test/0a1b/v1"
    assert lora_options.address("http://models.test", "sha256:0a1b") == "http://models.test"
