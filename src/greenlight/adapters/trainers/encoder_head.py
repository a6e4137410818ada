"""Backend `encoder-head`: a linear support vector machine on TF-IDF beside sentence embeddings.

The encoder is frozen. The graph that embeds the training texts is, byte for byte, the one that
the bundle carries and serves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenlight.download import cache_folder
from greenlight.models import bundle, encoded, encoder, fitting
from greenlight.models.embedding import Embedder, EmbeddingCache, available_workers
from greenlight.models.features import Floats
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts

EMBEDDING_SHARE = 0.7
"""Of the time of a training, for the progress shown."""


class EncoderHeadTrainer:
    """A `ports.Trainer`."""

    name = "encoder-head"
    free = True

    def __init__(
        self,
        find: Callable[[Progress], encoder.EncoderFiles] | None = None,
        cache: Path | None = None,
    ) -> None:
        """Make a trainer; nothing is looked for or loaded yet.

        Args:
            find: finds the encoder's files; by default `encoder.find` in this environment.
            cache: folder that remembers embeddings; by default in GREENLIGHT_CACHE.
        """
        self._find = find or (lambda progress: encoder.find(os.environ, progress))
        self._cache = cache or cache_folder(os.environ) / "embeddings"

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        """Embed, fit on `train`, calibrate on `validation`, keep a fit on both.

        Raises:
            BadInput: unknown settings, or labels and examples that do not fit together.
            MissingData: there is no encoder; the message says how to get one.
            Tampered: the encoder's files are not the pinned ones.
        """
        start = time.perf_counter()
        settings = fitting.read_settings(config, encoded.HeadSettings)
        fitting.check(train, validation, labels)
        rows = encoded.Rows(train=train, validation=validation, labels=labels, seed=seed)
        files = self._find(lambda _, words: progress(0.0, words))
        parts = encoded.read(files).parts(quantised=settings.quantised)
        vectors = self._embed(parts, rows, progress)
        embedded = time.perf_counter()
        report = encoded.write(
            out,
            "encoder-head",
            rows,
            parts,
            vectors,
            settings,
            lambda share, words: progress(EMBEDDING_SHARE + (1 - EMBEDDING_SHARE) * share, words),
        )
        report |= {
            "encoder": files.digest,
            "encoder_origin": files.origin,
            "embedding_seconds": embedded - start,
            "seconds": time.perf_counter() - start,
        }
        return Trained(folder=out, report=report)

    def _embed(self, parts: bundle.EncoderParts, rows: encoded.Rows, progress: Progress) -> Floats:
        embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
        return EmbeddingCache(self._cache, embedder).embed(
            rows.texts,
            workers=available_workers(),
            progress=lambda share, words: progress(EMBEDDING_SHARE * share, words),
        )
