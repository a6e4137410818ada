"""Predictions that need not be made again: remembered under all that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from greenlight.core import fingerprint
from greenlight.ports import Cache, Prediction

PARTS = ("bundle", "rows", "code", "packages")
"""What predictions depend on: the model, the texts in their order, the code that runs the one on
the other, and the versions of the packages under it. Each is named by a digest."""

_FORM = "1"
"""Of the bytes below; it goes into the key, so that another form is another entry."""


class _Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Predictions in columns: `places` are indices into `labels`, `oos` is empty if none is set."""

    labels: list[str]
    places: list[Annotated[int, msgspec.Meta(ge=0)]]
    scores: list[float | None]
    oos: list[bool | None]


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
    kept = _Kept(
        labels=labels,
        places=[places[prediction.label] for prediction in predictions],
        scores=[prediction.score for prediction in predictions],
        oos=oos if any(flag is not None for flag in oos) else [],
    )
    return msgspec.msgpack.encode(kept)


def _unpack(kept: bytes) -> list[Prediction] | None:
    """The predictions, or None if these bytes are none."""
    try:
        found = msgspec.msgpack.decode(kept, type=_Kept)
        oos = found.oos or [None] * len(found.places)
        return [
            Prediction(label=found.labels[place], score=score, oos=flag)
            for place, score, flag in zip(found.places, found.scores, oos, strict=True)
        ]
    except (msgspec.DecodeError, IndexError, ValueError):
        return None
