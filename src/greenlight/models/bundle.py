"""A bundle: a trained text classifier as a sealed folder of JSON, safetensors and ONNX.

There is no pickle in it, so opening one runs no code. The manifest names the kind, the labels in
order, the settings and the digest of every file; a changed byte is refused.

| file | holds | kinds |
|---|---|---|
| `vocabulary.json` | the terms, in the order of the features | all |
| `weights.safetensors` | `idf` [terms], `sparse` [terms, labels], `bias` [labels] | all |
| | `dense` [hidden, labels] | encoder-head, encoder-finetune |
| `encoder.onnx`, `tokenizer.json` | the sentence encoder | the same |
| `scope.safetensors` | what tells texts out of scope (`models.scope`) | the same, if told to |

`load` opens those of a tagger and of an adapter too, whose files are their own (`models.tagger`,
`models.lora`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import safetensors.numpy

from greenlight.core.errors import BadInput
from greenlight.models import lora, sealed, tagger
from greenlight.models.embedding import Embedder, available_workers
from greenlight.models.features import Floats, TermSettings, Tfidf
from greenlight.models.linear import Doubles, LinearHead, softmax
from greenlight.models.scope import AROUND, SIGNALS, Learnt, Scope
from greenlight.ports import Prediction

VOCABULARY = "vocabulary.json"
WEIGHTS = "weights.safetensors"
ENCODER = "encoder.onnx"
TOKENIZER = "tokenizer.json"
SCOPE = "scope.safetensors"
MANY = 256
"""From so many texts on (an evaluation, never a request) embedding uses every core."""

Kind = Literal["tfidf-linear", "encoder-head", "encoder-finetune", "char-ngram"]
ENCODED: tuple[Kind, ...] = ("encoder-head", "encoder-finetune")
"""The kinds with a sentence encoder."""


class EncoderParts(msgspec.Struct, frozen=True, kw_only=True):
    """The sentence encoder of a bundle."""

    graph: bytes
    tokenizer: bytes
    token_limit: int


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a bundle is made of."""

    kind: Kind
    labels: Sequence[str]
    beta: float
    """The score is softmax(beta · decision)."""
    tfidf: Tfidf
    head: LinearHead
    encoder: EncoderParts | None = None
    scope: Scope | None = None
    """Tells texts out of scope, where the model was made to."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    beta: float
    terms: TermSettings
    token_limit: int | None = None
    oos_threshold: float | None = None


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    kind: Kind
    labels: tuple[str, ...]
    settings: _Settings
    files: dict[str, str]


class TextModel:
    """A loaded bundle (`ports.Model`). Immutable, so any thread may use it."""

    def __init__(self, parts: Parts) -> None:
        """Make a model of its parts; see `load` for a model from a folder."""
        self.kind = parts.kind
        self.labels: Sequence[str] = tuple(parts.labels)
        self._beta = parts.beta
        self._tfidf = parts.tfidf
        self._head = parts.head
        self._scope = parts.scope
        encoder = parts.encoder
        self._embedder = (
            None
            if encoder is None
            else Embedder(encoder.graph, encoder.tokenizer, encoder.token_limit)
        )

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order; `score` is the calibrated probability."""
        vectors = self._embed(texts)
        return [self._predict(text, vector) for text, vector in zip(texts, vectors, strict=True)]

    def shares(self, texts: Sequence[str]) -> Doubles:
        """The calibrated probability of every label for every text, [texts, labels]."""
        pairs = zip(texts, self._embed(texts), strict=True)
        decisions = [self._decide(text, vector)[0] for text, vector in pairs]
        return self._calibrated(np.stack(decisions))

    def _embed(self, texts: Sequence[str]) -> Sequence[Floats | None]:
        if self._embedder is None:
            return [None] * len(texts)
        workers = available_workers() if len(texts) >= MANY else 1
        return list(self._embedder.embed(texts, workers=workers))

    def _decide(self, text: str, vector: Floats | None) -> tuple[Floats, int]:
        """The decisions on a text, and how many of the known terms are in it."""
        indices, values = self._tfidf.row(text)
        return self._head.decide(indices, values, vector), len(indices)

    def _calibrated(self, decisions: Floats) -> Doubles:
        return softmax(self._beta * decisions.astype(np.float64))

    def _predict(self, text: str, vector: Floats | None) -> Prediction:
        decisions, terms = self._decide(text, vector)
        shares = self._calibrated(decisions)
        best = int(shares.argmax())
        label, score = self.labels[best], float(shares[best])
        if self._scope is None or vector is None:
            return Prediction(label=label, score=score)
        away = self._scope.score(vector, decisions, terms)
        return Prediction(label, score, oos=away > self._scope.threshold, oos_score=away)


def write(folder: str | Path, parts: Parts) -> str:
    """Write a bundle to a new or empty folder; equal parts give equal bytes.

    Returns:
        The bundle's digest.

    Raises:
        BadInput: the folder is not empty, or the parts do not fit together.
        Unwritable: the folder takes no more.
    """
    _check(parts)
    encoder = parts.encoder
    settings = _Settings(
        beta=parts.beta,
        terms=parts.tfidf.settings,
        token_limit=encoder.token_limit if encoder is not None else None,
        oos_threshold=None if parts.scope is None else parts.scope.threshold,
    )
    body = {
        "kind": parts.kind,
        "labels": list(parts.labels),
        "settings": msgspec.to_builtins(settings),
    }
    return sealed.write(folder, _files(parts), body)


def _files(parts: Parts) -> Iterator[tuple[str, bytes]]:
    """The files of a bundle, but for its manifest."""
    yield VOCABULARY, msgspec.json.encode(parts.tfidf.terms)
    tensors = {"idf": parts.tfidf.idf, "sparse": parts.head.sparse, "bias": parts.head.bias}
    if parts.head.dense is not None:
        tensors["dense"] = parts.head.dense
    yield WEIGHTS, safetensors.numpy.save(tensors)
    if parts.encoder is not None:
        yield ENCODER, parts.encoder.graph
        yield TOKENIZER, parts.encoder.tokenizer
    if parts.scope is not None:
        yield SCOPE, safetensors.numpy.save(_scope_tensors(parts.scope))


def _scope_tensors(scope: Scope) -> dict[str, Any]:
    learnt = scope.learnt
    return {
        "vectors": learnt.vectors,
        "targets": learnt.targets,
        "density": learnt.density,
        "middle": learnt.middle,
        "whitening": learnt.whitening,
        "centre": scope.centre,
        "spread": scope.spread,
    }


def load(
    folder: str | Path, expected_digest: str | None = None
) -> TextModel | tagger.Tagger | lora.LoraModel:
    """Load a bundle of any kind after checking every byte of it.

    Raises:
        Tampered: not the expected bundle, or a file was changed, removed or added; or an adapter's
            base was.
        MissingData: an adapter's base is not here, or what opens it is not.
        BadInput: sealed as it should be, but no bundle that this release can read.
    """
    root = Path(folder)
    body = sealed.unseal(root, expected_digest)
    with sealed.reading(root):
        if body.get("kind") == tagger.KIND:
            return tagger.read(root, body)
        if body.get("kind") == lora.KIND:
            return lora.read(root, body)
        parts = _read(root, msgspec.convert(body, _Manifest))
        _check(parts)
        return TextModel(parts)


def _read(root: Path, manifest: _Manifest) -> Parts:
    terms = msgspec.json.decode((root / VOCABULARY).read_bytes(), type=list[str])
    tensors: dict[str, Any] = safetensors.numpy.load_file(root / WEIGHTS)
    encoder = None
    if manifest.settings.token_limit is not None:
        encoder = EncoderParts(
            graph=(root / ENCODER).read_bytes(),
            tokenizer=(root / TOKENIZER).read_bytes(),
            token_limit=manifest.settings.token_limit,
        )
    scope = None
    if manifest.settings.oos_threshold is not None:
        held: dict[str, Any] = safetensors.numpy.load_file(root / SCOPE)
        scope = Scope(
            learnt=Learnt(**{name: held[name] for name in Learnt.__struct_fields__}),
            beta=manifest.settings.beta,
            centre=held["centre"],
            spread=held["spread"],
            threshold=manifest.settings.oos_threshold,
        )
    return Parts(
        kind=manifest.kind,
        labels=manifest.labels,
        beta=manifest.settings.beta,
        tfidf=Tfidf(manifest.settings.terms, terms, tensors["idf"]),
        head=LinearHead(tensors["sparse"], tensors["bias"], tensors.get("dense")),
        encoder=encoder,
        scope=scope,
    )


def _check(parts: Parts) -> None:
    rows, columns = parts.head.sparse.shape
    encoded = parts.kind in ENCODED
    problems = [
        problem
        for problem, found in (
            ("labels repeat", len(set(parts.labels)) != len(parts.labels)),
            (f"{len(parts.labels)} labels, {columns} in the head", len(parts.labels) != columns),
            (f"{len(parts.tfidf.terms)} terms, {rows} in the head", len(parts.tfidf.terms) != rows),
            (f"beta is {parts.beta}, not positive", not parts.beta > 0),
            ("weights are not finite", not _finite(parts)),
            ("an encoder where none belongs, or none", (parts.encoder is not None) != encoded),
            ("dense weights where none belong, or none", (parts.head.dense is not None) != encoded),
            ("a scope without an encoder", parts.scope is not None and not encoded),
            ("the scope's shapes do not fit", parts.scope is not None and not _fits(parts.scope)),
        )
        if found
    ]
    if problems:
        what = "; ".join(problems)
        raise BadInput(f"the parts of the {parts.kind} bundle do not fit: {what}; {sealed.REMEDY}")


def _fits(scope: Scope) -> bool:
    learnt = scope.learnt
    texts, size = learnt.vectors.shape
    shapes = (learnt.targets.shape, learnt.density.shape, scope.centre.shape, scope.spread.shape)
    sizes = (learnt.middle.shape, learnt.whitening.shape)
    return (
        texts > AROUND
        and shapes == ((texts,), (texts,), (SIGNALS,), (SIGNALS,))
        and sizes == ((size,), (size, size))
        and bool((np.diff(learnt.targets) >= 0).all())
    )


def _finite(parts: Parts) -> bool:
    head = parts.head
    tensors: list[Any] = [parts.tfidf.idf, head.sparse, head.bias]
    if head.dense is not None:
        tensors.append(head.dense)
    if parts.scope is not None:
        tensors.extend(_scope_tensors(parts.scope).values())
    return all(bool(np.isfinite(tensor).all()) for tensor in tensors)
