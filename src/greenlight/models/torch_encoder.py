"""The BERT encoder in torch, to fine-tune: the same function as `encoder_graph`'s in float32.

Devlin et al., "BERT", arXiv 1810.04805. Weights go by their names in the safetensors, so that what
was fine-tuned goes back into `encoder_graph.build` as it is. Nothing that serves imports this.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from greenlight.core.errors import MissingData
from greenlight.models.encoder_graph import MASKED, EncoderConfig, Floats, check

TORCH = "torch==2.13.0"
DROPOUT = 0.1
"""Of hidden states and attention, as BERT was trained."""
GRID = 2**20
"""Steps to 1 of weights that are to come out alike on every processor (`settle`)."""


def need_torch() -> Any:
    """The module torch.

    Raises:
        MissingData: it is not installed; the message says how to get it.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingData(
            f"this backend trains with torch, which is not here: pip install {TORCH} (a training "
            "needs it; what it makes is served without)"
        )
    return importlib.import_module("torch")


def deterministic(seed: int, threads: int) -> None:
    """Seed torch, and have it compute the same bits on every run on this machine.

    Args:
        seed: of every random number of torch.
        threads: sums are split among so many, and come out differently with another number.
    """
    torch = need_torch()
    # Of a GPU's sums, too; read when the first of them is made (cuBLAS, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def settle(weights: Sequence[Any]) -> None:
    """Round weights of 64 bits to the nearest whole 1 / `GRID`, in place.

    Each processor adds up in its own order, and a step of learning comes out a little otherwise:
    of 64 bits the last few. Left alone, such a difference grows tenfold every few dozen steps,
    until two trainings have nothing in common but their seed. Rounded after every step to steps
    that are far coarser, the two are the same again, but for the rare weight that lay on an edge.

    Args:
        weights: float64, of any shapes.
    """
    with need_torch().no_grad():
        for weight in weights:
            weight.mul_(GRID).round_().div_(GRID)


class TorchEncoder:
    """A BERT whose weights learn.

    `weights` holds its tensors by name, as leaves that want gradients; the pooler's are left out.
    """

    def __init__(
        self,
        config: EncoderConfig,
        tensors: Mapping[str, Floats],
        *,
        dropout: float = DROPOUT,
        device: str = "cpu",
        double: bool = False,
    ) -> None:
        """Make an encoder of a BERT's tensors.

        Args:
            config: its shape.
            tensors: its weights.
            dropout: share of what is left out in training.
            device: where it learns.
            double: in 64 bits.

        Raises:
            MissingData: torch is not installed.
            BadInput: not a BERT with GELU and absolute positions.
        """
        check(config)
        self._torch = need_torch()
        self._config = config
        self._dropout = dropout
        real = self._torch.float64 if double else self._torch.float32
        self.weights: dict[str, Any] = {
            name: self._torch.tensor(value, dtype=real, device=device).requires_grad_()
            for name, value in tensors.items()
            if name.startswith(("embeddings.", "encoder.")) and value.dtype.kind == "f"
        }

    def tensors(self) -> dict[str, Floats]:
        """The weights of now, for `encoder_graph.build`."""
        return {
            name: np.array(value.detach().cpu().numpy(), np.float32)
            for name, value in self.weights.items()
        }

    def hidden_states(
        self, ids: Any, mask: Any, *, training: bool = False, extra: Any = None
    ) -> list[Any]:
        """The embeddings and what every layer made of them, each [batch, tokens, hidden].

        Args:
            ids: token numbers, int64 [batch, tokens].
            mask: 1 for a token, 0 for padding, int64 [batch, tokens].
            training: with dropout.
            extra: added to the embeddings of the sub-words, [batch, tokens, hidden].
        """
        rate = self._dropout if training else 0.0
        functional = self._torch.nn.functional
        weights = self.weights
        words = functional.embedding(ids, weights["embeddings.word_embeddings.weight"])
        places = (
            weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        summed = words + places if extra is None else words + places + extra
        hidden = self._drop(self._normalise(summed, "embeddings.LayerNorm"), rate)
        bias = ((1.0 - mask.to(hidden.dtype)) * MASKED)[:, None, None, :]
        states = [hidden]
        for number in range(self._config.num_hidden_layers):
            states.append(self._layer(f"encoder.layer.{number}.", states[-1], bias, rate))
        return states

    def mean(self, hidden: Any, mask: Any) -> Any:
        """The mean over a text's tokens, [batch, hidden]; not scaled to length 1."""
        shares = mask.to(hidden.dtype)
        shares = shares / shares.sum(dim=1, keepdim=True)
        return (shares[:, None, :] @ hidden)[:, 0]

    def _layer(self, prefix: str, hidden: Any, bias: Any, rate: float) -> Any:
        mixed = self._attention(prefix + "attention.self.", hidden, bias, rate)
        attended = self._drop(self._linear(mixed, prefix + "attention.output.dense"), rate)
        hidden = self._normalise(attended + hidden, prefix + "attention.output.LayerNorm")
        gelu = self._torch.nn.functional.gelu
        inner = gelu(self._linear(hidden, prefix + "intermediate.dense"))
        outer = self._drop(self._linear(inner, prefix + "output.dense"), rate)
        return self._normalise(outer + hidden, prefix + "output.LayerNorm")

    def _attention(self, prefix: str, hidden: Any, bias: Any, rate: float) -> Any:
        batch, tokens, width = hidden.shape
        heads = self._config.num_attention_heads

        def split(name: str) -> Any:
            value = self._linear(hidden, prefix + name)
            return value.view(batch, tokens, heads, width // heads).transpose(1, 2)

        query, key, value = split("query"), split("key"), split("value")
        match = query @ key.transpose(2, 3) * (width // heads) ** -0.5 + bias
        shares = self._drop(match.softmax(dim=-1), rate)
        return (shares @ value).transpose(1, 2).reshape(batch, tokens, width)

    def _linear(self, value: Any, name: str) -> Any:
        linear = self._torch.nn.functional.linear
        return linear(value, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def _normalise(self, value: Any, name: str) -> Any:
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        normalise = self._torch.nn.functional.layer_norm
        return normalise(value, weight.shape, weight, bias, self._config.layer_norm_eps)

    def _drop(self, value: Any, rate: float) -> Any:
        return self._torch.nn.functional.dropout(value, rate) if rate else value
