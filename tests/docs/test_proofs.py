"""docs/proofs.md names every scenario there is, and none that there is not."""

from __future__ import annotations

from scripts import proofs
from tests.core.machine import SKIES


def test_the_page_names_every_scenario() -> None:
    """X5: a scenario that is added, renamed or taken away shows in the list."""
    assert proofs.PATH.read_text(encoding="utf-8") == proofs.made(), f"run {proofs.COMMAND}"
    assert len(proofs.files()) > 8


def test_what_the_page_says_of_the_state_machine_is_so() -> None:
    assert len(SKIES) == 17, "the page says seventeen"
