"""`greenlight notify`, what `doctor` says of channels, and a controller that delivers (M5)."""

from __future__ import annotations

import dataclasses
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenlight import config, wiring
from greenlight.adapters.clock import SystemClock
from greenlight.core.errors import ConfigError
from greenlight.core.incidents import Delivery
from greenlight.core.records import HOUR, Decision
from greenlight.core.states import Action
from greenlight.entrypoints import controller
from greenlight.recording import record
from greenlight.testing import FakeClock
from greenlight.wiring import notifying
from tests.cli.examining import bare, examined, only
from tests.cli.project import Project
from tests.contracts.receiving import Hook, hook, mailbox, make_certificate

SECRET = "whsec-not-to-be-shown"
SET = {"HOOK_SECRET": SECRET, "NO_PROXY": "127.0.0.1"}
DEADLINE = 20.0
"""Seconds to wait for what another thread does."""


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SET.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def found() -> Iterator[Hook]:
    """The receiver of the channel `ops`."""
    with hook() as made:
        yield made


def add(project: Project, name: str, *lines: str) -> None:
    """Add a channel."""
    with project.file.open("a", encoding="utf-8") as file:
        file.write("\n".join([f"[notify.{name}]", *lines, ""]))


def webhook(project: Project, url: str, name: str = "ops") -> None:
    add(project, name, 'kind = "webhook"', f'url = "{url}"', 'secret = "env:HOOK_SECRET"')


def eventually(true: Callable[[], object], what: str) -> None:
    until = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.01)


class TestTest:
    """`greenlight notify test`"""

    def test_one_that_works(self, project: Project, found: Hook) -> None:
        webhook(project, found.url)
        assert project.ok("notify", "test") == "ops (webhook): delivered\n"
        [post] = found.posts
        sent = json.loads(post.body)
        assert sent["kind"] == "test" and "notify test ops" in sent["text"]
        assert project.json("notify", "test", "ops") == {
            "trials": [{"channel": "ops", "kind": "webhook", "delivered": True, "error": None}]
        }
        again = json.loads(found.posts[1].body)
        assert again["id"] != sent["id"], "two tests are two messages"

    def test_one_that_does_not_and_one_that_does(self, project: Project, found: Hook) -> None:
        webhook(project, found.url)
        webhook(project, "http://127.0.0.1:1/x", name="dead")
        result = project.call("notify", "test")
        assert result.exit_code == 1
        assert result.stdout == "ops (webhook): delivered\n"
        assert "dead (webhook): not delivered: no answer: Connection refused" in result.stderr
        told = project.call("notify", "test", "dead", "--json")
        assert told.exit_code == 1
        assert json.loads(told.stdout)["trials"][0]["delivered"] is False

    def test_a_variable_that_is_not_set(self, project: Project, found: Hook) -> None:
        webhook(project, found.url)
        result = project.call("notify", "test", HOOK_SECRET="")
        assert result.exit_code == 1
        assert "notify.ops.secret: the variable HOOK_SECRET is not set" in result.stderr
        assert found.posts == []

    @pytest.mark.parametrize(
        "value",
        [
            "file:///etc/passwd",
            "s3cr3t",
            "ftp://h/s3cr3t",
            "http://",
            "https://[s3cr3t/",
            "https://h:s3cr3t/",
        ],
    )
    def test_a_variable_that_holds_no_address(self, project: Project, value: str) -> None:
        add(project, "chat", 'kind = "slack"', 'url = "env:CHAT_URL"')
        settings = config.load(project.file, {})
        with pytest.raises(ConfigError) as caught:
            notifying.open_notifier(settings, "chat", FakeClock(), {"CHAT_URL": value})
        problem = "notify.chat.url: the variable CHAT_URL holds no https:// address"
        assert caught.value.problems == (problem,)

    def test_no_channel(self, project: Project) -> None:
        assert "write a table [notify.NAME]" in project.refused(2, "notify", "test")
        webhook(project, "http://127.0.0.1:1/x")
        assert "there are: ops" in project.refused(2, "notify", "test", "oncall")


class TestList:
    """`greenlight notify list`"""

    def test_before_and_after(self, project: Project) -> None:
        assert "no channel" in project.ok("notify", "list")
        webhook(project, "http://127.0.0.1:1/x")
        assert "begins with the next start of a controller" in project.ok("notify", "list")
        [told] = project.json("notify", "list")["channels"]
        assert (told["channel"], told["begun"]) == ("ops", False)
        with wiring.open_app(config.load(project.file, {})) as app:
            wiring.open_channels(app)
        assert project.ok("notify", "list").splitlines()[1].endswith("–       ok")

    @pytest.mark.parametrize(
        ("kept", "says"),
        [
            (
                {"attempts": 3, "error": "the answer is 503", "next_at": HOUR},
                "failed 3 times: the ",
            ),
            ({"error": "the answer is 400", "given_up": 1}, "the last message was given up: the "),
        ],
    )
    def test_what_went_wrong(self, project: Project, kept: dict[str, Any], says: str) -> None:
        webhook(project, "http://127.0.0.1:1/x")
        fields = {"attempts": 0, "next_at": 0, "error": None, "at": 0, **kept}
        with wiring.open_app(config.load(project.file, {})) as app:
            app.store.commit(append=[Delivery(channel="ops", seq=0, **fields)])
            for _ in range(2):
                record(app.store, [("note", {})], now=app.clock.now() - 90_000_000)
        text = project.ok("notify", "list")
        assert says in text and "2 entries, 9" in text


@contextmanager
def controlling(project: Project) -> Iterator[threading.Event]:
    """A controller that looks twenty times a second."""
    settings = config.load(project.file, {"GREENLIGHT_CONTROLLER_INTERVAL": "50ms"})
    stop = threading.Event()
    with wiring.open_app(settings) as app:
        thread = threading.Thread(target=controller.control, args=(app, "one", stop))
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join()


def settled(project: Project) -> None:
    """Wait until every channel has begun and the controller has nothing more to write: who gives an
    order at the moment of a decision has to give it again."""

    def still() -> bool:
        with wiring.open_app(config.load(project.file, {})) as app:
            held = app.store.scan(Decision, newest_first=True, limit=1)[0].action == Action.HOLD
            return held and all(one.begun for one in wiring.backlogs(app))

    eventually(still, "the controller holds the rollout")


class TestController:
    """M5: messages follow what is on the ledger."""

    def test_a_rollback_by_hand_is_told_with_labels(
        self, rolling: Project, found: Hook, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        webhook(rolling, found.url)
        with controlling(rolling):
            settled(rolling)
            rolling.ok("rollout", "rollback", "intent", "-m", "support is flooded", by="ana")
            eventually(lambda: len(found.posts) == 2, "the messages come")
        held, sent = (json.loads(post.body) for post in found.posts)
        assert held["kind"] == "hold" and "greenlight versions show intent@2" in held["next"]
        assert (sent["kind"], sent["title"]) == ("rollback", "intent: intent@2 was rolled back")
        assert "support is flooded" in sent["text"] and sent["link"] is None
        assert "notify.ops: intent: intent@2 was rolled back" in caplog.text
        assert SECRET not in caplog.text + rolling.ok("notify", "list")

    def test_a_dead_end_delays_no_decision(self, rolling: Project, found: Hook) -> None:
        """Neither does it hold up another channel."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            webhook(rolling, f"http://127.0.0.1:{listener.getsockname()[1]}/", name="dead")
            webhook(rolling, found.url)
            looked: list[str] = []
            look = wiring.DeploymentManager.look
            with pytest.MonkeyPatch.context() as patch:

                def counted(manager: wiring.DeploymentManager, task: str, holder: str) -> Any:
                    looked.append(task)
                    return look(manager, task, holder)

                patch.setattr(wiring.DeploymentManager, "look", counted)
                with controlling(rolling):
                    settled(rolling)
                    rolling.ok("rollout", "rollback", "intent", "-m", "flooded", by="ana")
                    hanging, _ = listener.accept()
                    assert b"POST / HTTP/1.1" in hanging.recv(100)
                    before = len(looked)
                    eventually(lambda: len(looked) >= before + 5, "the controller looks on")
                    eventually(lambda: found.posts, "the other channel is told")
                    hanging.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        while hanging.recv(65536):
                            pass
                    hanging.close()

    def test_a_channel_without_its_variable_gets_everything_later(
        self,
        rolling: Project,
        found: Hook,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        webhook(rolling, found.url)
        monkeypatch.delenv("HOOK_SECRET")
        with controlling(rolling):
            settled(rolling)
            rolling.ok("rollout", "rollback", "intent", "-m", "flooded", by="ana")
            eventually(lambda: "HOOK_SECRET is not set" in caplog.text, "the log says why")
        [told] = rolling.json("notify", "list")["channels"]
        assert "HOOK_SECRET is not set" in told["error"]
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        clock = FakeClock(SystemClock().now() + 2 * HOUR)
        with wiring.open_app(config.load(rolling.file, {})) as app:
            later = dataclasses.replace(app, clock=clock)
            [channel] = wiring.open_channels(later)
            while wiring.deliver(later, channel, "another").more:
                pass
        assert [json.loads(post.body)["kind"] for post in found.posts] == ["hold", "rollback"]

    def test_a_store_that_is_away_ends_nothing(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        webhook(project, "http://127.0.0.1:1/x")
        opened: list[int] = []

        def away(app: wiring.App) -> list[wiring.Channel]:
            opened.append(1)
            if len(opened) < 3:
                raise OSError("away")
            return []

        monkeypatch.setattr(wiring, "open_channels", away)
        with controlling(project):
            eventually(lambda: len(opened) == 3, "it is tried again")
        assert "the channels could not be opened; messages wait" in caplog.text


@pytest.mark.parametrize(
    ("host", "pages", "expected"),
    [
        ("127.0.0.1", None, None),
        ("localhost", None, None),
        ("::1", None, None),
        ("0.0.0.0", None, None),
        ("10.0.0.7", None, "http://10.0.0.7:8400"),
        ("gateway.acme.example", None, "http://gateway.acme.example:8400"),
        ("127.0.0.1", "https://pages.acme.example", "https://pages.acme.example"),
    ],
)
def test_a_link_leads_where_others_can_go(
    project: Project, host: str, pages: str | None, expected: str | None
) -> None:
    more = [] if pages is None else [f'pages = "{pages}"']
    add(project, "chat", 'kind = "slack"', 'url = "env:CHAT_URL"', *more)
    settings = config.load(project.file, {"GREENLIGHT_GATEWAY_HOST": host})
    assert notifying.pages_of(settings, settings.notify["chat"]) == expected


@pytest.mark.usefixtures(bare.__name__)
class TestDoctor:
    """M5: a finding for each channel; nothing is sent."""

    def test_no_channel_no_finding(self, project: Project) -> None:
        assert examined(project, "notify") == []

    def test_a_webhook(self, project: Project, found: Hook) -> None:
        webhook(project, found.url)
        [one] = examined(project, "notify")
        assert one.outcome == "ok" and "127.0.0.1: answers; nothing was sent" in one.what
        assert found.posts == []

    def test_a_variable_that_is_not_set(self, project: Project, found: Hook) -> None:
        webhook(project, found.url)
        one = only(examined(project, "notify", HOOK_SECRET=""))
        assert one.outcome == "fault"
        assert one.what == "notify.ops.secret: the variable HOOK_SECRET is not set"

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("http://127.0.0.1:1/s3cr3t", "cannot be reached: Connection refused"),
            ("http://no-such-host.invalid/s3cr3t", "cannot be reached: "),
        ],
    )
    def test_nobody_there(self, project: Project, url: str, says: str) -> None:
        add(project, "chat", 'kind = "slack"', 'url = "env:CHAT_URL"')
        one = only(examined(project, "notify", CHAT_URL=url))
        assert one.outcome == "fault" and says in one.what and "s3cr3t" not in one.what

    def test_mail(self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        certificate = make_certificate(tmp_path / "mail.pem")
        with mailbox(certificate) as box:
            add(
                project,
                "mail",
                'kind = "email"',
                'host = "127.0.0.1"',
                f"port = {box.port}",
                'user = "ops"',
                'password = "env:MAIL_PASSWORD"',
                'sender = "g@acme.example"',
                'to = ["ops@acme.example"]',
            )
            monkeypatch.setattr("tests.cli.examining.PATIENCE", 5.0)
            one = only(examined(project, "notify", MAIL_PASSWORD="swordfish"))
            assert one.outcome == "fault" and "certificate verify failed" in one.what
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            [fine] = examined(project, "notify", MAIL_PASSWORD="swordfish")
            assert fine.outcome == "ok" and box.users == [("ops", "swordfish")]
            box.refuse["AUTH"] = "535 no"
            one = only(examined(project, "notify", MAIL_PASSWORD="swordfish"))
            assert one.outcome == "fault" and "refuses user or password (535)" in one.what
            assert project.ok("notify", "list") and box.mails == []

    def test_one_that_is_long_behind(self, project: Project, found: Hook) -> None:
        webhook(project, found.url)
        with wiring.open_app(config.load(project.file, {})) as app:
            wiring.open_channels(app)
            record(app.store, [("note", {})], now=app.clock.now() - HOUR)
        one = only(examined(project, "notify"))
        assert one.outcome == "warning" and "3600 s behind" in one.what


def test_channels_are_part_of_the_configuration_on_the_ledger_and_secrets_are_not(
    rolling: Project, found: Hook
) -> None:
    """G5: the ledger names the variable; what it holds is nowhere."""
    webhook(rolling, found.url)
    rolling.ok("rollout", "pause", "intent", "-m", "a holiday", by="ana")
    text = rolling.ok("audit", "export")
    assert "env:HOOK_SECRET" in text and SECRET not in text
