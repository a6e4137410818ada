"""What the backends on a sentence encoder share once it embeds: head, scope and bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from greenlight.models import bundle, encoder, encoder_graph, fitting
from greenlight.models.embedding import TOKEN_LIMIT
from greenlight.models.features import WORDS, Floats
from greenlight.models.linear import LinearHead
from greenlight.models.scope import AROUND, Scope, Texts, calibrate, remember
from greenlight.ports import Example, Progress

ENOUGH = 20
"""So many texts, in train or in validation, are too few to tell anything of scope."""


class HeadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration may set of what stands on the encoder."""

    C: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """What a misplaced training text costs against large weights."""
    embedding_weight: Annotated[float, msgspec.Meta(gt=0)] = 1.5
    """Length of the embedding beside the TF-IDF vector, whose length is 1."""
    quantised: bool = True
    """8-bit encoder: a quarter of the size, up to twice as fast, nearly the same embeddings."""
    oos_texts: Annotated[int, msgspec.Meta(ge=0)] = 80
    """Learnt texts of each label that a text is compared with, to tell what is out of scope; 0
    tells nothing, and is faster."""
    oos_flagged: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    """Share of texts in scope that may be called out of it."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is made from."""

    train: Sequence[Example]
    validation: Sequence[Example]
    labels: Sequence[str]
    seed: int

    @property
    def texts(self) -> list[str]:
        """Those of train, then those of validation."""
        return [row.text for row in (*self.train, *self.validation)]

    @property
    def targets(self) -> Any:
        """Label numbers in the same order."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers[row.label] for row in (*self.train, *self.validation)], np.int64)


class Pretrained(msgspec.Struct, frozen=True, kw_only=True):
    """An encoder's weights and what belongs to them."""

    config: encoder_graph.EncoderConfig
    tensors: Mapping[str, Floats]
    tokenizer: bytes

    def parts(self, *, quantised: bool) -> bundle.EncoderParts:
        """What a bundle carries of it: the graph that embeds, and the tokenizer."""
        return bundle.EncoderParts(
            graph=encoder_graph.build(self.config, self.tensors, quantised=quantised),
            tokenizer=self.tokenizer,
            token_limit=TOKEN_LIMIT,
        )

    def towards(self, other: Pretrained, share: float) -> Pretrained:
        """The encoder that lies between this one (0) and what it became by learning (1).

        Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903: much like a
        committee of the two, at the cost of one.
        """
        blended = {
            name: ((1 - share) * self.tensors[name] + share * value).astype(np.float32)
            for name, value in other.tensors.items()
        }
        return msgspec.structs.replace(self, tensors=blended)


def read(files: encoder.EncoderFiles) -> Pretrained:
    """Read the encoder's files, which `encoder.find` has verified."""
    config = (files.folder / encoder.CONFIG).read_bytes()
    return Pretrained(
        config=msgspec.json.decode(config, type=encoder_graph.EncoderConfig),
        tensors=load_file(files.folder / encoder.WEIGHTS),
        tokenizer=(files.folder / encoder.TOKENIZER).read_bytes(),
    )


def write(
    out: str | Path,
    kind: bundle.Kind,
    rows: Rows,
    parts: bundle.EncoderParts,
    vectors: Floats,
    settings: HeadSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Fit the head on `train`, calibrate on `validation`, keep a fit on both, and write the bundle.

    Args:
        out: a new or empty folder.
        kind: of the bundle.
        rows: what to learn from; `fitting.check` has passed them.
        parts: the encoder.
        vectors: its embeddings of `rows.texts`, [texts, size], of length 1.
        settings: of the head and of what tells scope.
        progress: called between the steps.

    Returns:
        What is worth recording.
    """
    weighted = settings.embedding_weight * vectors
    count = len(rows.train)
    fitted = fitting.fit(
        rows.train,
        rows.validation,
        rows.labels,
        fitting.Recipe(terms=WORDS, penalty=settings.C, seed=rows.seed),
        vectors=(weighted[:count], weighted[count:]),
        progress=progress,
    )
    scope = _scope(vectors, rows, fitted, settings)
    bundle.write(
        out,
        bundle.Parts(
            kind=kind,
            labels=rows.labels,
            beta=fitted.beta,
            tfidf=fitted.tfidf,
            head=absorb(fitted.head, settings.embedding_weight),
            encoder=parts,
            scope=scope,
        ),
    )
    return {**fitted.report, "oos": _told(scope, settings)}


def _scope(
    vectors: Floats, rows: Rows, fitted: fitting.Fitted, settings: HeadSettings
) -> Scope | None:
    """What tells texts out of scope; None where it is not wanted, or there are too few texts.

    It is calibrated as the head is: on validation texts, with what was learnt from `train` alone,
    and then compares with both.
    """
    count, most = len(rows.train), settings.oos_texts
    if most == 0 or count <= ENOUGH or len(rows.validation) <= ENOUGH:
        return None
    targets = rows.targets
    if np.minimum(np.bincount(targets[:count]), most).sum() <= AROUND:
        return None
    known = remember(vectors[:count], targets[:count], most=most, seed=rows.seed)
    unseen = Texts(vectors=vectors[count:], decisions=fitted.held_out, terms=fitted.held_out_terms)
    centre, spread, threshold = calibrate(known, fitted.beta, unseen, flagged=settings.oos_flagged)
    return Scope(
        learnt=remember(vectors, targets, most=most, seed=rows.seed),
        beta=fitted.beta,
        centre=centre,
        spread=spread,
        threshold=threshold,
    )


def _told(scope: Scope | None, settings: HeadSettings) -> dict[str, Any]:
    if scope is None:
        return {"reason": "not told: oos_texts is 0 or too small, or there are too few texts"}
    return {
        "texts": len(scope.learnt.vectors),
        "threshold": scope.threshold,
        "flagged": settings.oos_flagged,
    }


def absorb(head: LinearHead, weight: float) -> LinearHead:
    """The same head for embeddings of length 1: what was their weight goes into the head's."""
    dense = None if head.dense is None else np.float32(weight) * head.dense
    return LinearHead(head.sparse, head.bias, dense)
