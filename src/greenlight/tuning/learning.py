"""The training itself: a model that chooses among the answers of the conversations.

Nothing here makes up words. The different answers of the training file are a closed set, and the
model tells which of them belongs to a prompt by the part of it that is particular
(`conversations.Shape`): a linear head on TF-IDF beside sentence embeddings, as backend
encoder-head; without an encoder on TF-IDF alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from greenlight.core.errors import MissingData
from greenlight.core.finetuning import epochs_of, tokens_of
from greenlight.core.messages import ASSISTANT, Message
from greenlight.models import bundle, encoded, encoder
from greenlight.models.embedding import Embedder, EmbeddingCache, available_workers
from greenlight.models.features import WORDS, Floats, Tfidf
from greenlight.tuning import strengths, tuned
from greenlight.tuning.conversations import Shape, Unfit, checked
from greenlight.tuning.orders import Learnt, Order, Told
from greenlight.tuning.wire import Metrics

FEWEST, MOST = 2, 2_000
"""Different answers of a training file."""
EMBEDDING_WEIGHT = 1.5
"""Length of an embedding beside the TF-IDF vector, whose length is 1; as in encoder-head."""


Tell = Callable[[Told], None]


def learn(order: Order, tell: Tell) -> Learnt:
    """Train, and write the model to `order.out` (`tuned.write`).

    Raises:
        Unfit: the files do not allow it.
    """
    given = list(checked(Path(order.training), "training_file"))
    shape = Shape.of([one.asked for one in given])
    if order.base is not None:
        shape = Shape(shape.common | tuned.shape(Path(order.base)).common)
    rows = [tuned.Row(shape.text(one.asked), one.answer) for one in given]
    earlier = _earlier(order, {row.text for row in rows}, tell)
    answers = sorted({row.answer for row in (*rows, *earlier)})
    if not FEWEST <= len(answers) <= MOST:
        told = (
            f"training_file: {len(answers)} different answers; this server learns to choose among "
            f"{FEWEST} to {MOST:,}"
        )
        raise Unfit("invalid_training_file", told, "training_file")
    unseen = _validation(order, shape, set(answers), tell)
    known = [*rows, *earlier]
    epochs = epochs_of(len(given), order.epochs)
    counts = np.array([epochs] * len(rows) + [1] * (len(earlier) + len(unseen)))
    tell(Told(message=f"{len(given)} conversations with {len(answers)} different answers"))

    parts = _encoder(order, tell)
    tfidf = Tfidf.fit([row.text for row in known], WORDS)
    texts = [row.text for row in (*known, *unseen)]
    vectors = None if parts is None else EMBEDDING_WEIGHT * _embed(parts, texts, order, tell)
    numbers = {answer: number for number, answer in enumerate(answers)}
    everything = strengths.Part(
        matrix=tfidf.matrix(texts),
        vectors=vectors,
        targets=np.array([numbers.get(row.answer, -1) for row in (*known, *unseen)], np.int64),
        counts=counts,
    )
    best, steps = strengths.best_of(
        everything.of(slice(len(known))),
        everything.of(slice(len(known), None)),
        len(answers),
        multiplier=order.multiplier,
        seed=order.seed,
        tell=lambda metrics: tell(_step(metrics)),
    )
    head = best.head if parts is None else encoded.absorb(best.head, EMBEDDING_WEIGHT)
    made = bundle.Parts(
        kind="tfidf-linear" if parts is None else "encoder-head",
        labels=answers,
        beta=best.beta,
        tfidf=tfidf,
        head=head,
        encoder=parts,
    )
    tuned.write(Path(order.out), made, shape, known)
    return Learnt(
        answers=len(answers),
        tokens=epochs
        * sum(tokens_of([*one.asked, Message(ASSISTANT, one.answer)]) for one in given),
        best=best.metrics,
        steps=steps,
    )


def _earlier(order: Order, asked: set[str], tell: Tell) -> list[tuned.Row]:
    """What the base learnt and the file does not answer anew."""
    if order.base is None:
        return []
    kept = [row for row in tuned.learnt(Path(order.base)) if row.text not in asked]
    tell(Told(message=f"going on from {len(kept)} conversations that the base model learnt"))
    return kept


def _validation(order: Order, shape: Shape, answers: set[str], tell: Tell) -> list[tuned.Row]:
    if order.validation is None:
        tell(Told(message="no validation_file: a fifth of the conversations is held out"))
        return []
    found = [
        tuned.Row(shape.text(one.asked), one.answer)
        for one in checked(Path(order.validation), "validation_file", 1)
    ]
    alien = sum(row.answer not in answers for row in found)
    if alien:
        told = (
            f"{alien} of {len(found)} validation conversations have an answer that training has "
            "not: they count as wrong, and are no part of the loss"
        )
        tell(Told(message=told, level="warn"))
    return found


def _encoder(order: Order, tell: Tell) -> bundle.EncoderParts | None:
    if not order.encoder:
        tell(Told(message="training on TF-IDF alone, as this server was told"))
        return None
    try:
        files = encoder.find(os.environ, lambda share, words: None)
    except MissingData as error:
        told = f"there is no sentence encoder, so training is on TF-IDF alone ({error})"
        tell(Told(message=told, level="warn"))
        return None
    tell(Told(message=f"training on TF-IDF and the sentence encoder {encoder.REPOSITORY}"))
    return encoded.read(files).parts(quantised=True)


def _embed(parts: bundle.EncoderParts, texts: Sequence[str], order: Order, tell: Tell) -> Floats:
    embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
    cache = EmbeddingCache(Path(order.cache), embedder)
    quarters = [0]

    def progress(share: float, words: str) -> None:
        if int(4 * share) > quarters[0]:
            quarters[0] = int(4 * share)
            tell(Told(message=words))

    return cache.embed(texts, workers=available_workers(), progress=progress)


def _step(metrics: Metrics) -> Told:
    of = len(strengths.STRENGTHS)
    told = (
        f"Step {metrics.step}/{of}: training loss={metrics.train_loss:.4f}, "
        f"validation loss={metrics.valid_loss or 0:.4f}, "
        f"validation accuracy={metrics.valid_mean_token_accuracy:.4f}"
    )
    return Told(message=told, metrics=metrics)
