"""What ships: the image's recipe, and what CI services run. Neither can be run here, so both are
read closely; what the recipe does to make the wheel is done."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = (".github/workflows/ci.yml", ".gitlab-ci.yml")
SECRET = re.compile(r"(?i)(key|secret|token|password)\s*=\s*\S|gl[pkl]_[A-Za-z0-9]{8}")
COMMIT = "0123456789abcdef0123456789abcdef01234567"

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """(keyword, rest) of every instruction of a Dockerfile, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), " ".join(rest[0].split()) if rest else "") for word, *rest in found]


def stages(found: list[Instruction]) -> list[list[Instruction]]:
    """The instructions of each stage."""
    starts = [at for at, (word, _) in enumerate(found) if word == "FROM"]
    return [found[a:b] for a, b in zip(starts, [*starts[1:], len(found)], strict=True)]


def faults(text: str) -> list[str]:
    """What is wrong with a Dockerfile by the rules of this house."""
    found = instructions(text)
    parts = stages(found)
    if len(parts) < 2:
        return ["one stage: build tools would ship"]
    said = [f"FROM {rest}: no fixed tag" for word, rest in found if word == "FROM" and _loose(rest)]
    said += [f"{word}: use COPY" for word, _ in found if word == "ADD"]
    said += [f"{word} {rest}: a secret" for word, rest in found if SECRET.search(rest)]
    last = dict(parts[-1])
    if re.split("[: ]", last.get("USER", "root"))[0] in ("root", "0"):
        said.append("USER: it runs as root")
    said += [
        f"{word}: missing" for word in ("HEALTHCHECK", "ENTRYPOINT", "CMD") if word not in last
    ]
    if any(word == "RUN" and "pip install" in rest for word, rest in parts[-1]):
        said.append("RUN: the last stage installs")
    said += [f"COPY {one}: not there" for one in copied(found) if not (ROOT / one).exists()]
    return said


def _loose(image: str) -> bool:
    name = image.split()[0]
    return ":" not in name or name.endswith(":latest")


def copied(found: list[Instruction]) -> list[str]:
    """What is copied from the repository."""
    lines = [rest.split() for word, rest in found if word == "COPY" and "--from=" not in rest]
    return [name for words in lines for name in words[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the repository out; the last rule that fits counts."""
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        rule = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        anywhere = any(fnmatch.fnmatch(part, rule) for part in parts)
        if fnmatch.fnmatch(parts[0], rule) or ("**/" in line and anywhere):
            out = not line.startswith("!")
    return out


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    return {name for line in phony for name in line.split()}


def calls(value: Any) -> Iterator[str]:
    """Every line of a workflow that a shell runs."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("run", "script", "before_script"):
                for text in [item] if isinstance(item, str) else item:
                    yield from text.splitlines()
            else:
                yield from calls(item)
    elif isinstance(value, list):
        for item in value:
            yield from calls(item)


def made(lines: list[str]) -> list[str]:
    """The targets that lines make."""
    return [word for line in lines for word in line.removeprefix("make ").split()]


def test_the_dockerfile_keeps_the_rules() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert faults(text) == []
    assert "never built" in text and "never built" in (ROOT / "docs/docker.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("USER 10001:10001", "USER root", "USER: it runs as root"),
        ("USER 10001:10001", "", "USER: it runs as root"),
        ("HEALTHCHECK", "LABEL health=", "HEALTHCHECK: missing"),
        ("python:3.11-slim-bookworm AS build", "python AS build", "no fixed tag"),
        ("COPY src ./src", "ADD src ./src", "ADD: use COPY"),
        ("COPY src ./src", "COPY sources ./src", "COPY sources: not there"),
        ("PYTHONUNBUFFERED=1", "API_KEY=abc", "a secret"),
        ("EXPOSE 8400", "RUN pip install curl", "RUN: the last stage installs"),
    ],
)
def test_a_dockerfile_that_breaks_one_is_found(old: str, new: str, says: str) -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert old in text
    assert any(says in fault for fault in faults(text.replace(old, new)))


def test_only_what_is_built_goes_to_the_builder() -> None:
    needed = copied(instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")))
    assert needed and not any(ignored(name) for name in needed)
    for name in (".git", ".venv", "tests", "greenlight-demo", "keys", "greenlight.toml"):
        assert ignored(name)
    for name in ("src/keys/ana", "src/greenlight/.greenlight/ledger.key", "src/a/__pycache__/b"):
        assert ignored(name)
    assert not ignored("src/greenlight/core/keys.py")


def test_the_health_check_asks_what_the_gateway_answers() -> None:
    from greenlight.serving import openapi

    [check] = re.findall(r"'(/[a-z]+)'", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert check in openapi.document()["paths"]


def test_the_wheel_of_the_image(tmp_path: Path) -> None:
    """Everything that is no module is in it, too, and the stamp that tells the commit."""
    for name in copied(instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))):
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (tmp_path / "src/greenlight/COMMIT").write_text(COMMIT + "\n", encoding="utf-8")
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", wheels, "."], cwd=tmp_path, check=True, capture_output=True)
    [wheel] = wheels.iterdir()
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    told = subprocess.run(
        [sys.executable, "-m", "greenlight.entrypoints.cli", "--version"],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"(commit {COMMIT[:12]})" in told.stdout
    data = {
        path.relative_to(ROOT / "src")
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert Path("greenlight/config/templates/head.toml") in data
    assert not [path for path in data if not (site / path).is_file()]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_ci_makes_can_be_made(name: str) -> None:
    found = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    lines = list(calls(found))
    assert all(line.startswith("make ") for line in lines), "the developer's own commands"
    assert {"check", "test"} <= set(made(lines)) <= make_targets()


def test_a_target_that_is_not_there_is_found() -> None:
    found = yaml.safe_load("jobs: {a: {steps: [{run: 'make chek'}, {uses: x}]}}")
    assert made(list(calls(found))) == ["chek"]
    assert "chek" not in make_targets()
