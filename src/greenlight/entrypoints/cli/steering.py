"""`rollout rollback|pause|resume|widen|promote`: a person takes a running rollout in hand."""

from __future__ import annotations

import click

from greenlight import wiring
from greenlight.core.errors import Refused
from greenlight.core.states import Action
from greenlight.entrypoints.cli.common import (
    KEY_VARIABLE,
    json_option,
    opened,
    own_secret,
    public,
    show_json,
)

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
    @click.option("--as", "name", help="Refuse if the key is not this person's.")
    @json_option
    @click.pass_context
    def command(
        context: click.Context, task: str, why: str, name: str | None, as_json: bool
    ) -> None:
        secret = own_secret()
        with opened(context) as app:
            person = wiring.person_of(app.settings, secret)
            if name is not None and name != person.name:
                raise Refused(f"the key in {KEY_VARIABLE} is {person.name}'s, not {name}'s")
            decision = wiring.steer(app, task, action, secret=secret, why=why)
        if as_json:
            show_json(public(decision))
        else:
            click.echo(f"{task}: {decision.action} by {decision.reason}")
            click.echo(DONE[action])

    return command


COMMANDS = (
    _order(
        Action.ROLLBACK,
        "Take the candidate of TASK out of traffic, at once. It needs neither controller nor "
        "gateway, and everybody in [people] may.",
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
