"""The models by name. What was just fine-tuned is loaded; others are when they are first asked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from greenlight.core.messages import USER, Message
from greenlight.models.linear import Doubles
from greenlight.tuning.bases import Base, nearest
from greenlight.tuning.state import State, TunedModel
from greenlight.tuning.tuned import Tuned
from greenlight.tuning.wire import ModelObject, Problem

_LOADED = 8
"""Models that are held in memory at once; one with an encoder takes some 60 MB."""


class Catalog:
    """The models; any thread may ask."""

    def __init__(self, state: State, bases: Sequence[Base], *, encoder: bool) -> None:
        """Name the base models.

        Args:
            state: where the models are.
            bases: by which others begin.
            encoder: whether models are fitted with the sentence encoder, where there is one.
        """
        self._state = state
        self.encoder = encoder
        self.bases = {base.name: base for base in bases}
        self._began = state.seconds()
        self._folders: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, Tuned] = OrderedDict()

    def place(self, base: Base) -> Path | None:
        """Where a base model's fit is kept, or will be; None for a plain one."""
        if base.conversations is None:
            return None
        if base.name not in self._folders:
            key = base.key(encoder=self.encoder)
            self._folders[base.name] = self._state.bases / key
        return self._folders[base.name]

    def folder(self, name: str) -> Path | None:
        """The folder of a model; None for a plain base model.

        Raises:
            Problem: there is no model of this name (404).
        """
        if name in self.bases:
            return self.place(self.bases[name])
        found = self._state.find(TunedModel, name)
        if found is None:
            told = f"model: there is no {name!r}; GET /v1/models lists those there are"
            raise Problem(404, "model_not_found", told, "model")
        return self._state.models / found.job

    def shares(self, name: str, messages: Sequence[Message]) -> tuple[Sequence[str], Doubles]:
        """Every answer that a model can give, and how likely it is.

        Raises:
            Problem: there is no model of this name (404).
        """
        folder = self.folder(name)
        if folder is None:
            return nearest(messages)
        model = self._load(folder)
        return model.answers, model.shares(messages)

    def all(self) -> list[ModelObject]:
        """The base models, then the others, newest first."""
        return [
            *(ModelObject(id=name, created=self._began, owned_by="system") for name in self.bases),
            *(tuned_object(model) for model in self._state.list(TunedModel)),
        ]

    def one(self, name: str) -> ModelObject:
        """A model as the API shows it.

        Raises:
            Problem: there is none of this name (404).
        """
        self.folder(name)
        if name in self.bases:
            return ModelObject(id=name, created=self._began, owned_by="system")
        return tuned_object(self._state.get(TunedModel, name))

    def warm(self, folder: Path) -> None:
        """Load a model and ask it once, so that whoever asks it first waits no longer than others:
        who measures how long its answers take measures them and not this."""
        self._load(folder).shares([Message(USER, "")])

    def forget(self, folder: Path) -> None:
        """Let go of a model that was deleted."""
        with self._lock:
            self._loaded.pop(folder, None)

    def _load(self, folder: Path) -> Tuned:
        with self._lock:
            if folder not in self._loaded:
                self._loaded[folder] = Tuned(folder)
                while len(self._loaded) > _LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(folder)
            return self._loaded[folder]


def tuned_object(model: TunedModel) -> ModelObject:
    """A fine-tuned model as the API shows it."""
    return ModelObject(id=model.id, created=model.created, owned_by="user")
