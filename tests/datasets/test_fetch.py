"""Fetching (D9): folder, then cache, then address; whatever is wrong says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from greenlight import download
from greenlight.core import fingerprint
from greenlight.core.errors import MissingData, Tampered
from greenlight.datasets import fetch
from greenlight.datasets.source import Places, places
from tests.datasets.conftest import Mirror

DATA = b"text,category\n" + b"x" * 200_000
DIGEST = fingerprint.digest_bytes(DATA)
PATH = "banking77/train.csv"
OFFLINE = "http://127.0.0.1:9/train.csv"


class Told(list[tuple[float, str]]):
    """A progress callback that remembers."""

    def __call__(self, share: float, words: str) -> None:
        self.append((share, words))


def obtain(where: Places, url: str, told: Told | None = None) -> bytes:
    return fetch.obtain(PATH, DIGEST, url, where, told if told is not None else Told())


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(folder=tmp_path / "given", cache=tmp_path / "cache")


def put(root: Path | None, data: bytes) -> Path:
    assert root is not None
    path = root / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_the_given_folder_comes_first(where: Places) -> None:
    put(where.folder, DATA)
    put(where.cache, b"other")
    assert obtain(where, OFFLINE) == DATA


def test_other_bytes_in_the_given_folder_are_refused(where: Places, mirror: Mirror) -> None:
    path = put(where.folder, DATA + b"\n")
    mirror.files["/train.csv"] = DATA
    with pytest.raises(Tampered, match=str(path)):
        obtain(where, f"{mirror.url}/train.csv")
    assert not mirror.asked


def test_it_is_fetched_once_and_kept(where: Places, mirror: Mirror) -> None:
    mirror.files["/train.csv"] = DATA
    told = Told()
    for _ in range(2):
        assert obtain(where, f"{mirror.url}/train.csv", told) == DATA
    assert mirror.asked == ["/train.csv"]
    assert files(where.cache) == [where.cache / PATH]
    shares = [share for share, _ in told]
    assert len(shares) > 1
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert told[0][1] == f"fetching {PATH}"


def test_a_damaged_cache_is_mended(where: Places, mirror: Mirror) -> None:
    kept = put(where.cache, DATA[:-1])
    mirror.files["/train.csv"] = DATA
    assert obtain(where, f"{mirror.url}/train.csv") == DATA
    assert kept.read_bytes() == DATA


def test_wrong_bytes_are_not_kept(where: Places, mirror: Mirror) -> None:
    mirror.files["/train.csv"] = b"<html>sign in to the guest network</html>"
    with pytest.raises(Tampered, match=f"expected {DIGEST}"):
        obtain(where, f"{mirror.url}/train.csv")
    assert not files(where.cache)


def test_half_a_file_is_not_kept(where: Places, mirror: Mirror) -> None:
    mirror.files["/train.csv"] = DATA
    mirror.cut.add("/train.csv")
    half = len(DATA) // 2
    with pytest.raises(MissingData, match=f"broke off after {half} of {len(DATA)} bytes"):
        obtain(where, f"{mirror.url}/train.csv")
    assert not files(where.cache)


def test_a_server_that_never_ends_is_cut_off(
    where: Places, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    mirror.files["/train.csv"] = DATA
    with pytest.raises(MissingData, match="more than 1000 bytes"):
        obtain(where, f"{mirror.url}/train.csv")


def test_absence_names_the_remedy(where: Places, mirror: Mirror) -> None:
    with pytest.raises(MissingData, match=r"404.*GREENLIGHT_DATASETS"):
        obtain(where, f"{mirror.url}/train.csv")


def test_no_network_names_the_remedy(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/train.csv"
        with pytest.raises(MissingData, match=r"refused.*GREENLIGHT_DATASETS.*banking77/"):
            obtain(where, url)


def test_a_silent_server_is_given_up(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/train.csv"
        with pytest.raises(MissingData, match="timed out"):
            obtain(where, url)


def test_a_cache_that_cannot_be_written_names_the_remedy(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files["/train.csv"] = DATA
    (tmp_path / "file").write_bytes(b"")
    where = Places(folder=None, cache=tmp_path / "file")
    with pytest.raises(MissingData, match="GREENLIGHT_CACHE"):
        obtain(where, f"{mirror.url}/train.csv")


def test_places_follow_the_environment(tmp_path: Path) -> None:
    given = places({"GREENLIGHT_DATASETS": str(tmp_path), "GREENLIGHT_CACHE": "/c"})
    assert given == Places(folder=tmp_path, cache=Path("/c/datasets"))
    bare = places({"GREENLIGHT_DATASETS": ""})
    assert bare.folder is None
    assert bare.cache == Path.home() / ".cache/greenlight/datasets"
