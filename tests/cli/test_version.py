"""`greenlight --version`: which commit it was built from, however it was installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import greenlight
from greenlight import release
from greenlight.entrypoints.cli import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def checkout(folder: Path) -> Path:
    """A repository with the package in it, all committed; returns the package's folder."""
    package = folder / "src" / "greenlight"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qm", "first")
    return package


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def by_no_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "DISTRIBUTION", "no-such-distribution")


def test_of_a_checkout(tmp_path: Path) -> None:
    package = checkout(tmp_path)
    commit = git(tmp_path, "rev-parse", "HEAD")
    found = release.build(package)
    assert found == (greenlight.__version__, commit, False, "checkout")
    assert str(found) == f"greenlight {greenlight.__version__} (commit {commit[:12]})"
    (package / "more.py").write_text("x = 1\n", encoding="utf-8")
    assert str(release.build(package)).endswith(f"(commit {commit[:12]}, changed since)")
    (package / "more.py").unlink()
    (tmp_path / "notes.txt").write_text("no source", encoding="utf-8")
    assert not release.build(package).changed


def test_of_a_build_with_a_stamp(tmp_path: Path) -> None:
    (tmp_path / release.STAMP).write_text(f"{COMMIT}\n", encoding="utf-8")
    assert release.build(tmp_path) == (greenlight.__version__, COMMIT, False, "stamp")


def test_of_a_package_in_somebody_elses_repository(tmp_path: Path) -> None:
    """A virtual environment may lie in any repository; its commit is not Greenlight's."""
    checkout(tmp_path)
    site = tmp_path / ".venv" / "lib" / "site-packages" / "greenlight"
    site.mkdir(parents=True)
    assert release.build(site).commit == release.UNKNOWN
    near = tmp_path / "src" / "elsewhere" / "greenlight"
    near.mkdir(parents=True)
    assert release.build(near).commit == release.UNKNOWN


def test_of_what_pip_fetched_by_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "gl_by_git-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: gl-by-git\nVersion: 1\n", encoding="utf-8")
    (info / "direct_url.json").write_text(
        json.dumps({"url": "https://git.example/gl", "vcs_info": {"commit_id": COMMIT}}),
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(release, "DISTRIBUTION", "gl-by-git")
    assert release.build(tmp_path) == (greenlight.__version__, COMMIT, False, "installer")
    (info / "direct_url.json").write_text("[]", encoding="utf-8")
    assert release.build(tmp_path).commit == release.UNKNOWN


def test_of_nothing_known_it_says_so(tmp_path: Path) -> None:
    found = release.build(tmp_path)
    assert found.source == release.UNKNOWN
    assert str(found) == f"greenlight {greenlight.__version__} (commit unknown)"


def test_of_a_checkout_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = checkout(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("git") is None
    assert release.build(package).commit == release.UNKNOWN


def test_on_the_command_line() -> None:
    runner = CliRunner()
    told = runner.invoke(main, ["--version"])
    assert told.exit_code == 0
    assert told.stdout.startswith(f"greenlight {greenlight.__version__} (commit ")
    for words in (["--version", "--json"], ["--json", "--version"]):
        found = json.loads(runner.invoke(main, words).stdout)
        assert found.keys() == {"version", "commit", "changed", "source"}
    alone = runner.invoke(main, ["--json", "status"])
    assert alone.exit_code == 2 and "greenlight status --json" in alone.stderr
