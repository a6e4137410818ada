"""[tasks.NAME.train.options] of backend `hf-lora`: what is taught, how, and where it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from greenlight.core import addresses, options
from greenlight.core.curation import CHAT

BACKEND = "hf-lora"
ADDRESS = "http://models.internal:9000"
BUNDLE = "{bundle}"
"""In an address, the digits of the digest of the bundle that answers there."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration may set."""

    base: str
    """The model that is taught: a folder, or a repository of the Hugging Face hub (OWNER/NAME)."""
    serve: str
    """Where the model server answers, such as `http://models.internal:9000`."""
    revision: str | None = None
    """Branch, tag or commit of a repository; its main branch without one. A commit stays what it
    is."""
    prompt: str | None = None
    """A file with the template (of a chat: the instructions) for rows that came without one."""
    r: Count = 16
    """The adapter's rank: how much can be learnt."""
    alpha: Positive = 32.0
    """How much of it counts, against the rank."""
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    """Share of the adapter's inputs that is left out while training."""
    target_modules: tuple[str, ...] = ()
    """The layers that get an adapter, by their names in the model; without any, every linear one
    but the last."""
    epochs: Count = 3
    """Passes over the rows, at most; the rate of learning falls to nothing by the end."""
    patience: Count = 1
    """Epochs without a smaller loss on validation after which it ends. The best is kept."""
    rate: Positive = 2e-4
    """Largest rate of learning."""
    batch: Count = 8
    """Rows per step."""
    max_tokens: Count = 1024
    """Of a conversation with its answer, or what the model reads at once, if that is less. Of a
    longer one the middle of what was asked is left out."""
    answer_tokens: Count = 128
    """Of an answer, at most."""
    bfloat16: bool = False
    """Hold the model in 16 bits: half the memory. The adapter keeps 32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it learns; `auto` takes a GPU where torch finds one."""
    threads: Count | None = None
    """Of the processor, by default one for each core; another number gives other bits."""

    def runtime(self, kind: str) -> dict[str, Any]:
        """How what it makes for a task of that kind is run (`records.Version.runtime`): by a model
        server, which is told each time which bundle is meant."""
        return runtime(self.serve, kind)


def runtime(serve: str, kind: str) -> dict[str, Any]:
    """How an adapter is run for a task of that kind, by the address of its model server."""
    url = serve.rstrip("/")
    if kind == CHAT:
        return {"kind": "openai", "url": f"{url}/v1"}
    return {"kind": "http", "url": url, "names_bundle": True}


def address(url: str, bundle: str) -> str:
    """The address of a version, by the digest of its bundle."""
    return url.replace(BUNDLE, bundle.removeprefix("sha256:"))


def read(config: Mapping[str, Any]) -> Options:
    """The options of a configuration.

    Raises:
        BadInput: the first of their `problems`.
    """
    return options.checked(Options, config, problems(config))


def problems(config: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with options, each as `field: what, and the remedy`."""
    found, wrong = options.shaped(Options, config, {"base": "models/llama", "serve": ADDRESS})
    yield from wrong
    if found is None:
        return
    if not found.base.strip():
        yield "base: no name; say which folder or repository the model is"
    if found.answer_tokens >= found.max_tokens:
        yield (
            f"answer_tokens: {found.answer_tokens} of {found.max_tokens} (max_tokens) leave "
            "nothing for what is asked; make it less"
        )
    astray = addresses.problem(found.serve, ADDRESS)
    if astray is not None:
        yield f"serve: {astray}"
