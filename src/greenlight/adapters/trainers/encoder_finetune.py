"""Backend `encoder-finetune`: as `encoder-head`, on an encoder that was taught the labels first.

The encoder learns in torch, on a processor or a GPU, until validation says that it is enough.
Weights between those that it had and those that it has become the graph that embeds, in 8 bits
unless told otherwise: what the head is fitted on is, byte for byte, what the bundle serves, without
torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from greenlight.models import encoded, encoder, finetuning, fitting
from greenlight.models.embedding import Embedder, available_workers
from greenlight.models.torch_encoder import need_torch
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts

TUNING_SHARE, EMBEDDING_SHARE = 0.85, 0.1
"""Of the time of a training, for the progress shown."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(encoded.HeadSettings, frozen=True, kw_only=True):
    """What the configuration may set."""

    epochs: Count = 3
    """Passes over the training texts, at most; the rate of learning falls to nothing by the end."""
    patience: Count = 1
    """Epochs without a better accuracy on validation after which it ends. The best is kept."""
    batch: Count = 32
    """Texts per step."""
    rate: Positive = 1.5e-4
    """Largest rate of learning of the encoder."""
    head_rate: Positive = 2e-3
    """The same of the head that teaches it."""
    smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    """Share of a label's probability that is spread over all labels."""
    blend: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """How far the weights go from the encoder as published (0) to what it has learnt (1)."""
    bfloat16: bool = False
    """Products in 16 bits: half the time on processors that have them, slower on others."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it learns; `auto` takes a GPU where torch finds one."""
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of the processor, by default one for each core; another number gives other bits."""

    def recipe(self, seed: int, threads: int) -> finetuning.Recipe:
        """How the encoder learns.

        Args:
            seed: of the training.
            threads: where the configuration does not say.

        Raises:
            MissingData: the device is to be found, and torch is not installed.
        """
        device: str = self.device
        if device == "auto":
            device = "cuda" if need_torch().cuda.is_available() else "cpu"
        return finetuning.Recipe(
            epochs=self.epochs,
            patience=self.patience,
            batch=self.batch,
            rate=self.rate,
            head_rate=self.head_rate,
            smoothing=self.smoothing,
            bfloat16=self.bfloat16,
            threads=self.threads or threads,
            device=device,
            seed=seed,
        )


class EncoderFinetuneTrainer:
    """A `ports.Trainer`."""

    name = "encoder-finetune"
    free = True

    def __init__(
        self,
        find: Callable[[Progress], encoder.EncoderFiles] | None = None,
        threads: int | None = None,
    ) -> None:
        """Make a trainer; nothing is looked for or loaded yet.

        Args:
            find: finds the encoder's files; by default `encoder.find` in this environment.
            threads: that it learns with where the configuration does not say, by default one for
                each core.
        """
        self._find = find or (lambda progress: encoder.find(os.environ, progress))
        self._threads = threads

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
        """Teach the encoder on `train` until `validation` says stop, embed, then as `encoder-head`.

        Raises:
            BadInput: unknown settings, or labels and examples that do not fit together.
            MissingData: there is no torch or no encoder; the message says how to get it.
            Tampered: the encoder's files are not the pinned ones.
        """
        start = time.perf_counter()
        settings = fitting.read_settings(config, Settings)
        fitting.check(train, validation, labels)
        rows = encoded.Rows(train=train, validation=validation, labels=labels, seed=seed)
        recipe = settings.recipe(seed, self._threads or available_workers())
        files = self._find(lambda _, words: progress(0.0, words))
        pretrained = encoded.read(files)
        tuned = _tune(pretrained, rows, recipe, progress)
        learnt = time.perf_counter()
        blended = pretrained.towards(tuned.encoder, settings.blend)
        parts = blended.parts(quantised=settings.quantised)
        vectors = Embedder(parts.graph, parts.tokenizer, parts.token_limit).embed(
            rows.texts,
            workers=available_workers(),
            progress=lambda share, words: progress(TUNING_SHARE + EMBEDDING_SHARE * share, words),
        )
        done = TUNING_SHARE + EMBEDDING_SHARE
        report = encoded.write(
            out,
            "encoder-finetune",
            rows,
            parts,
            vectors,
            settings,
            lambda share, words: progress(done + (1 - done) * share, words),
        )
        report |= {
            "epochs": msgspec.to_builtins(tuned.epochs),
            "best_epoch": tuned.best + 1,
            "device": recipe.device,
            "encoder": files.digest,
            "encoder_origin": files.origin,
            "tuning_seconds": learnt - start,
            "seconds": time.perf_counter() - start,
        }
        return Trained(folder=out, report=report)


def _tune(
    pretrained: encoded.Pretrained,
    rows: encoded.Rows,
    recipe: finetuning.Recipe,
    progress: Progress,
) -> finetuning.Tuned:
    count, texts, targets = len(rows.train), rows.texts, rows.targets
    return finetuning.tune(
        pretrained,
        finetuning.tokens(pretrained, texts[:count], targets[:count]),
        finetuning.tokens(pretrained, texts[count:], targets[count:]),
        len(rows.labels),
        recipe,
        lambda share, words: progress(TUNING_SHARE * share, words),
    )
