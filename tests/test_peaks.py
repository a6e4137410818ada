"""The measure of memory that other tests use."""

from __future__ import annotations

from tests.peaks import peaks


def test_what_is_held_is_counted_and_what_was_let_go_is_not() -> None:
    few, many, again = peaks(bytes, 100_000, 400_000, 100_000)
    assert few == again
    assert 300_000 <= many - few < 301_000
