"""The tagger's network in torch, to train: the same function as `tagger_graph`'s in float32.

Nothing that serves imports this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from greenlight.models.encoder_graph import EncoderConfig, Floats
from greenlight.models.tagger_graph import WIDTH
from greenlight.models.torch_encoder import TorchEncoder, need_torch, settle
from greenlight.models.word_features import (
    CASE_NUMBERS,
    CHARACTERS,
    FLAGS,
    HEAD,
    TAIL,
    Window,
)

WORDS = "embeddings.word_embeddings.weight"
CHARACTER_SIZE, CHANNELS, SHAPE_SIZE = 24, 48, 24


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What shapes the network above the encoder."""

    tags: int
    shapes: int
    lstm: int
    """Numbers that the LSTM keeps in each direction."""
    dropout: float
    """Before and behind the LSTM."""


class TorchTagger:
    """An encoder and what stands above it; `head` holds the weights of the latter by name."""

    def __init__(
        self,
        config: EncoderConfig,
        tensors: Mapping[str, Floats],
        sizes: Sizes,
        *,
        bfloat16: bool = False,
        portable: bool = False,
    ) -> None:
        """Make a network with a fresh head, drawn from torch's generator.

        Args:
            config: the encoder's shape.
            tensors: its weights; those of its words stay as they are, so that a word that no
                training text holds stays near the words that are like it.
            sizes: the head's.
            bfloat16: the encoder's products in 16 bits while training.
            portable: in 64 bits, with weights that `settle` after every step.

        Raises:
            MissingData: torch is not installed.
        """
        torch = need_torch()
        self._torch = torch
        self._sizes = sizes
        self._bfloat16 = bfloat16
        self._portable = portable
        self._real = torch.float64 if portable else torch.float32
        self.encoder = TorchEncoder(config, tensors, double=portable)
        self.encoder.weights[WORDS].requires_grad_(False)
        layers, hidden = config.num_hidden_layers + 1, config.hidden_size
        width = hidden + CHANNELS + SHAPE_SIZE + FLAGS
        nn, real = torch.nn, self._real
        self._mix = torch.zeros(layers, dtype=real, requires_grad=True)
        self._cases = nn.Embedding(CASE_NUMBERS, hidden, dtype=real)
        nn.init.zeros_(self._cases.weight)
        self._characters = nn.Embedding(
            len(CHARACTERS) + 2, CHARACTER_SIZE, padding_idx=0, dtype=real
        )
        self._convolution = nn.Conv1d(
            CHARACTER_SIZE, CHANNELS, WIDTH, padding=WIDTH // 2, dtype=real
        )
        self._shapes = nn.Embedding(sizes.shapes + 1, SHAPE_SIZE, dtype=real)
        self._lstm = nn.LSTM(width, sizes.lstm, batch_first=True, bidirectional=True, dtype=real)
        self._output = nn.Linear(2 * sizes.lstm, sizes.tags, dtype=real)
        modules = {
            "cases": self._cases,
            "characters": self._characters,
            "convolution": self._convolution,
            "shapes": self._shapes,
            "lstm": self._lstm,
            "output": self._output,
        }
        self.head: dict[str, Any] = {"mix": self._mix} | {
            f"{part}.{name}": value
            for part, module in modules.items()
            for name, value in module.named_parameters()
        }
        self.settle()

    def settle(self) -> None:
        """After a step: round the weights, if they are to come out alike everywhere."""
        if self._portable:
            settle(self.learnt())

    def learnt(self) -> list[Any]:
        """The weights that a training changes: the encoder's, then the head's."""
        encoder = [value for value in self.encoder.weights.values() if value.requires_grad]
        return [*encoder, *self.head.values()]

    def tensors(self) -> dict[str, Floats]:
        """The head's weights of now, for `tagger_graph.build`."""
        return {
            name: np.array(value.detach().numpy(), np.float32) for name, value in self.head.items()
        }

    def scores(self, windows: Sequence[Window]) -> Floats:
        """The scores of one text's windows after the other, [words, tags]."""
        with self._torch.inference_mode():
            found = [self.emissions([window])[0].float().numpy() for window in windows]
        return np.concatenate(found)

    def snapshot(self) -> list[Any]:
        """A copy of what was learnt so far."""
        return [value.detach().clone() for value in self.learnt()]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Go back to a copy."""
        with self._torch.no_grad():
            for value, kept in zip(self.learnt(), snapshot, strict=True):
                value.copy_(kept)

    def emissions(self, windows: Sequence[Window], *, training: bool = False) -> Any:
        """A score for each tag of each word, [windows, words, tags]; padded to the longest.

        Args:
            windows: any number of them, of any length; one does not change another's scores but
                for rounding.
            training: with dropout.
        """
        torch, functional = self._torch, self._torch.nn.functional
        given = {name: torch.from_numpy(value) for name, value in _padded(windows).items()}
        given |= {name: given[name].to(self._real) for name in ("shares", "flags")}
        with torch.autocast("cpu", torch.bfloat16, enabled=training and self._bfloat16):
            states = self.encoder.hidden_states(
                given["ids"],
                given["mask"],
                training=training,
                extra=self._cases(given["cases"]),
            )
        shares = self._mix.softmax(dim=0)
        mixed = sum(share * state for share, state in zip(shares, states, strict=True))
        batch, words, places = given["characters"].shape
        looked_up = self._characters(given["characters"].view(batch * words, places))
        found = functional.relu(self._convolution(looked_up.transpose(1, 2))).amax(dim=-1)
        seen = torch.cat(
            [
                given["shares"] @ mixed,
                found.view(batch, words, CHANNELS),
                self._shapes(given["shapes"]),
                given["flags"],
            ],
            dim=-1,
        )
        lengths = torch.tensor([len(window.shapes) for window in windows])
        # Packed, so that padding is not read from either side.
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            functional.dropout(seen, self._sizes.dropout, training),
            lengths,
            batch_first=True,
            enforce_sorted=False,
        )
        read, _ = torch.nn.utils.rnn.pad_packed_sequence(self._lstm(packed)[0], batch_first=True)
        return self._output(functional.dropout(read, self._sizes.dropout, training))


def _padded(windows: Sequence[Window]) -> dict[str, Any]:
    """The windows' features in arrays, the shorter ones filled up with zeros."""
    count = len(windows)
    tokens = max(len(window.ids) for window in windows)
    words = max(len(window.shapes) for window in windows)
    arrays: dict[str, Any] = {
        "ids": np.zeros((count, tokens), np.int64),
        "mask": np.zeros((count, tokens), np.int64),
        "cases": np.zeros((count, tokens), np.int64),
        "shares": np.zeros((count, words, tokens), np.float32),
        "characters": np.zeros((count, words, HEAD + TAIL), np.int64),
        "shapes": np.zeros((count, words), np.int64),
        "flags": np.zeros((count, words, FLAGS), np.float32),
    }
    for row, window in enumerate(windows):
        rows, columns = window.shares.shape
        arrays["ids"][row, :columns] = window.ids
        arrays["mask"][row, :columns] = 1
        arrays["cases"][row, :columns] = window.cases
        arrays["shares"][row, :rows, :columns] = window.shares
        arrays["characters"][row, :rows] = window.characters
        arrays["shapes"][row, :rows] = window.shapes
        arrays["flags"][row, :rows] = window.flags
    return arrays
