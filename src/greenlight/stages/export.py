"""Export: labelled rows as a file for fine-tuning elsewhere, without personal data."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from greenlight.core import messages, pii
from greenlight.core.curation import CHAT, CLASSIFY, TAG, Kind, Row
from greenlight.core.errors import BadInput, MissingData
from greenlight.core.exporting import Lines
from greenlight.core.finetuning import Range, token_range
from greenlight.core.messages import USER, Message
from greenlight.models.conversation import Conversations
from greenlight.ports.source import NO_PROMPTS, Prompts


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote. `personal_data` counts what was scrubbed, by kind."""

    path: str
    format: str
    digest: str
    rows: int
    empty: int
    """Rows whose text (in chats, a message of it) or label is nothing but white space; they are not
    in the file."""
    tokens: Range
    """Of all rows, estimated (`core.finetuning`)."""
    personal_data: dict[str, int]


def export(
    chunks: Iterable[Sequence[Row]],
    form: str,
    target: Path,
    kind: Kind = CLASSIFY,
    prompts: Callable[[], Prompts] = lambda: NO_PROMPTS,
) -> Written:
    """Write rows to a file as they come; nobody ever sees half of it.

    A row is written as it was served: with the instructions that the answer was asked for with,
    where it names some. They stay as people wrote them.

    Args:
        chunks: the rows.
        form: one of `core.exporting.SUFFIXES`.
        target: the file; one that is there is replaced.
        kind: what the labels are; where words have tags, personal data goes word by word, and in
            chats message by message.
        prompts: what the rows read so far were asked with (`ports.Source.prompts`).

    Raises:
        BadInput: personal data in a label or that cannot be scrubbed, no such format, or what no
            provider would take (`core.finetuning`); the message names the row.
        MissingData: there are no rows.
    """
    lines, rows = Lines(form), _Rows(kind, prompts)
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256(lines.head)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            file.write(lines.head)
            for chunk in chunks:
                data = b"".join(lines.line(*taught) for taught in rows.taught(chunk))
                hashed.update(data)
                file.write(data)
            if not lines.tally.rows:
                raise MissingData("no rows to export; look further back, or wait for feedback")
            lines.finish()
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
    return Written(
        path=str(target),
        format=form,
        digest=f"sha256:{hashed.hexdigest()}",
        rows=lines.tally.rows,
        empty=rows.empty,
        tokens=token_range(lines.tally.tokens),
        personal_data=dict(sorted(rows.found.items())),
    )


class _Rows:
    """Rows as what was asked and what is to be answered, without personal data."""

    def __init__(self, kind: Kind, prompts: Callable[[], Prompts]) -> None:
        self._kind = kind
        self._prompts = prompts
        self._conversations = Conversations(NO_PROMPTS)
        self._known: set[str] = set()
        self._labels: set[str] = set()
        self.empty = 0
        self.found: Counter[str] = Counter()

    def taught(self, chunk: Sequence[Row]) -> Iterable[tuple[Sequence[Message], str]]:
        """What was asked, and the answer, of each row that has both."""
        for row in chunk:
            if not row.label.strip() or self._is_empty(row.text):
                self.empty += 1
                continue
            if self._kind != CHAT:
                self._check_label(row.label)
            answer = row.answer or row.label
            if self._kind == CHAT or row.answer:
                answer = self._scrubbed(answer)
            yield self._asked(row), answer

    def _is_empty(self, text: str) -> bool:
        return messages.wordless(text) if self._kind == CHAT else not text.strip()

    def _asked(self, row: Row) -> Sequence[Message]:
        chat = self._kind == CHAT
        text = messages.each(row.text, self._scrubbed) if chat else self._scrubbed(row.text)
        if not row.prompt:
            return messages.read(text) if chat else [Message(USER, text)]
        if row.prompt not in self._known:
            prompts = self._prompts()
            self._conversations, self._known = Conversations(prompts), set(prompts)
        return self._conversations.asked(text, row.prompt)

    def _scrubbed(self, text: str) -> str:
        clean, findings = pii.scrub(text, by_word=self._kind == TAG)
        self.found.update(findings)
        return clean

    def _check_label(self, label: str) -> None:
        """Refuse a label with personal data; each is looked at once, unless there may be as many as
        rows."""
        if label in self._labels:
            return
        if pii.find(label):
            raise BadInput("a label holds personal data; correct it by greenlight relabel label")
        if self._kind == CLASSIFY:
            self._labels.add(label)
