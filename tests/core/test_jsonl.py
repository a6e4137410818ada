"""JSON lines: what is written is read, and a bad line is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import jsonl
from greenlight.core.curation import Row


@given(st.lists(st.builds(Row, st.text(), st.text())))
def test_round_trip(rows: list[Row]) -> None:
    data = jsonl.encode(rows)
    assert jsonl.decode(data, Row, "rows") == rows
    assert data.count(b"\n") == len(rows)


def test_line_separators_of_unicode_end_no_line() -> None:
    rows = [Row("a\u2028b\u0085c\nd", "x")]
    assert jsonl.decode(jsonl.encode(rows), Row, "rows") == rows


@pytest.mark.parametrize("bad", [b'{"text":"x"}', b"{", b'{"text":"\xff","label":"x"}', b"[]"])
def test_a_bad_line_is_named(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r"rows\.jsonl: line 3: "):
        jsonl.decode(b'{"text":"x","label":"y"}\n\n' + bad, Row, "rows.jsonl")
