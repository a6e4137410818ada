"""Backend `token-tagger`: an encoder, taught with an LSTM above it to tag every word of a text.

It learns in torch. The epoch that is kept, how many words are held to be part of a name, and the
calibration are chosen on validation, by the scores of the very graph that the bundle serves,
without torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from greenlight.core import tagging
from greenlight.core.errors import BadInput
from greenlight.models import encoded, encoder, fitting, tagger, tagger_fitting, tagger_graph
from greenlight.models.embedding import available_workers
from greenlight.models.linear import softmax
from greenlight.models.tagger_fitting import Chosen, Recipe, Sentence, Teach
from greenlight.models.torch_encoder import deterministic, need_torch
from greenlight.models.torch_tagger import Sizes, TorchTagger
from greenlight.models.word_features import WordFeatures, learn_shapes
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts

TRAINING_SHARE = 0.95
"""Of the time of a training, for the progress shown."""
SHAPES = 150
"""Shapes of words that are known, at most."""

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration may set."""

    epochs: Count = 4
    """Passes over the training texts; the best by F1 on validation is kept."""
    patience: Count = 2
    """Epochs without a better F1 on validation after which it ends."""
    batch: Count = 16
    """Texts per step."""
    rate: Positive = 1.5e-4
    """Largest rate of learning of the encoder."""
    head_rate: Positive = 2e-3
    """The same of what stands above it."""
    lstm: Count = 128
    """Numbers that the LSTM keeps in each direction."""
    dropout: Share = 0.3
    """Share of the LSTM's inputs and outputs that is left out while training."""
    nameless: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.4
    """Share of the training texts without a name that an epoch learns from, drawn anew each
    time."""
    swap: Share = 0.3
    """Probability that a name in a training text gives way to another of its type."""
    hide: Share = 0.1
    """Probability that a sub-word is hidden from the encoder while training."""
    teachers: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Networks that are trained first, with seeds of their own, and whose mean what is served then
    learns from beside the tags. Each takes as long as a training without any."""
    refit: bool = True
    """What is served learns from the validation texts too, after they have told how."""
    token_limit: Annotated[int, msgspec.Meta(ge=16, le=512)] = 128
    """Sub-words read at once; a longer text is read in several windows."""
    quantised: bool = True
    """8 bits in the encoder: a third of the size, and faster."""
    bfloat16: bool = False
    """Products in 16 bits: half the time on processors that have them, slower on others."""
    portable: bool = False
    """The same weights on any processor, whatever its instructions and the number of threads: sums
    in 64 bits, and weights in steps of 2⁻²⁰. Takes longer, and goes without `bfloat16` and
    `teachers`."""
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of the processor; 0 is one for each core. Another number gives other bits, unless
    `portable`."""


class TokenTaggerTrainer:
    """A `ports.Trainer`."""

    name = "token-tagger"
    free = True

    def __init__(self, find: Callable[[Progress], encoder.EncoderFiles] | None = None) -> None:
        """Make a trainer; nothing is looked for or loaded yet.

        Args:
            find: finds the encoder's files; by default `encoder.find` in this environment.
        """
        self._find = find or (lambda progress: encoder.find(os.environ, progress))

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
        """Fit on `train`; choose the epoch and the bias, and calibrate, on `validation`.

        Then, unless told otherwise, the same is fitted once more on both, and served with what was
        chosen.

        Args:
            train: texts, each with a tag per word as its label (`core.tagging`).
            validation: likewise; not learnt from.
            labels: the tags.
            config: see `Settings`.
            seed: of everything that is drawn.
            out: a new or empty folder.
            progress: follows the training.

        Raises:
            BadInput: unknown settings, or labels and examples that do not fit together.
            MissingData: there is no torch or no encoder; the message says how to get it.
            Tampered: the encoder's files are not the pinned ones.
        """
        start = time.perf_counter()
        settings = fitting.read_settings(config, Settings)
        _refuse(settings)
        check(train, validation, labels)
        need_torch()
        files = self._find(lambda _, words: progress(0.0, words))
        making = Making(encoded.read(files), labels, settings, seed)
        rows = tagger_fitting.read(train, labels), tagger_fitting.read(validation, labels)
        made = making.make(*rows, progress)
        tagger.write(out, making.parts(made.served, made.chosen))
        progress(1.0, f"token F1 {made.chosen.f1:.3f} on validation")
        report = made.report | {
            "encoder": files.digest,
            "encoder_origin": files.origin,
            "seconds": time.perf_counter() - start,
        }
        return Trained(folder=out, report=report)


def _refuse(settings: Settings) -> None:
    """Refuse what does not go together."""
    for name, why in (
        ("bfloat16", "counts in 16 bits"),
        ("teachers", "answer as they are served, a little otherwise on every processor"),
    ):
        if settings.portable and getattr(settings, name):
            raise BadInput(f"config: {name} {why}; leave {name} out, or portable", "config")


def check(train: Sequence[Example], validation: Sequence[Example], labels: Sequence[str]) -> None:
    """Refuse what cannot be learnt from.

    A tag that occurs in validation alone is none: rare ones do.

    Raises:
        BadInput: labels and examples do not fit together.
    """
    for example in (*train, *validation):
        tagging.check(example.text, example.label)
    listed = set(labels)
    learnt = set(tagging.of_words(example.label for example in train))
    held_out = set(tagging.of_words(example.label for example in validation))
    alien = sorted((learnt | held_out) - listed)
    for problem, found in (
        (f"{tagging.OUTSIDE} is not listed as a label", tagging.OUTSIDE not in listed),
        ("labels repeat", len(listed) != len(labels)),
        ("there are no validation examples with words", not held_out),
        ("no training example has a name tagged", not learnt - {tagging.OUTSIDE}),
        (f"examples with tags that are not listed: {', '.join(alien)}", alien),
    ):
        if found:
            raise BadInput(f"{problem}; mend the dataset", "dataset")


class Net(NamedTuple):
    """A network, and what cuts words for it."""

    network: TorchTagger
    features: WordFeatures


class Made(NamedTuple):
    """What a training made."""

    held_out: Net
    """The fit that did not see validation."""
    served: Net
    chosen: Chosen
    report: dict[str, Any]


class Making:
    """What a training has to hand."""

    def __init__(
        self,
        pretrained: encoded.Pretrained,
        labels: Sequence[str],
        settings: Settings,
        seed: int,
    ) -> None:
        """Prepare; nothing is computed yet."""
        self._pretrained = pretrained
        self._labels = list(labels)
        self._settings = settings
        self.recipe = Recipe(
            epochs=settings.epochs,
            rate=settings.rate,
            head_rate=settings.head_rate,
            batch=settings.batch,
            nameless=settings.nameless,
            swap=settings.swap,
            hide=settings.hide,
            seed=seed,
        )

    def make(self, train: list[Sentence], validation: list[Sentence], progress: Progress) -> Made:
        """Fit, choose, and fit again.

        Raises:
            MissingData: torch is not installed.
        """
        both = [*train, *validation]
        fits = 1 + self._settings.teachers
        total = fits * (len(train) + (len(both) if self._settings.refit else 0))
        portions = _Portions(progress, TRAINING_SHARE / total)
        teach = self._teachers(train, portions)
        held_out = self.fresh(train)
        epochs = self._learn(held_out, train, validation, portions, teach)
        best = 1 + int(np.argmax(epochs))
        model = tagger.Tagger(self.parts(held_out))
        chosen = tagger_fitting.choose(
            [model.scores(sentence.words) for sentence in validation], validation, self._labels
        )
        train_f1 = self.f1(tagger.Tagger(self.parts(held_out, chosen)), train)
        served = held_out
        if self._settings.refit:
            teach = self._teachers(both, portions)
            served = self.fresh(both)
            for epoch in self._fit(served, both, self.recipe, portions, teach):
                if epoch == best:
                    break
        report = {
            "train_texts": len(train),
            "validation_texts": len(validation),
            "train_token_micro_f1": train_f1,
            "validation_token_micro_f1": chosen.f1,
            "train_val_gap": train_f1 - chosen.f1,
            "beta": chosen.beta,
            "bias": chosen.bias,
            "epochs": epochs,
            "best_epoch": best,
        }
        return Made(held_out, served, chosen, report)

    def fresh(self, sentences: Sequence[Sentence], seed: int | None = None) -> Net:
        """A network that has learnt nothing yet, the same each time.

        Args:
            sentences: what it will learn.
            seed: another than the recipe's.
        """
        settings, pretrained = self._settings, self._pretrained
        threads = settings.threads or available_workers()
        deterministic(self.recipe.seed if seed is None else seed, threads)
        words = (word for sentence in sentences for word in sentence.words)
        shapes = learn_shapes(words, SHAPES)
        sizes = Sizes(
            tags=len(self._labels),
            shapes=len(shapes),
            lstm=settings.lstm,
            dropout=settings.dropout,
        )
        network = TorchTagger(
            pretrained.config,
            pretrained.tensors,
            sizes,
            bfloat16=settings.bfloat16,
            portable=settings.portable,
        )
        return Net(network, WordFeatures(pretrained.tokenizer, shapes, settings.token_limit))

    def parts(
        self, net: Net, chosen: Chosen | None = None, *, quantised: bool | None = None
    ) -> tagger.Parts:
        """What a bundle of a network is made of.

        Args:
            net: the network.
            chosen: how its scores are read; without it as they are.
            quantised: other than the settings say.
        """
        graph = tagger_graph.build(
            self._pretrained.config,
            net.network.encoder.tensors(),
            net.network.tensors(),
            quantised=self._settings.quantised if quantised is None else quantised,
        )
        return tagger.Parts(
            labels=self._labels,
            graph=graph,
            tokenizer=self._pretrained.tokenizer,
            shapes=net.features.shapes,
            token_limit=self._settings.token_limit,
            beta=1.0 if chosen is None else chosen.beta,
            bias=0.0 if chosen is None else chosen.bias,
        )

    def f1(self, model: tagger.Tagger, sentences: Sequence[Sentence]) -> float:
        """Token F1 of a model's answers."""
        numbers = {label: number for number, label in enumerate(self._labels)}
        answers = model.predict([tagging.join(sentence.words) for sentence in sentences])
        given = [numbers[tag] for tag in tagging.of_words(answer.label for answer in answers)]
        truth = np.concatenate([sentence.targets for sentence in sentences])
        return tagger_fitting.token_f1(truth, np.array(given), numbers[tagging.OUTSIDE])

    def _teachers(self, sentences: Sequence[Sentence], portions: _Portions) -> Teach | None:
        """The mean of networks that learnt these sentences."""
        models = []
        for number in range(self._settings.teachers):
            drawn = np.random.SeedSequence([self.recipe.seed, number]).generate_state(1)
            recipe = msgspec.structs.replace(self.recipe, seed=int(drawn[0]))
            net = self.fresh(sentences, recipe.seed)
            for _ in self._fit(net, sentences, recipe, portions, None):
                pass
            models.append(tagger.Tagger(self.parts(net)))
        if not models:
            return None
        return lambda words: np.mean(
            [softmax(model.scores(words)) for model in models], axis=0, dtype=np.float64
        )

    def _learn(
        self,
        net: Net,
        train: Sequence[Sentence],
        validation: Sequence[Sentence],
        portions: _Portions,
        teach: Teach | None,
    ) -> list[float]:
        """Train, and go back to the best epoch; F1 on validation after each."""
        network, features = net
        found: list[float] = []
        kept = network.snapshot()
        for _ in self._fit(net, train, self.recipe, portions, teach):
            scores = [network.scores(features.windows(sentence.words)) for sentence in validation]
            f1 = tagger_fitting.choose(scores, validation, self._labels).f1
            if f1 > max(found, default=-1.0):
                kept = network.snapshot()
            found.append(f1)
            if len(found) > int(np.argmax(found)) + self._settings.patience:
                break
        network.restore(kept)
        return found

    def _fit(
        self,
        net: Net,
        sentences: Sequence[Sentence],
        recipe: Recipe,
        portions: _Portions,
        teach: Teach | None,
    ) -> Iterator[int]:
        progress = portions.take(len(sentences))
        return tagger_fitting.fit(*net, sentences, self._labels, recipe, progress, teach)


class _Portions:
    """The progress of several fits, one after the other."""

    def __init__(self, progress: Progress, each: float) -> None:
        """Report to `progress`; a sentence of a fit is worth `each`."""
        self._progress = progress
        self._each = each
        self._taken = 0

    def take(self, sentences: int) -> Progress:
        """The progress of the next fit, which is of so many sentences."""
        begin, length = self._each * self._taken, self._each * sentences
        self._taken += sentences
        return lambda share, told: self._progress(begin + length * share, told)
