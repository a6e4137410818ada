"""Rows as the conversations that a provider is to learn, and what comes of it as a bundle.

A row is taught as it was served: with the instructions that its dataset holds for it. Rows that
came without are asked with the template of the configuration. The new version is asked with what
served most of the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput
from greenlight.core.finetuning import Tally
from greenlight.core.tuning_options import Options
from greenlight.models import chat, prompt
from greenlight.models.chat import ChatModel
from greenlight.models.conversation import Conversations
from greenlight.models.prompt import Decoding, Prompt
from greenlight.ports import Example
from greenlight.ports.source import Prompts


class Lesson(NamedTuple):
    """A file of conversations."""

    path: Path
    name: str
    """At the provider: names the content, so that it is known there when it is looked for."""
    digest: str
    tally: Tally


class Lessons:
    """What the rows of a dataset teach, and what the result is asked with."""

    def __init__(
        self,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        prompts: Prompts,
        options: Options,
    ) -> None:
        """Find out with what each row was asked.

        Args:
            train: rows that are learnt.
            validation: rows that the provider measures on.
            labels: every label; none for a chat, whose answers are words.
            prompts: what rows were asked with.
            options: the model's name, and the template for rows that came without one.

        Raises:
            BadInput: labels and rows do not fit together, a row came without instructions and there
                is no template, or the instructions cannot name every label.
        """
        self._options = options
        known, standard = dict(prompts), ""
        if options.prompt is not None:
            given = _given(options, labels)
            standard = fingerprint.digest(given)
            known[standard] = given
        self._train = _filled(train, standard)
        self._validation = _filled(validation, standard)
        self._conversations = Conversations(known)
        if not self._train:
            raise BadInput("train: no rows; look further back, or wait for feedback", "dataset")
        self._leading = self._conversations[self._conversations.leading(self._train)]
        self._labels = labels
        if isinstance(self._leading, Prompt):
            _check(self._train, self._validation, labels)
        self._successor(options.model)  # refuses what no version could be asked with

    def write(self, folder: Path) -> tuple[Lesson, Lesson | None]:
        """Write both files, that of validation if there are rows for it.

        Raises:
            BadInput: a row that the provider would not take, or too few rows.
        """
        train = self._file(folder, "train", self._train)
        train.tally.finish()
        if not self._validation:
            return train, None
        return train, self._file(folder, "validation", self._validation)

    def bundle(self, out: str, model: str) -> list[str]:
        """Write the bundle of the fine-tuned model to a new folder.

        Returns:
            The labels that what served the rows did not know; they stand behind those that it did.
        """
        made = self._successor(model)
        if isinstance(made, ChatModel):
            Path(out).mkdir(parents=True)
            chat.write(out, made)
            return []
        prompt.write(out, made)
        return list(made.labels[len(self._leading.labels) :])

    def _successor(self, model: str) -> Prompt | ChatModel:
        """What served most of the rows, asking another model, with labels that came since."""
        if isinstance(self._leading, ChatModel):
            return msgspec.structs.replace(self._leading, model=model)
        served = list(self._leading.labels)
        return Prompt(
            self._leading.template,
            model=model,
            labels=served + [label for label in self._labels if label not in served],
            decoding=self._leading.decoding,
        )

    def _file(self, folder: Path, what: str, rows: Sequence[Example]) -> Lesson:
        tally, hashed = Tally(what, self._options.token_limit), hashlib.sha256()
        path = folder / f"{what}.jsonl"
        with path.open("wb") as file:
            for row in rows:
                line = tally.add(self._conversations.whole(row))
                hashed.update(line)
                file.write(line)
        digest = hashed.hexdigest()
        return Lesson(path, f"greenlight-{what}-{digest}.jsonl", f"sha256:{digest}", tally)


def _given(options: Options, labels: Sequence[str]) -> Mapping[str, Any]:
    """The template of the configuration, as a dataset would hold it."""
    if labels:
        return {
            "kind": prompt.KIND,
            "template": options.prompt,
            "model": options.model,
            "labels": list(labels),
            "settings": msgspec.to_builtins(Decoding()),
        }
    talk = ChatModel(model=options.model, system=options.prompt)
    return {"kind": chat.KIND, **msgspec.to_builtins(talk)}


def _filled(rows: Sequence[Example], standard: str) -> Sequence[Example]:
    if not standard:
        return rows
    return [row if row.prompt else msgspec.structs.replace(row, prompt=standard) for row in rows]


def _check(train: Sequence[Example], validation: Sequence[Example], labels: Sequence[str]) -> None:
    listed, learnt = set(labels), {row.label for row in train}
    alien = sorted((learnt | {row.label for row in validation}) - listed)
    if alien:
        raise BadInput(
            f"labels: rows have {', '.join(alien[:3])}, which the dataset does not list; curate it",
            "dataset",
        )
    if len(learnt) < 2:
        raise BadInput(
            f"train: label: every row has {', '.join(learnt)!r}; with one label there is nothing "
            "to tell apart: collect rows of another",
            "dataset",
        )
