"""What one installation lends another for a drill: data that users ask, or a stand-in for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.core.errors import NotFound
from greenlight.core.records import Dataset, Version
from greenlight.lookup import newest_prepared
from greenlight.recording import record
from greenlight.wiring.app import App
from greenlight.wiring.data import load_public

_NAME, _PARENT = "stand-in", "sample"


def runs_from_bundle(app: App, version: Version) -> bool:
    """Whether a version can be run from its bundle alone."""
    from greenlight.models import chat, elsewhere, prompt

    folder = app.bundles.path(version.bundle)
    kind = artifacts.unseal(folder, version.bundle).get("kind")
    return kind not in (chat.KIND, elsewhere.KIND, prompt.KIND)


def lend_data(real: App, app: App, task: str) -> Dataset | None:
    """Copy a task's newest prepared data set from one installation to another.

    Returns:
        The data set; None where there is none, or its rows were erased.
    """
    found = newest_prepared(real.store, task)
    if found is None:
        return None
    try:
        folder = real.datasets.path(found.digest)
    except NotFound:
        return None
    app.datasets.add(folder)
    _note(app, found)
    return found


def stand_in(app: App, control: Version) -> Dataset:
    """A data set for who has none: texts of the sample, and for the truth what control says."""
    from greenlight.models import bundle

    model = bundle.load(app.bundles.path(control.bundle), control.bundle)
    chunks = load_public(_PARENT, lambda *_: None).chunks(lambda: 10_000)
    texts = [row.text for _, rows in chunks for row in rows]
    lines = [
        msgspec.json.encode({"text": text, "label": answer.label})
        for text, answer in zip(texts, model.predict(texts), strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        body = {
            "name": _NAME,
            "task": control.task,
            "parent": _PARENT,
            "labels": sorted(model.labels),
            "counts": {"test": len(lines)},
        }
        artifacts.seal(folder, body)
        digest = app.datasets.add(folder)
    manifest = artifacts.unseal(app.datasets.path(digest), digest)
    now = app.clock.now()
    made = Dataset(digest=digest, task=control.task, name=_NAME, manifest=manifest, at=now)
    _note(app, made)
    return made


def _note(app: App, dataset: Dataset) -> None:
    named = {"task": dataset.task, "name": dataset.name}
    entry = {"dataset": dataset.digest, "parent": dataset.manifest["parent"], **named}
    record(app.store, [("dataset", entry)], append=[dataset], now=app.clock.now())
