"""docs/notifications.md: what it promises is what the code does (M5, X4)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from greenlight import config
from greenlight.adapters.notifiers.posting import MENDED, PATIENCE
from greenlight.adapters.notifiers.webhook import WebhookNotifier
from greenlight.core.notices import AGAIN, GIVE_UP, KINDS, USUAL, Notice, wait
from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.serving.notify_meter import NotifyMeter
from greenlight.stages.notify import LEASE_TTL
from greenlight.testing import FakeClock
from tests.contracts.notices import NOTICE, SECRET
from tests.contracts.receiving import hook
from tests.test_config import VALID, write

PAGE = (Path(__file__).parents[2] / "docs/notifications.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def block(kind: str) -> str:
    """The one block of a kind."""
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert isinstance(found, str)
    return found


@pytest.fixture
def genuine() -> Callable[..., bool]:
    """The function that the page gives to receivers."""
    names: dict[str, Callable[..., bool]] = {}
    exec(block("python"), names)
    return names["genuine"]


def test_the_signature_is_verified_as_the_page_says(
    genuine: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clock = FakeClock()
    with hook() as found:
        WebhookNotifier("ops", found.url, SECRET, clock=clock).send(NOTICE)
        [post] = found.posts
    header, now = post.headers["X-Greenlight-Signature"], clock.now() / SECOND
    assert genuine(header, post.body, SECRET, now) is True
    assert genuine(header, post.body, SECRET, now + 299) is True
    assert genuine(header, post.body, SECRET, now + 301) is False
    assert genuine(header, post.body, SECRET) is False, "by this machine's clock"
    assert genuine(header, post.body, SECRET + "x", now) is False
    assert genuine(header, post.body.replace(b"critical", b"info"), SECRET, now) is False
    assert genuine(header.replace("t=18", "t=19"), post.body, SECRET, now + 1e8) is False


def test_it_is_short() -> None:
    _, _, function = block("python").partition("\n\n")
    assert len(function.splitlines()) <= 8


def test_the_example_is_valid(tmp_path: Path) -> None:
    settings = config.load(write(tmp_path, VALID + block("toml")), {})
    assert [channel.kind for channel in settings.notify.values()] == ["webhook", "slack", "email"]


def test_the_body_has_the_fields_of_a_message() -> None:
    assert tuple(json.loads(block("json"))) == Notice.__struct_fields__


def test_every_kind_is_told_of_and_whether_it_is_usual() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (yes|) ?\|$", PAGE, re.MULTILINE)
    assert tuple(kind for kind, _ in rows) == KINDS
    assert tuple(kind for kind, usual in rows if usual) == USUAL


def test_every_metric_is_told_of() -> None:
    given = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in NotifyMeter(lambda: []).collect()
    }
    assert set(re.findall(r"`(greenlight_notify_\w+)`", PAGE)) == given


def test_numbers() -> None:
    assert f"**Tried for {GIVE_UP // HOUR} h**" in WORDS
    assert [wait(n, None, 1.0) // SECOND for n in (1, 2, 3)] == [1, 2, 4]
    assert "after 1 s, 2 s, 4 s and so on up to every 10 min" in WORDS
    assert wait(99, None, 1.0) == 10 * MINUTE and wait(1, 1e9, 0.0) == HOUR
    assert AGAIN == HOUR and "again only after an hour without it" in WORDS
    assert f"({PATIENCE:g} s without a sign of life)" in WORDS
    assert f"takes over within {LEASE_TTL // SECOND} s" in WORDS
    named = re.search(r"the moment are ([\d, and]+);", WORDS)
    assert named is not None and {int(n) for n in re.findall(r"\d+", named[1])} == MENDED
