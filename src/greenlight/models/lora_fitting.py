"""Teaching an adapter: conversations in tokens, and the epochs of a training, in torch.

The loss is the mean cross-entropy over the tokens of the answers; what was asked is read, and not
learnt. Weights learn by AdamW (Loshchilov and Hutter, arXiv 1711.05101) at a rate that grows over
the first tenth of the steps and falls to nothing by the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from greenlight.core.errors import BadInput
from greenlight.models import lora
from greenlight.models.conversation import Conversations
from greenlight.models.features import Floats
from greenlight.models.finetuning import LONGEST, batches, pace
from greenlight.models.open_weights import Opened, need
from greenlight.models.speaker import Speaker
from greenlight.ports import Example, Progress


class Row(NamedTuple):
    """A conversation in tokens."""

    question: list[int]
    answer: list[int]
    """With its end."""


class Rows(NamedTuple):
    """Conversations, and how many of them lost the middle of what was asked."""

    rows: list[Row]
    cut: int


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How to learn."""

    epochs: int
    """At most, and what the rate of learning is planned for."""
    patience: int
    """Epochs without a smaller loss on validation after which it ends."""
    batch: int
    rate: float
    """The largest rate of learning."""
    seed: int


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over the training rows, and how the model then did; means over answers' tokens."""

    loss: float
    validation_loss: float


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """The adapter as it was after its best epoch."""

    tensors: Mapping[str, Floats]
    epochs: list[Epoch]
    best: int
    """Which of them, from 0."""


def in_tokens(speaker: Speaker, conversations: Conversations, examples: Iterable[Example]) -> Rows:
    """Conversations as the model reads them.

    Raises:
        BadInput: an answer that is too long to be learnt; a row that was asked with instructions
            that are not here, or of a chat that is no messages.
    """
    rows, cut = [], 0
    for number, example in enumerate(examples, start=1):
        *messages, said = conversations.whole(example)
        question, shortened = speaker.question(messages)
        answer = [*speaker.answer(said.content), speaker.end]
        if len(answer) > speaker.window.answer:
            raise BadInput(
                f"row {number}: an answer of {len(answer)} tokens; answer_tokens is "
                f"{speaker.window.answer}: raise it, or leave the row out",
                "answer_tokens",
            )
        rows.append(Row(question, answer))
        cut += shortened
    return Rows(rows, cut)


def tune(
    opened: Opened,
    train: Sequence[Row],
    validation: Sequence[Row],
    recipe: Recipe,
    progress: Progress,
) -> Tuned:
    """Learn from `train`, and go back to the epoch with the smallest loss on `validation`.

    The same arguments give the same weights on one machine, where torch was told to be
    deterministic.

    Args:
        opened: the base, with an adapter that has learnt nothing yet; it is left as it was after
            its best epoch.
        train: what to learn from.
        validation: what tells which epoch was best.
        recipe: how.
        progress: called after every step.
    """
    each = math.ceil(len(train) / recipe.batch)
    learner = _Learner(opened, recipe, each * recipe.epochs)
    order = np.random.default_rng(recipe.seed)
    lengths = [len(row.question) + len(row.answer) for row in train]
    epochs: list[Epoch] = []
    best, kept = 0, learner.snapshot()
    for number in range(recipe.epochs):
        name = f"epoch {number + 1} of at most {recipe.epochs}"
        losses = []
        for batch in batches(lengths, recipe.batch, order):
            losses.append(learner.step([train[place] for place in batch]))
            progress(learner.share, f"{name}: {len(losses):,} of {each:,} steps")
        found = learner.measure(validation)
        epochs.append(Epoch(loss=_mean(losses), validation_loss=found))
        if number == 0 or found < epochs[best].validation_loss:
            best, kept = number, learner.snapshot()
        progress(learner.share, f"{name}: loss {found:.3f} on validation")
        if number - best >= recipe.patience:
            break
    learner.restore(kept)
    return Tuned(tensors=lora.tensors_of(opened), epochs=epochs, best=best)


Loss = tuple[float, int]
"""The sum of the cross-entropy, and of how many tokens."""


class _Learner:
    """AdamW on an adapter, with the rate of the step that it has come to."""

    def __init__(self, opened: Opened, recipe: Recipe, steps: int) -> None:
        self._torch = need("torch")
        self._network = opened.network
        self._device = opened.device
        self._recipe = recipe
        self._steps = steps
        self._done = 0
        self._weights = [w for w in opened.network.parameters() if w.requires_grad]
        self._optimiser = self._torch.optim.AdamW(
            self._weights, lr=recipe.rate, weight_decay=0.0, fused=True
        )

    @property
    def share(self) -> float:
        """Of the planned steps that are done."""
        return self._done / self._steps

    def step(self, rows: Sequence[Row]) -> Loss:
        """Learn from a batch; the loss before it."""
        self._network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.rate * pace(self._done, self._steps)
        summed, count = self._loss(rows)
        self._optimiser.zero_grad()
        (summed / count).backward()
        self._torch.nn.utils.clip_grad_norm_(self._weights, LONGEST)
        self._optimiser.step()
        self._done += 1
        return float(summed.detach()), count

    def measure(self, rows: Sequence[Row]) -> float:
        """The mean loss over the tokens of the answers."""
        self._network.eval()
        size = self._recipe.batch
        by_length = sorted(rows, key=lambda row: len(row.question) + len(row.answer))
        losses = []
        with self._torch.inference_mode():
            for start in range(0, len(by_length), size):
                summed, count = self._loss(by_length[start : start + size])
                losses.append((float(summed), count))
        return _mean(losses)

    def snapshot(self) -> list[Any]:
        """A copy of the weights of now."""
        return [weight.detach().clone() for weight in self._weights]

    def restore(self, kept: Sequence[Any]) -> None:
        """Go back to those weights; nothing learns any more."""
        with self._torch.no_grad():
            for weight, value in zip(self._weights, kept, strict=True):
                weight.copy_(value)
        self._network.eval()

    def _loss(self, rows: Sequence[Row]) -> tuple[Any, int]:
        """The summed cross-entropy of the answers' tokens, and how many they are."""
        width = max(len(row.question) + len(row.answer) for row in rows)
        ids = np.zeros((len(rows), width), np.int64)
        mask, learnt = np.zeros_like(ids), np.zeros((len(rows), width), np.bool_)
        for place, (question, answer) in enumerate(rows):
            end = len(question) + len(answer)
            ids[place, :end] = [*question, *answer]
            mask[place, :end] = 1
            learnt[place, len(question) : end] = True
        here, attended = (self._torch.tensor(x, device=self._device) for x in (ids, mask))
        wanted = self._torch.tensor(learnt[:, 1:], device=self._device)
        outputs = self._network(input_ids=here, attention_mask=attended, use_cache=False)
        # A token is foretold at the place before it.
        scores = outputs.logits[:, :-1][wanted].float()
        loss = self._torch.nn.functional.cross_entropy(scores, here[:, 1:][wanted], reduction="sum")
        return loss, int(learnt.sum())


def _mean(losses: Sequence[Loss]) -> float:
    summed, counts = zip(*losses, strict=True)
    tokens: int = sum(counts)
    return math.fsum(summed) / tokens
