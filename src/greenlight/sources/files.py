"""Rows of a file: CSV, JSON lines, Parquet, CoNLL. Nothing in them is trimmed or mended."""

from __future__ import annotations

import csv
import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from greenlight.core import conll
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.nearest import suggest
from greenlight.ports import Progress
from greenlight.ports.source import NO_PROMPTS
from greenlight.sources.rows import Bounds, Cells, Columns, chunked
from greenlight.sources.watched import Fault, Place, Watched

BATCH = 1000
"""Rows of a Parquet file that are decoded at a time."""

Reader = Callable[[Watched, Columns, Fault], Iterator[Cells]]

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_KINDS = {bool: "a truth value", int: "a number", float: "a number", list: "a list"}


class FileSource:
    """Implements `ports.Source`; curation splits the rows.

    `origin` is the path as it was configured, or the bare name of a file that lies elsewhere, so
    that equal rows have equal digests on every machine.
    """

    own_split = False
    queries = 0
    prompts = NO_PROMPTS

    def __init__(
        self,
        path: Path,
        *,
        shown: str,
        task: str,
        columns: Columns,
        bounds: Bounds,
        licence: str,
        citation: str,
        progress: Progress,
    ) -> None:
        """Set up the source; the file is opened for the first chunk.

        Args:
            path: where the file is.
            shown: its path as configured.
            task: whose rows they are, for the pseudonyms of units.
            columns: which columns hold what.
            bounds: the least and the most rows.
            licence: what the rows may be used for.
            citation: whose work they are.
            progress: told the share of the file that is read.
        """
        self.name = path.name
        self.origin = path.name if Path(shown).is_absolute() else shown
        self.licence, self.citation = licence, citation
        self._path, self._task, self._columns = path, task, columns
        self._bounds, self._progress = bounds, progress
        self._exclusions: Counter[str] = Counter()
        self._digest: str | None = None

    @property
    def details(self) -> Mapping[str, Any]:
        """The file's digest and the columns that were taken."""
        return {"file": self._digest, "columns": self._columns._asdict()}

    @property
    def exclusions(self) -> Mapping[str, int]:
        """Rows beyond the most that are wanted."""
        return self._exclusions

    def chunks(self, size: Callable[[], int]) -> Iterator[tuple[str, Sequence[Row]]]:
        """See `ports.Source.chunks`.

        Raises:
            MissingData: no such file, or fewer rows than the least.
            Tampered: the file changed while it was read.
        """
        file = Watched(self._path, self.origin)
        self._digest = file.digest
        try:
            cells = read(file, self._columns, refuse)
            for chunk in chunked(
                cells,
                task=self._task,
                name=self.name,
                size=size,
                bounds=self._bounds,
                exclusions=self._exclusions,
            ):
                self._progress(file.read / file.size, f"reading {self.name}")
                yield "rows", chunk
        finally:
            file.close()


def refuse(message: str) -> None:
    """Take no row that is not in order.

    Raises:
        BadInput: always.
    """
    raise BadInput(message)


def read(file: Watched, columns: Columns, fault: Fault) -> Iterator[Cells]:
    """The rows of a file, by its suffix; in the end it is seen that the file did not change.

    Args:
        file: open and read from its beginning.
        columns: which columns hold what.
        fault: told of each row that is not in order, which is then left out.

    Raises:
        BadInput: a file that cannot be read as rows.
        MissingData: what reads such files is not installed.
        Tampered: the file changed meanwhile.
    """
    reader = reader_of(file.path, file.name)
    yield from reader(file, columns, fault)
    file.check(read_whole=reader is not _parquet)
    if file.place.row == 0:
        raise BadInput(f"{file.name}: the file has no rows; name one that has some")


def reader_of(path: Path, name: str) -> Reader:
    """What reads a file, by its suffix.

    Raises:
        BadInput: nothing does.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        kinds = ", ".join(READERS)
        raise BadInput(f"{name}: no kind of file that can be read; there are: {kinds}")
    return reader


def _csv(file: Watched, columns: Columns, fault: Fault) -> Iterator[Cells]:
    place = file.place
    table = csv.reader(file.lines(fault), strict=True)
    head = _next(table, place)
    if head is None:
        raise BadInput(f"{file.name}: the file is empty; the first line names the columns")
    _check_head(file.name, head, columns)
    count, places = len(head), [head.index(name) for name in columns.names]
    text, label, *unit = places
    while True:
        try:
            for row in table:
                if len(row) == count:
                    yield row[text], row[label], row[unit[0]] if unit else ""
                elif row:
                    fault(f"{place}: {_wrong_width(row, head)}")
                else:
                    continue
                place.row += 1
            return
        except csv.Error as error:
            fault(f"{place}: {_csv_words(error)}")
            place.row += 1


def _next(table: Iterator[list[str]], place: Place) -> list[str] | None:
    try:
        return next(table, None)
    except csv.Error as error:
        raise BadInput(f"{place.name}: line {place.line}: {_csv_words(error)}") from error


def _check_head(name: str, head: Sequence[str], columns: Columns) -> None:
    missing = columns.missing(head)
    if missing is not None:
        marks = [mark for mark in (";", "\t", "|") if len(head) == 1 and mark in head[0]]
        hint = f"; its columns stand apart by {marks[0]!r}, save it with commas" if marks else ""
        raise BadInput(f"{name}: {missing}{hint}")
    if (twice := columns.ambiguous(head)) is not None:
        raise BadInput(f"{name}: {twice}; rename one")


def _wrong_width(row: Sequence[str], head: Sequence[str]) -> str:
    hint = "; a text with a comma stands in double quotes" if len(row) > len(head) else ""
    return f"{len(row)} fields, expected {len(head)} ({','.join(head)}){hint}"


def _csv_words(error: csv.Error) -> str:
    words = str(error)
    if "new-line character" in words:
        return "a carriage return in a text without quotes; save the file with line feeds (LF)"
    if "field limit" in words:
        return f"{words}; shorten the text, or close the double quote that it begins with"
    if "end of data" in words:
        return f"{words}; a double quote is opened and never closed"
    return f"{words}; a double quote within a text is written twice"


def _jsonl(file: Watched, columns: Columns, fault: Fault) -> Iterator[Cells]:
    place = file.place
    decode = msgspec.json.Decoder(_line_of(columns)).decode
    has_unit = columns.unit is not None
    for line in file.lines(fault):
        try:
            found = decode(line)
            yield found.text, found.label, (found.unit or "") if has_unit else ""
        except msgspec.DecodeError:
            if not line.strip():
                continue
            fault(f"{place}: {_json_fault(line, columns)}")
        place.row += 1


def _line_of(columns: Columns) -> Any:
    """What a line must hold, whatever else it holds; reading just that is fast."""
    fields: list[tuple[str, Any, Any]] = [
        ("text", str, msgspec.field(name=columns.text)),
        ("label", str, msgspec.field(name=columns.label)),
    ]
    if columns.unit is not None:
        fields.append(("unit", str | None, msgspec.field(name=columns.unit)))
    return msgspec.defstruct("Line", fields)


def _json_fault(line: str, columns: Columns) -> str:
    """What is wrong with a line."""
    try:
        _cells(_OBJECT.decode(line), columns)
    except msgspec.ValidationError:
        return 'no JSON object; write {"text": …, "label": …} on a line of its own'
    except msgspec.DecodeError as error:
        return f"no JSON ({error})"
    except ValueError as error:
        return str(error)
    return "no such row"


def _cells(row: Mapping[str, Any], columns: Columns) -> Cells:
    """The cells of a row whose columns go by names.

    Raises:
        ValueError: one is not there, or is no text.
    """
    found = []
    for name in columns.names:
        if name not in row:
            raise ValueError(f"no {name!r}{suggest(name, row)}")
        value = row[name]
        if not isinstance(value, str) and not (value is None and name == columns.unit):
            raise ValueError(f"{name!r} is {kind_of(value)}, not text; write it in quotes")
        found.append(value or "")
    text, label, *unit = found
    return text, label, unit[0] if unit else ""


def kind_of(value: object) -> str:
    """What a value is, for messages."""
    return "empty" if value is None else _KINDS.get(type(value), type(value).__name__)


def _parquet(file: Watched, columns: Columns, fault: Fault) -> Iterator[Cells]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise MissingData(
            f"{file.name}: Parquet takes pyarrow; pip install 'greenlight-ml[parquet]'"
        ) from None
    place = file.place
    try:
        with parquet.ParquetFile(file.path, pre_buffer=False) as table:
            there = table.schema_arrow.names
            if (missing := columns.missing(there)) is not None:
                raise BadInput(f"{file.name}: {missing}")
            if (twice := columns.ambiguous(there)) is not None:
                raise BadInput(f"{file.name}: {twice}; rename one")
            names = list(columns.names)
            total = max(table.metadata.num_rows, 1)
            for batch in table.iter_batches(BATCH, columns=names, use_threads=False):
                for row in batch.to_pylist():
                    try:
                        yield _cells(row, columns)
                    except ValueError as error:
                        fault(f"{place}: {error}")
                    place.row += 1
                file.read = file.size * place.row // total
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        raise BadInput(f"{file.name}: no readable Parquet ({error})") from error


def _conll(file: Watched, columns: Columns, fault: Fault) -> Iterator[Cells]:
    place = file.place
    lines = conll.sentences(file.lines(fault), lambda wrong: fault(f"{place}: {wrong}"))
    for sentence in lines:
        if sentence is not None:
            yield *sentence, ""
        place.row += 1


READERS: Mapping[str, Reader] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".conll": _conll,
}
"""Suffix → what reads such files."""
