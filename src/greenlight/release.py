"""What exactly runs: the release, and the commit that it was built from."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import greenlight

STAMP = "COMMIT"
"""A file of the installed package that says which commit it was built from (Dockerfile)."""

UNKNOWN = "unknown"
DISTRIBUTION = "greenlight-ml"
_TIMEOUT_S = 5
_SHORT = 12


class Build(NamedTuple):
    """A build of Greenlight."""

    version: str
    commit: str
    """40 hex digits, or `unknown`."""
    changed: bool
    """Whether the source differs from that commit; known in a checkout only."""
    source: str
    """How the commit is known: `checkout`, `stamp`, `installer`, or `unknown`."""

    def __str__(self) -> str:
        """One line for people."""
        if self.commit == UNKNOWN:
            return f"greenlight {self.version} (commit {UNKNOWN})"
        changed = ", changed since" if self.changed else ""
        return f"greenlight {self.version} (commit {self.commit[:_SHORT]}{changed})"


def build(package: Path = Path(greenlight.__file__).parent) -> Build:
    """The build that runs.

    A checkout is asked by git, but only the one that this package is the source of: an installed
    package may lie in somebody else's. What was built elsewhere carries a stamp, and pip notes the
    commit of what it fetched by git (PEP 610).

    Args:
        package: the folder of the package `greenlight`.
    """
    version = greenlight.__version__
    root = package.parent.parent
    if (root / ".git").exists() and package == root / "src" / package.name:
        commit = git(root, "rev-parse", "HEAD")
        if commit:
            changed = bool(git(root, "status", "--porcelain", "--", "src"))
            return Build(version, commit, changed, "checkout")
    stamp = package / STAMP
    if stamp.is_file() and (commit := stamp.read_text(encoding="utf-8").strip()):
        return Build(version, commit, False, "stamp")
    if commit := _installed():
        return Build(version, commit, False, "installer")
    return Build(version, UNKNOWN, False, UNKNOWN)


def as_json(found: Build) -> str:
    """A build as a JSON document."""
    return json.dumps(found._asdict(), indent=2)


def sources(root: Path, commit: str, folder: str) -> dict[str, bytes]:
    """The Python sources below a folder as a commit has them, by their path within it.

    Empty where there is no git, no such commit or no such folder.
    """
    import io
    import tarfile  # --version does not wait for it

    try:
        done = subprocess.run(
            ["git", "-C", str(root), "archive", "--format=tar", commit, "--", folder],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return {
                member.name.removeprefix(f"{folder}/"): file.read()
                for member in archive
                if member.name.endswith(".py") and (file := archive.extractfile(member))
            }
    except (OSError, subprocess.SubprocessError, tarfile.TarError):
        return {}


def git(root: Path, *words: str) -> str:
    """What git says, or nothing where there is no git or it does not want to."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _installed() -> str:
    """The commit that the installer noted, if it fetched the package by git."""
    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}"
        found = json.loads(text).get("vcs_info", {}).get("commit_id", "")
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return ""
    return str(found)
