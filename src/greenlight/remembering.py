"""Predictions that need not be made again: remembered under all that they depend on.

A model in this process depends on its bundle, and what it says is remembered for good. One at a
provider is named by its bundle and not contained in it: even the name of a fine-tuned model stands
for the same weights only by the provider's word, and what serves them may change any day. Such
answers are remembered for as long as the work lasts that they were asked for (`Notes`), so that
work which was interrupted does not pay for them twice; the next work asks anew.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.chat import Tokens
from greenlight.core.errors import NotFound
from greenlight.core.records import Version
from greenlight.ports import Blobs, Model, Prediction, Progress
from greenlight.ports.cache import Cache

T = TypeVar("T")

PARTS = ("bundle", "rows", "code", "packages")
"""What predictions depend on: the model, the texts in their order, the code that runs the one on
the other, and the versions of the packages under it. Each is named by a digest."""

_FORM = "3"
"""Of the bytes below; it goes into the key, so that another form is another entry."""


BATCH = 512
"""Texts that a model is given at once."""
NOTED = 128
"""Texts that a model somewhere else is given at once, where its answers are noted: so many at most
are asked for twice after a kill."""


class Remembers(Protocol):
    """Where predictions are kept: a `ports.cache.Cache`, or `Notes`."""

    def get(self, key: str) -> bytes | None:
        """What was put there last; None if it is not there."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep it."""
        ...


class Notes:
    """Answers of models somewhere else to one piece of work, in files of its folder.

    Whoever owns the folder removes it when the work is done: nobody else may read what is there.
    """

    def __init__(self, folder: str | Path) -> None:
        """Look for nothing yet; the folder is made with the first note."""
        self._folder = Path(folder)

    def get(self, key: str) -> bytes | None:
        """What was noted; None if nothing was."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, value: bytes) -> None:
        """Note it, whole or not at all.

        Raises:
            Unwritable: the folder takes no file.
        """
        path = self._path(key)
        with artifacts.writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".draft")
            draft.write_bytes(value)
            os.replace(draft, path)

    def _path(self, key: str) -> Path:
        return self._folder / fingerprint.digest(key).removeprefix("sha256:")


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """What a version answers to some texts, in their order."""

    predictions: list[Prediction]
    seconds: float | None
    """How long predicting took, without what was remembered; None where all was."""


class Predictor:
    """Asks versions offline. A bundle is held against its digest before it is asked (R3)."""

    def __init__(
        self,
        bundles: Blobs,
        open_model: Callable[[Version], Model],
        cache: Cache,
        *,
        code: str,
        packages: str,
        elsewhere: frozenset[str] = frozenset(),
    ) -> None:
        """Open nothing yet.

        Args:
            bundles: bundles by digest.
            open_model: opens a version for offline use.
            cache: remembers predictions.
            code: digest of the code that runs bundles on texts.
            packages: digest of the versions of the packages under it.
            elsewhere: kinds of bundles whose model lies somewhere else. What it answers may change
                at any time, so it is remembered in `Notes` only.
        """
        self._bundles = bundles
        self._open = open_model
        self._cache = cache
        self._parts = {"code": code, "packages": packages}
        self._elsewhere = elsewhere
        self.hits, self.misses = 0, 0
        """How often an answer was remembered, and how often it had to be asked for."""

    def labels(self, version: Version) -> tuple[str, ...] | None:
        """The labels that a version's bundle names, in its order; None if it names none.

        Raises:
            NotFound: the bundle is not here.
            Tampered: it is not as it was sealed.
        """
        named = self._manifest(version).get("labels")
        return None if named is None else tuple(named)

    def away(self, version: Version) -> bool:
        """Whether a version's model lies somewhere else.

        Raises:
            NotFound: the bundle is not here.
            Tampered: it is not as it was sealed.
        """
        return self._manifest(version).get("kind") in self._elsewhere

    def lasting(self, version: Version) -> bool:
        """Whether it will always answer as it does now: not if its model lies somewhere else, nor
        if its bundle is not here, so that it cannot be asked.

        Raises:
            Tampered: the bundle is not as it was sealed.
        """
        try:
            return not self.away(version)
        except NotFound:
            return False

    def predict(
        self,
        version: Version,
        texts: Sequence[str],
        progress: Progress,
        notes: Notes | None = None,
    ) -> Predicted:
        """What a version answers, asked now or remembered.

        Args:
            version: is asked by its bundle.
            texts: any number of texts.
            progress: told the share of texts done.
            notes: of the work that this is for; without it, a model somewhere else is asked.

        Raises:
            NotFound: the bundle is not here.
            Tampered: it is not as it was sealed.
            BadInput: it is none that can be asked here.
            ModelFailed: a model somewhere else did not answer.
        """
        away = self.away(version)
        opened: list[Model] = []
        seconds: list[float] = []

        def ask(part: Sequence[str], before: int) -> list[Prediction]:
            model = opened[0] if opened else self._open(version)
            opened[:] = [model]
            start = time.perf_counter()
            made: list[Prediction] = []
            for first in range(0, len(part), BATCH):
                made += model.predict(part[first : first + BATCH])
                progress((before + len(made)) / len(texts), "predicting")
            seconds.append(time.perf_counter() - start)
            return made

        if away and notes is None:
            return Predicted(predictions=ask(texts, 0), seconds=sum(seconds))
        memory: Remembers = notes if away and notes is not None else self._cache
        size = NOTED if away else max(1, len(texts))
        found: list[Prediction] = []
        for first in range(0, len(texts), size):
            part = texts[first : first + size]
            key_parts = {
                **self._parts,
                "bundle": version.bundle,
                "runtime": fingerprint.digest(version.runtime),
                "rows": fingerprint.digest(list(part)),
            }
            found += remembered_predictions(memory, key_parts, functools.partial(ask, part, first))
        self.hits += not seconds
        self.misses += bool(seconds)
        return Predicted(predictions=found, seconds=sum(seconds) if seconds else None)

    def _manifest(self, version: Version) -> dict[str, Any]:
        return artifacts.unseal(self._bundles.path(version.bundle), version.bundle)


class _Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Predictions in columns: `places` are indices into `labels`, and what follows `scores` is
    empty where no prediction has any."""

    labels: list[str]
    places: list[Annotated[int, msgspec.Meta(ge=0)]]
    scores: list[float | None]
    oos: list[bool | None]
    oos_scores: list[float | None]
    reasons: list[str | None]
    tokens: list[Tokens | None]
    took: list[float | None]


def remembered_predictions(
    cache: Remembers, key_parts: Mapping[str, str], compute: Callable[[], list[Prediction]]
) -> list[Prediction]:
    """What `compute` gave when it was last asked under the same key, else what it gives now.

    Args:
        cache: where predictions are kept.
        key_parts: the digest of each of `PARTS`, and of whatever else they depend on.
        compute: makes the predictions. What it raises is raised, and nothing is kept then.

    Raises:
        ValueError: one of `PARTS` is missing or empty: such a key could find what is stale.
    """
    key = _key(key_parts)
    kept = cache.get(key)
    found = None if kept is None else _unpack(kept)
    if found is None:
        found = compute()
        cache.put(key, _pack(found))
    return found


def forget(cache: Cache, bundle: str) -> int | None:
    """Drop everything that is remembered of a bundle, as after a rollback.

    Returns:
        How many entries went; None if the cache is away. (They are no danger: they are still what
        that bundle predicts.)
    """
    return cache.drop(_space(bundle))


def code_digest(folder: str | Path) -> str:
    """Names the Python sources of a package: their paths within it and their bytes."""
    root = Path(folder)
    return fingerprint.digest(
        {
            path.relative_to(root).as_posix(): fingerprint.digest_bytes(path.read_bytes())
            for path in sorted(root.rglob("*.py"))
        }
    )


def _key(parts: Mapping[str, str]) -> str:
    for name in PARTS:
        if not parts.get(name):
            raise ValueError(f"key_parts: no digest of {name}; predictions depend on it")
    return _space(parts["bundle"]) + fingerprint.digest({"form": _FORM, "parts": dict(parts)})


def _space(bundle: str) -> str:
    return f"predictions/{bundle}/"


def _pack(predictions: Sequence[Prediction]) -> bytes:
    labels = sorted({prediction.label for prediction in predictions})
    places = {label: place for place, label in enumerate(labels)}
    kept = _Kept(
        labels=labels,
        places=[places[prediction.label] for prediction in predictions],
        scores=[prediction.score for prediction in predictions],
        oos=_column([prediction.oos for prediction in predictions]),
        oos_scores=_column([prediction.oos_score for prediction in predictions]),
        reasons=_column([prediction.reason for prediction in predictions]),
        tokens=_column([prediction.tokens for prediction in predictions]),
        took=_column([prediction.took for prediction in predictions]),
    )
    return msgspec.msgpack.encode(kept)


def _column(values: list[T | None]) -> list[T | None]:
    return values if any(value is not None for value in values) else []


def _unpack(kept: bytes) -> list[Prediction] | None:
    """The predictions, or None if these bytes are none."""
    try:
        found = msgspec.msgpack.decode(kept, type=_Kept)
        nothing = [None] * len(found.places)
        columns = (
            found.oos or nothing,
            found.oos_scores or nothing,
            found.reasons or nothing,
            found.tokens or nothing,
            found.took or nothing,
        )
        return [
            Prediction(found.labels[place], score, *others)
            for place, score, *others in zip(found.places, found.scores, *columns, strict=True)
        ]
    except (msgspec.DecodeError, IndexError, ValueError):
        return None
