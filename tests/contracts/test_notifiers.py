"""M5: the channels of notifications, under one contract, against real receivers."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from greenlight.adapters.notifiers.slack import SlackNotifier
from greenlight.adapters.notifiers.webhook import WebhookNotifier
from greenlight.ports.notifier import NotDelivered, Notifier
from greenlight.testing import FakeClock
from tests.contracts.notices import NOTICE, PASSWORD, SECRET, SHORT_ID
from tests.contracts.receiving import Hook, hook, mailbox, mailer

pytestmark = pytest.mark.usefixtures("direct")

PATIENCE = 0.3
"""Seconds to wait for a receiver that is not there, or says nothing."""


class Subject:
    """A channel, and the receiver behind it."""

    def __init__(
        self,
        notifier: Notifier,
        got: Callable[[], list[str]],
        fails: Callable[[str], None],
        elsewhere: Callable[[int], Notifier],
    ) -> None:
        self.notifier = notifier
        self.got = got
        """Everything that came of each message, as text."""
        self.fails = fails
        """Let the next attempt fail: `for now` or because of this `message`."""
        self.elsewhere = elsewhere
        """The same channel, with its receiver at another port."""


def posted(found: Hook) -> list[str]:
    return [f"{post.headers} {json.loads(post.body)}" for post in found.posts]


def fail(found: Hook, why: str) -> None:
    found.answer(503 if why == "for now" else 400)


def of_hook(found: Hook, make: Callable[[str, float], Notifier]) -> Subject:
    def elsewhere(port: int) -> Notifier:
        return make(f"http://127.0.0.1:{port}/hooks/T0/B0", PATIENCE)

    return Subject(
        make(found.url, 5.0), lambda: posted(found), lambda why: fail(found, why), elsewhere
    )


@pytest.fixture(params=["webhook", "slack", "email"])
def subject(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Subject]:
    """Every channel in turn."""
    clock = FakeClock()
    if request.param == "email":
        with mailbox(certificate) as box:
            yield Subject(
                mailer(certificate, box.port),
                lambda: [f"{mail} {mail.get_content()}" for _, mail in box.mails],
                lambda why: box.refuse.update(END="451 later" if why == "for now" else "554 no"),
                lambda port: mailer(certificate, port, patience=PATIENCE),
            )
        return

    def webhook(url: str, patience: float) -> Notifier:
        return WebhookNotifier("ops", url, SECRET, clock=clock, patience=patience)

    def slack(url: str, patience: float) -> Notifier:
        return SlackNotifier("ops", url, clock=clock, patience=patience)

    with hook() as found:
        yield of_hook(found, webhook if request.param == "webhook" else slack)


class TestContract:
    """M5, of every channel."""

    def test_a_message_says_what_happened_why_and_what_next(self, subject: Subject) -> None:
        subject.notifier.send(NOTICE)
        [got] = subject.got()
        for said in (NOTICE.title, NOTICE.text, NOTICE.next, NOTICE.link, SHORT_ID):
            assert said is not None and said in got
        assert subject.notifier.name == "ops"

    def test_without_a_page_there_is_no_link(self, subject: Subject) -> None:
        subject.notifier.send(msgspec.structs.replace(NOTICE, link=None))
        [got] = subject.got()
        assert "/rollouts/" not in got and NOTICE.title in got

    def test_what_a_repeat_is_told_by(self, subject: Subject) -> None:
        """At least once: the same message has the same id, and another has another."""
        other = msgspec.structs.replace(NOTICE, id="sha256:" + "ab" * 32)
        for notice in (NOTICE, NOTICE, other):
            subject.notifier.send(notice)
        assert [SHORT_ID in got for got in subject.got()] == [True, True, False]

    @pytest.mark.parametrize(
        ("why", "retry"), [("for now", True), ("message", False)], ids=["for-now", "message"]
    )
    def test_a_failure_says_whether_to_try_again(
        self, subject: Subject, why: str, retry: bool
    ) -> None:
        subject.fails(why)
        with pytest.raises(NotDelivered) as caught:
            subject.notifier.send(NOTICE)
        assert caught.value.retry is retry

    def test_nobody_there(self, subject: Subject) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(NotDelivered, match="refused") as caught:
            subject.elsewhere(port).send(NOTICE)
        assert caught.value.retry

    def test_somebody_who_says_nothing(self, subject: Subject) -> None:
        began = time.monotonic()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            notifier = subject.elsewhere(listener.getsockname()[1])
            with pytest.raises(NotDelivered, match=r"no answer within 0\.3 s") as caught:
                notifier.send(NOTICE)
        assert caught.value.retry
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        "text",
        ["ä 日本 🟢", "a\nb\r\n.\r\nc", "<!channel> & <@U1>", "x" * 2000, "&" * 2000, ""],
        ids=["unicode", "lines", "commands", "long", "longer-in-slack", "empty"],
    )
    def test_whatever_a_reason_says_it_arrives(self, subject: Subject, text: str) -> None:
        subject.notifier.send(msgspec.structs.replace(NOTICE, text=text))
        [got] = subject.got()
        assert NOTICE.title in got

    @pytest.mark.parametrize("how", ["well", "for now", "message", "away"])
    def test_no_secret_is_told(
        self, subject: Subject, caplog: pytest.LogCaptureFixture, how: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        notifier, said = subject.notifier, ""
        if how == "away":
            notifier = subject.elsewhere(1)
        elif how != "well":
            subject.fails(how)
        try:
            notifier.send(NOTICE)
        except NotDelivered as error:
            said = f"{error!r} {error} {error.__cause__}"
        told = " ".join([said, caplog.text, repr(notifier), *subject.got()])
        for secret in (SECRET, PASSWORD, "hooks/T0/B0"):
            assert secret not in told
