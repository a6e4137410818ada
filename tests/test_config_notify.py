"""[notify.NAME]: what a channel needs, and what contradicts itself (M5)."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from greenlight import config
from greenlight.config.notify import NEEDED, POSSIBLE, NotifySettings
from greenlight.core.notices import KINDS, USUAL
from tests.test_config import VALID, faults, write

GOOD = {
    "webhook": 'url = "https://ops.acme.example/hook"\nsecret = "env:ACME_HOOK_SECRET"',
    "slack": 'url = "env:ACME_SLACK_URL"',
    "email": 'host = "mail.acme.example"\nsender = "g@acme.example"\nto = ["ops@acme.example"]',
}


def table(kind: str, text: str) -> str:
    return f'{VALID}\n[notify.ops]\nkind = "{kind}"\n{text}\n'


def read(folder: Path, kind: str, text: str) -> NotifySettings:
    return config.load(write(folder, table(kind, text)), {}).notify["ops"]


def fault(folder: Path, kind: str, text: str) -> str:
    """The one fault, without the place where it stands."""
    [found] = faults(folder, table(kind, text))
    place, _, said = found.partition(": notify.ops")
    assert place.startswith("greenlight.toml:"), found
    return said.lstrip(".")


@pytest.mark.parametrize("kind", GOOD)
def test_the_least_that_a_channel_needs(tmp_path: Path, kind: str) -> None:
    found = read(tmp_path, kind, GOOD[kind])
    assert found.kind == kind and found.kinds == frozenset(USUAL)
    assert all(getattr(found, name) for name in NEEDED[kind])
    lines = GOOD[kind].splitlines()
    for missing in lines:
        rest = "\n".join(line for line in lines if line != missing)
        name = missing.partition(" ")[0]
        assert fault(tmp_path, kind, rest).startswith(f"{name}: {kind} needs it: ")


def test_all_that_mail_can_have(tmp_path: Path) -> None:
    more = 'port = 2525\nsecurity = "tls"\nuser = "g"\npassword = "env:ACME_MAIL_PASSWORD"'
    found = read(tmp_path, "email", f"{GOOD['email']}\n{more}")
    assert (found.port, found.security, found.user) == (2525, "tls", "g")
    assert found.to == ("ops@acme.example",)
    assert set(POSSIBLE["email"]) == {"port", "security", "user", "password"}


def test_which_kinds_it_wants(tmp_path: Path) -> None:
    found = read(tmp_path, "slack", GOOD["slack"] + '\non = ["rollback", "widen"]')
    assert found.kinds == {"rollback", "widen"}
    hint = typing.get_type_hints(NotifySettings)["on"]
    assert typing.get_args(typing.get_args(typing.get_args(hint)[0])[0]) == KINDS


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("slack", 'on = ["rollbak"]', "on[0]: 'rollbak' is not known; did you mean 'rollback'?"),
        ("slack", "on = []", "on: nothing would ever be sent"),
        ("slack", 'secret = "env:X"', "secret: slack has no use for it; leave it out"),
        ("webhook", "port = 25", "port: webhook has no use for it; leave it out"),
        ("email", 'url = "https://x.example"', "url: email has no use for it; leave it out"),
        ("slack", 'pages = "acme"', "pages: write an address such as https://"),
        ("email", "port = 0", "port: 0 is outside 1–65535"),
        ("email", 'user = "g"', "user: who logs in needs a password"),
        ("email", 'password = "env:P"', "user: who logs in needs a password"),
        ("email", 'security = "ssl"', "security: 'ssl' is not known"),
        ("slack", 'urls = "env:X"', "urls: unknown key; did you mean 'url'?"),
    ],
)
def test_contradictions(tmp_path: Path, kind: str, text: str, says: str) -> None:
    assert fault(tmp_path, kind, f"{GOOD[kind]}\n{text}").startswith(says)


@pytest.mark.parametrize(
    ("kind", "line", "says"),
    [
        ("slack", 'url = "https://hooks.slack.example/T0/s3cr3t"', "url: it is a secret"),
        ("webhook", 'url = "https://u:s3cr3t@acme.example"', "url: this is no address without a"),
        ("webhook", 'url = "https://acme.example/?key=s3cr3t"', "url: this is no address"),
        ("webhook", 'url = "ftp://acme.example/s3cr3t"', "url: this is no address"),
        ("webhook", 'url = "https://acme.example:s3cr3t/"', "url: this is no address"),
        ("webhook", 'url = "https:///s3cr3t"', "url: this is no address"),
        ("webhook", 'secret = "s3cr3t"', "secret: name the variable that holds it"),
        ("email", 'sender = "g"', "sender: 'g' is no address"),
        ("email", 'to = ["a@x.example, b@x.example"]', "to: 'a@x.example, b@x.example' is no"),
        ("email", 'to = ["a@x.example\\nBcc: b@y.example"]', "to: "),
    ],
)
def test_secrets_and_addresses(tmp_path: Path, kind: str, line: str, says: str) -> None:
    """A secret in the file is refused, and not shown either."""
    name = line.partition(" ")[0]
    kept = [one for one in GOOD[kind].splitlines() if not one.startswith(f"{name} ")]
    found = fault(tmp_path, kind, "\n".join([*kept, line]))
    assert found.startswith(says)
    assert "s3cr3t" not in found


def test_no_password_over_an_open_line(tmp_path: Path) -> None:
    text = f'{GOOD["email"]}\nsecurity = "none"\nuser = "g"\npassword = "env:P"'
    assert "anybody on the way could read the password" in fault(tmp_path, "email", text)
    read(tmp_path, "email", f'{GOOD["email"]}\nsecurity = "none"')


def test_several_faults_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, table("slack", 'port = 1\nto = ["x"]\nsecret = "plain"'))
    assert len(found) == 5
