"""Scope: how well a version tells texts that are out of its scope. The part `oos` of an evaluation.

| slice | in scope | out of scope |
|---|---|---|
| `clinc` | BANKING77's test rows | CLINC150's `oos_test` |
| `banking_like` | the same | test rows of CLINC150's intents about money |
| `near` | test rows of 62 labels | those of the other 15, which the model was kept from |

The first two ask the version itself. For `near` models are trained as the version was, each kept
from other labels, in several draws: it says what the way of training can do, and asks nothing of
the version. No text of a slice has a part in any choice (REQUIREMENTS D9).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from eval import oos_eval
from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, MissingData, Refused
from greenlight.core.evaluation import FOLDER, Part, Subject, decode
from greenlight.core.records import Version
from greenlight.lookup import folder_of
from greenlight.ports import Blobs, Example, Model, Prediction, Progress, Records, Trainer
from greenlight.remembering import Predictor
from greenlight.stages.parts import subject_of

PART = "oos"
FAR = ("clinc", "banking_like")
"""Slices whose texts out of scope come from elsewhere."""

HELD_OUT, DRAWS = 15, 5
"""Labels that a model is kept from, and how often others are drawn."""

_ASKING = 0.2
"""Of the time, for the progress shown: the rest goes into the trainings."""


Far = Mapping[str, Sequence[str]]
"""Texts out of scope, by slice."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The splits of a prepared dataset."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """How a version was trained, so that others can be trained like it."""

    trainer: Trainer
    load_model: Callable[[str], Model]
    """Opens a bundle's folder."""
    config: dict[str, Any]
    seed: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and what it takes to judge it."""

    version: Version
    origin: str
    """Of the data set that the slices are made for: of another nobody knows what lies outside."""
    far: Callable[[Progress], Far]
    """Gets the texts out of scope of each slice in `FAR`, or raises `MissingData`."""
    again: Again | str
    """How it was trained, or why that is not known."""
    draws: int = DRAWS
    """How often labels are held out; 0 leaves `near` out."""
    environment: dict[str, Any]
    """Hardware and packages as found, and `code`."""


def add_scope(
    records: Records,
    processed: Blobs,
    predictor: Predictor,
    request: Request,
    *,
    folder: str | Path,
    workdir: str | Path,
    progress: Progress,
) -> Part:
    """Make the part `oos` of an evaluation, beside the parts that are there.

    A part of the same inputs that is there is left as it is, unless all it holds is a reason.

    Args:
        records: knows the dataset.
        processed: prepared datasets.
        predictor: asks versions.
        request: what is judged.
        folder: of the evaluation.
        workdir: where models are put together that nobody keeps.
        progress: told the share of the work done.

    Raises:
        BadInput: no part judges the version yet.
        Refused: the evaluation is sealed already, of another version, or of other code.
        NotFound: dataset or bundle is missing.
        MissingData: what its backend trains with is not here.
        Tampered: files that are not as sealed.
        ModelFailed: a model somewhere else did not answer.
    """
    version = request.version
    subject = subject_of(folder, version, "what it tells of scope")
    if subject.code != request.environment.get("code", "unknown"):
        raise Refused(
            f"{folder}: its parts were made by other code; measure them again with this: "
            f"greenlight eval run {version.label}"
        )
    start = time.perf_counter()
    place = Path(folder_of(records, processed, str(subject.dataset["digest"])))
    manifest = artifacts.unseal(place, str(subject.dataset["digest"]))
    known = manifest.get("source") == request.origin
    far = _fetched(request, progress) if known else _unknown(manifest, request)
    path, inputs = Path(folder, FOLDER, f"{PART}.json"), _inputs(request, far)
    part = _kept(path, subject, inputs)
    if part is not None:
        return part
    if known:
        result = _measure(predictor, request, far, place, workdir, progress)
    else:
        result = {"reason": f"not measured: {far}"}
    part = Part(
        part=PART,
        subject=subject,
        inputs=inputs,
        result=result,
        environment=request.environment,
        wall_clock_s=round(time.perf_counter() - start, 3),
    )
    artifacts.write_document(path, msgspec.to_builtins(part))
    progress(1.0, "measured")
    return part


def judge(inside: Iterable[Prediction], outside: Iterable[Prediction]) -> dict[str, Any]:
    """What the protocol makes of answers to texts in scope and out of it.

    Raises:
        BadInput: an answer that says nothing of scope, or none at all.
    """
    made = [(one, False) for one in inside] + [(one, True) for one in outside]
    scores = [one.oos_score for one, _ in made if one.oos_score is not None]
    if len(scores) < len(made):
        raise BadInput("the model does not tell what is out of scope")
    return oos_eval.evaluate(scores, [out for _, out in made], [one.oos for one, _ in made])


def near(
    rows: Rows, again: Again, draws: Sequence[int], *, workdir: str | Path, progress: Progress
) -> dict[str, Any]:
    """What models trained in this way tell of labels that they were kept from.

    Args:
        rows: to learn from, without the labels held out, and to be judged on.
        again: how to train.
        draws: a number for each draw; the same number holds out the same labels.
        workdir: where the models are put together; nothing stays there.
        progress: told the share of the work done.

    Returns:
        What `oos_eval.across` makes of the draws, each of them under `draws` with the labels held
        out, or a reason.
    """
    labels = sorted({row.label for row in rows.train})
    if len(labels) < HELD_OUT + 2:
        return {"reason": f"not measured: {HELD_OUT} of {len(labels)} labels cannot be held out"}
    if not again.trainer.free:
        return {"reason": f"not measured: a training with {again.trainer.name} costs money"}
    found = []
    for place, draw in enumerate(draws):

        def told(share: float, words: str, place: int = place) -> None:
            told_share = (place + share) / len(draws)
            progress(told_share, f"near: model {place + 1} of {len(draws)}: {words}")

        gone = held_out(labels, draw)
        try:
            made = _kept_from(gone, rows, again, workdir, told)
        except BadInput as error:
            return {"reason": f"not measured: {error}"}
        found.append({"draw": draw, "labels": sorted(gone), **made})
    return {"held_out": HELD_OUT, **oos_eval.across(found), "draws": found}


def held_out(labels: Sequence[str], draw: int) -> set[str]:
    """The labels that a draw holds out."""
    lot = np.random.default_rng(draw).permutation(sorted(labels))
    return {str(label) for label in lot[:HELD_OUT]}


def _unknown(manifest: Mapping[str, Any], request: Request) -> str:
    return (
        f"what is out of scope is known of the data set of {request.origin}, and not of "
        f"{manifest['name']}"
    )


def _fetched(request: Request, progress: Progress) -> Far | str:
    """The texts out of scope, or why there are none."""
    try:
        return request.far(lambda _, words: progress(0.0, words))
    except MissingData as error:
        return str(error)


def _measure(
    predictor: Predictor,
    request: Request,
    far: Far | str,
    place: Path,
    workdir: str | Path,
    progress: Progress,
) -> dict[str, Any]:
    """The slices; a reason where the version tells nothing of scope."""

    def ask(texts: Sequence[str]) -> list[Prediction]:
        def told(share: float, words: str) -> None:
            progress(_ASKING * share, words)

        return predictor.predict(request.version, texts, told).predictions

    rows = Rows(
        **{split: artifacts.read_rows(place, split, Example) for split in Rows.__struct_fields__}
    )
    inside = ask([row.text for row in rows.test])
    if any(one.oos_score is None for one in inside):
        label = request.version.label
        return {"reason": f"not measured: {label} does not tell what is out of scope"}
    rules = {"module": oos_eval.__name__, "digest": oos_eval.protocol_digest()}
    found: dict[str, Any] = {"protocol": rules}
    for name in FAR:
        if isinstance(far, str):
            found[name] = {"reason": f"not measured: {far}"}
        else:
            found[name] = judge(inside, ask(far[name]))
    if isinstance(request.again, str):
        return {**found, "near": {"reason": f"not measured: {request.again}"}}
    if request.draws == 0:
        return {**found, "near": {"reason": "not measured: no draws were asked for"}}
    found["near"] = near(
        rows,
        request.again,
        range(request.draws),
        workdir=workdir,
        progress=lambda share, words: progress(_ASKING + (1 - _ASKING) * share, words),
    )
    return found


def _kept_from(
    gone: set[str], rows: Rows, again: Again, workdir: str | Path, progress: Progress
) -> dict[str, Any]:
    """What a model tells that was kept from some labels.

    Raises:
        BadInput: it tells nothing of scope.
    """
    train, validation = (
        [row for row in split if row.label not in gone] for split in (rows.train, rows.validation)
    )
    with tempfile.TemporaryDirectory(prefix="scope-", dir=workdir) as scratch:
        trained = again.trainer.train(
            train=train,
            validation=validation,
            labels=sorted({row.label for row in train}),
            config=again.config,
            seed=again.seed,
            out=str(Path(scratch) / "bundle"),
            progress=lambda share, words: progress(0.7 * share, words),
        )
        model = again.load_model(trained.folder)
        progress(0.7, "asking")
        made = model.predict([row.text for row in rows.test])
    pairs = list(zip(rows.test, made, strict=True))
    judged = judge(
        (one for row, one in pairs if row.label not in gone),
        (one for row, one in pairs if row.label in gone),
    )
    return {name: value for name, value in judged.items() if name != "roc"}


def _inputs(request: Request, far: Far | str) -> str:
    """Everything that the part depends on, beside its subject."""
    again = request.again
    return fingerprint.digest(
        {
            "part": PART,
            "protocol": oos_eval.protocol_digest(),
            "far": far
            if isinstance(far, str)
            else {name: fingerprint.digest(list(texts)) for name, texts in far.items()},
            "again": again if isinstance(again, str) else [again.trainer.name, again.config],
            "seed": None if isinstance(again, str) else again.seed,
            "draws": request.draws,
            "packages": request.environment.get("packages"),
        }
    )


def _kept(path: Path, subject: Subject, inputs: str) -> Part | None:
    """The part that is there already, if it is of the same inputs.

    One that only says why it holds no number is made anew: what lies somewhere else may answer.
    """
    try:
        part = decode(path.read_bytes(), PART)
    except (OSError, BadInput):
        return None
    same = part.subject == subject and part.inputs == inputs
    return part if same and "reason" not in part.result else None
