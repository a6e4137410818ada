"""The ONNX graph of a tagger: an encoder, what else is known of each word, and an LSTM over both.

Inputs, for one window of one text (`word_features.Window`): `input_ids` and `cases`, int64 [1,
tokens]; `shares`, float32 [words, tokens]; `characters`, int64 [words, places]; `shapes`, int64
[words]; `flags`, float32 [words, flags]. Output: `emissions`, float32 [words, tags], a score for
each tag.

A word is the mean of its sub-words in a learnt mix of all the encoder's layers (Peters et al.,
"Deep contextualized word representations", arXiv 1802.05365), beside a convolution over its
characters (Ma and Hovy, "End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF", arXiv
1603.01354), its shape and its casing. There is no batch: a text's tags cannot depend on others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from greenlight.core.errors import BadInput
from greenlight.models.encoder_graph import EncoderConfig, EncoderGraph, Floats
from greenlight.models.word_features import CHARACTERS, FLAGS, HEAD, TAIL

OUTPUT = "emissions"
WIDTH = 3
"""Characters that the convolution sees at once."""
DIRECTIONS = ("", "_reverse")


def build(
    config: EncoderConfig,
    encoder: Mapping[str, Floats],
    head: Mapping[str, Floats],
    *,
    quantised: bool,
) -> bytes:
    """Build the graph; equal arguments give equal bytes.

    Args:
        config: the encoder's shape.
        encoder: BERT's weights by their usual names.
        head: the other weights, named as in `torch_tagger`.
        quantised: 8 bits in the encoder (see `encoder_graph.build`); the rest stays float32.

    Raises:
        BadInput: no such encoder, or a tensor is missing.
    """
    tensors = {**encoder, **{f"head.{name}": value for name, value in head.items()}}
    return _TaggerGraph(config, tensors, quantised).build()


class _TaggerGraph(EncoderGraph):
    def build(self) -> bytes:
        mixed = self.mix()
        words = self.op(
            "Concat",
            self.op("MatMul", "shares", mixed),
            self.characters(),
            self.op("Gather", self.weight("head.shapes.weight"), "shapes"),
            "flags",
            axis=1,
        )
        read = self.lstm(words)
        weights = self.tensor("head.output.weight")
        scores = self.op("MatMul", read, self.constant("head.output.transposed", weights.T))
        self.op("Add", scores, self.weight("head.output.bias"), out=OUTPUT)
        whole, real = TensorProto.INT64, TensorProto.FLOAT
        return self.finish(
            "tagger",
            {
                "input_ids": (whole, (1, "tokens")),
                "cases": (whole, (1, "tokens")),
                "shares": (real, ("words", "tokens")),
                "characters": (whole, ("words", HEAD + TAIL)),
                "shapes": (whole, ("words",)),
                "flags": (real, ("words", FLAGS)),
            },
            {OUTPUT: ("words", len(weights))},
        )

    def mix(self) -> str:
        """All states of the encoder, weighted: [tokens, hidden]."""
        weights = self.tensor("head.mix").astype(np.float64)
        if len(weights) != self.config.num_hidden_layers + 1:
            raise BadInput(f"{len(weights)} weights to mix {self.config.num_hidden_layers} layers")
        shares = np.exp(weights - weights.max())
        shares /= shares.sum()
        hidden = self.embed(self.op("Gather", self.weight("head.cases.weight"), "cases"))
        mixed = self.op("Mul", hidden, self.number(float(shares[0])))
        for number, share in enumerate(shares[1:]):
            hidden = self.layer(number, hidden)
            part = self.op("Mul", hidden, self.number(float(share)))
            mixed = self.op("Add", mixed, part)
        return self.op("Squeeze", mixed, self.integers(0))

    def characters(self) -> str:
        """What the convolution finds anywhere in a word: [words, channels]."""
        table = self.tensor("head.characters.weight")
        if len(table) != len(CHARACTERS) + 2:
            raise BadInput(f"{len(table)} characters in the head, {len(CHARACTERS) + 2} known")
        looked_up = self.op("Gather", self.constant("head.characters", table), "characters")
        found = self.op(
            "Conv",
            self.op("Transpose", looked_up, perm=[0, 2, 1]),
            self.weight("head.convolution.weight"),
            self.weight("head.convolution.bias"),
            kernel_shape=[WIDTH],
            pads=[WIDTH // 2, WIDTH // 2],
        )
        return self.op("ReduceMax", self.op("Relu", found), self.integers(-1), keepdims=0)

    def lstm(self, words: str) -> str:
        """The words as read from both sides: [words, 2 · size]."""
        size = self.tensor("head.lstm.weight_hh_l0").shape[1]

        def both(kind: str) -> Floats:
            return np.stack([_gates(self.tensor(f"head.lstm.{kind}_l0{d}")) for d in DIRECTIONS])

        biases = np.concatenate([both("bias_ih"), both("bias_hh")], axis=1)
        read = self.op(
            "LSTM",
            self.op("Unsqueeze", words, self.integers(1)),
            self.constant("head.lstm.input", both("weight_ih")),
            self.constant("head.lstm.recurrence", both("weight_hh")),
            self.constant("head.lstm.bias", biases),
            hidden_size=size,
            direction="bidirectional",
        )
        # [words, directions, 1, size]
        return self.op("Reshape", read, self.integers(0, 2 * size))


def _gates(weights: Floats) -> Floats:
    """Torch's order of an LSTM's gates (input, forget, cell, output) as ONNX's (i, o, f, c)."""
    entry, forget, cell, out = np.split(weights, 4)
    return np.concatenate([entry, out, forget, cell])
