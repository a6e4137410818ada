"""`keys`: for people who sign, for the ledger's head, and for applications that ask the gateway."""

from __future__ import annotations

import re
import secrets
from typing import Any

import click

from greenlight import wiring
from greenlight.config import units
from greenlight.config.reader import NAME
from greenlight.core.keys import SCOPES, rate_text, state
from greenlight.core.records import ApiKey
from greenlight.entrypoints.cli.common import (
    API_KEY_VARIABLE,
    KEY_VARIABLE,
    initiator,
    json_option,
    moment,
    opened,
    show_json,
    table,
)
from greenlight.lookup import everything


@click.group()
def keys() -> None:
    """Make keys: for people who sign, the ledger's head, and applications; list and revoke them."""


@keys.command("person")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    default=("ml_lead",),
    show_default=True,
    help="A role of theirs; may be given several times.",
)
@json_option
def person(name: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Make a key for a person: the secret for them alone, the public key for greenlight.toml."""
    if not NAME.fullmatch(name):
        rule = "lower-case letters, digits, - and _, a letter first"
        raise click.BadParameter(f"{name!r}: {rule}, as in {_proper(name)}", param_hint="NAME")
    secret, public_key = wiring.new_person(secrets.token_bytes)
    if as_json:
        show_json({"name": name, "roles": roles, "secret": secret, "key": public_key})
        return
    listed = ", ".join(f'"{role}"' for role in roles)
    click.echo("# for greenlight.toml")
    click.echo(f'[people.{name}]\nroles = [{listed}]\nkey = "{public_key}"\n')
    click.echo(f"# for {name} alone; it is kept nowhere else")
    click.echo(f"export {KEY_VARIABLE}={secret}")


@keys.command("ledger")
@json_option
def ledger_key(as_json: bool) -> None:
    """Make a key that signs the ledger's head, to be kept elsewhere than beside the store."""
    secret, public_key = wiring.new_ledger_key(secrets.token_bytes)
    if as_json:
        show_json({"secret": secret, "key": public_key})
        return
    click.echo('# for greenlight.toml\n[ledger]\nkey = "env:ACME_LEDGER_KEY"\n')
    click.echo("# for the environment of what writes to the ledger; it is kept nowhere else")
    click.echo(f"export ACME_LEDGER_KEY={secret}\n")
    click.echo(f"# for whoever checks: greenlight audit verify --key\n{public_key}")


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help=f"What it is good for: {', '.join(SCOPES)}; may be given several times.",
)
@click.option("--rate", metavar="N/s", help="How often it may ask, such as 20/s or 100/h.")
@click.option("--burst", type=int, help="How many requests at once (default: a second's worth).")
@click.option("--expires", metavar="TIME", help='When it ends, from now, such as "90d".')
@json_option
@click.pass_context
def create(
    context: click.Context,
    name: str,
    scopes: tuple[str, ...],
    rate: str | None,
    burst: int | None,
    expires: str | None,
    as_json: bool,
) -> None:
    """Make a key for an application that asks the gateway. It is shown once and kept nowhere."""
    lasts = _duration(expires)
    with opened(context) as app:
        key, secret = wiring.create_key(
            app, name, scopes, rate=rate, burst=burst, lasts=lasts, by=initiator(app)
        )
        view = _view(key, app.clock.now())
    if as_json:
        show_json({"key": view, "secret": secret})
        return
    ends = "does not expire" if key.expires_at is None else f"until {moment(key.expires_at)}"
    click.echo(f"# {key.name} ({key.id}): {_words(key.scopes)}; {_rate(key)}; {ends}")
    click.echo("# for the application alone; it is kept nowhere else, and opens within seconds")
    click.echo(f"export {API_KEY_VARIABLE}={secret}")


@keys.command("list")
@json_option
@click.pass_context
def list_keys(context: click.Context, as_json: bool) -> None:
    """List the keys of applications, the oldest first."""
    with opened(context) as app:
        now = app.clock.now()
        found = sorted(everything(app.store, ApiKey), key=lambda key: (key.at, key.id))
    if as_json:
        show_json([_view(key, now) for key in found])
        return
    rows = [
        (
            key.id,
            key.name,
            _words(key.scopes),
            _rate(key),
            moment(key.at),
            moment(key.expires_at),
            state(key, now),
        )
        for key in found
    ]
    head = ("KEY", "NAME", "SCOPES", "RATE", "CREATED", "EXPIRES", "STATE")
    empty = "no key yet; make one: greenlight keys create NAME --scope predict --scope feedback"
    click.echo(table(head, rows) if rows else empty)


@keys.command("revoke")
@click.argument("name", metavar="ID|NAME")
@click.option("-m", "--message", "why", required=True, help="The reason, on record.")
@json_option
@click.pass_context
def revoke(context: click.Context, name: str, why: str, as_json: bool) -> None:
    """Take a key back for good; gateways refuse it within seconds."""
    with opened(context) as app:
        key = wiring.revoke_key(app, name, by=initiator(app), why=why)
        view = _view(key, app.clock.now())
    if as_json:
        show_json(view)
        return
    click.echo(f"{key.name} ({key.id}) is revoked; gateways refuse it within seconds")


def _view(key: ApiKey, now: int) -> dict[str, Any]:
    """A key as plain values, without its digest, which is nobody's business."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes.split(),
        "rate": key.rate,
        "burst": key.burst,
        "created_by": key.created_by,
        "at": key.at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "state": state(key, now),
    }


def _words(scopes: str) -> str:
    return ", ".join(scopes.split())


def _rate(key: ApiKey) -> str:
    return "unlimited" if key.rate is None else f"{rate_text(key.rate)}, {key.burst} at once"


def _proper(name: str) -> str:
    """The nearest name that greenlight.toml takes."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).lstrip("-_0123456789")
    return plain or "ana"


def _duration(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return units.duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
