"""Backend `encoder-head`: a linear support vector machine on TF-IDF beside sentence embeddings.

The encoder is frozen. The graph that embeds the training texts is, byte for byte, the one that
the bundle carries and serves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from greenlight.download import cache_folder
from greenlight.models import bundle, encoder, encoder_graph, fitting
from greenlight.models.embedding import (
    TOKEN_LIMIT,
    Embedder,
    EmbeddingCache,
    available_workers,
)
from greenlight.models.features import WORDS, Floats
from greenlight.models.linear import LinearHead
from greenlight.models.scope import Scope, calibrate, remember
from greenlight.ports import Example, Progress, Trained

ENOUGH = 20
"""Texts, in train and in validation, below which nothing is told of scope."""

EMBEDDING_SHARE = 0.7
"""Of the time of a training, for the progress shown."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration may set."""

    C: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """What a misplaced training text costs against large weights."""
    embedding_weight: Annotated[float, msgspec.Meta(gt=0)] = 1.5
    """Length of the embedding beside the TF-IDF vector, whose length is 1."""
    quantised: bool = True
    """8-bit encoder: a quarter of the size, about a third faster, nearly the same embeddings."""
    oos_texts: Annotated[int, msgspec.Meta(ge=0)] = 80
    """Learnt texts of each label that a text is compared with, to tell what is out of scope; 0
    tells nothing, and is faster."""
    oos_flagged: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    """Share of texts in scope that may be called out of it."""


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
    ) -> Trained:
        """Embed, fit on `train`, calibrate on `validation`, keep a fit on both.

        Raises:
            BadInput: unknown settings, or labels and examples that do not fit together.
            MissingData: there is no encoder; the message says how to get one.
            Tampered: the encoder's files are not the pinned ones.
        """
        start = time.perf_counter()
        settings = fitting.read_settings(config, Settings)
        fitting.check(train, validation, labels)
        files = self._find(lambda _, words: progress(0.0, words))
        parts = encoder_parts(files, quantised=settings.quantised)
        vectors = self._embed(parts, train, validation, progress)
        embedded = time.perf_counter()
        weighted = settings.embedding_weight * vectors
        recipe = fitting.Recipe(terms=WORDS, penalty=settings.C, seed=seed)
        fitted = fitting.fit(
            train,
            validation,
            labels,
            recipe,
            vectors=(weighted[: len(train)], weighted[len(train) :]),
            progress=lambda share, words: progress(
                EMBEDDING_SHARE + (1 - EMBEDDING_SHARE) * share, words
            ),
        )
        scope = self._scope(vectors, train, validation, labels, fitted, settings, seed)
        bundle.write(
            out,
            bundle.Parts(
                kind="encoder-head",
                labels=labels,
                beta=fitted.beta,
                tfidf=fitted.tfidf,
                head=_absorb(fitted.head, settings.embedding_weight),
                encoder=parts,
                scope=scope,
            ),
        )
        report = {
            **fitted.report,
            "oos": _told(scope, settings),
            "encoder": files.digest,
            "encoder_origin": files.origin,
            "embedding_seconds": embedded - start,
            "seconds": time.perf_counter() - start,
        }
        return Trained(folder=out, report=report)

    def _scope(
        self,
        vectors: Floats,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        fitted: fitting.Fitted,
        settings: Settings,
        seed: int,
    ) -> Scope | None:
        """What tells texts out of scope; None where it is not wanted, or there are too few texts.

        It is calibrated as the head is: on validation texts, with what was learnt from `train`
        alone, and then compares with both.
        """
        few = len(train) <= ENOUGH or len(validation) <= ENOUGH
        if settings.oos_texts == 0 or few:
            return None
        numbers = {label: number for number, label in enumerate(labels)}
        targets = np.array([numbers[row.label] for row in (*train, *validation)], np.int64)
        most = settings.oos_texts
        known = remember(vectors[: len(train)], targets[: len(train)], most=most, seed=seed)
        centre, spread, threshold = calibrate(
            known,
            vectors[len(train) :],
            fitted.beta * fitted.held_out.astype(np.float64),
            flagged=settings.oos_flagged,
        )
        return Scope(
            learnt=remember(vectors, targets, most=most, seed=seed),
            centre=centre,
            spread=spread,
            threshold=threshold,
        )

    def _embed(
        self,
        parts: bundle.EncoderParts,
        train: Sequence[Example],
        validation: Sequence[Example],
        progress: Progress,
    ) -> Floats:
        embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
        return EmbeddingCache(self._cache, embedder).embed(
            [example.text for example in (*train, *validation)],
            workers=available_workers(),
            progress=lambda share, words: progress(EMBEDDING_SHARE * share, words),
        )


def _told(scope: Scope | None, settings: Settings) -> dict[str, Any]:
    if scope is None:
        return {"reason": "not told: oos_texts is 0, or there are too few texts"}
    return {
        "texts": len(scope.learnt.vectors),
        "threshold": scope.threshold,
        "flagged": settings.oos_flagged,
    }


def encoder_parts(files: encoder.EncoderFiles, *, quantised: bool) -> bundle.EncoderParts:
    """What a bundle carries of the encoder: the graph that embeds, and the tokenizer."""
    config = msgspec.json.decode(
        (files.folder / encoder.CONFIG).read_bytes(), type=encoder_graph.EncoderConfig
    )
    tensors = load_file(files.folder / encoder.WEIGHTS)
    return bundle.EncoderParts(
        graph=encoder_graph.build(config, tensors, quantised=quantised),
        tokenizer=(files.folder / encoder.TOKENIZER).read_bytes(),
        token_limit=TOKEN_LIMIT,
    )


def _absorb(head: LinearHead, weight: float) -> LinearHead:
    """The same head for embeddings of length 1: what was their weight goes into the head's."""
    dense = None if head.dense is None else np.float32(weight) * head.dense
    return LinearHead(head.sparse, head.bias, dense)
