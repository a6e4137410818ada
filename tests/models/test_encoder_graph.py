"""The encoder's graph against BERT in plain numpy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from greenlight.core.errors import BadInput
from greenlight.models import encoder, encoder_graph
from greenlight.models.embedding import Embedder
from tests.models import tiny

TOKENS = [[2, 4, 9, 3], [2, 5, 5, 14, 20, 21, 8, 3], [2, 3], [2, 30, 31, 32, 33, 4, 9, 11, 3]]


def run(graph: bytes, ids: list[list[int]], mask: list[list[int]] | None = None) -> tiny.Floats:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    array = np.array(ids, np.int64)
    given = np.ones_like(array) if mask is None else np.array(mask, np.int64)
    answer: tiny.Floats = session.run(None, {"input_ids": array, "attention_mask": given})[0]
    return answer


def test_float_graph_is_bert() -> None:
    """Embeddings equal the reference's to float32's precision."""
    weights = tiny.tensors()
    graph = encoder_graph.build(tiny.CONFIG, weights, quantised=False)
    for ids in TOKENS:
        words = weights["embeddings.word_embeddings.weight"]
        wanted = tiny.reference(weights, ids, tiny.exact, words)
        assert run(graph, [ids])[0] == pytest.approx(wanted, abs=2e-6)


def test_quantised_graph_rounds_as_it_says() -> None:
    """Per output channel, per token, per word; and it stays close to float32."""
    weights = tiny.tensors()
    graph = encoder_graph.build(tiny.CONFIG, weights, quantised=True)
    words = weights["embeddings.word_embeddings.weight"]
    scale = np.abs(words).max(axis=1, keepdims=True) / 127
    for ids in TOKENS:
        found = run(graph, [ids])[0]
        wanted = tiny.reference(weights, ids, tiny.rounded, np.rint(words / scale) * scale)
        assert found == pytest.approx(wanted, abs=2e-3)  # a value on an edge may round either way
        assert float(found @ tiny.reference(weights, ids, tiny.exact, words)) > 0.995


def in_sixteen_bits(values: npt.NDArray[np.uint8], steps: npt.NDArray[np.int8]) -> Any:
    """Sums as a processor without VNNI makes them: neighbours in 16 bits, cut off; then in 32."""
    wide = values[:, None, :].astype(np.int64) * steps[None].astype(np.int64)
    pairs = wide.reshape(*wide.shape[:2], -1, 2).sum(axis=3)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=2)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 9)),
        elements=st.floats(-4, 4, width=32),
    ),
    st.integers(0, 2**32 - 1),
)
@example(np.array([[0.4158872663974762, 0.560875415802002]], np.float32), 0)  # both are rounded up
def test_no_pair_of_products_is_cut_off(weights: tiny.Floats, seed: int) -> None:
    """Whatever the weights, and whatever comes in, 16 bits for two neighbours are enough."""
    steps, scale = encoder_graph.eight_bits(weights)
    assert np.abs(steps.astype(int)).max() <= encoder_graph.STEPS
    assert (np.abs(steps * scale[:, None] - weights) <= 0.5 * scale[:, None] + 1e-6).all()
    even = np.pad(steps, ((0, 0), (0, steps.shape[1] % 2)))
    rng = np.random.default_rng(seed)
    some = rng.integers(0, 256, (20, even.shape[1]), np.uint8)
    worst = np.where(even > 0, 255, 0).astype(np.uint8), np.where(even < 0, 255, 0).astype(np.uint8)
    values = np.concatenate([some, *worst])
    exact = values.astype(np.int64) @ even.T.astype(np.int64)
    assert np.array_equal(in_sixteen_bits(values, even), exact)


def test_a_pair_takes_all_the_steps_it_may() -> None:
    """Two equal neighbours share the steps; one beside nothing has them all."""
    steps, _ = encoder_graph.eight_bits(
        np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, -1, 0, 0]], np.float32)
    )
    assert steps.tolist() == [[64, 64, 0, 0], [127, 0, 0, 127], [127, -127, 0, 0]]


def test_sums_do_not_overflow_on_any_processor() -> None:
    """Weights and activations all at their largest: pairs of 127 steps would be cut off at 2¹⁵,
    where the processor has no VNNI."""
    weights = tiny.tensors()
    for name, value in weights.items():
        if name.endswith("LayerNorm.weight"):
            weights[name] = 0.01 * value
        elif name.endswith("LayerNorm.bias"):
            weights[name] = np.ones_like(value)
        elif name.endswith(("dense.weight", "value.weight")):
            weights[name] = np.where(np.arange(len(value))[:, None] % 2, 1.0, 0.9) + 0 * value
    graph = encoder_graph.build(tiny.CONFIG, weights, quantised=True)
    words = weights["embeddings.word_embeddings.weight"]
    for ids in TOKENS:
        wanted = tiny.reference(weights, ids, tiny.exact, words)
        assert run(graph, [ids])[0] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("quantised", [False, True])
def test_a_text_does_not_feel_its_batch(quantised: bool) -> None:
    """Alone, among others, or padded: the same embedding (the first two to the last bit)."""
    graph = encoder_graph.build(tiny.CONFIG, tiny.tensors(), quantised=quantised)
    rng = np.random.default_rng(1)
    batch = rng.integers(4, len(tiny.WORDS), (9, 7)).tolist()
    together = run(graph, batch)
    for number, ids in enumerate(batch):
        assert np.array_equal(together[number], run(graph, [ids])[0])
    padded = run(graph, [batch[0], [*batch[1][:4], 0, 0, 0]], [[1] * 7, [1, 1, 1, 1, 0, 0, 0]])
    assert padded[1] == pytest.approx(run(graph, [batch[1][:4]])[0], abs=1e-6)


def test_same_weights_same_bytes() -> None:
    """The graph is part of a bundle's digest."""
    first, second = (
        encoder_graph.build(tiny.CONFIG, tiny.tensors(), quantised=True) for _ in range(2)
    )
    assert first == second


def test_other_models_are_refused() -> None:
    """Another architecture, or half a file."""
    other = msgspec.structs.replace(tiny.CONFIG, model_type="roberta")
    with pytest.raises(BadInput, match="roberta"):
        encoder_graph.build(other, tiny.tensors(), quantised=False)
    weights = tiny.tensors()
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(BadInput, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        encoder_graph.build(tiny.CONFIG, weights, quantised=False)


SENTENCES = [
    "My new card has still not arrived.",
    "The card I ordered hasn't come in the post yet, where is it?",
    "How do I change my PIN?",
    "What is the exchange rate for euros today?",
    "Why was I charged a fee when I took out cash abroad last week?",
    "The moon is made of green cheese.",
    "top up",
    "I sent money to the wrong person by mistake, and I would like to have it back please, " * 3,
]


@pytest.mark.needs("encoder")
def test_the_real_encoder() -> None:
    """8 bits stay within .996 of float32 on every sentence, and near sentences lie near."""
    files = encoder.find(os.environ, lambda _share, _words: None)
    config = msgspec.json.decode(
        Path(files.folder, encoder.CONFIG).read_bytes(), type=encoder_graph.EncoderConfig
    )
    weights = load_file(files.folder / encoder.WEIGHTS)
    tokenizer = Path(files.folder, encoder.TOKENIZER).read_bytes()
    exact, rounded = (
        Embedder(encoder_graph.build(config, weights, quantised=quantised), tokenizer).embed(
            SENTENCES
        )
        for quantised in (False, True)
    )
    assert exact.shape == (len(SENTENCES), 384)
    cosines = (exact * rounded).sum(axis=1)
    assert cosines.min() > 0.99
    assert cosines.mean() > 0.996
    for vectors in (exact, rounded):
        assert float(vectors[0] @ vectors[1]) > 0.6
        assert float(vectors[0] @ vectors[5]) < 0.2
