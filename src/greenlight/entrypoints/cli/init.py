"""`init`: a project from nothing, and what to do then."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path

import click

from greenlight import config
from greenlight.config.templates import FORMS
from greenlight.entrypoints.cli.common import KEY_VARIABLE, json_option, show_json
from greenlight.wiring.next_step import ADOPT, adopt_prompt
from greenlight.wiring.starting import KEYS, Started, start

PEOPLE = ("ana:ml_lead", "ben:product_owner")
"""Who signs where nobody is named: one person for each role that always signs."""


@click.command()
@click.option(
    "--template",
    type=click.Choice(list(FORMS)),
    default=next(iter(FORMS)),
    show_default=True,
    help="; ".join(f"{name}: {form.line}" for name, form in FORMS.items()) + ".",
)
@click.option("--project", help="What the installation is called (default: as its folder).")
@click.option(
    "--person",
    "people",
    metavar="NAME:ROLE",
    multiple=True,
    default=PEOPLE,
    show_default=True,
    help="Somebody who signs; may be given several times, and have several roles: ana:a,b.",
)
@json_option
@click.pass_context
def init(
    context: click.Context,
    template: str,
    project: str | None,
    people: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a greenlight.toml that works as it is and says what to change, and keys of people.

    Everybody named gets a key: the public half goes into the file, the secret half to keys/NAME,
    readable by you alone. A .gitignore keeps keys and data out of git. Nothing is overwritten.
    """
    file = Path(context.find_root().obj)
    made = start(
        file,
        template=template,
        project=project or file.absolute().parent.name or "greenlight",
        people=_people(people),
        random=secrets.token_bytes,
    )
    following = _next(made, template)
    if as_json:
        show_json({**_public(made), "next": following})
        return
    click.echo("wrote " + ", ".join(made.written))
    for warning in made.warnings:
        click.echo(f"warning: {warning}")
    click.echo("next:")
    if file.absolute().parent != Path.cwd():
        click.echo(f"  cd {shlex.quote(str(file.parent))}")
    for command in following:
        click.echo(f"  {command}")


def _public(made: Started) -> dict[str, object]:
    """What was written, as plain values; no secret is among them."""
    return {
        "file": made.file,
        "template": made.template,
        "task": made.task,
        "written": made.written,
        "keys": made.keys,
        "warnings": made.warnings,
    }


def _people(given: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Name → roles.

    Raises:
        BadParameter: one is not NAME:ROLE, or is named twice.
    """
    people: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, _, roles = text.partition(":")
        if not name or not roles:
            raise click.BadParameter(
                f"{text!r}: write NAME:ROLE, such as ana:ml_lead", param_hint="--person"
            )
        if name in people:
            raise click.BadParameter(
                f"{name!r} is named twice; give both roles at once: {name}:ml_lead,operations",
                param_hint="--person",
            )
        people[name] = tuple(roles.split(","))
    return people


def _next(made: Started, template: str) -> list[str]:
    """The three commands that lead from here to a gateway that answers."""
    first = f"greenlight run {made.task}"
    if template == "chat" or FORMS[template].prompted:
        adopt = ADOPT.format(task=made.task)
        if FORMS[template].prompted:
            adopt = adopt_prompt(config.load(Path(made.file), {}).task(made.task))
        first = f"{KEY_VARIABLE}=$(cat {KEYS}/{next(iter(made.keys))}) {adopt}"
    return ["greenlight doctor", first, "greenlight up"]
