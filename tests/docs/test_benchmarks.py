"""No number in a document that no command reproduces."""

from __future__ import annotations

from benchmarks import summary
from benchmarks.evidence import figures, page
from benchmarks.gateway import page as performance


def test_the_page_is_what_the_results_say() -> None:
    assert summary.PAGE.read_text(encoding="utf-8") == summary.page(), (
        "benchmarks/README.md is stale: run python -m benchmarks.summary"
    )


def test_the_page_on_evidence_is_what_the_results_say() -> None:
    text, found = page.PAGE.read_text(encoding="utf-8"), page.results()
    assert text == page.written(text, found), (
        "docs/evidence.md is stale: run python -m benchmarks.evidence.page"
    )
    for name, image in figures.drawn(found or {}).items():
        shown = (page.IMAGES / f"{name}.svg").read_text(encoding="utf-8")
        assert shown == image, f"{name}.svg is stale: run python -m benchmarks.evidence.page"


def test_the_page_on_performance_is_what_the_results_say() -> None:
    text, found = performance.PAGE.read_text(encoding="utf-8"), performance.results()
    assert text == performance.written(text, found), (
        "docs/performance.md is stale: run python -m benchmarks.gateway.page"
    )
