"""A tagger: a bundle that gives every word of a text a tag, served by ONNX and numpy.

| file | holds |
|---|---|
| `tagger.onnx` | the network (`tagger_graph`) |
| `tokenizer.json` | how words become sub-words |
| `shapes.json` | the known shapes of words, in the order of their numbers |

A text's words are what stands between white space. The answer's label is their tags, joined by one
space; its score is the calibrated probability of the tag that is the least sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnxruntime

from greenlight.core import tagging
from greenlight.core.errors import BadInput
from greenlight.models import sealed
from greenlight.models.embedding import available_workers
from greenlight.models.features import Floats
from greenlight.models.linear import Doubles, softmax
from greenlight.models.sequence import Rules
from greenlight.models.word_features import SUBWORDS, Window, WordFeatures
from greenlight.ports import Prediction

KIND: Literal["token-tagger"] = "token-tagger"
GRAPH = "tagger.onnx"
TOKENIZER = "tokenizer.json"
SHAPES = "shapes.json"
MANY = 64
"""From so many texts on (an evaluation, never a request) tagging uses every core."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a tagger is made of."""

    labels: Sequence[str]
    """The tags, `O` among them, in the order of the network's scores."""
    graph: bytes
    tokenizer: bytes
    shapes: Sequence[str]
    token_limit: int
    """Sub-words that the encoder reads at once; a longer text is read in several windows."""
    beta: float
    """A word's probabilities are softmax(beta · score)."""
    bias: float
    """What is taken from the logarithm of the probability of `O` before the tags are chosen."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token_limit: int
    beta: float
    bias: float


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    kind: Literal["token-tagger"]
    labels: tuple[str, ...]
    settings: _Settings
    files: dict[str, str]


class Tagger:
    """A loaded tagger (`ports.Model`). Immutable, so any thread may use it."""

    def __init__(self, parts: Parts) -> None:
        """Make a model of its parts; see `bundle.load` for a model from a folder.

        Raises:
            BadInput: the parts do not fit together.
        """
        _check(parts)
        self.kind = KIND
        self.labels: Sequence[str] = tuple(parts.labels)
        self._beta = parts.beta
        self._words = WordFeatures(parts.tokenizer, parts.shapes, parts.token_limit)
        self._choice = Choice(self.labels, parts.bias)
        options = onnxruntime.SessionOptions()
        # One thread per call is cheapest; several texts are spread over threads.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            parts.graph, options, providers=["CPUExecutionProvider"]
        )
        outputs = self._session.get_outputs()[0].shape[1]
        if outputs != len(self.labels):
            raise BadInput(f"{len(self.labels)} labels, {outputs} in the graph; {sealed.REMEDY}")

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order; each by itself, whatever the others are."""
        if len(texts) < MANY:
            return [self._predict(text) for text in texts]
        with ThreadPoolExecutor(available_workers(), thread_name_prefix="tag") as pool:
            return list(pool.map(self._predict, texts))

    def scores(self, words: Sequence[str]) -> Floats:
        """The network's scores, [words, tags]."""
        windows = self._words.windows(words)
        if not windows:
            return np.zeros((0, len(self.labels)), np.float32)
        return np.concatenate([self._run(window) for window in windows])

    def _run(self, window: Window) -> Floats:
        inputs = {
            "input_ids": window.ids[None],
            "cases": window.cases[None],
            "shares": window.shares,
            "characters": window.characters,
            "shapes": window.shapes,
            "flags": window.flags,
        }
        scores: Floats = self._session.run(None, inputs)[0]
        return scores

    def _predict(self, text: str) -> Prediction:
        shares = softmax(self._beta * self.scores(tagging.words(text)).astype(np.float64))
        chosen = self._choice.tags(shares)
        sure = shares[np.arange(len(chosen)), chosen]
        label = tagging.join(self.labels[number] for number in chosen)
        return Prediction(label=label, score=float(sure.min(initial=1.0)))


class Choice:
    """The tags of a text by the probabilities of each word's."""

    def __init__(self, labels: Sequence[str], bias: float) -> None:
        """Choose among these labels.

        Args:
            labels: the tags, in the order of the probabilities.
            bias: what is taken from the logarithm of that of `O`: how many words are held to be
                part of an entity is chosen for F1, not for accuracy.
        """
        self._rules = Rules(labels)
        self._less = np.array([bias if tag == tagging.OUTSIDE else 0.0 for tag in labels])

    def tags(self, shares: Doubles) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The tags by number, [words], of probabilities [words, tags]."""
        smallest = np.finfo(np.float64).tiny
        return self._rules.best(np.log(np.maximum(shares, smallest)) - self._less)


def write(folder: str | Path, parts: Parts) -> str:
    """Write a bundle to a new or empty folder; equal parts give equal bytes.

    Returns:
        The bundle's digest.

    Raises:
        BadInput: the folder is not empty, or the parts do not fit together.
        Unwritable: the folder takes no more.
    """
    _check(parts)
    settings = _Settings(token_limit=parts.token_limit, beta=parts.beta, bias=parts.bias)
    files = [
        (GRAPH, parts.graph),
        (TOKENIZER, parts.tokenizer),
        (SHAPES, msgspec.json.encode(parts.shapes)),
    ]
    body = {
        "kind": KIND,
        "labels": list(parts.labels),
        "settings": msgspec.to_builtins(settings),
    }
    return sealed.write(folder, files, body)


def read(root: Path, body: dict[str, Any]) -> Tagger:
    """The tagger in a folder whose manifest was checked; `bundle.load` does that."""
    manifest = msgspec.convert(body, _Manifest)
    return Tagger(
        Parts(
            labels=manifest.labels,
            graph=(root / GRAPH).read_bytes(),
            tokenizer=(root / TOKENIZER).read_bytes(),
            shapes=msgspec.json.decode((root / SHAPES).read_bytes(), type=list[str]),
            token_limit=manifest.settings.token_limit,
            beta=manifest.settings.beta,
            bias=manifest.settings.bias,
        )
    )


def _check(parts: Parts) -> None:
    problems = [
        problem
        for problem, found in (
            ("labels repeat", len(set(parts.labels)) != len(parts.labels)),
            (f"no label {tagging.OUTSIDE}", tagging.OUTSIDE not in parts.labels),
            ("shapes repeat", len(set(parts.shapes)) != len(parts.shapes)),
            (f"beta is {parts.beta}, not positive", not 0 < parts.beta < np.inf),
            (f"bias is {parts.bias}, not finite", not np.isfinite(parts.bias)),
            (f"token_limit is {parts.token_limit}", parts.token_limit < SUBWORDS + 2),
        )
        if found
    ]
    if problems:
        what = "; ".join(problems)
        raise BadInput(f"the parts of the {KIND} bundle do not fit: {what}; {sealed.REMEDY}")
