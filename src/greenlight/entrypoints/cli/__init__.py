"""`greenlight`: the command line. Commands are loaded when they are called, not before."""

from __future__ import annotations

from pathlib import Path

import click

from greenlight.entrypoints.cli.examples import epilog
from greenlight.entrypoints.cli.lazy import LazyGroup

COMMANDS = {
    "init": ("init:init", "Write a greenlight.toml that works as it is, and keys of people."),
    "demo": ("turn:demo", "The whole loop on BANKING77, from nothing, in minutes."),
    "validate": ("check:validate", "Check greenlight.toml and show every fault at once."),
    "doctor": ("doctor:doctor", "Try everything that is needed, and say how to mend it."),
    "up": ("serve:up", "Run gateway, controller and worker."),
    "gateway": ("serve:gateway", "Run the gateway alone."),
    "controller": ("serve:controller", "Run the controller alone."),
    "worker": ("serve:worker", "Run the worker alone: it carries out runs that are due."),
    "finetune-server": (
        "finetune:finetune_server",
        "Fine-tune on this machine, through OpenAI's API.",
    ),
    "run": ("turn:run", "Make a new version: collect, curate, train, evaluate, register."),
    "runs": ("runs:runs", "List runs of the pipeline, show one, or end one."),
    "eval": ("evaluate:evaluation", "Evaluate a version in parts, and seal them."),
    "compare": ("evaluate:compare", "Hold one version against another on the same texts."),
    "card": ("evaluate:card", "Write a version's model card, as Markdown and as a page."),
    "report": ("reporting:report", "Write what a run made and what came of it: a pilot report."),
    "plan": ("plan:plan", "How many outcomes and days a rollout takes, for a given effect."),
    "rollout": ("turn:rollout", "Put an approved version before users."),
    "staging": ("staging:staging", "Put on record that a version passed staging; prod asks."),
    "kill": ("killing:kill", "Take a task's candidate out of traffic with everything else down."),
    "drill": ("drill:drill", "Rehearse a fault on a canary; it must end in rollback."),
    "drills": ("drill:drills", "List the drills that were held."),
    "status": ("status:status", "Show what is live, the running rollout and its evidence."),
    "versions": ("look:versions", "List versions, show one, or add one without training."),
    "adopt": ("registry:adopt", "Take what runs today as a task's baseline."),
    "rollouts": ("look:rollouts", "List rollouts, show one, or write its evidence."),
    "decisions": ("look:decisions", "List decisions, show one, or take them all once more."),
    "incidents": ("incidents:incidents", "What followed each rollback, step by step."),
    "approve": ("sign:approve", "Approve a version with your own key."),
    "reject": ("sign:reject", "Reject a version with your own key."),
    "keys": ("keys:keys", "Make keys for people, the ledger's head, and applications."),
    "notify": ("notify:notify", "Try the channels on which people hear of what happens."),
    "mlflow": ("mlflow:mlflow", "Mirror runs and versions to MLflow, and see how far it is."),
    "import": ("data:import_data", "Check a file row by row and copy it to data/imported."),
    "export": ("data:export_data", "Write labelled answers to a file for fine-tuning elsewhere."),
    "relabel": ("data:relabel", "Give labels to answers that feedback alone cannot label."),
    "predict": ("ask:predict", "Ask the gateway for a prediction."),
    "feedback": ("ask:feedback", "Say whether an answer was GOOD or BAD."),
    "datasets": ("data_look:datasets", "List data sets, show one, or compare two."),
    "purge": ("purge:purge", "Erase what people wrote, by age or by unit."),
    "release": ("releasing:release", "Check a checkout against ACCEPTANCE.md, and sign it."),
    "audit": ("check:audit", "Check that nothing on record was changed."),
    "completion": ("completion:completion", "Print what makes a shell complete commands."),
}
"""Name → (module:attribute in this package, the line shown by --help)."""


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """Print which build this is, and end."""
    if not asked or context.resilient_parsing:
        return
    from greenlight import release

    found = release.build()
    click.echo(release.as_json(found) if context.params["as_json"] else found)
    context.exit()


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog(""),
)
@click.option(
    "-C",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder of greenlight.toml (default: the current folder).",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="GREENLIGHT_CONFIG",
    help="The configuration file itself (default: greenlight.toml in the folder).",
)
@click.option("--json", "as_json", is_flag=True, is_eager=True, help="With --version: as JSON.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    callback=_show_version,
    help="Show the release and the commit that it was built from, and end.",
)
@click.pass_context
def main(context: click.Context, directory: Path, config: Path | None, as_json: bool) -> None:
    """Every new version of a model earns its traffic with evidence.

    Exit codes: 0 it went well, 1 it did not, 2 the call or the configuration is wrong,
    3 a warning under --fail-on-warn.
    """
    if as_json:
        raise click.UsageError("--json stands after the command, as in: greenlight status --json")
    context.obj = config if config is not None else directory / "greenlight.toml"
