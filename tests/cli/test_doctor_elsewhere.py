"""`greenlight doctor`, with what it examines really broken: what answers over a network."""

from __future__ import annotations

import http.server
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.local_redis import local_redis
from greenlight.testing.provider import ChatProvider
from tests.cli.examining import PATIENCE, bare, edit, examined, free_port, only
from tests.cli.project import Project

pytestmark = pytest.mark.usefixtures(bare.__name__)

KEY = "sk-not-to-be-shown"


@contextmanager
def answering(status: int, shown: list[str | None] | None = None) -> Iterator[str]:
    """A server that answers every GET with a status, and notes paths and keys."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if shown is not None:
                shown.extend((self.path, self.headers["authorization"]))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent() -> Iterator[str]:
    """An address that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class TestGateway:
    """Its own gateway, a real one, is in test_init.py."""

    def test_a_free_port(self, project: Project) -> None:
        port = free_port()
        [found] = examined(project, "gateway", GREENLIGHT_GATEWAY_PORT=str(port))
        assert found.outcome == "ok" and found.what == f"127.0.0.1:{port} is free"

    def test_a_port_that_something_silent_has(self, project: Project) -> None:
        with silent() as url:
            port = url.rpartition(":")[2]
            found = only(examined(project, "gateway", GREENLIGHT_GATEWAY_PORT=port))
        assert found.outcome == "fault"
        reason = (
            f"Address already in use), and no gateway answers (no answer within {PATIENCE:g} s)"
        )
        assert reason in found.what

    def test_a_port_that_another_server_has(self, project: Project) -> None:
        project.ok("status")
        with answering(200) as url:
            port = url.rpartition(":")[2]
            found = only(examined(project, "gateway", GREENLIGHT_GATEWAY_PORT=port))
        assert found.outcome == "fault" and "no gateway of this store" in found.what

    def test_an_address_that_is_not_this_machines(self, project: Project) -> None:
        found = only(examined(project, "gateway", GREENLIGHT_GATEWAY_HOST="192.0.2.1"))
        assert found.outcome == "fault" and "192.0.2.1:" in found.what


class TestProviders:
    """Of a chat that is live: what is wrong here meets users."""

    @pytest.fixture
    def chatty(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
        edit(project, 'kind = "classify"', 'kind = "chat"')
        text = project.file.read_text(encoding="utf-8")
        project.file.write_text(text[: text.index("[tasks.intent.dataset]")], encoding="utf-8")
        monkeypatch.setenv("CHAT_KEY", KEY)
        return project

    def adopt(self, project: Project, url: str, *more: str) -> None:
        words = ["--url", url, "--model", "m", "--key", "env:CHAT_KEY", "-m", "runs today", *more]
        project.ok("adopt", "intent", *words, by="ana")

    def test_one_that_lists_its_models(self, chatty: Project) -> None:
        shown: list[str | None] = []
        with answering(200, shown) as url:
            self.adopt(chatty, f"{url}/v1/")
            [found] = examined(chatty, "providers")
        assert shown == ["/v1/models", f"Bearer {KEY}"]
        assert found.outcome == "ok" and "the key is accepted, and no token was spent" in found.what
        assert KEY not in found.what

    @pytest.mark.parametrize(
        ("status", "outcome", "says"),
        [
            (401, "fault", "answers 401 (intent@1): the key is refused"),
            (403, "fault", "the key is refused"),
            (404, "warning", "it lists no models, so the key could not be tried without spending"),
            (302, "fault", "answers 302"),
            (500, "fault", "answers 500"),
        ],
    )
    def test_one_that_answers_otherwise(
        self, chatty: Project, status: int, outcome: str, says: str
    ) -> None:
        with answering(status) as url:
            self.adopt(chatty, url)
            found = only(examined(chatty, "providers"))
        assert found.outcome == outcome and says in found.what

    def test_one_that_wants_a_key_where_none_was_named(self, chatty: Project) -> None:
        words = ["--model", "m", "-m", "runs today"]
        with answering(401) as url:
            chatty.ok("adopt", "intent", "--url", url, *words, by="ana")
            found = only(examined(chatty, "providers"))
        assert "it wants a key" in found.what and found.fix and "--key env:NAME" in found.fix

    def test_one_that_hangs(self, chatty: Project) -> None:
        with silent() as url:
            self.adopt(chatty, url)
            found = only(examined(chatty, "providers"))
        assert found.outcome == "fault" and f"no answer within {PATIENCE:g} s" in found.what

    def test_one_that_is_gone(self, chatty: Project) -> None:
        self.adopt(chatty, f"http://127.0.0.1:{free_port()}")
        found = only(examined(chatty, "providers"))
        assert found.outcome == "fault" and "Connection refused" in found.what
        assert chatty.call("doctor").exit_code == 1

    def test_a_key_that_is_nowhere(self, chatty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        with ChatProvider(str.upper) as provider:
            self.adopt(chatty, provider.url)
            monkeypatch.delenv("CHAT_KEY")
            found = only(examined(chatty, "providers"))
            assert "the variable CHAT_KEY is not set; set it to the key" in found.what
            monkeypatch.setenv("CHAT_KEY", KEY)
            assert "it lists no models" in only(examined(chatty, "providers")).what
            assert provider.seen == []

    @pytest.mark.parametrize("more", ["\n", "\nX-Other: 1", " ", "\u20ac"])
    def test_a_key_that_is_no_header_is_not_shown(
        self, chatty: Project, monkeypatch: pytest.MonkeyPatch, more: str
    ) -> None:
        """S8: an error of the client that sends it would hold it whole."""
        shown: list[str | None] = []
        with answering(200, shown) as url:
            self.adopt(chatty, url)
            monkeypatch.setenv("CHAT_KEY", KEY + more)
            found = only(examined(chatty, "providers"))
        assert "the variable CHAT_KEY holds more than a key" in found.what and not shown
        assert KEY not in f"{found.what}{found.fix}"

    def test_model_servers(self, project: Project) -> None:
        """One address is asked once; what no user meets is a warning only."""
        shown: list[str | None] = []
        with answering(200, shown) as url:
            project.ok("adopt", "intent", "--url", url, "-m", "runs today", by="ana")
            gone = f"http://127.0.0.1:{free_port()}"
            project.ok("versions", "add", "intent", "--url", gone)
            found = examined(project, "providers")
        assert shown == ["/healthz", None]
        assert [one.outcome for one in found] == ["ok", "warning"]
        with answering(503) as url:
            project.ok("versions", "add", "intent", "--url", url)
            down = examined(project, "providers")
        assert "answers 503 (intent@3)" in down[-1].what


class TestTraining:
    """Of a task whose models a provider fine-tunes: nobody is served by that address."""

    def teach(self, project: Project, url: str, key: str = ', key = "env:TUNING_KEY"') -> None:
        options = f'url = "{url}/v1/", model = "m"{key}'
        edit(project, '"tfidf-linear"', f'"openai"\noptions = {{ {options} }}')

    def test_one_whose_key_is_accepted(self, project: Project) -> None:
        shown: list[str | None] = []
        with answering(200, shown) as url:
            self.teach(project, url)
            [found] = examined(project, "training", TUNING_KEY=KEY)
        assert shown == ["/v1/fine_tuning/jobs?limit=1", f"Bearer {KEY}"]
        assert found.outcome == "ok" and "(intent); the key is accepted, and nothing" in found.what
        assert KEY not in found.what

    @pytest.mark.parametrize(
        ("status", "says"),
        [
            (401, "answers 401 (intent): the key is refused"),
            (404, "it fine-tunes nothing there"),
            (500, "answers 500"),
        ],
    )
    def test_one_that_answers_otherwise(self, project: Project, status: int, says: str) -> None:
        with answering(status) as url:
            self.teach(project, url)
            found = only(examined(project, "training", TUNING_KEY=KEY))
        assert found.outcome == "warning" and says in found.what

    def test_one_that_hangs(self, project: Project) -> None:
        with silent() as url:
            self.teach(project, url)
            found = only(examined(project, "training", TUNING_KEY=KEY))
        assert found.outcome == "warning" and f"no answer within {PATIENCE:g} s" in found.what

    @pytest.mark.parametrize(
        ("key", "says"), [("", "is not set"), (f"{KEY}\n", "holds more than a key")]
    )
    def test_a_key_that_cannot_be_sent(self, project: Project, key: str, says: str) -> None:
        shown: list[str | None] = []
        with answering(200, shown) as url:
            self.teach(project, url)
            found = only(examined(project, "training", TUNING_KEY=key))
        assert f"train.options.key: the variable TUNING_KEY {says}" in found.what and not shown
        assert found.outcome == "warning" and KEY not in found.what

    def test_one_that_wants_a_key_where_none_is_named(self, project: Project) -> None:
        with answering(401) as url:
            self.teach(project, url, key="")
            found = only(examined(project, "training"))
        assert "it wants a key" in found.what and found.fix and "train.options.key" in found.fix

    def test_where_none_is_needed_nothing_is_said(self, project: Project) -> None:
        assert examined(project, "training") == []


class TestCache:
    def test_a_redis_that_is_down_is_a_warning(self, project: Project) -> None:
        url = f"unix://{project.folder}/redis.sock"
        found = only(examined(project, "cache", GREENLIGHT_CACHE_URL=url))
        assert found.outcome == "warning" and url in found.what
        result = project.call("doctor", "--fail-on-warn", GREENLIGHT_CACHE_URL=url)
        assert result.exit_code == 3

    def test_its_password_that_is_nowhere(self, project: Project) -> None:
        environ = {"GREENLIGHT_CACHE_URL": "redis://127.0.0.1:1/0"}
        environ |= {"GREENLIGHT_CACHE_PASSWORD": "env:NOT_SET_ANYWHERE"}
        found = only(examined(project, "cache", **environ))
        assert found.outcome == "fault" and "NOT_SET_ANYWHERE is not set" in found.what

    @pytest.mark.needs("redis")
    def test_a_redis_that_answers(self, project: Project) -> None:
        with tempfile.TemporaryDirectory() as folder, local_redis(folder) as url:
            [found] = examined(project, "cache", GREENLIGHT_CACHE_URL=url)
        assert found.outcome == "ok" and "answers PING" in found.what
