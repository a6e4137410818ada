"""`rollout rollback|pause|resume|widen|promote`: a person takes a running rollout in hand."""

from __future__ import annotations

import functools

import click

from greenlight import wiring
from greenlight.config import Settings
from greenlight.core.errors import Conflict, LostLease, StoreError
from greenlight.core.killing import CODE
from greenlight.core.records import Decision
from greenlight.core.states import Action
from greenlight.entrypoints.cli.common import (
    as_option,
    json_option,
    own_secret,
    public,
    refuse_another,
    settings,
    show_json,
)
from greenlight.entrypoints.cli.killing import as_values, told

PATIENCE_S = 5.0
"""How long the store may take over a rollback before the kill switch takes its place."""

DONE = {
    Action.ROLLBACK: "control answers everybody",
    Action.WITHDRAW: "control answers everybody; that is no word on the candidate",
    Action.PAUSE: "nothing grows until it is resumed; harm is rolled back all the same",
    Action.RESUME: "the evidence decides again",
    Action.WIDEN: "the candidate is at its next step",
    Action.PROMOTE: "the candidate answers everybody",
}


def _order(action: Action, words: str, name: str | None = None) -> click.Command:
    """The command that gives one order, by the action's name or another."""

    @click.command(name or action.value, help=words)
    @click.argument("task")
    @click.option("-m", "--message", "why", required=True, help="The reason, on record.")
    @as_option
    @json_option
    @click.pass_context
    def command(
        context: click.Context, task: str, why: str, name: str | None, as_json: bool
    ) -> None:
        secret, found = own_secret(), settings(context)
        refuse_another(found, secret, name)
        if action is Action.ROLLBACK:
            _roll_back(found, task, secret, why, as_json)
        else:
            _show(task, _steer(found, task, action, secret, why), as_json)

    return command


def _steer(found: Settings, task: str, action: Action, secret: str, why: str) -> Decision:
    with wiring.open_app(found) as app:
        return wiring.DeploymentManager(app).steer(task, action, secret=secret, why=why)


def _show(task: str, decision: Decision, as_json: bool) -> None:
    if as_json:
        show_json(public(decision))
    else:
        click.echo(f"{task}: {decision.action} by {decision.reason}")
        click.echo(DONE[decision.action])


def _roll_back(found: Settings, task: str, secret: str, why: str, as_json: bool) -> None:
    """Roll back through the store; where that cannot be reached, by the kill switch."""
    try:
        if not found.store_path.exists():
            raise StoreError(f"{found.store_path} is not there")
        order = functools.partial(_steer, found, task, Action.ROLLBACK, secret, why)
        _show(task, wiring.within(PATIENCE_S, order), as_json)
    except (Conflict, LostLease):
        raise
    except (StoreError, TimeoutError) as error:
        made = wiring.kill(found, task, secret=secret, why=why)
        if as_json:
            show_json({"action": Action.ROLLBACK, "code": CODE, **as_values(made)})
        else:
            click.echo(f"the store cannot be reached ({error}): the kill switch was used instead")
            click.echo(told(found, made))


COMMANDS = (
    _order(
        Action.ROLLBACK,
        "Take the candidate of TASK out of traffic, at once. It needs neither controller nor "
        "gateway, and where the store is away it uses the kill switch. Everybody in [people] may.",
    ),
    _order(
        Action.WITHDRAW,
        "Call the rollout of TASK off: its candidate leaves traffic at once, which is no word on "
        "whether it is any good. Everybody in [people] may.",
        name="abort",
    ),
    _order(
        Action.PAUSE,
        "Let nothing grow on TASK until it is resumed. The split stays, and harm is rolled back "
        "all the same.",
    ),
    _order(Action.RESUME, "Let the evidence decide on TASK again."),
    _order(
        Action.WIDEN,
        "Give the candidate of TASK its next step now. Refused where approval, trust or a sign of "
        "harm stands against it, and to who began the rollout.",
    ),
    _order(
        Action.PROMOTE,
        "Make the candidate of TASK live from its last step. It spares the proof that it is "
        "better, no other one.",
    ),
)
