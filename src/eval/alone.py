"""How a module of the protocol is run by itself, and what its exit code says.

    python -m eval.intent_eval predictions.jsonl --min accuracy=0.92
    python -m eval.intent_eval --bundle DIR --rows rows.jsonl --min accuracy=0.92 --max ece=0.05

Either a file of what a model said, or a bundle and labelled rows (`{"text": …, "label": …}` per
line) that it is asked now. The judgement goes to standard output as JSON, what the gates say to
standard error. The exit code is 0 if every gate is met, 1 if one is missed, and 2 if something
cannot be judged.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from greenlight.core import fingerprint, jsonl
from greenlight.core.errors import BadInput, GreenlightError

MET, MISSED, UNKNOWN = 0, 1, 2
"""Exit codes."""

BATCH = 512
"""Rows that a model is asked at once."""

MODELS = "greenlight.models.bundle"
"""Opens bundles. Named, and imported only where one is asked: the rules know nothing of models."""


class Row(msgspec.Struct, frozen=True):
    """A labelled text."""

    text: str
    label: str


class Answer(Protocol):
    """What a model says of a text (`greenlight.ports.Prediction`)."""

    label: str
    score: float | None
    oos: bool | None
    oos_score: float | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Rows, and what a bundle answers to them, in their order."""

    rows: list[Row]
    answers: list[Answer]
    labels: list[str]
    """The bundle's, in its order."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a judgement and the value that it must reach, or must not exceed."""

    metric: str
    limit: float
    least: bool
    """Whether the limit is the least value allowed, else it is the largest."""

    def met(self, value: float) -> bool:
        """Whether a value is on the right side of the limit, or on it."""
        return value >= self.limit if self.least else value <= self.limit


def run(
    name: str,
    about: str | None,
    arguments: Sequence[str] | None,
    *,
    of_file: Callable[[bytes, str], dict[str, Any]],
    of_bundle: Callable[[Asked], dict[str, Any]],
) -> int:
    """Judge what the command line names, print the judgement, and hold it against the gates.

    Args:
        name: of the module.
        about: what is shown by `--help`.
        arguments: of the command line; by default those of this process.
        of_file: the judgement of a file of predictions, from its bytes and its name.
        of_bundle: the judgement of a bundle's answers.

    Returns:
        The exit code.
    """
    parser = _parser(name, about)
    given = parser.parse_args(arguments)
    alone = given.predictions is not None
    if alone == (given.bundle is not None) or (given.bundle is None) != (given.rows is None):
        parser.error("give a file of predictions, or --bundle together with --rows")
    where = given.predictions or given.bundle
    try:
        if alone:
            document = of_file(given.predictions.read_bytes(), given.predictions.name)
        else:
            document = of_bundle(ask(given.bundle, given.rows))
    except (GreenlightError, OSError, ValueError) as error:
        print(f"{where}: {error}", file=sys.stderr)
        return UNKNOWN
    print(msgspec.json.format(fingerprint.canonical(document)).decode())
    return max((_hold(gate, document) for gate in given.gates or ()), default=MET)


def ask(bundle: Path, rows: Path) -> Asked:
    """What a bundle answers to the rows of a file.

    Raises:
        Tampered: the folder is not as it was sealed.
        BadInput: it is no bundle of this release.
        OSError, ValueError: the rows cannot be read.
    """
    known = jsonl.decode(rows.read_bytes(), Row, rows.name)
    model = importlib.import_module(MODELS).load(bundle)
    answers: list[Answer] = []
    for texts in _shown([row.text for row in known]):
        answers += model.predict(texts)
    return Asked(rows=known, answers=answers, labels=list(model.labels))


def value_of(document: Mapping[str, Any], metric: str) -> float:
    """A number of a judgement.

    Args:
        document: the judgement.
        metric: the way to it, with dots: `accuracy` (its `value`), `accuracy.low`.

    Raises:
        BadInput: there is no such number, or a reason in its place.
    """
    found: Any = document
    for step in metric.split("."):
        if not isinstance(found, Mapping) or step not in found:
            raise BadInput(_absent(metric, found))
        found = found[step]
    if isinstance(found, Mapping) and "value" in found:
        found = found["value"]
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise BadInput(_absent(metric, found))
    return float(found)


def _absent(metric: str, found: Any) -> str:
    if not isinstance(found, Mapping):
        return f"{metric}: no number of this judgement"
    if "reason" in found:
        return f"{metric}: {found['reason']}"
    return f"{metric}: no number of this judgement; there are {', '.join(sorted(found))}"


def _hold(gate: Gate, document: Mapping[str, Any]) -> int:
    """Say on standard error how a gate stands; returns its exit code."""
    sign = "≥" if gate.least else "≤"
    try:
        value = value_of(document, gate.metric)
    except BadInput as error:
        print(f"unknown: {error} (wanted {sign} {gate.limit:g})", file=sys.stderr)
        return UNKNOWN
    met = gate.met(value)
    word = "met" if met else "MISSED"
    print(f"{word}: {gate.metric} {value:.4f}, wanted {sign} {gate.limit:g}", file=sys.stderr)
    return MET if met else MISSED


def _shown(texts: list[str]) -> Iterator[list[str]]:
    """The texts in batches, with a bar where somebody watches."""
    from rich.console import Console  # nobody else who imports the protocol needs it
    from rich.progress import track

    batches = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
    quiet = not sys.stderr.isatty()
    yield from track(batches, "asking", console=Console(stderr=True), disable=quiet)


def _parser(name: str, about: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("predictions", type=Path, nargs="?", help="JSON lines of what a model said")
    parser.add_argument("--bundle", type=Path, help="folder of a bundle, which is asked now")
    parser.add_argument("--rows", type=Path, help="JSON lines of what it is asked: text, label")
    for least, flag, what in ((True, "--min", "at least"), (False, "--max", "at most")):
        parser.add_argument(
            flag,
            dest="gates",
            action="append",
            type=_gate(least),
            metavar="METRIC=VALUE",
            help=f"a metric of the judgement must be {what} this; may be repeated",
        )
    return parser


def _gate(least: bool) -> Callable[[str], Gate]:
    def read(given: str) -> Gate:
        metric, _, limit = given.partition("=")
        try:
            return Gate(metric=metric, limit=float(limit), least=least)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{given!r} is not METRIC=VALUE") from error

    return read
