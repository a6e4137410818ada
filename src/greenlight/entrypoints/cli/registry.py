"""`adopt` and `versions add`: versions that no run made. And where any version comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from greenlight import wiring
from greenlight.core import fingerprint
from greenlight.core.records import Version
from greenlight.core.states import VersionStatus
from greenlight.entrypoints.cli.common import (
    facts,
    initiator,
    inline,
    json_option,
    moment,
    opened,
    own_secret,
    public,
    show_json,
)
from greenlight.reporting import lineage

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
_OPTIONS = (
    click.argument("task"),
    click.argument("bundle", required=False, type=click.Path(path_type=Path)),
    click.option("--prompt", type=FILE, help="File with a prompt: {input}, {labels}."),
    click.option("--model", help="What the provider of the prompt's model calls it."),
    click.option("--url", help="The provider's base address; without a prompt, a model server's."),
    click.option("--key", help="Where the provider's key is: env:NAME."),
    click.option("--labels", type=FILE, help="JSON list of the labels a prompt asks for."),
    click.option("--seed", default=2025, show_default=True, help="Seed of the prompt's answers."),
    click.option("--max-tokens", default=64, show_default=True, help="Longest answer to a prompt."),
    click.option("--no-logprobs", is_flag=True, help="For a provider that refuses to send them."),
    click.option("--input-price", type=float, help="Of a million tokens that the model reads."),
    click.option("--output-price", type=float, help="Of a million tokens that the model writes."),
    click.option("--no-stream-usage", is_flag=True, help="Do not ask to count a chat's streams."),
    click.option("--label", help="What to call the version (default: TASK@N)."),
    json_option,
)


def _arguments(command: F) -> F:
    """What both commands take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("add")
@_arguments
@click.option("-m", "--message", "why", default="", help="What it is, on record.")
@click.pass_context
def add_version(
    context: click.Context, /, task: str, label: str | None, why: str, as_json: bool, **given: Any
) -> None:
    """Add a candidate that needs no training: BUNDLE, a prompt, or a model behind an address.

    It goes the way of every candidate: evaluation, gates, sign-off, rollout.
    """
    with opened(context) as app:
        began = app.clock.now()
        made = wiring.add_version(
            app, task, _origin(given), initiator=initiator(app), why=why, label=label
        )
    if as_json:
        show_json(public(made))
        return
    click.echo(f"{made.label} ({fingerprint.short(made.digest)}): {made.status}")
    if made.at < began:
        kept = "" if label in (None, made.label) else f", and keeps its label: {label} is not taken"
        click.echo(
            f"nothing new: the same content has been {made.label} since {moment(made.at)}{kept}"
        )
    if made.status is VersionStatus.REGISTERED:
        click.echo(f"next: greenlight eval run {made.label}")


@click.command()
@_arguments
@click.option("-m", "--message", "why", required=True, help="The reason, on record.")
@click.pass_context
def adopt(
    context: click.Context, /, task: str, label: str | None, why: str, as_json: bool, **given: Any
) -> None:
    """Take what runs today as TASK's baseline: BUNDLE, a prompt, or a model behind an address.

    Only where nothing is live yet. Your key is read from GREENLIGHT_PERSON_KEY. Your word alone
    makes it live, as what candidates are compared with, until one of them takes its place.
    """
    secret = own_secret()
    with opened(context) as app:
        made, word = wiring.adopt(app, task, _origin(given), secret=secret, why=why, label=label)
    if as_json:
        show_json({"version": public(made), "approval": public(word)})
        return
    click.echo(
        f"{made.label} ({fingerprint.short(made.digest)}) takes all traffic, adopted by "
        f"{word.person} ({word.role})"
    )


def show_lineage(app: wiring.App, version: Version, as_json: bool) -> None:
    """Print where a version comes from; as JSON with every inference id, written as it is read."""
    told = lineage.trace(app.store, app.raw, app.datasets, version)
    if not as_json:
        click.echo(facts(list(_lineage(told))))
        return
    click.echo(msgspec.json.encode(told)[:-1] + b', "inferences": [', nl=False)
    between = b""
    for split, inference in lineage.inferences(app.datasets, version):
        item = msgspec.json.encode({"split": split, "id": inference})
        click.echo(between + b"\n" + item, nl=False)
        between = b","
    click.echo(b"]}")


def _lineage(told: lineage.Lineage) -> Iterator[tuple[str, object]]:
    yield "version", f"{told.label} ({fingerprint.short(told.version)})"
    if told.run is None:
        yield from ((name, value) for name, value in told.origin.items() if value)
    else:
        yield "run", f"{told.run.id}, {told.run.trigger} by {told.run.initiator}"
    for stage in told.stages:
        made = ", ".join(f"{what} {fingerprint.short(name)}" for what, name in stage.output.items())
        taken = f" (taken over from {stage.reused})" if stage.reused else ""
        yield stage.name, f"{moment(stage.at)} → {made}{taken}"
    for link in told.datasets:
        gone = f"  {link.gone}" if link.gone else ""
        yield "dataset", f"{link.name} ({fingerprint.short(link.digest)}){gone}"
        told_of = {name: value for name, value in link.facts.items() if value not in ({}, [], None)}
        yield from ((f"  {name}", inline(value)) for name, value in told_of.items())
    if told.count is None:
        yield "inferences", "not to be told: their rows are gone"
        return
    more = f", the first {len(told.first)}:" if told.count > len(told.first) else ""
    yield "inferences", f"{told.count}{more}"
    yield from (("", inference) for inference in told.first)


def _origin(given: dict[str, Any]) -> wiring.Origin:
    prices = given["input_price"], given["output_price"]
    if prices.count(None) == 1:
        raise click.UsageError("--input-price and --output-price go together")
    return wiring.Origin(
        folder=given["bundle"],
        prompt=given["prompt"],
        model=given["model"],
        url=given["url"],
        key=given["key"],
        labels=given["labels"],
        seed=given["seed"],
        max_tokens=given["max_tokens"],
        logprobs=not given["no_logprobs"],
        prices=None if None in prices else prices,
        count_streams=not given["no_stream_usage"],
    )
