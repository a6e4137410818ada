"""Backend `hf-lora`: a LoRA adapter for an open-weight language model, by transformers and peft.

A row is taught as it was served: with the instructions that its dataset holds for it, or with the
template of the configuration. The result is asked with what served most of the rows. It is run by a
model server (docs/how-to/fine-tune-open-weights.md), for the gateway imports no torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import msgspec
import numpy as np

from greenlight.core import lora_options
from greenlight.core.errors import BadInput
from greenlight.core.lora_options import Options
from greenlight.models import chat, conversation, fitting, lora, lora_fitting, open_weights, prompt
from greenlight.models.chat import ChatModel
from greenlight.models.conversation import Conversations
from greenlight.models.embedding import available_workers
from greenlight.models.features import Floats, Integers
from greenlight.models.open_weights import BaseFiles, Opened
from greenlight.models.prompt import Decoding
from greenlight.models.speaker import Speaker, Window
from greenlight.models.torch_encoder import deterministic
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts

TUNING_SHARE = 0.9
"""Of the time of a training, for the progress shown."""
MEASURED = 500
"""Rows of a split on which answers are compared, at most: each label is tried on each."""
GIVEN = ""
"""The name of the configuration's template among the instructions, as rows without any have it."""


class HfLoraTrainer:
    """A `ports.Trainer`."""

    name = lora_options.BACKEND
    free = True

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Make a trainer; nothing is looked for or loaded yet.

        Args:
            environ: `GREENLIGHT_BASES` is read.
        """
        self._environ = environ

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
        """Teach an adapter the answers of `train` until `validation` says stop.

        Args:
            train: rows to learn from.
            validation: rows that tell which epoch was best, and calibrate the score.
            labels: every label; none for a chat, whose answers are words.
            config: see `lora_options.Options`.
            seed: of everything that is drawn.
            out: a new or empty folder.
            progress: follows the training.
            prompts: what rows were asked with.

        Raises:
            BadInput: options that cannot be, labels and rows that do not fit together, a row
                without instructions, or a base that is no language model.
            MissingData: there is no torch, transformers or peft, or no base; the message says how
                to get it.
        """
        start = time.perf_counter()
        options = lora_options.read(config)
        lesson = Lesson(train, validation, labels, prompts, options)
        device = open_weights.device_of(options.device)
        files = open_weights.find(options.base, options.revision, self._environ, progress)
        deterministic(seed, options.threads or available_workers())
        opened = open_weights.open_files(files, device=device, bfloat16=options.bfloat16)
        made = _teach(opened, lesson, options, seed, progress)
        parts = _parts(made, lesson, files, options)
        lora.write(out, parts)
        progress(
            1.0, f"loss {made.tuned.epochs[made.tuned.best].validation_loss:.3f} on validation"
        )
        report = made.report | {
            "base": msgspec.to_builtins(files.base),
            "device": device,
            "device_name": open_weights.device_name(device),
            "packages": {name: metadata.version(name) for name in open_weights.MODULES},
            "seconds": time.perf_counter() - start,
        }
        return Trained(folder=out, report=report)


class Lesson:
    """The rows of a dataset, and what they were asked with."""

    def __init__(
        self,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        prompts: Prompts,
        options: Options,
    ) -> None:
        """Find out with what each row was asked.

        Raises:
            BadInput: labels and rows do not fit together, or there are none.
        """
        self.train, self.validation, self.labels = train, validation, labels
        known = dict(prompts)
        given = _given(labels, options)
        if given is not None:
            known[GIVEN] = given
        self.conversations = Conversations(known)
        if labels:
            fitting.check(train, validation, labels)
        else:
            _check_chat(train, validation)
        served = any(row.prompt for row in train)
        self.asked = self.conversations.leading(train) if served else GIVEN
        self.instructions = self.conversations[self.asked]
        self.contents: Mapping[str, Any] = known[self.asked]
        self.reasons = any(row.answer for row in train)


class Made(NamedTuple):
    """What a training made."""

    opened: Opened
    window: Window
    tuned: lora_fitting.Tuned
    beta: float
    report: dict[str, Any]


def _teach(base: Opened, lesson: Lesson, options: Options, seed: int, progress: Progress) -> Made:
    shape = lora.Adapter(
        r=options.r,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=options.target_modules or (lora.ALL,),
    )
    opened = lora.attach(base, shape)
    window = _window(base, options)
    speaker = Speaker(opened, window)
    train = lora_fitting.in_tokens(speaker, lesson.conversations, lesson.train)
    validation = lora_fitting.in_tokens(speaker, lesson.conversations, lesson.validation)
    recipe = lora_fitting.Recipe(
        epochs=options.epochs,
        patience=options.patience,
        batch=options.batch,
        rate=options.rate,
        seed=seed,
    )
    tuned = lora_fitting.tune(
        opened,
        train.rows,
        validation.rows,
        recipe,
        lambda share, words: progress(TUNING_SHARE * share, words),
    )
    best = tuned.epochs[tuned.best]
    report = {
        "train_texts": len(train.rows),
        "validation_texts": len(validation.rows),
        "cut_texts": train.cut + validation.cut,
        "train_loss": best.loss,
        "validation_loss": best.validation_loss,
        "epochs": msgspec.to_builtins(tuned.epochs),
        "best_epoch": tuned.best + 1,
        "weights": sum(tensor.size for tensor in tuned.tensors.values()),
    }
    if not lesson.labels:
        return Made(opened, window, tuned, 1.0, report)
    progress(TUNING_SHARE, "comparing answers")
    beta, measured = _measure(speaker, lesson, seed)
    return Made(opened, window, tuned, beta, report | measured)


def _measure(speaker: Speaker, lesson: Lesson, seed: int) -> tuple[float, dict[str, Any]]:
    """Beta, and how many answers are right, on a part of both splits."""
    options = speaker.options(lesson.labels)
    drawn = np.random.default_rng(seed)

    def decided(rows: Sequence[Example]) -> tuple[Floats, Integers]:
        places = sorted(drawn.permutation(len(rows))[:MEASURED].tolist())
        found = []
        for place in places:
            messages = conversation.asked(lesson.instructions, rows[place].text)
            found.append(speaker.likelihoods(speaker.question(messages)[0], options))
        targets = [lesson.labels.index(rows[place].label) for place in places]
        return np.stack(found).astype(np.float32), np.array(targets, np.int64)

    train, validation = decided(lesson.train), decided(lesson.validation)
    beta = fitting.fit_beta(*validation)
    right = [
        float((found.argmax(axis=1) == targets).mean()) for found, targets in (train, validation)
    ]
    return beta, {
        "train_accuracy": right[0],
        "validation_accuracy": right[1],
        "train_val_gap": right[0] - right[1],
        "measured_texts": [len(train[1]), len(validation[1])],
        "beta": beta,
    }


def _parts(made: Made, lesson: Lesson, files: BaseFiles, options: Options) -> lora.Parts:
    return lora.Parts(
        labels=lesson.labels,
        base=files.base,
        adapter=lora.shape_of(made.opened),
        tensors=made.tuned.tensors,
        asked=lesson.asked,
        instructions=lesson.contents,
        window=made.window,
        beta=made.beta,
        reasons=lesson.reasons,
        bfloat16=options.bfloat16,
    )


def _window(base: Opened, options: Options) -> Window:
    """How much is read at once: what the options say, if the model can."""
    most = getattr(base.network.config, "max_position_embeddings", options.max_tokens)
    whole = min(options.max_tokens, most)
    if options.answer_tokens >= whole:
        raise BadInput(
            f"answer_tokens: {options.answer_tokens}, and base {options.base} reads {most} at "
            "once; make it less",
            "answer_tokens",
        )
    return Window(whole, options.answer_tokens)


def _given(labels: Sequence[str], options: Options) -> Mapping[str, Any] | None:
    """What rows without instructions are asked with; a chat is asked as it is."""
    if not labels:
        talk = ChatModel(model=options.base, system=options.prompt)
        return {"kind": chat.KIND, **msgspec.to_builtins(talk)}
    if options.prompt is None:
        return None
    return {
        "kind": prompt.KIND,
        "template": options.prompt,
        "model": options.base,
        "labels": list(labels),
        "settings": msgspec.to_builtins(Decoding()),
    }


def _check_chat(train: Sequence[Example], validation: Sequence[Example]) -> None:
    for what, rows in (("train", train), ("validation", validation)):
        if not rows:
            raise BadInput(f"{what}: no rows; look further back, or wait for feedback", "dataset")
