"""Embeddings do not depend on company, threads or the cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from greenlight.models import encoder_graph
from greenlight.models.embedding import Embedder, EmbeddingCache
from greenlight.models.features import Floats
from greenlight.ports import Progress
from tests.models import tiny

TEXTS = [example.text for example in tiny.examples(60, 9)] + ["card", "", "pin " * 200]


class Counting(Embedder):
    """An embedder that notes what it was asked."""

    def __init__(self) -> None:
        graph = encoder_graph.build(tiny.CONFIG, tiny.tensors(), quantised=True)
        super().__init__(graph, tiny.tokenizer().to_str().encode(), tiny.PLACES)
        self.asked: list[str] = []

    def embed(
        self, texts: Sequence[str], *, workers: int = 1, progress: Progress | None = None
    ) -> Floats:
        self.asked += texts
        return super().embed(texts, workers=workers, progress=progress)


@pytest.fixture
def embedder() -> Counting:
    return Counting()


def quiet(_share: float, _words: str) -> None:
    """No progress."""


def test_embeddings_are_unit_vectors_in_order(embedder: Counting) -> None:
    """Also of an empty text and of one that is far too long."""
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), tiny.HIDDEN)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    for number in (0, 17, 60, 61, 62):
        assert np.array_equal(vectors[number], embedder.embed([TEXTS[number]])[0])


def test_threads_change_nothing(embedder: Counting) -> None:
    """Two workers give the same bits as one, and progress ends at 1."""
    shares: list[float] = []
    vectors = embedder.embed(TEXTS, workers=2, progress=lambda share, _words: shares.append(share))
    assert np.array_equal(vectors, embedder.embed(TEXTS))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_cache_computes_only_what_is_new(embedder: Counting, tmp_path: Path) -> None:
    """Overlapping sets share what they have in common; a repeated text is computed once."""
    wanted = Counting().embed(TEXTS)
    first = EmbeddingCache(tmp_path, embedder).embed(TEXTS[:40], workers=2, progress=quiet)
    assert np.array_equal(first, wanted[:40])
    embedder.asked.clear()
    again = EmbeddingCache(tmp_path, embedder).embed(
        [*TEXTS[30:], TEXTS[50]], workers=2, progress=quiet
    )
    assert np.array_equal(again, [*wanted[30:], wanted[50]])
    assert set(embedder.asked) == set(TEXTS[40:]) - set(TEXTS[:40])
    assert len(embedder.asked) == len(set(embedder.asked))


def test_a_damaged_cache_costs_time_only(embedder: Counting, tmp_path: Path) -> None:
    """A flipped bit is recomputed, a broken file or folder is done without."""
    wanted = Counting().embed(TEXTS)
    cache = EmbeddingCache(tmp_path, embedder)
    cache.embed(TEXTS, workers=1, progress=quiet)
    (file,) = tmp_path.glob("*.sqlite")
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE embedding SET vector = zeroblob(64) WHERE rowid = 3")
    connection.close()
    embedder.asked.clear()
    assert np.array_equal(cache.embed(TEXTS, workers=1, progress=quiet), wanted)
    assert len(embedder.asked) == 1
    file.write_bytes(b"no database at all" * 100)
    assert np.array_equal(cache.embed(TEXTS, workers=1, progress=quiet), wanted)
    nowhere = EmbeddingCache(file / "below", embedder)
    assert np.array_equal(nowhere.embed(TEXTS[:3], workers=1, progress=quiet), wanted[:3])


def test_another_encoder_has_another_cache(embedder: Counting, tmp_path: Path) -> None:
    """What one encoder said is never taken for another's word."""
    graph = encoder_graph.build(tiny.CONFIG, tiny.tensors(seed=8), quantised=True)
    other = Embedder(graph, tiny.tokenizer().to_str().encode(), tiny.PLACES)
    assert other.digest != embedder.digest
    EmbeddingCache(tmp_path, embedder).embed(TEXTS, workers=1, progress=quiet)
    found = EmbeddingCache(tmp_path, other).embed(TEXTS, workers=1, progress=quiet)
    assert np.array_equal(found, other.embed(TEXTS))
