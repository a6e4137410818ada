"""`approve` and `reject`: sign-off by people, each proved by a key of their own."""

from __future__ import annotations

import click
import msgspec

from greenlight import wiring
from greenlight.core import fingerprint
from greenlight.core.approval import APPROVE, REJECT, REVOKE
from greenlight.entrypoints.cli.common import (
    as_option,
    json_option,
    opened,
    own_secret,
    public,
    refuse_another,
    show_json,
)
from greenlight.lookup import find_version
from greenlight.wiring.next_step import next_step

version_argument = click.argument("version")
why_option = click.option("-m", "--message", "why", required=True, help="The reason, on record.")
evaluation_option = click.option(
    "--evaluation", help="Digest of the evaluation (default: the one that passed last)."
)


@click.command()
@version_argument
@why_option
@as_option
@click.option("--revoke", is_flag=True, help="Take back your own word instead.")
@evaluation_option
@json_option
@click.pass_context
def approve(
    context: click.Context,
    version: str,
    why: str,
    name: str | None,
    revoke: bool,
    evaluation: str | None,
    as_json: bool,
) -> None:
    """Approve a version with your own key. What its evaluation warns of is shown first.

    Your key is read from GREENLIGHT_PERSON_KEY; it says who you are and in which roles you sign.
    VERSION is a label (intent@2), a digest, or the beginning of a digest.
    """
    _decide(context, version, REVOKE if revoke else APPROVE, why, name, evaluation, as_json)


@click.command()
@version_argument
@why_option
@as_option
@evaluation_option
@json_option
@click.pass_context
def reject(
    context: click.Context,
    version: str,
    why: str,
    name: str | None,
    evaluation: str | None,
    as_json: bool,
) -> None:
    """Reject a version with your own key.

    It blocks the version until you take it back (greenlight approve VERSION --revoke) or approve.
    """
    _decide(context, version, REJECT, why, name, evaluation, as_json)


def _decide(
    context: click.Context,
    version: str,
    decision: str,
    why: str,
    name: str | None,
    evaluation: str | None,
    as_json: bool,
) -> None:
    secret = own_secret()
    with opened(context) as app:
        found = find_version(app.store, version)
        refuse_another(app.settings, secret, name)
        warnings = [] if decision == REVOKE else wiring.warnings_of(app, found, evaluation)
        for warning in () if as_json else warnings:
            click.echo(f"warning: {warning['reason']}")
        word = wiring.sign_off(
            app, found, secret=secret, decision=decision, why=why, evaluation=evaluation
        )
        now = find_version(app.store, found.digest)
        quorum = wiring.standing(app, now, as_control=True)
        following = next_step(app, now.task)
    if as_json:
        show_json(
            {
                "approval": public(word),
                "version": public(now),
                "quorum": msgspec.to_builtins(quorum),
                "warnings": warnings,
            }
        )
        return
    click.echo(
        f"{word.person} ({word.role}): {word.decision} {now.label} "
        f"on evaluation {fingerprint.short(word.evaluation)}"
    )
    click.echo(f"{now.label} is {now.status}: {quorum}")
    if following is not None:
        click.echo(f"next: {following}")
