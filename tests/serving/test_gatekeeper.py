"""The gateway's keys: who is let in, for what, and how often (S8)."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest

from greenlight import lookup
from greenlight.core import keys
from greenlight.core.errors import TooMany, Unauthorized
from greenlight.core.records import DAY, SECOND, ApiKey
from greenlight.serving.gatekeeper import Caller, Gatekeeper
from greenlight.serving.http import Forbidden, NotReady
from greenlight.stages.keys import create, revoke
from greenlight.testing import FakeClock
from tests.serving.harness import Flaky, asynchronous


class House:
    """A store with keys and the gatekeeper before it."""

    def __init__(self) -> None:
        self.store = Flaky()
        self.clock = FakeClock()
        self.keeper = Gatekeeper(self.store, self.clock)
        self.random = random.Random(8).randbytes
        self.secrets: list[str] = []

    def key(self, *scopes: str, name: str = "shop", **options: Any) -> tuple[ApiKey, str]:
        """A new key, and the header that shows it."""
        key, secret = create(
            self.store,
            name=name,
            scopes=scopes or ("predict",),
            by="ana",
            now=self.clock.now(),
            random=self.random,
            **options,
        )
        self.secrets.append(secret)
        return key, f"Bearer {secret}"

    def revoke(self, key: ApiKey) -> None:
        revoke(self.store, key, by="ana", why="leaked", now=self.clock.now())

    def refusal(self, header: str | None, scope: str = "predict") -> Exception:
        """What is raised instead of letting in; it never tells a secret."""
        with pytest.raises((Unauthorized, Forbidden, TooMany, NotReady)) as caught:
            self.keeper.admit(header, scope)
        told = f"{caught.value!s} {caught.value!r}"
        assert not [secret for secret in self.secrets if secret[21:] in told]
        return caught.value


@pytest.fixture
def house() -> House:
    return House()


@asynchronous
async def test_before_the_store_was_read_nobody_is_let_in() -> None:
    house = House()
    assert not house.keeper.open
    assert isinstance(house.refusal(None), NotReady)
    house.store.down = True
    await house.keeper.refresh()
    assert not house.keeper.open
    assert isinstance(house.refusal(None), NotReady)


@asynchronous
async def test_without_any_key_everybody_is_nameless_and_blind() -> None:
    house = House()
    await house.keeper.refresh()
    assert house.keeper.open
    for scope in keys.SCOPES:
        for header in (None, "Bearer sk-of-somebody-else", "nonsense"):
            caller = house.keeper.admit(header, scope)
            assert caller.id is None and caller.scopes == set(keys.SCOPES)
            assert not caller.sees_versions
    assert isinstance(house.refusal(None, "root"), Forbidden)


@asynchronous
async def test_with_the_first_key_keys_are_needed() -> None:
    house = House()
    await house.keeper.refresh()
    key, header = house.key("predict", "feedback")
    assert house.keeper.admit(None, "predict").id is None
    await house.keeper.refresh()
    assert not house.keeper.open
    assert isinstance(house.refusal(None), Unauthorized)
    for scope in ("predict", "feedback"):
        assert house.keeper.admit(header, scope) == Caller(
            id=key.id, scopes=frozenset({"predict", "feedback"})
        )


@asynchronous
async def test_only_a_key_with_admin_sees_versions() -> None:
    house = House()
    _, blind = house.key("predict", "feedback", "flags")
    _, seeing = house.key("predict", "admin", name="ops")
    await house.keeper.refresh()
    assert not house.keeper.admit(blind, "predict").sees_versions
    assert house.keeper.admit(seeing, "predict").sees_versions


@asynchronous
async def test_a_scope_that_a_key_has_not() -> None:
    house = House()
    _, header = house.key("predict", "feedback")
    await house.keeper.refresh()
    for scope in ("admin", "flags", "root", ""):
        refused = house.refusal(header, scope)
        assert isinstance(refused, Forbidden)
        assert f"the scope {scope!r}, and the key has predict, feedback" in str(refused)


@asynchronous
async def test_who_shows_the_wrong_thing() -> None:
    """A wrong secret behind a right id, an id that nobody has, and no key at all."""
    house = House()
    _, header = house.key()
    await house.keeper.refresh()
    stranger = keys.make(house.random(keys.RANDOM_BYTES))
    mixed = f"Bearer {header[7:27]}{stranger[20:]}"
    changed = header[:-1] + ("A" if header[-1] != "A" else "B")
    answers = {str(house.refusal(one)) for one in (mixed, changed, f"Bearer {stranger}")}
    assert len(answers) == 1 and "opens nothing here" in answers.pop()
    malformed = [None, "", "Bearer", "Bearer ", header[7:], f"Basic {header[7:]}", header + "x"]
    for one in malformed:
        refused = house.refusal(one)
        assert isinstance(refused, Unauthorized)
        assert "send the header Authorization: Bearer" in str(refused)
    assert house.keeper.admit(header, "predict").id is not None


@asynchronous
async def test_a_key_expires_by_itself() -> None:
    house = House()
    _, header = house.key(expires_at=house.clock.now() + DAY)
    await house.keeper.refresh()
    house.clock.advance(DAY - 1)
    house.keeper.admit(header, "predict")
    house.clock.advance(1)
    refused = house.refusal(header)
    assert isinstance(refused, Unauthorized) and "is expired" in str(refused)


@asynchronous
async def test_a_revoked_key_stops_at_the_next_look() -> None:
    house = House()
    key, header = house.key()
    await house.keeper.refresh()
    house.revoke(key)
    house.keeper.admit(header, "predict")
    await house.keeper.refresh()
    refused = house.refusal(header)
    assert isinstance(refused, Unauthorized) and "is revoked" in str(refused)
    assert not house.keeper.open, "a key that was revoked is still a key"


@asynchronous
async def test_a_store_that_is_down_leaves_the_keys_as_they_are() -> None:
    """Nor is it asked for a request."""
    house = House()
    key, header = house.key()
    await house.keeper.refresh()
    house.revoke(key)
    house.store.down = True
    for _ in range(3):
        await house.keeper.refresh()
        assert house.keeper.admit(header, "predict").id == key.id
    house.store.down = False
    await house.keeper.refresh()
    assert isinstance(house.refusal(header), Unauthorized)


def test_a_store_that_stays_down_is_one_line(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    @asynchronous
    async def look() -> None:
        for down in (True, True, False, True):
            house.store.down = down
            await house.keeper.refresh()

    look()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "they stay as they are" in caplog.text


@asynchronous
async def test_a_store_that_lost_its_keys_opens_nothing() -> None:
    """A backup from before the first key, say."""
    house = House()
    key, header = house.key()
    await house.keeper.refresh()
    house.store._records[ApiKey].clear()
    await house.keeper.refresh()
    assert not house.keeper.open
    assert isinstance(house.refusal(None), Unauthorized)
    assert house.keeper.admit(header, "predict").id == key.id


@asynchronous
async def test_rates_are_per_key() -> None:
    house = House()
    _, busy = house.key(rate=2.0, burst=3)
    _, slow = house.key(name="slow", rate=0.1, burst=1)
    _, free = house.key(name="free")
    await house.keeper.refresh()
    for _ in range(3):
        house.keeper.admit(busy, "predict")
    refused = house.refusal(busy)
    assert isinstance(refused, TooMany) and refused.seconds == 1
    assert "more often than 2/s, 3 at once" in str(refused)
    house.keeper.admit(slow, "predict")
    house.clock.advance(SECOND // 2 - 1)
    late = house.refusal(slow)
    assert isinstance(late, TooMany) and late.seconds == 10
    assert isinstance(house.refusal(busy), TooMany)
    house.clock.advance(1)
    house.keeper.admit(busy, "predict")
    for _ in range(1000):
        house.keeper.admit(free, "predict")


@asynchronous
async def test_who_waits_as_told_is_let_in() -> None:
    house = House()
    _, header = house.key(rate=0.3, burst=1)
    await house.keeper.refresh()
    for _ in range(5):
        house.keeper.admit(header, "predict")
        refused = house.refusal(header)
        assert isinstance(refused, TooMany)
        house.clock.advance(refused.seconds * SECOND)


@asynchronous
async def test_a_look_at_the_store_fills_no_bucket() -> None:
    house = House()
    _, header = house.key(rate=1.0, burst=1)
    await house.keeper.refresh()
    house.keeper.admit(header, "predict")
    house.key(name="another")
    await house.keeper.refresh()
    assert isinstance(house.refusal(header), TooMany)


@asynchronous
async def test_what_is_refused_costs_nothing() -> None:
    """Nobody uses up a rate by a secret that is wrong, nor by asking for what is forbidden."""
    house = House()
    _, header = house.key(rate=1.0, burst=1)
    await house.keeper.refresh()
    for _ in range(5):
        assert isinstance(house.refusal(header[:-1] + "-"), Unauthorized)
        assert isinstance(house.refusal(header, "admin"), Forbidden)
    house.keeper.admit(header, "predict")


def test_more_keys_than_a_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PAGE", 2)
    headers = [house.key(name=f"shop-{number}")[1] for number in range(5)]
    asynchronous(house.keeper.refresh)()
    assert len({house.keeper.admit(header, "predict").id for header in headers}) == 5


def test_no_secret_is_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Not by what it logs, nor by what it looks like in a debugger."""
    caplog.set_level(logging.DEBUG)
    _, header = house.key(rate=1.0, burst=1)
    asynchronous(house.keeper.refresh)()
    seen = [
        repr(house.keeper),
        repr(vars(house.keeper)),
        repr(house.keeper.admit(header, "predict")),
    ]
    house.refusal(header)
    house.refusal(header + "x")
    house.store.down = True
    asynchronous(house.keeper.refresh)()
    [secret] = house.secrets
    assert secret[21:] not in "".join(seen) + caplog.text
