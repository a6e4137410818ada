"""Re-run: ask control its evaluation again, once traffic has gone back to it (REQUIREMENTS O3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from greenlight import artifacts
from greenlight.core import aftermath, fingerprint
from greenlight.core.aftermath import SURPRISE
from greenlight.core.errors import BadInput, NotFound, Tampered, UserError
from greenlight.core.evaluation import right
from greenlight.core.incidents import Incident
from greenlight.core.records import Evaluation, Version
from greenlight.core.stats.intervals import wilson
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Progress, Records
from greenlight.remembering import Predictor
from greenlight.stages.judging import judging

ROWS, ROWS_ELSEWHERE = 500, 100
"""At most so many rows are asked again; of a model that lies somewhere else, where they may cost
money, fewer."""

Outcome = Mapping[str, Any]


def rerun(
    records: Records,
    processed: Blobs,
    predictor: Predictor,
    incident: Incident,
    evaluation: Evaluation | None,
    *,
    progress: Progress = lambda *_: None,
) -> Outcome:
    """Ask control again what it was evaluated on, and hold its answers against its evaluation.

    Args:
        records: knows versions and datasets.
        processed: prepared datasets.
        predictor: asks versions; it must remember nothing, for a re-run asks.
        incident: whose control is asked.
        evaluation: the one that counts for control; None: there is none.
        progress: told the share of the work done.

    Returns:
        `confirmed`, `differs` (somebody must look), or `cannot_compute` with the reason.

    Raises:
        ModelFailed: a model somewhere else did not answer.
        NotFound: control is not on record.
    """
    control = records.get(Version, incident.control)
    if control is None:
        raise NotFound(f"version {incident.control} is not in the store")
    try:
        return _rerun(records, processed, predictor, control, evaluation, incident, progress)
    except Tampered as error:
        return {"result": "differs", "says": f"{control.label} is not as it was sealed: {error}"}
    except UserError as error:
        return {"result": "cannot_compute", "says": f"cannot compute: {error}"}


def _rerun(
    records: Records,
    processed: Blobs,
    predictor: Predictor,
    control: Version,
    evaluation: Evaluation | None,
    incident: Incident,
    progress: Progress,
) -> Outcome:
    if evaluation is None:
        raise BadInput(f"{control.label} was never evaluated (it was adopted as it ran)")
    sealed, dataset = _sealed(control, evaluation)
    folder = folder_of(records, processed, dataset)
    try:
        plain = judging(artifacts.unseal(folder, dataset)).plain
    except Tampered as error:
        raise BadInput(
            f"the rows of its evaluation are not as they were sealed ({error})"
        ) from error
    rows = artifacts.read_rows(folder, "test", Example)
    if len(rows) != sealed["n"]:
        raise BadInput(f"its evaluation had {sealed['n']} rows, and there are {len(rows)}")
    most = ROWS if predictor.lasting(control) else ROWS_ELSEWHERE
    chosen = _draw(len(rows), most, incident.rollout)
    made = predictor.predict(control, [rows[place].text for place in chosen], progress).predictions
    pairs = zip(chosen, made, strict=True)
    hits = sum(plain(rows[place].label) == plain(prediction.label) for place, prediction in pairs)
    chance = aftermath.chance(hits, len(chosen), sealed["correct"], sealed["n"])
    low, high = wilson(hits, len(chosen))
    differs = chance < SURPRISE
    return {
        "result": "differs" if differs else "confirmed",
        "says": (
            f"{control.label} got {hits:,} of {len(chosen):,} rows right "
            f"({hits / len(chosen):.1%}), {'NOT ' if differs else ''}as its evaluation says "
            f"({sealed['correct']:,} of {sealed['n']:,}, {sealed['value']:.1%})"
        ),
        "version": control.digest,
        "evaluation": evaluation.digest,
        "dataset": dataset,
        "accuracy": {
            "value": hits / len(chosen),
            "low": low,
            "high": high,
            "correct": hits,
            "n": len(chosen),
        },
        "sealed": sealed,
        "chance": chance,
        "same_rows": len(chosen) == len(rows),
    }


def _sealed(control: Version, evaluation: Evaluation) -> tuple[dict[str, Any], str]:
    """The accuracy that an evaluation says, and the digest of its dataset.

    Raises:
        BadInput: it is not as it was sealed, or says no such thing.
    """
    document = evaluation.document
    if fingerprint.digest(document) != evaluation.digest:
        raise BadInput(
            f"the evaluation of {control.label} was changed; see: greenlight audit verify"
        )
    try:
        accuracy = right(document)
        told = {name: accuracy[name] for name in ("value", "low", "high", "correct", "n")}
        return told, document["dataset"]["digest"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"the evaluation of {control.label} says no accuracy") from error


def _draw(rows: int, most: int, seed: str) -> list[int]:
    """Places of the rows that are asked, in order: the same for the same rollout."""
    if rows <= most:
        return list(range(rows))
    number = int(fingerprint.digest(seed).removeprefix("sha256:")[:16], 16)
    chosen = np.random.default_rng(number).choice(rows, most, replace=False)
    return sorted(int(place) for place in chosen)
