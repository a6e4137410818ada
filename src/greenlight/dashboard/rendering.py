"""Templates and the ways in which they write values: times, shares, numbers, E."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jinja2
from markupsafe import Markup

from greenlight.core.fingerprint import short
from greenlight.core.records import DAY, HOUR, MINUTE, SECOND
from greenlight.core.words import power
from greenlight.dashboard import assets
from greenlight.reporting.words import duration

NOTHING = "–"
"""Stands where there is no value."""


class Templates:
    """The templates of the pages: what they are given is escaped, what is missing is an error."""

    def __init__(self) -> None:
        """Load nothing yet; a template is compiled when it is first drawn."""
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("greenlight.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            time=time,
            age=age,
            percent=percent,
            points=points,
            power=power,
            short=short,
            count=count,
            duration=duration,
            sentence=sentence,
        )
        self._environment.globals["static"] = assets.path

    def render(self, name: str, values: dict[str, Any]) -> bytes:
        """A template with its values, as UTF-8."""
        return self._environment.get_template(name).render(values).encode()


def time(at: int | None) -> Markup | str:
    """A moment (µs since 1970) in UTC."""
    if at is None:
        return NOTHING
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S}"
    )


def age(at: int | None, now: int) -> Markup | str:
    """How long ago a moment is, in words; the page's script keeps it up to date."""
    if at is None:
        return ""
    passed = max(0, now - at)
    words = "now"
    for unit, name in ((SECOND, "s"), (MINUTE, "min"), (HOUR, "h"), (DAY, "d")):
        if passed >= (unit if unit == SECOND else 2 * unit):
            words = f"{passed // unit} {name} ago"
    return Markup('<span class="age" data-at="{}">{}</span>').format(at // SECOND, words)


def percent(share: float | None, digits: int = 0) -> str:
    """A share in [0, 1]."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares, in percentage points with its sign."""
    return f"{100 * difference:+.{digits}f}".replace("-", "−")


def count(number: float | None) -> str:
    """A count, in groups of three digits."""
    return NOTHING if number is None else f"{number:,.0f}".replace(",", "\u202f")


def sentence(words: str) -> str:
    """With its first letter as a capital, the others as they are."""
    return words[:1].upper() + words[1:]
