"""The ONNX graph of a BERT sentence encoder, built from its safetensors without torch.

Input: `input_ids` and `attention_mask`, int64 of shape [batch, tokens] (mask: 1 for a token, 0 for
padding). Output: `embedding`, float32 of shape [batch, hidden], the mean over a text's tokens
scaled to length 1. Model: Devlin et al., "BERT", arXiv 1810.04805; mean pooling: Reimers and
Gurevych, "Sentence-BERT", arXiv 1908.10084.

Two properties matter more than speed, because training and serving must see the same numbers:

- A text's embedding does not depend on its batch mates. Ordinary dynamic quantisation takes one
  activation scale for the whole batch; here every token has its own.
- Its 8-bit products do not depend on the processor. x86 processors without VNNI add those of two
  neighbours in 16 bits, and cut off what does not fit; weights are scaled so that it always does
  (`eight_bits`). What stands between the products is float32, and may differ in the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from greenlight.core.errors import BadInput

Floats = npt.NDArray[np.float32]

OPSET = 20
IR_VERSION = 9
CENTRE = 128
"""The uint8 value of an activation that stands for zero."""
STEPS = 127
"""Quantisation steps on either side of zero."""
PAIR = 128
"""Steps that two neighbouring weights of one sign have together at most: 255 · 128 < 2¹⁵."""
TINY = 1e-12
MASKED = -1e9
"""Added to the attention to a padding token: its softmax is then exactly 0 in float32."""


class EncoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a BERT `config.json` that shapes the graph; other keys are ignored."""

    model_type: str
    hidden_act: str
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    layer_norm_eps: float
    position_embedding_type: str = "absolute"


def build(config: EncoderConfig, tensors: Mapping[str, Floats], *, quantised: bool) -> bytes:
    """Build the graph; equal arguments give equal bytes.

    Args:
        config: the encoder's shape.
        tensors: BERT's weights by their usual names, linear layers as [outputs, inputs].
        quantised: 8-bit weights (one scale per output channel, embeddings one per row) and 8-bit
            activations (one scale per token); otherwise float32 throughout.

    Raises:
        BadInput: not a BERT with GELU and absolute positions, or a tensor is missing.
    """
    return _SentenceGraph(config, tensors, quantised).build()


def eight_bits(weights: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Weights as int8, and what a step of each output is worth.

    A processor without VNNI multiplies unsigned by signed bytes, adds the products of inputs 0 and
    1, 2 and 3, … in 16 bits that saturate, and only then goes on in 32. An output's largest pair of
    one sign is therefore scaled to `PAIR`, and its largest weight to no more than `STEPS`; either
    may be what binds. That costs a fifth of the steps, where 7-bit weights would cost half.

    Args:
        weights: of a linear layer, [outputs, inputs].

    Returns:
        Steps [outputs, inputs], and the scale [outputs] to multiply them by.
    """
    outputs, inputs = weights.shape
    even = np.zeros((outputs, inputs + inputs % 2), np.float32)
    even[:, :inputs] = weights
    pairs = even.reshape(outputs, -1, 2)
    of_one_sign = np.maximum(np.maximum(pairs, 0).sum(axis=2), -np.minimum(pairs, 0).sum(axis=2))
    # Half a step less: each of the two may be rounded up by half of one.
    by_pair = of_one_sign.max(axis=1) / (PAIR - 0.5)
    scale = np.maximum(np.maximum(by_pair, np.abs(weights).max(axis=1) / STEPS), TINY)
    return np.rint(weights / scale[:, None]).astype(np.int8), scale


def check(config: EncoderConfig) -> None:
    """Refuse what is built otherwise.

    Raises:
        BadInput: not a BERT with GELU and absolute positions.
    """
    stated = (config.model_type, config.hidden_act, config.position_embedding_type)
    if stated != ("bert", "gelu", "absolute"):
        raise BadInput(
            f"the encoder is {stated}; only a BERT with gelu and absolute positions is supported"
        )


class EncoderGraph:
    """Nodes and constants in the making; every method returns the name of a value."""

    def __init__(
        self, config: EncoderConfig, tensors: Mapping[str, Floats], quantised: bool
    ) -> None:
        """Start a graph; the arguments are those of `build`.

        Raises:
            BadInput: as `check`.
        """
        check(config)
        self.config = config
        self.tensors = tensors
        self.quantised = quantised
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.rounded: dict[str, tuple[str, str]] = {}

    def finish(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[str | int]]],
        outputs: Mapping[str, Sequence[str | int]],
    ) -> bytes:
        """The bytes of the graph.

        Args:
            name: of the graph.
            inputs: name → type of its numbers and shape.
            outputs: name → shape; all are float32.
        """
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, *kind) for key, kind in inputs.items()],
            [
                helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
                for key, shape in outputs.items()
            ],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def number(self, value: float) -> str:
        return self.constant(f"number {value}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(f"integers {values}", np.array(values, np.int64))

    def tensor(self, name: str) -> Floats:
        if name not in self.tensors:
            raise BadInput(f"the encoder has no tensor {name!r}; is it a whole BERT model?")
        return self.tensors[name].astype(np.float32)

    def weight(self, name: str) -> str:
        return self.constant(name, self.tensor(name))

    def embed(self, extra: str | None = None) -> str:
        """Word + position + (single) segment embeddings, normalised: [batch, tokens, hidden].

        Args:
            extra: added to them, of the same shape.
        """
        words = self.tensor("embeddings.word_embeddings.weight")
        places = (
            self.tensor("embeddings.position_embeddings.weight")
            + self.tensor("embeddings.token_type_embeddings.weight")[0]
        )
        if self.quantised:
            scale = np.maximum(np.abs(words).max(axis=1, keepdims=True), TINY) / STEPS
            steps = self.constant("words.steps", np.rint(words / scale).astype(np.int8))
            scales = self.constant("words.scale", scale.astype(np.float32))
            word = self.op(
                "Mul",
                self.op("Cast", self.op("Gather", steps, "input_ids"), to=TensorProto.FLOAT),
                self.op("Gather", scales, "input_ids"),
            )
        else:
            word = self.op("Gather", self.constant("words", words), "input_ids")
        length = self.op("Shape", "input_ids", start=1, end=2)
        place = self.op(
            "Slice", self.constant("places", places), self.integers(0), length, self.integers(0)
        )
        summed = self.op("Add", word, place)
        if extra is not None:
            summed = self.op("Add", summed, extra)
        return self.normalise(summed, "embeddings.LayerNorm")

    def attention_bias(self, mask: str) -> str:
        """[batch, 1, 1, tokens]: 0 for a token, MASKED for padding."""
        bias = self.op("Mul", self.op("Sub", self.number(1.0), mask), self.number(MASKED))
        return self.op("Unsqueeze", bias, self.integers(1, 2))

    def layer(self, number: int, hidden: str, bias: str | None = None) -> str:
        """One transformer layer, residual connections and normalisation included.

        Args:
            number: which, from 0.
            hidden: what goes in, [batch, tokens, hidden].
            bias: added to the attention (`attention_bias`); without it there is no padding.
        """
        prefix = f"encoder.layer.{number}."
        attended = self.linear(
            self.attention(prefix + "attention.self.", hidden, bias),
            prefix + "attention.output.dense",
        )
        hidden = self.normalise(
            self.op("Add", attended, hidden), prefix + "attention.output.LayerNorm"
        )
        inner = self.op("Gelu", self.linear(hidden, prefix + "intermediate.dense"))
        outer = self.linear(inner, prefix + "output.dense")
        return self.normalise(self.op("Add", outer, hidden), prefix + "output.LayerNorm")

    def attention(self, prefix: str, hidden: str, bias: str | None) -> str:
        """softmax(query · key / √size + bias) · value in every head, joined again."""
        heads = self.config.num_attention_heads
        size = self.config.hidden_size // heads

        def split(name: str, order: list[int]) -> str:
            value = self.linear(hidden, prefix + name)
            parts = self.op("Reshape", value, self.integers(0, 0, heads, size))
            return self.op("Transpose", parts, perm=order)

        query = split("query", [0, 2, 1, 3])
        key = split("key", [0, 2, 3, 1])
        value = split("value", [0, 2, 1, 3])
        match = self.op("Mul", self.op("MatMul", query, key), self.number(size**-0.5))
        if bias is not None:
            match = self.op("Add", match, bias)
        share = self.op("Softmax", match, axis=-1)
        mixed = self.op("Transpose", self.op("MatMul", share, value), perm=[0, 2, 1, 3])
        return self.op("Reshape", mixed, self.integers(0, 0, self.config.hidden_size))

    def linear(self, value: str, name: str) -> str:
        weights = self.tensor(name + ".weight")
        product = (
            self.quantised_product(value, name, weights)
            if self.quantised
            else self.op("MatMul", value, self.constant(name + ".transposed", weights.T))
        )
        return self.op("Add", product, self.weight(name + ".bias"))

    def quantised_product(self, value: str, name: str, weights: Floats) -> str:
        """value · weightsᵀ in 8-bit integers, summed in 32 bits, scaled back to float32."""
        steps, scale = eight_bits(weights)
        rounded, token_scale = self.round_tokens(value)
        total = self.op(
            "MatMulInteger",
            rounded,
            self.constant(name + ".steps", steps.T),
            self.constant("centre", np.array(CENTRE, np.uint8)),
        )
        product = self.op("Mul", self.op("Cast", total, to=TensorProto.FLOAT), token_scale)
        return self.op("Mul", product, self.constant(name + ".scale", scale))

    def round_tokens(self, value: str) -> tuple[str, str]:
        """Each token's vector as uint8 around CENTRE, and its scale; once per value."""
        if value not in self.rounded:
            largest = self.op("ReduceMax", self.op("Abs", value), self.integers(-1), keepdims=1)
            scale = self.op(
                "Max", self.op("Mul", largest, self.number(1 / STEPS)), self.number(TINY)
            )
            # The cast cuts off, so half a step more makes it round to the nearest.
            shifted = self.op("Add", self.op("Div", value, scale), self.number(CENTRE + 0.5))
            self.rounded[value] = self.op("Cast", shifted, to=TensorProto.UINT8), scale
        return self.rounded[value]

    def normalise(self, value: str, name: str) -> str:
        weight, bias = self.weight(name + ".weight"), self.weight(name + ".bias")
        return self.op(
            "LayerNormalization",
            value,
            weight,
            bias,
            axis=-1,
            epsilon=self.config.layer_norm_eps,
        )


class _SentenceGraph(EncoderGraph):
    """One vector for a text."""

    def build(self) -> bytes:
        mask = self.op("Cast", "attention_mask", to=TensorProto.FLOAT)
        hidden = self.embed()
        bias = self.attention_bias(mask)
        for number in range(self.config.num_hidden_layers):
            hidden = self.layer(number, hidden, bias)
        self.pool(hidden, mask)
        tokens = (TensorProto.INT64, ("batch", "tokens"))
        return self.finish(
            "sentence_encoder",
            {"input_ids": tokens, "attention_mask": tokens},
            {"embedding": ("batch", self.config.hidden_size)},
        )

    def pool(self, hidden: str, mask: str) -> None:
        """Mean over the tokens, as a product with their shares, then length 1.

        ReduceSum would add in an order that depends on the size of the batch.
        """
        count = self.op("ReduceSum", mask, self.integers(1), keepdims=1)
        shares = self.op("Unsqueeze", self.op("Div", mask, count), self.integers(1))
        mean = self.op("Squeeze", self.op("MatMul", shares, hidden), self.integers(1))
        length = self.op("ReduceL2", mean, self.integers(-1), keepdims=1)
        self.op("Div", mean, length, out="embedding")
