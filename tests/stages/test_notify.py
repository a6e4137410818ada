"""M5: following the ledger, on a clock that stands still: nothing is lost or overtaken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.adapters.stores.memory import MemoryStore
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.errors import Conflict, LostLease
from greenlight.core.incidents import Delivery
from greenlight.core.notices import AGAIN, GIVE_UP, KINDS, Notice
from greenlight.core.records import HOUR, MINUTE, SECOND, Decision, Rollout, Version
from greenlight.core.states import Action
from greenlight.ports import Records
from greenlight.ports.notifier import NotDelivered
from greenlight.recording import record
from greenlight.stages import notify
from greenlight.testing import FakeClock
from tests.contracts.receiving import hook
from tests.stages.office import Office, rollout

Failure = Callable[[], None]


def away() -> None:
    raise NotDelivered("no connection: Connection refused", retry=True)


def refuses() -> None:
    raise NotDelivered("the answer is 400", retry=False)


class Paper:
    """A channel that writes down what it gets; `fails` are carried out in turn before that."""

    name = "ops"

    def __init__(self, *fails: Failure) -> None:
        self.got: list[Notice] = []
        self.fails = list(fails)
        self.tried = 0

    def send(self, notice: Notice) -> None:
        self.tried += 1
        if self.fails:
            self.fails.pop(0)()
        self.got.append(notice)

    @property
    def ids(self) -> list[str]:
        return [notice.id for notice in self.got]


class Scene:
    """A store with a channel that has begun."""

    def __init__(self, *fails: Failure, store: Records | None = None) -> None:
        self.store = store or MemoryStore()
        self.clock = FakeClock()
        self.paper = Paper(*fails)
        self.on: frozenset[str] = frozenset(KINDS)
        self.luck = np.random.default_rng(5)
        notify.begin(self.store, "ops", self.clock.now())

    def happens(self, action: str = "rollback", kind: str = "decision", **body: Any) -> str:
        """Something happens; the digest of its entry."""
        said = {"action": action, "code": "errors", "reason": "why", "rollout": "r1", **body}
        record(self.store, [(kind, {"task": "intent", **said})], now=self.clock.now())
        newest = notify.head(self.store)
        assert newest is not None
        return newest.digest

    def step(self, holder: str = "a", paper: Paper | None = None) -> notify.Step:
        return notify.deliver(
            self.store,
            paper or self.paper,
            on=self.on,
            pages="https://pages.acme.example/",
            holder=holder,
            now=self.clock.now,
            random=self.luck.bytes,
        )

    def all(self, holder: str = "a") -> list[str]:
        """Outcomes until there is nothing more to do right away."""
        found = []
        while True:
            step = self.step(holder)
            found.append(step.outcome)
            if not step.more:
                return found

    @property
    def kept(self) -> Delivery:
        found = self.store.get(Delivery, "ops")
        assert found is not None
        return found


def test_what_happens_is_told_once_and_in_order() -> None:
    scene = Scene()
    ids = [scene.happens(action) for action in ("start", "widen", "rollback")]
    assert scene.all() == ["delivered"] * 3 + ["idle"]
    assert scene.paper.ids == ids
    assert [notice.seq for notice in scene.paper.got] == [1, 2, 3]
    assert scene.all() == ["idle"]
    assert (scene.kept.seq, scene.kept.delivered, scene.kept.given_up) == (3, 3, 0)


def test_a_new_channel_hears_nothing_of_the_past() -> None:
    store = MemoryStore()
    record(store, [("decision", {"action": "rollback"})], now=1)
    scene = Scene(store=store)
    assert scene.all() == ["idle"]
    later = scene.happens()
    scene.all()
    assert scene.paper.ids == [later]


def test_begun_once() -> None:
    scene = Scene()
    first = scene.kept
    scene.happens()
    assert notify.begin(scene.store, "ops", scene.clock.now()) == first


def test_what_nobody_asked_for_is_passed() -> None:
    """Unknown kinds of entries too: there will be more of them than this knows."""
    scene = Scene()
    scene.on = frozenset({"rollback"})
    for n in range(3 * notify.PAGE):
        scene.happens("widen" if n % 2 else "stay", kind="decision" if n % 3 else "moon")
    wanted = scene.happens("rollback")
    assert scene.all() == ["passed", "passed", "passed", "delivered", "idle"]
    assert scene.paper.ids == [wanted]


class TestRetries:
    """M5: retried with backoff and jitter, on record."""

    def test_longer_each_time_up_to_ten_minutes(self) -> None:
        scene = Scene(*[away] * 14)
        scene.happens()
        waits = []
        for attempt in range(1, 15):
            assert scene.all() == ["failed"]
            assert (scene.kept.attempts, scene.kept.seq) == (attempt, 0)
            assert scene.kept.error == "no connection: Connection refused"
            waits.append(scene.kept.next_at - scene.clock.now())
            scene.clock.advance(waits[-1] - 1)
            assert scene.all() == ["idle"], "not before its time"
            scene.clock.advance(1)
        for number, found in enumerate(waits):
            full = min(10 * MINUTE, SECOND * 2**number)
            assert full / 2 <= found <= full
        assert len({found / min(10 * MINUTE, SECOND * 2**n) for n, found in enumerate(waits)}) > 10
        assert scene.all() == ["delivered", "idle"]
        kept = scene.kept
        assert (kept.attempts, kept.error, kept.since, kept.next_at) == (0, None, None, 0)

    def test_what_comes_after_waits_its_turn(self) -> None:
        scene = Scene(away)
        ids = [scene.happens(), scene.happens("promote")]
        scene.all()
        assert scene.paper.tried == 1
        scene.clock.advance(MINUTE)
        scene.all()
        assert scene.paper.ids == ids

    def test_entries_before_a_failure_are_not_looked_at_again(self) -> None:
        scene = Scene(away)
        scene.happens(kind="moon")
        scene.happens()
        scene.step()
        assert scene.kept.seq == 1

    @pytest.mark.parametrize(
        ("asked", "least", "most"),
        [
            (120.0, 120 * SECOND, 120 * SECOND),
            (0.0, SECOND // 2, SECOND),
            (10.0**12, HOUR, HOUR),
            (-1.0, SECOND // 2, SECOND),
            (float("inf"), HOUR, HOUR),
            (float("nan"), SECOND // 2, SECOND),
        ],
    )
    def test_a_receiver_may_ask_for_up_to_an_hour(
        self, asked: float, least: int, most: int
    ) -> None:
        def busy() -> None:
            raise NotDelivered("the answer is 429", retry=True, after=asked)

        scene = Scene(busy)
        scene.happens()
        scene.all()
        assert least <= scene.kept.next_at - scene.clock.now() <= most

    def test_a_fault_of_ours_waits_like_any_other_and_tells_no_secret(self) -> None:
        def broken() -> None:
            raise ValueError("https://hooks.example/s3cr3t")

        scene = Scene(broken)
        scene.happens()
        step = scene.step()
        assert step.outcome == "failed" and "ValueError" in str(step.error)
        assert "s3cr3t" not in f"{step} {scene.kept}"
        scene.clock.advance(MINUTE)
        assert scene.all() == ["delivered", "idle"]


class TestGivenUp:
    """M5: one message that cannot be delivered does not hold up the others for ever."""

    def test_one_that_is_refused_goes_at_once(self) -> None:
        scene = Scene(refuses)
        scene.happens()
        following = scene.happens("promote")
        assert scene.all() == ["given_up", "delivered", "idle"]
        assert scene.paper.ids == [following]
        assert (scene.kept.given_up, scene.kept.delivered) == (1, 1)

    def test_the_last_one_refused_is_told_of(self) -> None:
        scene = Scene(refuses)
        scene.happens()
        scene.all()
        assert scene.kept.error == "the answer is 400" and scene.kept.attempts == 0
        told = notify.backlog(scene.store, "ops", "webhook", scene.clock.now())
        assert told.error == "the answer is 400" and told.next_at is None

    def test_after_a_day_in_vain(self) -> None:
        """An outage of less than a day loses nothing, however many messages wait."""
        scene = Scene(*[away] * 1000)
        scene.happens()
        ids = [scene.happens("promote") for _ in range(5)]
        began = scene.clock.now()
        while scene.kept.given_up == 0:
            scene.clock.advance(max(0, scene.kept.next_at - scene.clock.now()))
            step = scene.step()
            took = scene.clock.now() - began
            assert step.outcome == ("given_up" if took >= GIVE_UP else "failed")
        assert GIVE_UP <= scene.clock.now() - began <= GIVE_UP + 10 * MINUTE
        assert scene.kept.attempts > 140, "the channel is still left alone for long"
        assert scene.step().outcome == "idle"
        scene.paper.fails.clear()
        scene.clock.advance(10 * MINUTE)
        scene.all()
        assert scene.paper.ids == ids
        assert (scene.kept.given_up, scene.kept.delivered) == (1, 5)

    @pytest.mark.parametrize("beside", [True, False])
    def test_what_nobody_wants_any_more_hastens_no_other(self, beside: bool) -> None:
        """A channel's kinds are others now: the next message has a day of its own."""
        scene = Scene(away, away)
        scene.happens("rollback")
        assert scene.all() == ["failed"]
        scene.on = frozenset({"promotion"})
        if not beside:
            scene.clock.advance(MINUTE)
            assert scene.all() == ["passed", "idle"]
            kept = scene.kept
            assert (kept.attempts, kept.next_at, kept.error, kept.since) == (0, 0, None, None)
        scene.clock.advance(GIVE_UP)
        wanted = scene.happens("promote")
        assert scene.all() == ["failed"]
        scene.clock.advance(MINUTE)
        assert scene.all() == ["delivered", "idle"]
        assert scene.paper.ids == [wanted] and scene.kept.given_up == 0

    def test_why_one_was_refused_is_told_until_another_arrives(self) -> None:
        scene = Scene(refuses)
        scene.happens()
        scene.happens(kind="moon")
        assert scene.all() == ["given_up", "passed", "idle"]
        assert scene.kept.error == "the answer is 400"


class TestProcesses:
    """M5: at least once over any end of a process, and by one process at a time."""

    def test_killed_between_delivery_and_commit(self) -> None:
        class Killed(BaseException):
            pass

        class Dying(Paper):
            def send(self, notice: Notice) -> None:
                super().send(notice)
                raise Killed

        scene, dying = Scene(), Dying()
        ids = [scene.happens(), scene.happens("promote")]
        with pytest.raises(Killed):
            scene.step("a", dying)
        assert scene.all("b") == ["idle"], "its lease is still good"
        scene.clock.advance(notify.LEASE_TTL)
        assert scene.all("b") == ["delivered", "delivered", "idle"]
        assert dying.ids + scene.paper.ids == [ids[0], ids[0], ids[1]]

    def test_a_real_process_that_is_killed_once_the_message_is_out(self, tmp_path: Path) -> None:
        """kill -9 by the receiver, while the sender waits for its answer."""
        store = SqlStore(f"sqlite:///{tmp_path}/store.db")
        scene = Scene(store=store)
        ids = [scene.happens(), scene.happens("promote")]
        with hook() as found:
            sender: list[subprocess.Popen[bytes]] = []
            found.before = lambda: sender[-1].kill()
            for later in (0, notify.LEASE_TTL):
                now = scene.clock.now() + later
                call = [sys.executable, "-c", SENDER, str(tmp_path), found.url, str(now)]
                sender.append(subprocess.Popen(call))
                ended = sender[-1].wait(60)
                assert ended == (0 if later else -9)
                found.before = lambda: None
        got = [post.headers["X-Greenlight-Id"] for post in found.posts]
        assert got == [ids[0], ids[0], ids[1]]
        assert scene.kept.seq == 2
        store.close()

    def test_one_at_a_time(self) -> None:
        scene = Scene()
        first, second = scene.happens(), scene.happens("promote")
        assert scene.step("a").outcome == "delivered"
        assert scene.step("b").outcome == "idle"
        assert scene.step("a").outcome == "delivered"
        assert scene.paper.ids == [first, second]

    def test_who_took_too_long_writes_nothing(self) -> None:
        scene = Scene()
        scene.happens()

        def slow() -> None:
            scene.clock.advance(notify.LEASE_TTL)
            assert scene.step("b", Paper()).outcome == "delivered"

        with pytest.raises((LostLease, Conflict)):
            scene.step("a", Paper(slow))
        assert (scene.kept.seq, scene.kept.delivered) == (1, 1)

    def test_nothing_is_written_while_nothing_happens(self) -> None:
        scene = Scene()
        scene.all()
        before = scene.kept
        scene.clock.advance(HOUR)
        assert scene.all() == ["idle"]
        assert scene.kept == before
        assert scene.store.lease("notify:ops", "z", scene.clock.now(), 1) is not None


SENDER = """
import sys
from random import Random
from greenlight.adapters.notifiers.webhook import WebhookNotifier
from greenlight.adapters.stores.sql import SqlStore
from greenlight.core.notices import KINDS
from greenlight.stages import notify
from greenlight.testing import FakeClock

folder, url, now = sys.argv[1:]
store, clock = SqlStore(f"sqlite:///{folder}/store.db"), FakeClock(int(now))
channel = WebhookNotifier("ops", url, "secret", clock=clock)
while notify.deliver(
    store, channel, on=KINDS, pages=None, holder=now, now=clock.now, random=Random(1).randbytes
).more:
    pass
"""


class TestContext:
    """M5: what a message says that stands in other records."""

    def test_versions_by_their_labels_and_a_link(self) -> None:
        office = Office()
        scene = Scene(store=office.store)
        candidate = office.evaluated()
        begun = rollout(candidate, "eve", office.clock.now())
        office.store.commit(append=[begun])
        notify.begin(office.store, "late", 0)
        scene.on = frozenset({"rollback", "approval"})
        scene.happens("rollback", rollout=begun.id)
        scene.happens(kind="approval", decision="revoke", version=candidate.digest, person="ana")
        scene.all()
        back, word = scene.paper.got
        assert back.title == "intent: intent@1 was rolled back"
        assert back.link == f"https://pages.acme.example/rollouts/{begun.id}"
        assert word.title == "intent@1: ana took back their word on it"
        assert word.task == "intent"

    def test_a_drill_is_told_as_one(self) -> None:
        office = Office()
        scene = Scene(store=office.store)
        begun = rollout(office.evaluated(), "eve", office.clock.now())
        begun = msgspec.structs.replace(begun, drill="errors: 5% of its calls fail")
        office.store.commit(append=[begun])
        scene.on = frozenset({"rollback"})
        scene.happens("rollback", rollout=begun.id)
        scene.all()
        [notice] = scene.paper.got
        assert notice.title.startswith("drill: intent: intent@1 was rolled back")
        assert notice.severity == "info"

    def test_a_hold_that_comes_and_goes_is_told_once_an_hour(self) -> None:
        scene = Scene()
        told = []
        for minutes, code in [(0, "srm"), (1, "srm"), (2, "stale"), (30, "srm"), (95, "srm")]:
            scene.clock.advance(minutes * MINUTE - (scene.clock.now() - FakeClock().now()))
            made = decision(f"d{minutes:02}", code, scene.clock.now())
            body = msgspec.to_builtins(made)
            record(scene.store, [("decision", body)], append=[made], now=made.at)
            told.append(scene.all() == ["delivered", "idle"])
        assert told == [True, False, True, False, True]

    def test_catching_up_mutes_no_more_than_following_does(self) -> None:
        """What is news depends on what was before an entry, not on when it is looked at."""
        scene = Scene()
        for n in range(2 * notify.LOOK_BACK):
            made = decision(f"d{n:05}", "srm" if n in (1, 2) else "stale", scene.clock.now())
            body = msgspec.to_builtins(made)
            record(scene.store, [("decision", body)], append=[made], now=made.at)
            scene.clock.advance(SECOND)
        scene.all()
        assert [notice.body["id"] for notice in scene.paper.got] == ["d00000", "d00001"]
        assert 2 * notify.LOOK_BACK * SECOND < AGAIN


def decision(id: str, code: str, at: int) -> Decision:
    return Decision(
        id=id,
        task="intent",
        rollout="r1",
        action=Action.HOLD,
        code=code,
        reason="why",
        evidence={},
        epoch_seen=1,
        policy_digest="sha256:p",
        at=at,
    )


class TestBacklog:
    """M5: how far a channel is behind."""

    def test_before_it_has_begun(self) -> None:
        found = notify.backlog(MemoryStore(), "ops", "slack", 0)
        assert (found.begun, found.entries, found.channel, found.kind) == (False, 0, "ops", "slack")

    def test_behind(self) -> None:
        scene = Scene(away)
        scene.happens()
        scene.clock.advance(30 * SECOND)
        scene.happens("promote")
        scene.all()
        found = notify.backlog(scene.store, "ops", "slack", scene.clock.now())
        assert (found.begun, found.entries, found.seconds, found.attempts) == (True, 2, 30.0, 1)
        assert found.next_at == scene.kept.next_at and found.error is not None
        scene.clock.advance(MINUTE)
        scene.all()
        found = notify.backlog(scene.store, "ops", "slack", scene.clock.now())
        assert (found.entries, found.seconds, found.delivered) == (0, 0.0, 2)


def test_records_that_the_words_need_may_be_gone() -> None:
    """A message must not get lost over a record that was restored from an older backup."""
    scene = Scene()
    assert scene.store.get(Rollout, "r1") is None and scene.store.scan(Version) == []
    scene.happens("rollback", candidate="sha256:0f1e2d3c4b5a6978")
    scene.all()
    [notice] = scene.paper.got
    assert notice.title == "intent: 0f1e2d3c4b5a was rolled back"
