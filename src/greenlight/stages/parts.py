"""Parts that are added to an evaluation after its judgement: what they are parts of."""

from __future__ import annotations

from pathlib import Path

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Refused
from greenlight.core.evaluation import FILE, FOLDER, JUDGED, ONE_OF, Subject, decode
from greenlight.core.records import Version


def subject_of(folder: str | Path, version: Version, what: str) -> Subject:
    """What the parts of a version's evaluation agree on, so that one more can be added.

    Args:
        folder: of the evaluation.
        version: that is evaluated.
        what: is to be added, for the message.

    Raises:
        BadInput: no part judges the version yet.
        Refused: the evaluation is sealed already, or of another version.
    """
    root = Path(folder)
    if (root / FILE).exists():
        raise Refused(
            f"{root / FILE}: sealed already, and what is sealed stays; measure into another "
            f"folder and add {what} there: greenlight eval run {version.label} -o DIR"
        )
    parts = root / FOLDER
    remedy = f"measure it: greenlight eval run {version.label}"
    there = [name for name in JUDGED if (parts / f"{name}.json").is_file()]
    if not there:
        raise BadInput(f"{parts}: there is no part {ONE_OF} yet; {remedy}")
    subject = decode((parts / f"{there[0]}.json").read_bytes(), there[0]).subject
    if subject.version != version.digest:
        name = fingerprint.short(subject.version)
        raise Refused(f"{parts}: the parts are of version {name}, not of {version.label}; {remedy}")
    return subject
