"""No number in a document that no command reproduces."""

from __future__ import annotations

import pytest

from benchmarks import pages, summary
from benchmarks.baseline import page as baseline
from benchmarks.drills import page as drills
from benchmarks.evidence import page as evidence
from benchmarks.examples import page as examples
from benchmarks.gateway import page as performance
from benchmarks.pipeline import page as pipeline
from benchmarks.rollback import page as rollback


def test_the_page_is_what_the_results_say() -> None:
    assert summary.PAGE.read_text(encoding="utf-8") == summary.page(), (
        "benchmarks/README.md is stale: run python -m benchmarks.summary"
    )


@pytest.mark.parametrize(
    "page",
    (
        baseline.PAGE,
        drills.PAGE,
        evidence.PAGE,
        examples.PAGE,
        performance.PAGE,
        pipeline.PAGE,
        rollback.PAGE,
    ),
    ids=lambda page: page.name,
)
def test_a_page_and_its_figures_are_what_the_results_say(page: pages.Page) -> None:
    made = page.made()
    for path, text in made.items():
        assert path.exists(), f"{path.name} is missing: run {page.command}"
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run {page.command}"
    assert page.images() == made.keys() - {page.path}, "a figure that no results give: delete it"
    shown = page.path.read_text(encoding="utf-8")
    assert all(f"images/{path.name})" in shown for path in page.images())
