"""Fine-tuning a sentence encoder until the means over its tokens tell labels apart, in torch.

A linear head stands on the mean over a text's tokens, and both learn from cross-entropy with
smoothed labels (Szegedy et al., "Rethinking the Inception Architecture", arXiv 1512.00567) by AdamW
(Loshchilov and Hutter, arXiv 1711.05101): the rate grows over the first tenth of the steps and
falls to nothing by the last (Devlin et al., "BERT", arXiv 1810.04805).

The head is there to teach the encoder only. What serves is fitted on the embeddings afterwards, as
it is where the encoder is frozen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from tokenizers import Tokenizer

from greenlight.models.embedding import TOKEN_LIMIT
from greenlight.models.encoded import Pretrained
from greenlight.models.features import Integers
from greenlight.models.torch_encoder import TorchEncoder, deterministic, need_torch
from greenlight.ports import Progress

WARM_UP = 0.1
"""Share of the steps over which the rate of learning grows."""
WEIGHT_DECAY = 0.01
"""Of matrices; vectors (biases, normalisation) keep what they have learnt."""
LONGEST = 1.0
"""Longer gradients are cut to this length."""
HEAD_DROPOUT = 0.1
SPREAD = 0.02
"""Standard deviation of the head's first weights."""
POOLED = 32
"""Batches whose texts are sorted by length together, so that there is little padding."""
MEASURED = 64
"""Texts that are measured at a time."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How to learn."""

    epochs: int
    """At most, and what the rate of learning is planned for."""
    patience: int
    """Epochs without a better validation accuracy after which it ends."""
    batch: int
    rate: float
    """The largest rate of learning of the encoder."""
    head_rate: float
    """The same of the head."""
    smoothing: float
    """Share of a label's probability that is spread over all labels."""
    bfloat16: bool
    """Products in 16 bits: half the time on processors that have them, slower on others."""
    threads: int
    """Of the processor; another number gives other bits."""
    device: str
    """As torch calls it: cpu, cuda."""
    seed: int


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """Texts in tokens, and their label numbers."""

    tokens: list[list[int]]
    targets: Integers


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over the training texts, and how the network then did."""

    loss: float
    """Mean over the training steps."""
    validation_accuracy: float
    validation_loss: float


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """The encoder as it was after its best epoch."""

    encoder: Pretrained
    epochs: list[Epoch]
    best: int
    """Which of them, from 0."""


def tokens(pretrained: Pretrained, texts: Sequence[str], targets: Integers) -> Texts:
    """Cut texts as serving cuts them."""
    tokenizer = Tokenizer.from_buffer(pretrained.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKEN_LIMIT)
    cut = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    return Texts(tokens=cut, targets=targets)


def tune(
    pretrained: Pretrained,
    train: Texts,
    validation: Texts,
    labels: int,
    recipe: Recipe,
    progress: Progress,
) -> Tuned:
    """Learn from `train`, and keep the epoch with the best accuracy on `validation`.

    Of equal accuracies the lower loss is the better one. The same arguments give the same weights
    on one machine.

    Args:
        pretrained: where to start from.
        train: what to learn from.
        validation: what tells which epoch was best.
        labels: how many there are.
        recipe: how.
        progress: called after every step.

    Raises:
        MissingData: torch is not installed.
    """
    deterministic(recipe.seed, recipe.threads)
    network = _Network(pretrained, labels, recipe)
    each = math.ceil(len(train.tokens) / recipe.batch)
    learner = _Learner(network, recipe, each * recipe.epochs)
    order = np.random.default_rng(recipe.seed)
    epochs: list[Epoch] = []
    best, kept = 0, pretrained
    for number in range(recipe.epochs):
        name = f"epoch {number + 1} of at most {recipe.epochs}"
        losses = []
        for batch in batches([len(row) for row in train.tokens], recipe.batch, order):
            losses.append(learner.step(train, batch))
            progress(learner.share, f"{name}: {len(losses):,} of {each:,} steps")
        accuracy, loss = network.measure(validation)
        mean = float(np.mean(losses))
        epochs.append(Epoch(loss=mean, validation_accuracy=accuracy, validation_loss=loss))
        if number == 0 or _rank(epochs[number]) > _rank(epochs[best]):
            best, kept = number, network.encoder(pretrained)
        progress(learner.share, f"{name}: accuracy {accuracy:.3f} on validation")
        if number - best >= recipe.patience:
            break
    return Tuned(encoder=kept, epochs=epochs, best=best)


def _rank(epoch: Epoch) -> tuple[float, float]:
    return epoch.validation_accuracy, -epoch.validation_loss


class _Network:
    """The encoder and the head that teaches it."""

    def __init__(self, pretrained: Pretrained, labels: int, recipe: Recipe) -> None:
        self._torch = need_torch()
        self._recipe = recipe
        self.bert = TorchEncoder(pretrained.config, pretrained.tensors, device=recipe.device)
        first = self._torch.randn(labels, pretrained.config.hidden_size) * SPREAD
        self.head: list[Any] = [
            value.to(recipe.device).requires_grad_() for value in (first, self._torch.zeros(labels))
        ]

    def means(self, texts: Texts, batch: Sequence[int], *, training: bool) -> Any:
        """The mean over the tokens of each text of a batch, [texts, hidden]."""
        ids, mask = self._padded([texts.tokens[number] for number in batch])
        half = self._torch.autocast(
            self._recipe.device, self._torch.bfloat16, enabled=self._recipe.bfloat16
        )
        with half:
            hidden = self.bert.hidden_states(ids, mask, training=training)[-1]
        return self.bert.mean(hidden.float(), mask)

    def decide(self, means: Any) -> Any:
        """Decision values [texts, labels]."""
        return self._torch.nn.functional.linear(means, *self.head)

    def targets(self, texts: Texts, batch: Sequence[int]) -> Any:
        """Label numbers of a batch."""
        return self._torch.tensor(texts.targets[batch], device=self._recipe.device)

    def measure(self, texts: Texts) -> tuple[float, float]:
        """Accuracy and mean log loss."""
        hits, loss = 0, 0.0
        by_length = sorted(range(len(texts.tokens)), key=lambda number: len(texts.tokens[number]))
        with self._torch.inference_mode():
            for start in range(0, len(by_length), MEASURED):
                batch = by_length[start : start + MEASURED]
                decisions = self.decide(self.means(texts, batch, training=False))
                targets = self.targets(texts, batch)
                hits += int((decisions.argmax(dim=1) == targets).sum())
                summed = self._torch.nn.functional.cross_entropy(
                    decisions, targets, reduction="sum"
                )
                loss += float(summed)
        return hits / len(by_length), loss / len(by_length)

    def encoder(self, pretrained: Pretrained) -> Pretrained:
        """The encoder with the weights of now."""
        return msgspec.structs.replace(pretrained, tensors=self.bert.tensors())

    def _padded(self, rows: list[list[int]]) -> tuple[Any, Any]:
        longest = max(len(row) for row in rows)
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        here = self._recipe.device
        return self._torch.tensor(ids, device=here), self._torch.tensor(mask, device=here)


class _Learner:
    """AdamW on a network, with the rate of the step that it has come to."""

    def __init__(self, network: _Network, recipe: Recipe, steps: int) -> None:
        self._torch = need_torch()
        self._network = network
        self._recipe = recipe
        self._steps = steps
        self._done = 0
        weights = [*network.bert.weights.values()]
        groups = (
            ([weight for weight in weights if weight.ndim > 1], recipe.rate, WEIGHT_DECAY),
            ([weight for weight in weights if weight.ndim < 2], recipe.rate, 0.0),
            (network.head, recipe.head_rate, WEIGHT_DECAY),
        )
        self._weights = [*weights, *network.head]
        self._optimiser = self._torch.optim.AdamW(
            [{"params": group, "lr": rate, "weight_decay": decay} for group, rate, decay in groups],
            fused=True,  # a quarter less time for a step
        )
        self._rates = [rate for _, rate, _ in groups]

    @property
    def share(self) -> float:
        """Of the planned steps that are done."""
        return self._done / self._steps

    def step(self, texts: Texts, batch: Sequence[int]) -> float:
        """Learn from a batch; the loss before it."""
        network, recipe = self._network, self._recipe
        functional = self._torch.nn.functional
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * pace(self._done, self._steps)
        means = network.means(texts, batch, training=True)
        targets = network.targets(texts, batch)
        decisions = network.decide(functional.dropout(means, HEAD_DROPOUT))
        loss = functional.cross_entropy(decisions, targets, label_smoothing=recipe.smoothing)
        self._optimiser.zero_grad()
        loss.backward()
        self._torch.nn.utils.clip_grad_norm_(self._weights, LONGEST)
        self._optimiser.step()
        self._done += 1
        return float(loss.detach())


def pace(done: int, steps: int) -> float:
    """Share of the largest rate at the next step: up over the warm-up, then down to nothing."""
    warm = max(1, int(WARM_UP * steps))
    return min((done + 1) / warm, (steps - done) / max(1, steps - warm))


def batches(lengths: Sequence[int], size: int, order: np.random.Generator) -> Iterator[list[int]]:
    """Every text once, by its number, in batches of about one length, in random order."""
    lot = order.permutation(len(lengths)).tolist()
    found = []
    for start in range(0, len(lot), size * POOLED):
        pool = sorted(lot[start : start + size * POOLED], key=lambda number: lengths[number])
        found += [pool[at : at + size] for at in range(0, len(pool), size)]
    return (found[number] for number in order.permutation(len(found)))
