"""Predictions that need not be made again: remembered under all that they depend on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import NotFound
from greenlight.core.records import Version
from greenlight.ports import Blobs, Model, Prediction, Progress
from greenlight.ports.cache import Cache

PARTS = ("bundle", "rows", "code", "packages")
"""What predictions depend on: the model, the texts in their order, the code that runs the one on
the other, and the versions of the packages under it. Each is named by a digest."""

_FORM = "2"
"""Of the bytes below; it goes into the key, so that another form is another entry."""


BATCH = 512
"""Texts that a model is given at once."""


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """What a version answers to some texts, in their order."""

    predictions: list[Prediction]
    seconds: float | None
    """How long predicting took; None where they were remembered."""


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
                at any time, so it is never remembered.
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

    def lasting(self, version: Version) -> bool:
        """Whether it will always answer as it does now: not if its model lies somewhere else, nor
        if its bundle is not here, so that it cannot be asked.

        Raises:
            Tampered: the bundle is not as it was sealed.
        """
        try:
            return self._manifest(version).get("kind") not in self._elsewhere
        except NotFound:
            return False

    def predict(self, version: Version, texts: Sequence[str], progress: Progress) -> Predicted:
        """What a version answers, asked now or remembered.

        Args:
            version: is asked by its bundle.
            texts: any number of texts.
            progress: told the share of texts done.

        Raises:
            NotFound: the bundle is not here.
            Tampered: it is not as it was sealed.
            BadInput: it is none that can be asked here.
            ModelFailed: a model somewhere else did not answer.
        """
        kind = self._manifest(version).get("kind")
        seconds: list[float] = []

        def compute() -> list[Prediction]:
            model = self._open(version)
            start = time.perf_counter()
            found: list[Prediction] = []
            for first in range(0, len(texts), BATCH):
                found += model.predict(texts[first : first + BATCH])
                progress(min(first + BATCH, len(texts)) / len(texts), "predicting")
            seconds.append(time.perf_counter() - start)
            return found

        if kind in self._elsewhere:
            return Predicted(predictions=compute(), seconds=seconds[0])
        parts = {
            **self._parts,
            "bundle": version.bundle,
            "runtime": fingerprint.digest(version.runtime),
            "rows": fingerprint.digest(list(texts)),
        }
        found = remembered_predictions(self._cache, parts, compute)
        self.hits += not seconds
        self.misses += bool(seconds)
        return Predicted(predictions=found, seconds=seconds[0] if seconds else None)

    def _manifest(self, version: Version) -> dict[str, Any]:
        return artifacts.unseal(self._bundles.path(version.bundle), version.bundle)


class _Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Predictions in columns: `places` are indices into `labels`, `oos` and `oos_scores` are empty
    if none is set."""

    labels: list[str]
    places: list[Annotated[int, msgspec.Meta(ge=0)]]
    scores: list[float | None]
    oos: list[bool | None]
    oos_scores: list[float | None]


def remembered_predictions(
    cache: Cache, key_parts: Mapping[str, str], compute: Callable[[], list[Prediction]]
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
    oos = [prediction.oos for prediction in predictions]
    away = [prediction.oos_score for prediction in predictions]
    kept = _Kept(
        labels=labels,
        places=[places[prediction.label] for prediction in predictions],
        scores=[prediction.score for prediction in predictions],
        oos=oos if any(flag is not None for flag in oos) else [],
        oos_scores=away if any(score is not None for score in away) else [],
    )
    return msgspec.msgpack.encode(kept)


def _unpack(kept: bytes) -> list[Prediction] | None:
    """The predictions, or None if these bytes are none."""
    try:
        found = msgspec.msgpack.decode(kept, type=_Kept)
        oos = found.oos or [None] * len(found.places)
        away = found.oos_scores or [None] * len(found.places)
        return [
            Prediction(found.labels[place], score, oos=flag, oos_score=far)
            for place, score, flag, far in zip(found.places, found.scores, oos, away, strict=True)
        ]
    except (msgspec.DecodeError, IndexError, ValueError):
        return None
