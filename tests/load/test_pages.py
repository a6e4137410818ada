"""What documents show of load tests is what the results say."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from benchmarks import summary
from greenlight.core.load import decode

TESTS = summary.load_tests()


def test_the_pages_are_what_the_results_say() -> None:
    for path, text in summary.documents().items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name} is stale: run python -m benchmarks.summary"
        )


@pytest.mark.parametrize("name", TESTS)
def test_the_results_are_summaries_that_an_evaluation_would_take(name: str) -> None:
    """S4: one format, from the measurement to the page."""
    test = TESTS[name]
    (version,) = test["versions"]
    decode(msgspec.json.encode(test), name, task=test["task"], label=version)


def test_a_page_shows_what_was_missed_and_what_is_not_known() -> None:
    test: dict[str, Any] = copy.deepcopy(TESTS["slo"])
    test |= {"met": False, "versions": {}, "note": "on a train", "errors_5xx": 7}
    test["provenance"] |= {"command": "python -m x --note 'on a train' --rate 2"}
    text = "\n".join(summary.DOCUMENTS[0].block({"slo": test}))
    assert "| **missed** |" in text and "| 7 + " in text
    assert "On a train. Load average" in text and "Who answered: unknown." in text
    assert "`python -m x --rate 2`" in text
