"""A LoRA adapter as a bundle: what was learnt on top of an open-weight language model.

Hu et al., "LoRA: Low-rank adaptation of large language models", arXiv 2106.09685.

| file | holds |
|---|---|
| `adapter_model.safetensors`, `adapter_config.json` | the adapter, as peft names and reads it |
| `prompts.json` | the instructions that it is asked with, by the digest of their bundle |

The manifest names the base model by the digest of its files; the base itself is no part of the
bundle, and another one is refused. With labels, the answer is the likeliest of them, and its score
the calibrated probability among them. Without any, the model is one that talks: it says what it
holds to be likeliest, word by word, and the score is the geometric mean of its tokens'
probabilities.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import safetensors.numpy

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.core.messages import Message
from greenlight.models import conversation, open_weights, sealed
from greenlight.models.chat import ChatModel
from greenlight.models.conversation import Conversations
from greenlight.models.features import Floats
from greenlight.models.linear import softmax
from greenlight.models.open_weights import Base, Opened, need
from greenlight.models.prompt import Prompt, score_of
from greenlight.models.speaker import Said, Speaker, Window
from greenlight.ports import Prediction

KIND = conversation.ADAPTER
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PROMPTS = "prompts.json"
ELSEWHERE = (
    "an adapter of a language model answers from a model server, and not in the gateway: name its "
    "address (train.options.serve, or --url)"
)
"""What to do with a version that has none."""
ALL = "all-linear"
"""Every linear layer but the last, as peft calls them."""


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of an adapter, by peft's names."""

    r: int
    lora_alpha: float
    lora_dropout: float
    target_modules: tuple[str, ...]
    fan_in_fan_out: bool = False


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a bundle is made of."""

    labels: Sequence[str]
    """None for a model that talks."""
    base: Base
    adapter: Adapter
    tensors: Mapping[str, Floats]
    asked: str
    """The name of its instructions."""
    instructions: Mapping[str, Any]
    """As `conversation.contents` gives them."""
    window: Window
    beta: float
    """The score is softmax(beta · log-likelihood)."""
    reasons: bool
    """Whether it has learnt to say something after its label."""
    bfloat16: bool


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    prompt: str
    tokens: int
    answer_tokens: int
    beta: float
    reasons: bool
    bfloat16: bool


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    kind: Literal["lora"]
    labels: tuple[str, ...]
    base: Base
    settings: _Settings
    files: dict[str, str]


class LoraModel:
    """A loaded bundle (`ports.Model`). Several threads may use it; they take turns."""

    def __init__(self, parts: Parts, opened: Opened) -> None:
        """Make a model of its parts; see `bundle.load` for a model from a folder.

        Args:
            parts: of the bundle.
            opened: its base, with the adapter on it (`attach`).

        Raises:
            BadInput: the parts do not fit together.
        """
        _check(parts)
        self.kind = KIND
        self.labels: Sequence[str] = tuple(parts.labels)
        self._beta = parts.beta
        self._reasons = parts.reasons
        self._asked = Conversations({parts.asked: parts.instructions})[parts.asked]
        self._speaker = Speaker(opened, parts.window)
        self._options = self._speaker.options(self.labels)
        # A network uses the whole device by itself: two at once would only need more memory.
        self._turn = threading.Lock()

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order; each by itself, whatever the others are.

        Raises:
            BadInput: a text of a chat that is no messages.
        """
        return [self._predict(text) for text in texts]

    def says(self, messages: Iterable[Message]) -> Said:
        """The answer to messages as they are, without the instructions of the bundle."""
        with self._turn:
            return self._speaker.says(self._speaker.question(messages)[0])

    def _predict(self, text: str) -> Prediction:
        messages = conversation.asked(self._asked, text)
        if not self.labels:
            said = self.says(messages)
            return Prediction(said.words, score_of(said.logprobs))
        with self._turn:
            question, _ = self._speaker.question(messages)
            found = self._speaker.likelihoods(question, self._options)
            shares = softmax(self._beta * found)
            best = int(shares.argmax())
            return Prediction(
                self.labels[best], float(shares[best]), reason=self._reason(question, best)
            )

    def _reason(self, question: Sequence[int], best: int) -> str | None:
        if not self._reasons or not isinstance(self._asked, Prompt):
            return None
        said = self._speaker.says(question, begun=self._options.tokens[best])
        read = self._asked.read(self.labels[best] + said.words)
        return None if read is None or read.label != self.labels[best] else read.reason


def attach(opened: Opened, adapter: Adapter, tensors: Mapping[str, Floats] | None = None) -> Opened:
    """Put an adapter on a base.

    Args:
        opened: the base; its layers are changed in place.
        adapter: the shape.
        tensors: its weights; without them those of one that has learnt nothing, drawn by torch.

    Raises:
        BadInput: the base has no such layers, or the weights are others.
    """
    peft = need("peft")
    wanted = adapter.target_modules
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules=ALL if wanted == (ALL,) else list(wanted),
        fan_in_fan_out=adapter.fan_in_fan_out,
    )
    try:
        with warnings.catch_warnings():
            # It says which of two layouts it chose, and what its own developers have to renew.
            warnings.simplefilter("ignore")
            network = peft.get_peft_model(opened.network, config)
    except ValueError as error:
        raise BadInput(f"target_modules: {error}", "target_modules") from error
    if tensors is not None:
        _put(peft, network, tensors)
    return Opened(network.eval(), opened.tokenizer, opened.device)


def shape_of(opened: Opened) -> Adapter:
    """The shape of the adapter on a base, with its layers by name."""
    config = opened.network.peft_config["default"]
    return Adapter(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=tuple(sorted(config.target_modules)),
        fan_in_fan_out=config.fan_in_fan_out,
    )


def tensors_of(opened: Opened) -> dict[str, Floats]:
    """The weights of the adapter on a base, by peft's names, float32."""
    held = need("peft").get_peft_model_state_dict(opened.network, save_embedding_layers=False)
    return {
        name: np.array(held[name].detach().cpu().float().numpy(), np.float32)
        for name in sorted(held)
    }


def write(folder: str | Path, parts: Parts) -> str:
    """Write a bundle to a new or empty folder; equal parts give equal bytes.

    Returns:
        The bundle's digest.

    Raises:
        BadInput: the folder is not empty, or the parts do not fit together.
        Unwritable: the folder takes no more.
    """
    _check(parts)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": parts.base.name,
        "revision": parts.base.revision,
        "inference_mode": True,
        **msgspec.to_builtins(parts.adapter),
    }
    files = [
        (WEIGHTS, safetensors.numpy.save(dict(parts.tensors))),
        (CONFIG, fingerprint.canonical(config)),
        (PROMPTS, fingerprint.canonical({parts.asked: parts.instructions})),
    ]
    settings = _Settings(
        prompt=parts.asked,
        tokens=parts.window.whole,
        answer_tokens=parts.window.answer,
        beta=parts.beta,
        reasons=parts.reasons,
        bfloat16=parts.bfloat16,
    )
    body = {
        "kind": KIND,
        "labels": list(parts.labels),
        "base": msgspec.to_builtins(parts.base),
        "settings": msgspec.to_builtins(settings),
    }
    return sealed.write(folder, files, body)


def look(folder: str | Path, expected_digest: str | None = None) -> Parts:
    """A bundle's parts, after checking every byte of them; the model is not opened.

    Raises:
        Tampered: not the expected bundle, or a file was changed, removed or added.
        BadInput: sealed as it should be, but no adapter that this release can read.
    """
    root = Path(folder)
    body = sealed.unseal(root, expected_digest)
    with sealed.reading(root):
        return _parts(root, body)


def talk(folder: str | Path, digest: str) -> ChatModel:
    """How a gateway asks an adapter that answers chats: by its instructions, at a model server.

    Raises:
        Tampered, BadInput: as `look`; or it does not answer chats.
    """
    parts = look(folder, digest)
    asked = Conversations({parts.asked: parts.instructions})[parts.asked]
    if not isinstance(asked, ChatModel):
        raise BadInput(f"{folder}: it gives a text a label, and answers no chats")
    return msgspec.structs.replace(asked, model=digest.removeprefix("sha256:"))


def read(root: Path, body: dict[str, Any], environ: Mapping[str, str] = os.environ) -> LoraModel:
    """The model in a folder whose manifest was checked; `bundle.load` does that.

    Raises:
        MissingData: torch, transformers or peft are not installed, or the base is nowhere.
        Tampered: the base is not the one that the adapter was trained on.
        BadInput: not an adapter for it.
    """
    parts = _parts(root, body)
    files = open_weights.find_again(parts.base, environ)
    device = open_weights.device_of("auto")
    opened = open_weights.open_files(files, device=device, bfloat16=parts.bfloat16)
    return LoraModel(parts, attach(opened, parts.adapter, parts.tensors))


def _parts(root: Path, body: dict[str, Any]) -> Parts:
    manifest = msgspec.convert(body, _Manifest)
    settings = manifest.settings
    prompts = msgspec.json.decode((root / PROMPTS).read_bytes(), type=dict[str, dict[str, Any]])
    parts = Parts(
        labels=manifest.labels,
        base=manifest.base,
        adapter=msgspec.json.decode((root / CONFIG).read_bytes(), type=Adapter),
        tensors=safetensors.numpy.load_file(root / WEIGHTS),
        asked=settings.prompt,
        instructions=prompts[settings.prompt],
        window=Window(settings.tokens, settings.answer_tokens),
        beta=settings.beta,
        reasons=settings.reasons,
        bfloat16=settings.bfloat16,
    )
    _check(parts)
    return parts


def _put(peft: Any, network: Any, tensors: Mapping[str, Floats]) -> None:
    """Give the adapter on a base these weights."""
    torch = need("torch")
    there = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
    wanted = {name: tuple(value.shape) for name, value in there.items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != given:
        odd = sorted(dict(wanted.items() ^ given.items()))
        raise BadInput(f"the adapter does not fit the base: {', '.join(odd[:3])}; {sealed.REMEDY}")
    held = {name: torch.tensor(value) for name, value in tensors.items()}
    peft.set_peft_model_state_dict(network, held)


def _check(parts: Parts) -> None:
    window = parts.window
    problems = [
        problem
        for problem, found in (
            ("labels repeat", len(set(parts.labels)) != len(parts.labels)),
            ("there is one label", len(parts.labels) == 1),
            (f"beta is {parts.beta}, not positive", not 0 < parts.beta < np.inf),
            (f"{window.answer} of {window.whole} tokens", not 0 < window.answer < window.whole),
            ("weights are not finite", not all(map(_finite, parts.tensors.values()))),
        )
        if found
    ]
    if problems:
        what = "; ".join(problems)
        raise BadInput(f"the parts of the {KIND} bundle do not fit: {what}; {sealed.REMEDY}")


def _finite(tensor: Floats) -> bool:
    return bool(np.isfinite(tensor).all())
