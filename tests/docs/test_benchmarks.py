"""No number in a document that no command reproduces."""

from __future__ import annotations

from benchmarks import summary


def test_the_page_is_what_the_results_say() -> None:
    assert summary.PAGE.read_text(encoding="utf-8") == summary.page(), (
        "benchmarks/README.md is stale: run python -m benchmarks.summary"
    )
