"""`predict` and `feedback`: a first try of the running gateway from the shell."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from greenlight.core import keys
from greenlight.core.errors import BadInput, GreenlightError
from greenlight.entrypoints.cli.common import API_KEY_VARIABLE, json_option, settings, show_json

TIMEOUT_S = 30.0

url_option = click.option(
    "--url", help="Base address of the gateway (default: [gateway] of greenlight.toml)."
)


@click.command()
@click.argument("task")
@click.argument("text")
@click.option("--unit", help="Who asks, such as user-7; the same unit meets the same version.")
@click.option("-q", "--id-only", is_flag=True, help="Print the id for feedback alone, for scripts.")
@url_option
@json_option
@click.pass_context
def predict(
    context: click.Context,
    task: str,
    text: str,
    unit: str | None,
    id_only: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Ask the gateway for a prediction."""
    body = {"input": text} | ({"unit": unit} if unit else {})
    base = url or settings(context).gateway_url
    answer = _post(base, f"/v1/tasks/{task}/predict", body)
    if id_only and not answer["id"]:
        raise GreenlightError(
            "the answer has no id: it is not recorded, so nothing can be said of it"
        )
    if id_only:
        click.echo(answer["id"])
        return
    if as_json:
        show_json(answer)
        return
    output = answer["output"]
    scope = "  (out of scope)" if output.get("oos") else ""
    score = "" if output["score"] is None else f"  {output['score']:.3f}"
    click.echo(f"{output['label']}{score}{scope}")
    if "reason" in output:
        click.echo(f"  {output['reason']}")
    for entity in output.get("entities", ()):
        click.echo(f"  {entity['type']}: {entity['text']}")
    if answer["id"]:
        click.echo(f"say what you think of it: greenlight feedback {answer['id']} GOOD|BAD")


@click.command()
@click.argument("inference_id", metavar="ID")
@click.argument("value", type=click.Choice(["GOOD", "BAD"], case_sensitive=False))
@click.option("--reason", "reason_code", help="A reason code that the task's policy knows.")
@click.option("--comment", help="What you would tell the team.")
@click.option("--correction", help="The label that would have been right.")
@click.option("--reviewer", help="Who says so.")
@url_option
@json_option
@click.pass_context
def feedback(
    context: click.Context,
    /,
    inference_id: str,
    value: str,
    url: str | None,
    as_json: bool,
    **details: str | None,
) -> None:
    """Say whether an answer was GOOD or BAD. ID is what `greenlight predict` printed."""
    given = {name: text for name, text in details.items() if text is not None}
    body = {"inference_id": inference_id, "metric": "quality", "value": value.upper(), **given}
    base = url or settings(context).gateway_url
    receipt = _post(base, "/v1/feedback", body)
    if as_json:
        show_json(receipt)
    else:
        click.echo(f"{value.upper()} on {inference_id}: {receipt['status']}")


def _post(base: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON and read the answer; proxies are for other addresses than one's own gateway.

    Raises:
        BadInput: the gateway refused the request, or the key to show it is none.
        GreenlightError: no gateway answers there, or it failed.
    """
    if urlsplit(base).scheme not in ("http", "https"):
        raise BadInput(f"--url {base!r}: no address; write it as in http://127.0.0.1:8400", "url")
    key = os.environ.get(API_KEY_VARIABLE, "").strip()
    if key and keys.id_of(key) is None:
        raise BadInput(f"{API_KEY_VARIABLE} holds no key; greenlight keys create NAME makes one")
    try:
        request = urllib.request.Request(
            base.rstrip("/") + path,
            data=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
        )
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = msgspec.json.decode(response.read(), type=dict[str, Any])
            return answer
    except urllib.error.HTTPError as error:
        message = f"the gateway at {base} answered {error.code}: {_message(error.read())}"
        if error.code == 401:
            message += f"; this command takes the key from {API_KEY_VARIABLE}"
        if error.code == 404 and path.startswith("/v1/tasks/"):
            message += "; what is live is shown by: greenlight status"
        raise (BadInput if error.code < 500 else GreenlightError)(message) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise GreenlightError(
            f"no gateway answers at {base} ({reason}); start one: greenlight up"
        ) from error
    except ValueError as error:
        raise BadInput(f"what answers at {base} is no gateway ({error})") from error


def _message(body: bytes) -> str:
    """What the gateway says is wrong, from its error document."""
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return " ".join(body.decode(errors="replace").split())[:200] or "no message"
