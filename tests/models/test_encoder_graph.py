"""The encoder's graph against BERT in plain numpy."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
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


def test_sums_do_not_overflow_on_any_processor() -> None:
    """Weights and activations all at their largest: signed 8-bit sums would be cut off at 2¹⁵."""
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
