"""Versions that no run made: a bundle of one's own, a prompt, a model that runs already."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from greenlight import artifacts
from greenlight.adapters import signing
from greenlight.core import lora_options
from greenlight.core.curation import CLASSIFY
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.records import Approval, Version
from greenlight.lookup import newest_prepared
from greenlight.models import chat, elsewhere, prompt
from greenlight.models.chat import ChatModel
from greenlight.models.prompt import Decoding, Prompt
from greenlight.stages import adopt as stage
from greenlight.stages import approve
from greenlight.stages.adopt import Newcomer
from greenlight.wiring.app import App
from greenlight.wiring.texts import text_of

_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody brings in: a bundle, a prompt with a model at a provider, or an address."""

    folder: Path | None = None
    """A sealed bundle."""
    prompt: Path | None = None
    """A file with a template, see `models.prompt`."""
    model: str | None = None
    """What the provider calls the model."""
    url: str | None = None
    """Of the provider; without a prompt, of a model server."""
    key: str | None = None
    """`env:NAME`: the variable with the provider's key."""
    labels: Path | None = None
    """A JSON list; without it the labels of the configuration (`dataset.labels`), or else of the
    task's newest prepared dataset."""
    seed: int = 2025
    """Of the decoding."""
    max_tokens: int = 64
    """The longest answer."""
    logprobs: bool = True
    """Ask for log-probabilities, of which the score is made."""
    prices: tuple[float, float] | None = None
    """Of a million tokens, read and written."""
    count_streams: bool = True
    """Ask for the count of tokens at the end of a chat's streams."""


def add_version(
    app: App, task: str, origin: Origin, *, initiator: str, why: str, label: str | None = None
) -> Version:
    """Bring in a candidate that needs no training; see `stages.adopt.add`.

    Raises:
        BadInput: nothing that could be run, or not all of it.
        Tampered: a bundle that is not as it was sealed.
        MissingData: nobody said which labels there are.
        Refused: the label is another version's.
    """
    app.act()
    made = _newcomer(app, task, origin, {"source": "added", "by": initiator, "why": why}, label)
    return stage.add(app.store, made, initiator=initiator, now=app.clock.now())


def adopt(
    app: App, task: str, origin: Origin, *, secret: str, why: str, label: str | None = None
) -> tuple[Version, Approval]:
    """Make what runs today the task's baseline; see `stages.adopt.adopt`.

    Raises:
        BadInput, Tampered, MissingData: as `add_version`.
        Refused: something is live already, or the key is nobody's who signs for the task.
    """
    app.act()
    signer = approve.identify(secret, app.settings.people, signing.public_key)
    lineage = {"source": "adopted", "by": signer.name, "why": why}
    return stage.adopt(
        app.store,
        _newcomer(app, task, origin, lineage, label),
        signer=signer,
        why=why,
        policy=app.settings.task(task).approval,
        sign=lambda data: signing.sign(secret, data),
        kill=app.kills.entries().get(task),
        now=app.clock.now(),
        random=app.random,
    )


def _newcomer(
    app: App, task: str, origin: Origin, lineage: dict[str, Any], label: str | None
) -> Newcomer:
    if app.settings.task(task).kind == "chat":
        digest, runtime, more = _chat(app, origin)
        return Newcomer(
            task=task, bundle=digest, runtime=runtime, lineage={**lineage, **more}, label=label
        )
    if not origin.count_streams:
        raise BadInput("--no-stream-usage belongs to a chat")
    if origin.prices is not None and origin.prompt is None:
        raise BadInput("--input-price, --output-price: of a model at a provider; add --prompt FILE")
    kinds = (origin.folder is not None) + (origin.prompt is not None)
    if kinds > 1 or (kinds == 0 and origin.url is None):
        raise BadInput("name one thing: a bundle, --prompt FILE, or --url of a model server")
    if origin.prompt is not None:
        digest, runtime, more = _prompt(app, task, origin.prompt, origin)
    elif origin.model or origin.key or origin.labels:
        raise BadInput("--model, --key and --labels belong to a prompt: add --prompt FILE")
    elif origin.folder is not None:
        digest, runtime, more = _bundle(app, origin.folder, origin.url)
    else:
        digest, runtime, more = _elsewhere(app, _address(origin.url))
    return Newcomer(
        task=task, bundle=digest, runtime=runtime, lineage={**lineage, **more}, label=label
    )


Parts = tuple[str, dict[str, Any], dict[str, Any]]
"""The bundle's digest, how it is run, and what else is known of its origin."""


def _bundle(app: App, folder: Path, url: str | None) -> Parts:
    if not (folder / artifacts.MANIFEST).is_file():
        raise BadInput(
            f"{folder}: no sealed bundle, for it has no {artifacts.MANIFEST}. Greenlight's "
            "trainers and greenlight.models.bundle.write make one; a model of any other form goes "
            "behind HTTP, and --url names its address (docs/http.md)",
            "bundle",
        )
    from greenlight.models import bundle, lora

    if artifacts.unseal(folder).get("kind") == lora.KIND:
        return _adapter(app, folder, url)
    kind = bundle.load(folder).kind
    runtime = {"kind": "in_process"} if url is None else {"kind": "http", "url": _address(url)}
    return app.bundles.add(str(folder)), runtime, {"backend": kind}


def _adapter(app: App, folder: Path, url: str | None) -> Parts:
    """An adapter of a language model. It is not opened, for that takes the language model."""
    from greenlight.models import lora

    if not lora.look(folder).labels:
        raise BadInput(f"{folder}: it answers chats, and has no labels to classify with", "bundle")
    if url is None:
        raise BadInput(f"{folder}: {lora.ELSEWHERE}", "bundle")
    runtime = lora_options.runtime(_address(url), CLASSIFY)
    return app.bundles.add(str(folder)), runtime, {"backend": lora_options.BACKEND}


def _elsewhere(app: App, url: str) -> Parts:
    with tempfile.TemporaryDirectory() as folder:
        elsewhere.write(folder, url)
        return app.bundles.add(folder), {"kind": "http", "url": url}, {}


def _prompt(app: App, task: str, file: Path, origin: Origin) -> Parts:
    if not origin.model or not origin.url:
        raise BadInput("a prompt needs a model at a provider: add --model NAME and --url BASE_URL")
    runtime = _provider(origin)
    labels, source = _labels(app, task, origin.labels)
    template = text_of(file)
    decoding = Decoding(seed=origin.seed, max_tokens=origin.max_tokens, logprobs=origin.logprobs)
    made = Prompt(template, model=origin.model, labels=labels, decoding=decoding)
    with tempfile.TemporaryDirectory() as folder:
        prompt.write(folder, made)
        digest = app.bundles.add(folder)
    return digest, runtime, {"model": origin.model, **source}


def _chat(app: App, origin: Origin) -> Parts:
    """A model at a provider that talks; a prompt is what it is told before every chat."""
    if not origin.model or not origin.url:
        raise BadInput("a chat needs a model at a provider: add --model NAME and --url BASE_URL")
    if origin.folder is not None or origin.labels is not None:
        raise BadInput("a chat has neither a bundle of its own nor labels: leave them out")
    made = ChatModel(
        model=origin.model,
        system=None if origin.prompt is None else text_of(origin.prompt),
        count_streams=origin.count_streams,
    )
    with tempfile.TemporaryDirectory() as folder:
        chat.write(folder, made)
        digest = app.bundles.add(folder)
    return digest, _provider(origin), {"model": origin.model}


def _provider(origin: Origin) -> dict[str, Any]:
    if origin.key is not None and not _VARIABLE.fullmatch(origin.key):
        raise BadInput("--key: name the variable that holds it, as in env:OPENAI_API_KEY", "key")
    runtime: dict[str, Any] = {"kind": "openai", "url": _address(origin.url)}
    if origin.key is not None:
        runtime["key"] = origin.key
    if origin.prices is not None:
        if min(origin.prices) < 0:
            raise BadInput("--input-price, --output-price: must not be negative", "prices")
        runtime["prices"] = dict(zip(("input", "output"), origin.prices, strict=True))
    return runtime


def _labels(app: App, task: str, file: Path | None) -> tuple[list[str], dict[str, str]]:
    if file is not None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=list[str]), {}
        except (OSError, msgspec.DecodeError) as error:
            raise BadInput(f"{file}: no JSON list of labels ({error})", "labels") from error
    if configured := app.settings.task(task).dataset.labels:
        return list(configured), {}
    newest = newest_prepared(app.store, task)
    if newest is None:
        raise MissingData(
            f"{task}: no dataset has been prepared that could tell the labels; name them in a JSON "
            "list with --labels FILE"
        )
    return list(newest.manifest["labels"]), {"labels_of": newest.digest}


def _address(url: str | None) -> str:
    """An address without anything secret in it, for it is kept and shown."""
    try:
        parts = urlsplit(url or "")
        _ = parts.port  # where it is no number this says so
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput("--url: no address; write it as in https://api.example.com/v1", "url")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadInput(
            "--url: an address alone, without a user, a password or a query: it is kept and shown "
            "(--key env:NAME is for secrets)",
            "url",
        )
    return parts.geturl().rstrip("/")
