"""[tasks.NAME.dataset]: where the rows of a task come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from greenlight.core import filters, pii, queries, tagging
from greenlight.core.curation import CHAT, CLASSIFY, TAG, Kind
from greenlight.core.labelling import LabelPolicy
from greenlight.core.policy import Policy
from greenlight.core.records import DAY

PUBLIC: Mapping[str, Kind] = {
    "banking77": CLASSIFY,
    "wnut17": TAG,
    "sample": CLASSIFY,
    "sample-entities": TAG,
}
"""Data sets that go by a name, and the kind of task that each is for."""

CONLL = ".conll"
SUFFIXES = (".csv", ".jsonl", ".parquet", CONLL)
"""Kinds of files that can be read."""

WINDOW = 7 * DAY
MIN_ROWS, MAX_ROWS = 100, 10_000
"""What feedback is taken by where nothing is said (REQUIREMENTS D2)."""

_COLUMNS = ("text", "label", "unit")
_ABOUT = ("min_rows", "max_rows", "licence", "citation")
KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PUBLIC, ()),
    "feedback": ("window", "filter", "select", "flip", "labels", "base", *_COLUMNS, *_ABOUT),
    "file": ("path", *_COLUMNS, *_ABOUT),
    "sql": ("url", "password", "query", *_COLUMNS, *_ABOUT),
}
"""Source → the keys that mean something for it."""

_NEEDED: Mapping[str, Mapping[str, str]] = {
    "file": {"path": "name the file; a relative path starts at the folder of greenlight.toml"},
    "sql": {
        "url": "say where the database is, as in postgresql+psycopg://reader@host/sales",
        "query": "write the SELECT that gives the rows",
    },
}
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_SECRETS = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)


class DatasetSettings(Policy, frozen=True, kw_only=True):
    """[tasks.NAME.dataset]: what is trained and evaluated on."""

    source: Literal["banking77", "wnut17", "sample", "sample-entities", "feedback", "file", "sql"]
    """Needed to classify and to tag. What is trained and evaluated on: a public data set by name,
    what people said of answers, a file, or a query. `wnut17` and `sample-entities` are to tag. A
    chat learns from `feedback` alone."""
    path: str | None = None
    """`file`: the file, CSV, JSON lines or Parquet by its suffix (`.csv`, `.jsonl`, `.parquet`), or
    a word and its tag on each line, a tab between them (`.conll`). A relative path starts at the
    folder of `greenlight.toml`."""
    url: str | None = None
    """`sql`: the database as SQLAlchemy writes it, such as
    `postgresql+psycopg://reader@host/sales`. A password in it is refused."""
    password: str | None = None
    """`sql`: where the database's password is: `env:NAME`, a variable of that name."""
    query: str | None = None
    """`sql`: the one SELECT that gives the rows."""
    text: str = "text"
    """`file`, `sql` and a `base` file: the column of the text."""
    label: str = "label"
    """The column of the label; to tag, of the tags of all words, with a space between them."""
    unit: str | None = None
    """The column of whom the text came from. All rows of one unit go into the same split; only a
    pseudonym of it is kept."""
    window: int | None = None
    """`feedback`: how far to look back from the start of a run; `7d` where nothing is said."""
    filter: str | None = None
    """`feedback`: conditions on what was said, METRIC OP NUMBER joined by `and`, such as
    `engagement_rate > 0.06 and rating >= 4` (`<`, `<=`, `>`, `>=`, `=`, `!=`). An answer without
    that metric does not meet it."""
    select: Literal["quality", "filter"] = "quality"
    """`feedback`: what makes an answer one to learn. `quality`: somebody said GOOD, and `filter` is
    met. `filter`: it is met, and nobody said BAD."""
    flip: tuple[str, ...] = ()
    """`feedback`: reason codes of a BAD that make the other one of two `labels` the right one."""
    labels: tuple[str, ...] = ()
    """`feedback`: the labels (or tags) there are; a row with another one waits to be relabelled."""
    base: str | None = None
    """`feedback`: a public data set whose training rows go along and whose test rows stay the
    benchmark, or a file whose rows go along."""
    min_rows: int | None = None
    """Fewer rows than this end the run (`feedback`: 100 where nothing is said; rows of `base` do
    not count). Not for public data sets."""
    max_rows: int | None = None
    """More rows than this are left out and counted (`feedback`: 10,000 where nothing is said, and
    the newest are taken). Not for public data sets."""
    licence: str = "unknown"
    """What the rows may be used for, for the manifest. Not for public data sets."""
    citation: str = "unknown"
    """Whose work they are. Not for public data sets."""

    def problems(self) -> Iterable[str]:
        # Asked of a draft, too, that has the fields and nothing else (`config.reader`).
        yield from _belonging(self)
        yield from _selecting(self)
        yield from _personal(self)
        if self.source == "sql":
            yield from _connecting(self)
        for name in ("path", "base"):
            value = getattr(self, name)
            if value is not None and (name == "path" or value not in PUBLIC):
                yield from _readable(name, value)

    @property
    def since(self) -> int:
        """How far to look back from the start of a run (µs)."""
        return WINDOW if self.window is None else self.window

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The least and the most rows; None where anything goes."""
        return _bounds(self)

    def labelling(self, kind: Kind) -> LabelPolicy:
        """How feedback becomes labels in a task of that kind."""
        return LabelPolicy(
            kind=kind,
            conditions=filters.parse(self.filter) if self.filter else (),
            flip=frozenset(self.flip),
            labels=self.labels,
            by_filter=self.select == "filter",
        )


def _bounds(given: DatasetSettings) -> tuple[int | None, int | None]:
    if given.source != "feedback":
        return given.min_rows, given.max_rows
    least = MIN_ROWS if given.min_rows is None else given.min_rows
    return least, MAX_ROWS if given.max_rows is None else given.max_rows


def _belonging(given: DatasetSettings) -> Iterable[str]:
    """Every key belongs to the source, and none that it needs is missing."""
    fields = DatasetSettings.__struct_fields__[1:]
    for name, default in zip(fields, DatasetSettings.__struct_defaults__, strict=True):
        if getattr(given, name) != default and name not in KEYS[given.source]:
            others = " and ".join(source for source, keys in KEYS.items() if name in keys)
            yield f"{name}: means nothing for {given.source}, only for {others}; take it out"
    for name, remedy in _NEEDED.get(given.source, {}).items():
        if not getattr(given, name):
            yield f"{name}: {given.source} needs it; {remedy}"


def _selecting(given: DatasetSettings) -> Iterable[str]:
    if given.window is not None and given.window <= 0:
        yield "window: must be longer than zero"
    if given.filter is not None:
        try:
            filters.parse(given.filter)
        except ValueError as error:
            yield f"filter: {error}"
    if given.select == "filter" and given.filter is None:
        yield (
            'select: "filter" needs conditions to select by; write them down, as in '
            'filter = "engagement_rate > 0.06"'
        )
    if given.labels and len(set(given.labels)) != max(2, len(given.labels)):
        yield "labels: name at least two, each once"
    if given.flip and len(given.labels) != 2:
        yield (
            "flip: the other label follows only where there are two; "
            'write them down, as in labels = ["APPROVE", "REJECT"]'
        )
    least, most = _bounds(given)
    if least is not None and least < 0:
        yield f"min_rows: {least} is below zero"
    if most is not None and most < 1:
        yield f"max_rows: {most} is below one"
    elif least is not None and most is not None and least > most:
        yield f"min_rows: {least} is above max_rows ({most})"
    columns = [name for name in (given.text, given.label, given.unit) if name is not None]
    if len(set(columns)) < len(columns):
        yield "text: text, label and unit are columns of their own"
    if _is_conll(given.path) and columns != ["text", "label"]:
        yield f"path: a {CONLL} file has no columns; take text, label and unit out"


def _personal(given: DatasetSettings) -> Iterable[str]:
    """All of this is on the ledger as soon as it is in force, and nothing can be erased there."""
    for name in (*_COLUMNS, *_ABOUT[2:], "path", "base", "query", "filter", "labels", "flip"):
        value = getattr(given, name) or ""
        lines = [value] if isinstance(value, str) else value
        if found := sorted({one.kind for line in lines for one in pii.find(line)}):
            yield f"{name}: personal data in it ({', '.join(found)}); write it without"


def _connecting(given: DatasetSettings) -> Iterable[str]:
    if given.url:
        try:
            parts = urlsplit(given.url)
        except ValueError:
            parts = urlsplit("")
        options = [name for name, _ in parse_qsl(parts.query)]
        if not parts.scheme or not given.url.startswith(f"{parts.scheme}://"):
            yield "url: this is no database; write dialect://user@host/name"
        elif ":" in parts.netloc.rpartition("@")[0] or any(map(_SECRETS.search, options)):
            yield 'url: no password here; write password = "env:NAME"'
    if given.password is not None and not _VARIABLE.fullmatch(given.password):
        yield "password: name the variable that holds it, as in env:SALES_DB_PASSWORD"
    if given.query and (refusal := queries.refusal(given.query)):
        yield f"query: {refusal}"


def _readable(name: str, value: str) -> Iterable[str]:
    if value and PurePath(value).suffix.lower() not in SUFFIXES:
        also = f", or one of {', '.join(PUBLIC)}" if name == "base" else ""
        yield f"{name}: {value!r} is no file that can be read ({', '.join(SUFFIXES)}{also})"


def _is_conll(path: str | None) -> bool:
    return PurePath(path or "").suffix.lower() == CONLL


def _unchatty(given: DatasetSettings) -> Iterable[str]:
    """What is set and means nothing where rows are conversations and labels are answers."""
    if given.source != "feedback":
        yield (
            f"dataset.source: {given.source} holds texts with labels; a chat is learnt from what "
            'people said of its answers: take "feedback"'
        )
    for name in ("base", "labels", "flip"):
        if getattr(given, name):
            yield f"dataset.{name}: a chat has no labels, but answers; take it out"


def misfits(given: DatasetSettings, kind: str) -> Iterable[str]:
    """What is set and does not belong to the kind of the task."""
    if kind == CHAT:
        yield from _unchatty(given)
        return
    for name in ("source", "base"):
        value = getattr(given, name)
        if value in PUBLIC and PUBLIC[value] != kind:
            yield f"dataset.{name}: {value} is for tasks of kind {PUBLIC[value]}; take another"
    for name in ("path", "base"):
        if _is_conll(getattr(given, name)) and kind != TAG:
            yield f"dataset.{name}: a {CONLL} file has tags of words; they take kind = {TAG!r}"
    if kind == TAG:
        strange = [name for name in given.labels if not tagging.is_tag(name)]
        if strange:
            yield f"dataset.labels: {strange[0]!r} is no tag; write O, B-TYPE and I-TYPE"
        if given.flip:
            yield "dataset.flip: tags have no opposite; take it out"
