"""Release windows as they are written (G4): which texts are read, and which minutes they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core.errors import PolicyError
from greenlight.core.policy import ApprovalPolicy
from greenlight.core.windows import DAYS, EXAMPLE, Window, parse

MINUTES = 24 * 60
days = st.integers(0, 6)
parts = st.one_of(st.tuples(days), st.tuples(days, days))
"""A day, or a span from a day to a day, which may go over the weekend."""
spans = st.tuples(st.integers(0, MINUTES - 1), st.integers(1, MINUTES)).filter(
    lambda s: s[0] < s[1]
)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def written(named: list[tuple[int, ...]], since: int, until: int) -> str:
    when = ",".join("-".join(DAYS[day] for day in part) for part in named)
    return f"{when} {clock(since)}-{clock(until)} Europe/Berlin"


def counted(part: tuple[int, ...]) -> set[int]:
    """The days of a part, counted one by one as on a calendar."""
    found, day = {part[0]}, part[0]
    while day != part[-1]:
        day = 0 if day == 6 else day + 1
        found.add(day)
    return found


@given(st.lists(parts, min_size=1, max_size=4), spans)
def test_it_holds_the_days_named_from_the_one_time_up_to_the_other(
    named: list[tuple[int, ...]], span: list[int]
) -> None:
    """Every minute of the week is in it or not as a calendar says."""
    since, until = span
    window = parse(written(named, since, until))
    assert window is not None
    wanted = set().union(*map(counted, named))
    assert window == Window(days=frozenset(wanted), since=since, until=until, zone="Europe/Berlin")
    for day in range(7):
        for minute in {0, since - 1, since, since + 1, until - 1, until, MINUTES - 1}:
            assert window.holds(day, minute) == (day in wanted and since <= minute < until)


@given(days, days)
def test_a_span_goes_forward_over_the_weekend_if_it_must(first: int, last: int) -> None:
    """Fri-Mon is four days, Mon-Fri five; the days it leaves out are the span between, reversed."""
    window = parse(written([(first, last)], 0, MINUTES))
    assert window is not None
    assert len(window.days) == (last - first) % 7 + 1
    assert {first, last} <= window.days
    rest = set(range(7)) - window.days
    if rest:
        other = parse(written([((last + 1) % 7, (first - 1) % 7)], 0, MINUTES))
        assert other is not None and set(other.days) == rest


@pytest.mark.parametrize(
    ("text", "held", "left_out"),
    [
        ("Mon-Thu 09:00-16:00 Europe/Berlin", [(0, 540), (3, 959)], [(0, 539), (3, 960), (4, 600)]),
        ("Fri-Mon 00:00-24:00 UTC", [(4, 0), (5, 1439), (6, 0), (0, 1439)], [(1, 0), (3, 1439)]),
        ("Mon,Wed,Fri 08:30-08:31 Etc/GMT+5", [(2, 510)], [(2, 509), (2, 511), (1, 510)]),
        ("Sun 22:00-24:00 America/Argentina/Ushuaia", [(6, 1439)], [(0, 0), (6, 1319)]),
    ],
)
def test_bounds(text: str, held: list[tuple[int, int]], left_out: list[tuple[int, int]]) -> None:
    """The first minute is in it, the last one named is not."""
    window = parse(text)
    assert window is not None
    assert all(window.holds(*moment) for moment in held)
    assert not any(window.holds(*moment) for moment in left_out)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "Mon-Thu",
        "Mon-Thu 09:00-16:00",
        "Mon-Thu 9:00-16:00 UTC",
        "Mon-Thu 09:00-16:00 UTC ",
        "mon-thu 09:00-16:00 UTC",
        "Mon-Xxx 09:00-16:00 UTC",
        "Mon-Tue-Wed 09:00-16:00 UTC",
        "Mon, Wed 09:00-16:00 UTC",
        "Mon 16:00-09:00 UTC",
        "Mon 09:00-09:00 UTC",
        "Mon 09:60-16:00 UTC",
        "Mon 09:00-24:01 UTC",
        "Mon 25:00-26:00 UTC",
        "Mon 09:00-16:00 Europe Berlin",
    ],
)
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    """A window that ends before it begins would never be open, so that nothing would ever ship."""
    assert parse(text) is None
    with pytest.raises(PolicyError, match=r"is not read; write .Mon-Thu 09:00-16:00"):
        ApprovalPolicy(release_window=text)


@given(st.text(max_size=40))
def test_any_other_text_is_read_or_refused_and_never_an_error(text: str) -> None:
    window = parse(text)
    assert window is None or window.since < window.until


def test_the_example_is_one() -> None:
    assert parse(EXAMPLE.strip('"')) is not None
