"""Pictures of pages: by a browser where there is one, and a reason where there is none (O3)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from greenlight.adapters import screenshots

PAGE = (
    b"<!doctype html><title>t</title><body style='margin:0'><div style='height:1234px'>hello</div>"
)


def browser(folder: Path, script: str) -> dict[str, str]:
    """A program that goes by the name of a browser, and where it is found."""
    folder.mkdir()
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_without_a_browser_there_is_a_reason(tmp_path: Path) -> None:
    said = screenshots.take(PAGE, tmp_path / "x.png", {"PATH": str(tmp_path)})
    assert said is not None and said.startswith("no browser was found (looked for chromium")
    assert list(tmp_path.iterdir()) == []


def test_one_that_fails_is_named_with_its_status(tmp_path: Path) -> None:
    found = browser(tmp_path / "bin", "exit 7")
    said = screenshots.take(PAGE, tmp_path / "x.png", found)
    assert said == f"{tmp_path}/bin/chromium ended with status 7"
    found = browser(tmp_path / "mute", "exit 0")
    assert "did not tell how high" in str(screenshots.take(PAGE, tmp_path / "x.png", found))
    found = browser(tmp_path / "blind", "echo '<html data-height=\"9\">'")
    assert "wrote no picture" in str(screenshots.take(PAGE, tmp_path / "x.png", found))


def test_one_that_hangs_is_ended_with_all_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenshots, "PATIENCE", 0.3)
    found = browser(tmp_path / "bin", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    said = screenshots.take(PAGE, tmp_path / "x.png", found)
    assert said is not None and "took longer than 0.3 s" in said
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_gets_a_profile_that_is_thrown_away_and_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENLIGHT_PERSON_KEY", "a secret")
    script = f'echo "$@" >> {tmp_path}/said; env >> {tmp_path}/said; echo x'
    screenshots.take(PAGE, tmp_path / "x.png", browser(tmp_path / "bin", script))
    said = (tmp_path / "said").read_text()
    assert "a secret" not in said
    assert "--proxy-server=127.0.0.1:9" in said and "file:///" in said
    profile = said.split("--user-data-dir=")[1].split()[0]
    assert not Path(profile).exists() and f"HOME={Path(profile).parent}" in said
    assert ("--no-sandbox" in said) == (os.geteuid() == 0)


@pytest.mark.needs("browser")
def test_a_whole_page_is_taken(tmp_path: Path) -> None:
    from PIL import Image

    target = tmp_path / "page.png"
    assert screenshots.take(PAGE, target) is None
    with Image.open(target) as picture:
        assert picture.size == (screenshots.WIDTH, 1234)
