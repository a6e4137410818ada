"""[mlflow]: what it may say (R2, T8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight import config
from greenlight.core.records import SECOND
from tests.test_config import VALID, faults, write


def test_nothing_is_mirrored_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert config.load(write(tmp_path, VALID), {}).mlflow.url is None


@pytest.mark.parametrize(
    "url",
    ["sqlite:///mlflow.db", "https://mlflow.acme.example", "http://127.0.0.1:5000/sub/"],
)
def test_what_can_be_set(tmp_path: Path, url: str) -> None:
    text = f'[mlflow]\nurl = "{url}"\nexperiment = "desk"\nprefix = "acme-"\n'
    text += 'token = "env:MLFLOW_TOKEN"\ntimeout = "20s"'
    found = config.load(write(tmp_path, f"{VALID}\n{text}\n"), {}).mlflow
    assert (found.url, found.experiment, found.prefix) == (url, "desk", "acme-")
    assert (found.token, found.timeout) == ("env:MLFLOW_TOKEN", 20 * SECOND)


def test_by_the_environment(tmp_path: Path) -> None:
    environ = {"GREENLIGHT_MLFLOW_URL": "https://mlflow.acme.example"}
    assert (
        config.load(write(tmp_path, VALID), environ).mlflow.url == environ["GREENLIGHT_MLFLOW_URL"]
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('url = "mlflow.acme.example"', "url: this is no MLflow"),
        ('url = "postgresql://u:secret@db/mlflow"', "url: this is no MLflow"),
        ('url = "sqlite:///"', "url: no file"),
        ('url = "sqlite:///:memory:"', "url: no file"),
        ('url = "https://ana:secret@mlflow.acme.example"', "url: no password"),
        ('url = "https://mlflow.acme.example?token=secret"', "url: no password"),
        ('token = "secret"', "token: name the variable"),
        ('user = "ana"', "user: who logs in needs a password"),
        ('password = "env:P"', "user: who logs in needs a password"),
        ('user = "ana"\npassword = "env:P"\ntoken = "env:T"', "token: a server asks for"),
        ('prefix = "Acme\'"', "prefix: lower-case letters"),
        ('experiment = " "', "experiment: no name"),
        ('timeout = "500ms"', "timeout: whole seconds"),
        ('timeout = "2m"', "timeout: whole seconds"),
    ],
)
def test_what_cannot(tmp_path: Path, line: str, says: str) -> None:
    """No secret is repeated."""
    [found] = faults(tmp_path, f"{VALID}\n[mlflow]\n{line}\n")
    assert f"mlflow.{says}" in found and "secret" not in found
