"""Compare: two versions on the same texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.comparison import Comparison
from greenlight.core.comparison import compare as hold
from greenlight.core.errors import BadInput, NotFound
from greenlight.core.records import Dataset, Version
from greenlight.core.stats.intervals import wilson
from greenlight.core.usage import beside
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Progress, Records
from greenlight.remembering import Predictor
from greenlight.stages.judging import judging, taken


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A text that two versions answer differently."""

    text: str
    label: str
    """The true one."""
    a: str
    b: str


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two."""

    version: str
    label: str
    accuracy: dict[str, Any]
    """Value, 95 % interval (Wilson), `correct` and `n`."""
    learnt_from: int | None
    """How many of the texts it was trained on; None where its dataset is not here."""


class Duel(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions on the same texts; a is what b is held against."""

    dataset: str
    name: str
    a: Side
    b: Side
    comparison: Comparison
    """Without labels where each word has a tag, or texts have answers: there are as many strings of
    tags, and answers, as texts."""
    usage: dict[str, Any]
    """What b's answers took, beside a's (`core.usage`)."""
    differences: list[Difference]
    """In the order of the rows."""


def compare(
    records: Records,
    processed: Blobs,
    predictor: Predictor,
    a: Version,
    b: Version,
    *,
    dataset: str,
    progress: Progress,
) -> Duel:
    """Ask both versions the test rows of a dataset.

    Args:
        records: knows the dataset.
        processed: prepared datasets.
        predictor: asks versions.
        a: what b is held against.
        b: the other one.
        dataset: digest of the prepared dataset.
        progress: told the share of the work done.

    Raises:
        NotFound: no such dataset, or a bundle that is not here.
        BadInput: versions of two tasks, a dataset of another one, other labels, or a bundle that
            cannot be asked here.
        Tampered: files that are not as sealed.
        ModelFailed: a model somewhere else did not answer.
    """
    known = records.get(Dataset, dataset)
    if known is None:
        raise NotFound(f"dataset {fingerprint.short(dataset)}: not recorded")
    for what, task in ((b.label, b.task), (f"dataset {known.name}", known.task)):
        if task != a.task:
            raise BadInput(f"{what} belongs to task {task!r}, and {a.label} to {a.task!r}")
    folder = folder_of(records, processed, dataset)
    manifest = artifacts.unseal(folder, dataset)
    labels = manifest["labels"]
    rows = artifacts.read_rows(folder, "test", Example)
    texts, gold = [row.text for row in rows], [row.label for row in rows]
    kind = judging(manifest)
    answers, spent = [], []
    for number, version in enumerate((a, b)):
        named = predictor.labels(version)
        if named is not None and set(named) != set(labels):
            raise BadInput(
                f"{version.label} has other labels than dataset {known.name}; choose another "
                "with --on"
            )

        def told(share: float, words: str, number: int = number, name: str = version.label) -> None:
            progress((number + share) / 2, f"{name}: {words}")

        made = predictor.predict(version, texts, told).predictions
        answers.append([prediction.label for prediction in made])
        spent.append(taken(version, made))
    plain = [[kind.plain(said) for said in side] for side in (gold, *answers)]
    found = hold(*plain)
    return Duel(
        dataset=dataset,
        name=known.name,
        a=_side(processed, a, dataset, texts, plain[0], plain[1]),
        b=_side(processed, b, dataset, texts, plain[0], plain[2]),
        comparison=found if kind.part == "intent" else structs.replace(found, labels=[]),
        usage=beside(spent[1], spent[0]),
        differences=[
            Difference(text=texts[at], label=gold[at], a=answers[0][at], b=answers[1][at])
            for at in found.differing
        ],
    )


def _side(
    processed: Blobs,
    version: Version,
    dataset: str,
    texts: list[str],
    gold: list[str],
    answers: list[str],
) -> Side:
    n = len(gold)
    correct = sum(given == true for given, true in zip(answers, gold, strict=True))
    low, high = wilson(correct, n)
    return Side(
        version=version.digest,
        label=version.label,
        accuracy={"value": correct / n, "low": low, "high": high, "correct": correct, "n": n},
        learnt_from=_learnt_from(processed, version, dataset, texts),
    )


def _learnt_from(processed: Blobs, version: Version, dataset: str, texts: list[str]) -> int | None:
    """How many of the texts a version was trained on: its own dataset's curation took them out."""
    own = version.lineage.get("dataset")
    if own == dataset:
        return 0
    try:
        folder = Path(processed.path(str(own)))
        learnt = {
            row.text
            for split in ("train", "validation")
            for row in artifacts.read_rows(folder, split, Example)
        }
    except (NotFound, BadInput):
        return None
    return sum(text in learnt for text in texts)
