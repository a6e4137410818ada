"""Seal: parts become one document, once, and the document goes on record."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Refused, Tampered
from greenlight.core.evaluation import FILE, FOLDER, PARTS, Part, check, decode, merge
from greenlight.core.records import Evaluation, Version
from greenlight.ports import Records
from greenlight.recording import record

SEALED = 0o444
"""Nobody writes it any more."""


def seal(records: Records, version: Version, *, folder: str | Path, now: int) -> Evaluation:
    """Merge the parts of a version's evaluation into `eval.json`, and record it.

    What is sealed stays: sealing the same results again changes nothing, and other results or
    another load test are refused. No status changes here.

    Args:
        records: where the evaluation goes, with an entry on the ledger.
        version: what the parts must be of.
        folder: holds `parts`, and takes `eval.json`.
        now: microseconds since 1970-01-01 UTC.

    Raises:
        BadInput: a part is missing, unreadable, or does not agree with the others.
        Refused: the parts are of another version, or other results are sealed there.
        Tampered: what is sealed there was changed.
    """
    root = Path(folder)
    document = merge(_parts(root / FOLDER))
    if document["version"] != version.digest:
        name = fingerprint.short(str(document["version"]))
        raise Refused(
            f"{root / FOLDER}: the parts are of version {name}, not of {version.label}; measure "
            f"them: greenlight eval run {version.label}"
        )
    target = root / FILE
    if not _write_once(target, document):
        there = sealed(target)
        if any(there.get(name) != document[name] for name in ("results_digest", "load")):
            raise Refused(
                f"{target}: other results are sealed there already; what is sealed stays. Give "
                "another folder with -o"
            )
        document = there
    evaluation = Evaluation(
        digest=fingerprint.digest(document), version=version.digest, document=document, at=now
    )
    known = records.get(Evaluation, evaluation.digest)
    if known is not None:
        return known
    body = {
        "evaluation": evaluation.digest,
        "version": version.digest,
        "dataset": document["dataset"]["digest"],
        "results": document["results_digest"],
    }
    record(records, [("evaluation", body)], append=[evaluation], now=now)
    return evaluation


def sealed(path: Path) -> dict[str, Any]:
    """A sealed document from its file.

    Raises:
        BadInput: the file cannot be read.
        Tampered: it is not what was sealed.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise Tampered(f"{path}: no sealed document ({error})") from error
    try:
        check(document)
    except Tampered as error:
        raise Tampered(f"{path}: {error}") from error
    return document


def _parts(folder: Path) -> list[Part]:
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.stem not in PARTS:
            raise BadInput(f"{path}: no such part; there are {', '.join(PARTS)}")
        found.append(decode(path.read_bytes(), path.stem))
    return found


def _write_once(target: Path, document: dict[str, Any]) -> bool:
    """Write a document where there is none, whole or not at all; returns whether there was none."""
    data = msgspec.json.format(fingerprint.canonical(document), indent=2) + b"\n"
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".sealing-") as draft:
        draft.write(data)
        draft.flush()
        os.fsync(draft.fileno())  # what is never written again must not be found empty
        os.fchmod(draft.fileno(), SEALED)
        try:
            os.link(draft.name, target)
        except FileExistsError:
            return False
    return True
