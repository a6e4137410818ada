"""[mlflow]: where runs and versions are shown beside Greenlight's own pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from greenlight.core.policy import Policy
from greenlight.core.records import MINUTE, SECOND

SQLITE = "sqlite:///"
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = re.compile(r"[a-z0-9_.-]*")


class MlflowSettings(Policy, frozen=True, kw_only=True):
    """[mlflow]: the tracking server and model registry that mirror runs and versions."""

    url: str | None = None
    """Where MLflow is: a server, such as `"https://mlflow.acme.example"`, or an SQLite file,
    `sqlite:///mlflow.db`. A relative path starts at the folder of `greenlight.toml`. Without it
    nothing is mirrored. It takes `pip install 'greenlight-ml[mlflow]'`."""
    experiment: str | None = None
    """The experiment that runs go to. Without it, one that is called like the project."""
    prefix: str = ""
    """What stands before a task's name in that of its registered model, where several
    installations share one MLflow."""
    token: str | None = None
    """Where the token is that the server asks for: `env:NAME`, a variable of that name."""
    user: str | None = None
    """Who logs in at a server that asks for a name and a password."""
    password: str | None = None
    """Where the user's password is: `env:NAME`."""
    timeout: int = 10 * SECOND
    """How long a server may take to answer one call; from `1s` to `1m`, in whole seconds. Nothing
    waits for it but the mirror."""

    def problems(self) -> Iterable[str]:
        if self.url is not None:
            yield from _url_problems(self.url)
        if self.experiment is not None and not self.experiment.strip():
            yield "experiment: no name; leave the setting out for the project's"
        if not _PREFIX.fullmatch(self.prefix):
            yield "prefix: lower-case letters, digits, dots, - and _ only, as in acme-"
        for name in ("token", "password"):
            value = getattr(self, name)
            if value is not None and not _VARIABLE.fullmatch(value):
                yield f"{name}: name the variable that holds it, as in env:MLFLOW_{name.upper()}"
        if (self.user is None) != (self.password is None):
            yield "user: who logs in needs a password, and a password a user"
        elif self.user is not None and self.token is not None:
            yield "token: a server asks for a token or for a user; leave one of them out"
        if self.timeout % SECOND or not SECOND <= self.timeout <= MINUTE:
            yield "timeout: whole seconds from 1s to 1m"


def _url_problems(url: str) -> Iterable[str]:
    if url.startswith(SQLITE):
        if url.removeprefix(SQLITE) in ("", ":memory:"):
            yield "url: no file; write sqlite:///folder/mlflow.db"
        return
    try:
        found = urlsplit(url)
        _ = found.port  # where it is no number this says so
    except ValueError:
        found = urlsplit("")
    if found.scheme not in ("http", "https") or not found.hostname:
        # It may hold a secret, so it is not shown.
        yield "url: this is no MLflow; write https://host or sqlite:///mlflow.db"
    elif "@" in found.netloc or found.query:
        yield 'url: no password and no options here; write token = "env:NAME"'
