"""Sentence embeddings: running the encoder, and remembering what it said.

An embedding is the same to the last bit whether a text is embedded alone, in a batch or from the
cache: batches hold texts of equal length only, so there is no padding, and every operation of the
graph treats each text by itself (see encoder_graph). Models trained with a warm cache therefore
have the same digest as without one.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from greenlight.core import fingerprint
from greenlight.models.features import Floats
from greenlight.ports import Progress

TOKEN_LIMIT = 64
"""Longer texts are cut."""
BATCH = 16
MAX_WORKERS = 8
_ASKED = 500
_SELECT = "SELECT text, vector, checksum FROM embedding WHERE text IN ({})"


class Embedder:
    """A loaded encoder; may be called from several threads at once."""

    def __init__(self, graph: bytes, tokenizer: bytes, token_limit: int = TOKEN_LIMIT) -> None:
        """Load an encoder.

        Args:
            graph: the ONNX graph (see encoder_graph).
            tokenizer: the content of tokenizer.json.
            token_limit: longer texts are cut to so many tokens.
        """
        options = onnxruntime.SessionOptions()
        # One thread per call is cheapest; several texts are spread over threads by the caller.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        self.size = int(self._session.get_outputs()[0].shape[1])
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(token_limit)
        self.digest = fingerprint.digest(
            {
                "graph": fingerprint.digest_bytes(graph),
                "tokenizer": fingerprint.digest_bytes(tokenizer),
                "token_limit": token_limit,
                "onnxruntime": onnxruntime.__version__,
            }
        )
        """Names the function from text to embedding."""

    def embed(
        self, texts: Sequence[str], *, workers: int = 1, progress: Progress | None = None
    ) -> Floats:
        """Embeddings of length 1, float32 [texts, size].

        Args:
            texts: any number of texts.
            workers: how many threads share the work.
            progress: called after every batch.
        """
        vectors = np.zeros((len(texts), self.size), np.float32)
        tokens = [self._tokenizer.encode(text).ids for text in texts]
        batches = _batches([len(ids) for ids in tokens])

        def run(batch: list[int]) -> None:
            ids = np.array([tokens[number] for number in batch], np.int64)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[batch] = self._session.run(["embedding"], inputs)[0]

        done = 0
        for batch, _ in zip(batches, _spread(run, batches, workers), strict=True):
            done += len(batch)
            if progress is not None:
                progress(done / len(texts), f"embedding texts: {done:,} of {len(texts):,}")
        return vectors


class EmbeddingCache:
    """Embeddings on disk, by text. A cache that cannot be read or written is an empty one."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        """Open the cache of one encoder.

        Args:
            folder: holds one file per encoder.
            embedder: computes what is not there yet.
        """
        self._embedder = embedder
        self._path = folder / f"{embedder.digest.removeprefix('sha256:')[:24]}.sqlite"

    def embed(self, texts: Sequence[str], *, workers: int, progress: Progress) -> Floats:
        """As `Embedder.embed`, computing only what is not remembered."""
        keys = [_key(text) for text in texts]
        vectors = self._recall(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if missing:
            fresh = self._embedder.embed(list(missing.values()), workers=workers, progress=progress)
            new = dict(zip(missing, fresh, strict=True))
            self._remember(new)
            vectors |= new
        if not keys:
            return np.zeros((0, self._embedder.size), np.float32)
        return np.stack([vectors[key] for key in keys])

    def _recall(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        vectors = {}
        try:
            with self._open() as connection:
                for start in range(0, len(keys), _ASKED):
                    asked = keys[start : start + _ASKED]
                    marks = ", ".join("?" * len(asked))
                    for key, data, check in connection.execute(_SELECT.format(marks), asked):
                        if check == _key(data):
                            vectors[key] = np.frombuffer(data, np.float32)
        except (sqlite3.DatabaseError, OSError):
            return {}
        return vectors

    def _remember(self, vectors: dict[bytes, Floats]) -> None:
        rows = [
            (key, data, _key(data))
            for key, data in ((key, vector.tobytes()) for key, vector in vectors.items())
        ]
        try:
            with self._open() as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO embedding VALUES (?, ?, ?)", rows)
        except (sqlite3.DatabaseError, OSError):
            return  # nothing is lost but time

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS embedding "
                "(text BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL)"
            )
            yield connection


def available_workers() -> int:
    """How many threads can embed at once on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MAX_WORKERS)


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of texts in batches of equal length, longest first so that threads end together."""
    groups = defaultdict(list)
    for number, length in enumerate(lengths):
        groups[length].append(number)
    return [
        group[start : start + BATCH]
        for _, group in sorted(groups.items(), reverse=True)
        for start in range(0, len(group), BATCH)
    ]


def _spread(
    run: Callable[[list[int]], None], batches: list[list[int]], workers: int
) -> Iterator[None]:
    if workers == 1 or len(batches) == 1:
        yield from map(run, batches)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
        yield from pool.map(run, batches)


def _key(data: str | bytes) -> bytes:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return hashlib.blake2b(raw, digest_size=16).digest()
