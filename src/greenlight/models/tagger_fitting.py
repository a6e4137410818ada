"""Fitting a tagger: the epochs of its training, and what is chosen on validation.

Needs torch and, through `fitting`, scikit-learn; nothing that serves imports this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from greenlight.core import tagging
from greenlight.core.stats.resampling import micro_f1
from greenlight.models.features import Floats, Integers
from greenlight.models.fitting import fit_beta
from greenlight.models.linear import Doubles, softmax
from greenlight.models.tagger import Choice
from greenlight.models.torch_encoder import need_torch
from greenlight.models.torch_tagger import TorchTagger
from greenlight.models.word_features import Window, WordFeatures
from greenlight.ports import Example, Progress

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; afterwards it falls to almost nothing."""
LEAST_RATE = 0.02
WEIGHT_DECAY = 0.01
LONGEST_GRADIENT = 1.0
POOL = 16
"""Batches whose texts are sorted by length together, so that a batch is padded little."""
BIASES = np.arange(-0.5, 3.01, 0.25)
"""What is tried for `Parts.bias`."""


TAUGHT = 0.7
"""Of what is learnt of a word, the part that others teach, where there are any."""

Teach = Callable[[Sequence[str]], Doubles]
"""Probabilities of the tags of words, [words, tags]."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How to train."""

    epochs: int
    rate: float
    """Of the encoder."""
    head_rate: float
    batch: int
    nameless: float
    """Share of the texts without a name that an epoch learns from, drawn anew each time."""
    swap: float
    """Probability that a name in a training text gives way to another of its type."""
    hide: float
    """Probability that a sub-word is hidden from the encoder."""
    seed: int


class Sentence(msgspec.Struct, frozen=True):
    """Words and the number of each one's tag."""

    words: list[str]
    targets: Integers


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What validation says of one epoch's weights."""

    f1: float
    """Of tokens, micro-averaged over all tags but `O`; 0 where there is nothing to find."""
    bias: float
    beta: float


def read(examples: Sequence[Example], labels: Sequence[str]) -> list[Sentence]:
    """Sentences of examples, whose labels are tags; one without words is left out."""
    numbers = {label: number for number, label in enumerate(labels)}
    return [
        Sentence(words, np.array([numbers[tag] for tag in tagging.tags(row.label)], np.int64))
        for row in examples
        if (words := tagging.words(row.text))
    ]


def fit(
    network: TorchTagger,
    features: WordFeatures,
    train: Sequence[Sentence],
    labels: Sequence[str],
    recipe: Recipe,
    progress: Progress,
    teach: Teach | None = None,
) -> Iterator[int]:
    """Train, an epoch at a time.

    Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, where others
    teach.

    Args:
        network: learns.
        features: cuts words into what it sees.
        train: the sentences.
        labels: the tags.
        recipe: how.
        progress: called after every step.
        teach: what others make of the words, to learn from beside the tags.

    Yields:
        The epochs done, from 1.
    """
    torch = need_torch()
    functional = torch.nn.functional
    learnt = network.learnt()
    optimiser = torch.optim.AdamW(_groups(network, recipe), fused=True)
    draw = _Draw(train, list(labels).index(tagging.OUTSIDE), recipe.nameless)
    steps = recipe.epochs * math.ceil(draw.windows(features) / recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate(steps))
    rng = np.random.default_rng(recipe.seed)
    swap = Swap(train, labels, recipe.swap)
    done = 0
    targeted = _Targets(len(labels), teach)
    for epoch in range(1, recipe.epochs + 1):
        items = _items(features, [swap(sentence, rng) for sentence in draw(rng)], targeted)
        losses = []
        for batch in _batches([len(window.ids) for window, _ in items], recipe.batch, rng):
            windows = [_hide(items[number][0], features, recipe.hide, rng) for number in batch]
            scores = network.emissions(windows, training=True)
            targets = torch.zeros(scores.shape, dtype=scores.dtype)
            for row, number in enumerate(batch):
                wanted = items[number][1]
                targets[row, : len(wanted)] = torch.from_numpy(wanted)
            # Padding is no tag at all, and costs nothing.
            loss = functional.cross_entropy(
                scores.flatten(0, 1), targets.flatten(0, 1), reduction="sum"
            )
            loss = loss / sum(len(items[number][1]) for number in batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learnt, LONGEST_GRADIENT)
            optimiser.step()
            network.settle()
            schedule.step()
            optimiser.zero_grad()
            done += 1
            losses.append(loss.item())
            told = f"epoch {epoch} of {recipe.epochs}: loss {np.mean(losses):.3f}"
            progress(min(done / steps, 1.0), told)
        yield epoch


def choose(
    scores: Sequence[Floats], sentences: Sequence[Sentence], labels: Sequence[str]
) -> Chosen:
    """The beta that calibrates these scores, and the bias with which F1 is largest.

    Args:
        scores: of every word of each sentence, [words, tags] each.
        sentences: that the network did not learn from.
        labels: the tags.
    """
    targets = np.concatenate([sentence.targets for sentence in sentences])
    beta = fit_beta(np.concatenate(scores), targets)
    shares = [softmax(beta * each.astype(np.float64)) for each in scores]

    def f1(bias: float) -> float:
        choice = Choice(labels, bias)
        given = np.concatenate([choice.tags(each) for each in shares])
        return token_f1(targets, given, list(labels).index(tagging.OUTSIDE))

    # Of equals the bias nearest to none.
    best, _, bias = max((f1(bias), -abs(bias), bias) for bias in BIASES.tolist())
    return Chosen(f1=best, bias=bias, beta=beta)


def token_f1(truth: Integers, given: Integers, outside: int) -> float:
    """F1 of words over all tags but `O` together; 0 where there is nothing to find."""
    equal, named, claimed = truth == given, truth != outside, given != outside
    counts = np.array([[(equal & named).sum(), (claimed & ~equal).sum(), (named & ~equal).sum()]])
    return micro_f1(counts) or 0.0


class Swap:
    """Names in the place of others of their type, so that a type is learnt more than its names.

    Dai and Adel, "An Analysis of Simple Data Augmentation for Named Entity Recognition", COLING
    2020 ("mention replacement").
    """

    def __init__(
        self, sentences: Sequence[Sentence], labels: Sequence[str], probability: float
    ) -> None:
        """Collect the names in sentences."""
        self._labels = list(labels)
        self._probability = probability
        found: dict[str, set[tuple[tuple[str, ...], tuple[int, ...]]]] = {}
        for sentence in sentences:
            for span in self._spans(sentence):
                words = tuple(sentence.words[span.start : span.end])
                numbers = tuple(sentence.targets[span.start : span.end].tolist())
                found.setdefault(span.type, set()).add((words, numbers))
        self._names = {kind: sorted(names) for kind, names in found.items()}

    def __call__(self, sentence: Sentence, rng: np.random.Generator) -> Sentence:
        """The sentence, with each name swapped or not."""
        words, numbers = list(sentence.words), sentence.targets.tolist()
        changed = False
        for span in reversed(self._spans(sentence)):
            if rng.random() < self._probability:
                names = self._names[span.type]
                new, tags = names[int(rng.integers(len(names)))]
                words[span.start : span.end], numbers[span.start : span.end] = new, tags
                changed = True
        return Sentence(words, np.array(numbers, np.int64)) if changed else sentence

    def _spans(self, sentence: Sentence) -> list[tagging.Span]:
        return tagging.spans([self._labels[number] for number in sentence.targets])


class _Draw:
    """What an epoch learns from: all texts with a name in them, and some of the others."""

    def __init__(self, sentences: Sequence[Sentence], outside: int, share: float) -> None:
        named = [bool((sentence.targets != outside).any()) for sentence in sentences]
        self._named = [row for row, has in zip(sentences, named, strict=True) if has]
        self._others = [row for row, has in zip(sentences, named, strict=True) if not has]
        self._share = share

    def __call__(self, rng: np.random.Generator) -> list[Sentence]:
        count = round(self._share * len(self._others))
        drawn = rng.permutation(len(self._others))[:count]
        return [*self._named, *(self._others[number] for number in drawn)]

    def windows(self, features: WordFeatures) -> float:
        """How many windows an epoch has, as far as can be told before."""
        named, others = (
            sum(len(features.windows(sentence.words)) for sentence in sentences)
            for sentences in (self._named, self._others)
        )
        return named + self._share * others


class _Targets:
    """What is to be learnt of each word: a probability for each tag."""

    def __init__(self, tags: int, teach: Teach | None) -> None:
        self._sure = np.eye(tags, dtype=np.float32)
        self._teach = teach

    def __call__(self, sentence: Sentence) -> Floats:
        """[words, tags]."""
        sure: Floats = self._sure[sentence.targets]
        if self._teach is None:
            return sure
        taught = self._teach(sentence.words).astype(np.float32)
        return np.float32(1 - TAUGHT) * sure + np.float32(TAUGHT) * taught


def _items(
    features: WordFeatures, sentences: Sequence[Sentence], targeted: _Targets
) -> list[tuple[Window, Floats]]:
    """The windows of sentences, each with what is to be learnt of its words."""
    items = []
    for sentence in sentences:
        targets, start = targeted(sentence), 0
        for window in features.windows(sentence.words):
            end = start + len(window.shapes)
            items.append((window, targets[start:end]))
            start = end
    return items


def _hide(
    window: Window, features: WordFeatures, probability: float, rng: np.random.Generator
) -> Window:
    """The window with some sub-words as the mask; Devlin et al., "BERT", hid 15 % of them."""
    if not probability:
        return window
    hidden = (rng.random(len(window.ids)) < probability) & (window.cases > 0)
    return msgspec.structs.replace(window, ids=np.where(hidden, features.mask, window.ids))


def _batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[list[int]]:
    """Numbers of windows in random batches of about equal length."""
    order = rng.permutation(len(lengths)).tolist()
    batches = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda number: lengths[number])
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[number] for number in rng.permutation(len(batches))]


def _groups(network: TorchTagger, recipe: Recipe) -> list[dict[str, Any]]:
    """What learns at which rate; what is no matrix does not decay."""
    encoder = [value for value in network.encoder.weights.values() if value.requires_grad]
    head = list(network.head.values())
    return [
        {"params": chosen, "lr": rate, "weight_decay": WEIGHT_DECAY if matrices else 0.0}
        for values, rate in (
            (encoder, recipe.rate),
            (head, recipe.head_rate),
        )
        for matrices in (True, False)
        if (chosen := [value for value in values if (value.ndim > 1) is matrices])
    ]


def _rate(steps: int) -> Callable[[int], float]:
    """The learning rate's factor at each step: up in a line, and down in a line."""
    rising = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        falling = (steps - step) / max(1, steps - rising)
        return min((step + 1) / rising, max(LEAST_RATE, falling))

    return factor
