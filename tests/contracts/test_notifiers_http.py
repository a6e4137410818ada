"""M5: webhooks, and messages in Slack's form, over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from greenlight.adapters.notifiers.posting import MENDED
from greenlight.adapters.notifiers.slack import SlackNotifier
from greenlight.adapters.notifiers.webhook import WebhookNotifier
from greenlight.core.records import SECOND
from greenlight.ports.notifier import NotDelivered
from greenlight.testing import FakeClock
from tests.contracts.notices import NOTICE, SECRET
from tests.contracts.receiving import Hook, hook

pytestmark = pytest.mark.usefixtures("direct")


def check(header: str, body: bytes, secret: str, now: int) -> bool:
    """An independent reading of the signature."""
    fields = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(secret.encode(), f"{fields['t']}.".encode() + body, hashlib.sha256)
    return hmac.compare_digest(expected.hexdigest(), fields["v1"]) and (
        abs(now - int(fields["t"])) <= 300
    )


class TestWebhook:
    """M5: JSON over HTTP, signed."""

    @pytest.fixture
    def found(self) -> Iterator[Hook]:
        with hook() as made:
            yield made

    def made(self, found: Hook, clock: FakeClock | None = None) -> WebhookNotifier:
        return WebhookNotifier("ops", found.url, SECRET, clock=clock or FakeClock(), patience=2.0)

    def failure(self, found: Hook, clock: FakeClock | None = None) -> NotDelivered:
        with pytest.raises(NotDelivered) as caught:
            self.made(found, clock).send(NOTICE)
        return caught.value

    def test_the_signature_covers_time_and_body(self, found: Hook) -> None:
        clock = FakeClock()
        self.made(found, clock).send(NOTICE)
        [post] = found.posts
        header = post.headers["X-Greenlight-Signature"]
        now = clock.now() // SECOND
        assert check(header, post.body, SECRET, now)
        assert not check(header, post.body, "another", now)
        assert not check(header, post.body + b" ", SECRET, now)
        assert not check(header, post.body, SECRET, now + 301)
        later = header.replace(f"t={now}", f"t={now + 60}")
        assert later != header and not check(later, post.body, SECRET, now)

    def test_each_attempt_is_signed_anew(self, found: Hook) -> None:
        """Else a message that was retried for hours would look like one that somebody replays."""
        clock = FakeClock()
        notifier = self.made(found, clock)
        notifier.send(NOTICE)
        clock.advance(2 * 3600 * SECOND)
        notifier.send(NOTICE)
        first, second = found.posts
        assert first.body == second.body
        assert check(second.headers["X-Greenlight-Signature"], second.body, SECRET, _seconds(clock))
        assert first.headers["X-Greenlight-Id"] == NOTICE.id == second.headers["X-Greenlight-Id"]

    def test_the_body_is_the_notice(self, found: Hook) -> None:
        self.made(found).send(NOTICE)
        [post] = found.posts
        assert json.loads(post.body) == msgspec.to_builtins(NOTICE)
        assert post.headers["Content-Type"] == "application/json"
        assert post.headers["User-Agent"].startswith("greenlight/")

    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_any_success_will_do(self, found: Hook, status: int) -> None:
        found.answer(status)
        self.made(found).send(NOTICE)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_no_redirect_is_followed(self, found: Hook, status: int) -> None:
        found.answer(status, location=found.url.replace("hooks", "elsewhere"))
        failure = self.failure(found)
        assert failure.retry and f"the answer is {status}, a redirect" in str(failure)
        assert [post.path for post in found.posts] == ["/hooks/T0/B0"]

    @pytest.mark.parametrize("status", [400, 405, 409, 413, 415, 422, 451])
    def test_what_refuses_the_message_is_not_tried_again(self, found: Hook, status: int) -> None:
        found.answer(status)
        failure = self.failure(found)
        assert not failure.retry and str(failure) == f"the answer is {status}"

    @pytest.mark.parametrize("status", sorted({*MENDED, 500, 502, 503, 504, 599}))
    def test_what_somebody_can_mend_is(self, found: Hook, status: int) -> None:
        found.answer(status)
        assert self.failure(found).retry

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("120", 120.0),
            ("0", 0.0),
            ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0),
            ("Thu, 14 Jan 2027 08:00:00 GMT", 0.0),
            ("soon", None),
            ("-5", None),
            ("1e9", None),
            ("²", None),
            ("9" * 30, None),
        ],
    )
    def test_when_the_receiver_says_when(
        self, found: Hook, text: str, seconds: float | None
    ) -> None:
        found.answer(429, retry_after=text.encode().decode("latin-1"))
        failure = self.failure(found, FakeClock(1_800_000_000 * SECOND))
        assert failure.retry and failure.after == seconds

    def test_an_answer_that_is_a_word_is_told_and_no_other(self, found: Hook) -> None:
        for body in (b"no_service\n", b"Cannot POST /hooks/T0/B0", b"\xff", b"hooks", b""):
            found.answer(404, body)
        said = [str(self.failure(found)) for _ in range(5)]
        assert said == ["the answer is 404: no_service", *["the answer is 404"] * 4]

    def test_a_receiver_that_is_none(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"

            def hang_up() -> None:
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.7\r\n")
                connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            notifier = WebhookNotifier("ops", url, SECRET, clock=FakeClock(), patience=2.0)
            with pytest.raises(NotDelivered, match="no answer that is HTTP") as caught:
                notifier.send(NOTICE)
            thread.join()
        assert caught.value.retry


class TestSlack:
    """M5: what Slack and others like it take."""

    @pytest.mark.parametrize("severity", ["info", "warning", "critical"])
    def test_text_for_phones_and_blocks_to_be_shown(self, severity: Any) -> None:
        notice = msgspec.structs.replace(NOTICE, severity=severity, text="<!here> & more")
        with hook() as found:
            SlackNotifier("ops", found.url, clock=FakeClock()).send(notice)
            [post] = found.posts
        sent = json.loads(post.body)
        assert set(sent) == {"text", "blocks"}
        assert notice.title in sent["text"]
        header, section, context = sent["blocks"]
        assert header["text"]["type"] == "plain_text" and len(header["text"]["text"]) <= 150
        assert section["text"]["text"].startswith("&lt;!here&gt; &amp; more\n*Next:* see what")
        assert f"<{notice.link}|" in context["elements"][0]["text"]

    def test_no_section_is_longer_than_slack_takes(self) -> None:
        notice = msgspec.structs.replace(NOTICE, text="&" * 2000, next="<" * 2000)
        with hook() as found:
            SlackNotifier("ops", found.url, clock=FakeClock()).send(notice)
            [post] = found.posts
        section = json.loads(post.body)["blocks"][1]["text"]["text"]
        assert len(section) <= 3000
        assert section.replace("&amp;", "").strip("…") == ""


def _seconds(clock: FakeClock) -> int:
    return clock.now() // SECOND
