"""What a newcomer gets wrong with the gateway, asked over HTTP by the command line (X5)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenlight.adapters.trainers import TRAINERS
from tests.cli.messages import told
from tests.cli.project import Project
from tests.models import tiny

NOBODY = "01890000-0000-7000-8000-000000000000"
"""An id that no answer has, and an old one: nobody waits for it."""


@contextmanager
def gateway(project: Project) -> Iterator[str]:
    """A gateway of the project, in a process of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(project.folder)]
    with (
        (project.folder / "log").open("wb") as log,
        subprocess.Popen(
            [*command, "gateway"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "GREENLIGHT_GATEWAY_PORT": port},
        ) as running,
    ):
        assert running.stdout is not None
        try:
            line = running.stdout.readline()
            assert "listening on http" in line
            yield line.split()[-1]
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, str]]:
    """A gateway where nothing is live, and nobody needs a key."""
    project = Project(tmp_path_factory.mktemp("empty"))
    with gateway(project) as url:
        yield project, url


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, str]]:
    """A gateway with a version and keys: `app` may do everything, `judge` only say what it thinks.

    Their texts are in `project.secrets`.
    """
    project = Project(tmp_path_factory.mktemp("guarded"))
    made = TRAINERS["tfidf-linear"]().train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=sorted(tiny.THEMES),
        config={},
        seed=0,
        out=str(project.folder / "bundle"),
        progress=lambda _share, _words: None,
    )
    project.ok("adopt", "intent", made.folder, "-m", "it has run for a year", by="ana")
    for name, scopes in (("app", ("predict", "feedback")), ("judge", ("feedback",))):
        words = [word for scope in scopes for word in ("--scope", scope)]
        project.secrets[name] = project.json("keys", "create", name, *words)["secret"]
    with gateway(project) as url:
        yield project, url


def test_the_gateway_does_not_run(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    for words in (["predict", "intent", "hello"], ["feedback", NOBODY, "GOOD"]):
        result = project.call(*words, GREENLIGHT_GATEWAY_PORT=port)
        told("no gateway", result)
        assert f"http://127.0.0.1:{port}" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8400", "localhost:8400", "ftp://127.0.0.1"])
def test_an_address_without_http(project: Project, url: str) -> None:
    result = project.call("predict", "intent", "hello", "--url", url)
    told("address of a gateway", result)
    assert url in result.stderr


def test_nothing_is_live(empty: tuple[Project, str]) -> None:
    project, url = empty
    result = project.call("predict", "intent", "hello", "--url", url)
    told("nothing is live", result)


@pytest.mark.parametrize(
    ("case", "words", "by", "says"),
    [
        ("unknown task of the gateway", ["predict", "intnt", "hello"], "app", "there are: intent"),
        ("no key", ["predict", "intent", "hello"], None, "Authorization: Bearer glk_"),
        ("no key", ["feedback", NOBODY, "GOOD"], None, "Authorization: Bearer glk_"),
        ("wrong scope", ["predict", "intent", "hello"], "judge", "the key has feedback"),
        ("feedback on nothing", ["feedback", NOBODY, "GOOD"], "app", NOBODY),
        ("feedback on no id", ["feedback", "the-first", "BAD"], "app", "'the-first'"),
    ],
)
def test_what_the_gateway_refuses(
    guarded: tuple[Project, str], case: str, words: list[str], by: str | None, says: str
) -> None:
    project, url = guarded
    key = project.secrets[by] if by else ""
    result = project.call(*words, "--url", url, GREENLIGHT_API_KEY=key)
    told(case, result)
    assert says in result.stderr


def test_a_wrong_key(guarded: tuple[Project, str]) -> None:
    """One that was copied but for its end, one that another installation made, one that is none."""
    project, url = guarded
    words = ["predict", "intent", "hello", "--url", url]
    right = project.secrets["app"]
    project.ok(*words, GREENLIGHT_API_KEY=right)
    wrong = right[:-4] + ("AAAA" if right[-4:] != "AAAA" else "BBBB")
    result = project.call(*words, GREENLIGHT_API_KEY=wrong)
    told("wrong key", result)
    assert wrong not in result.stderr
    result = project.call(*words, GREENLIGHT_API_KEY=right[:-4])
    told("not a key", result)
    assert right[:-4] not in result.stderr


def test_a_revoked_key_is_told_apart_from_none(project: Project, tmp_path: Path) -> None:
    """Who takes over an application with an old key is told that it is over, not that it is off."""
    secret = project.json("keys", "create", "app", "--scope", "predict")["secret"]
    project.ok("keys", "revoke", "app", "-m", "it was in a repository")
    with gateway(project) as url:
        words = ["predict", "intent", "hello", "--url", url]
        message = project.refused(2, *words, GREENLIGHT_API_KEY=secret)
    assert "answered 401" in message and "revoked" in message
