"""BANKING77: 10,003 + 3,080 questions to a bank, 77 intents, one label each.

I. Casanueva, T. Temčinas, D. Gerz, M. Henderson, I. Vulić, "Efficient Intent Detection with Dual
Sentence Encoders", NLP for ConvAI workshop at ACL 2020. Licence: CC BY 4.0.
"""

from __future__ import annotations

import csv
import io

from greenlight.core.errors import Tampered
from greenlight.datasets import fetch
from greenlight.datasets.source import Places, PublicSource
from greenlight.ports import Example, Progress

NAME = "banking77"
ADDRESS = (
    "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/"
    "57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data"
)
DIGESTS = {
    "train": "sha256:b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "test": "sha256:d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
}
_COLUMNS = ["text", "category"]


def load(places: Places, progress: Progress) -> PublicSource:
    """Read BANKING77 from the first place that has it (`fetch.obtain`).

    Raises:
        MissingData, Tampered: as `fetch.obtain`.
    """
    address = places.base_url or ADDRESS
    rows = {}
    for index, (split, digest) in enumerate(DIGESTS.items()):

        def part(share: float, words: str, done: int = index) -> None:
            progress((done + share) / len(DIGESTS), words)

        path = f"{NAME}/{split}.csv"
        rows[split] = parse(
            fetch.obtain(path, digest, f"{address}/{split}.csv", places, part), path
        )
    progress(1.0, f"{NAME} read")
    return PublicSource(
        name=NAME,
        origin=ADDRESS,
        licence="CC BY 4.0",
        citation="Casanueva et al., Efficient Intent Detection with Dual Sentence Encoders, "
        "NLP for ConvAI at ACL 2020",
        train=rows["train"],
        test=rows["test"],
    )


def parse(data: bytes, where: str) -> list[Example]:
    """Rows of a CSV file with the columns text and category. A text may hold line breaks.

    Raises:
        Tampered: another shape.
    """
    lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    try:
        if next(lines, None) != _COLUMNS:
            raise Tampered(f"{where}: the first line must be {','.join(_COLUMNS)}")
        rows = list(lines)
    except csv.Error as error:
        raise Tampered(f"{where}: line {lines.line_num}: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(_COLUMNS):
            raise Tampered(f"{where}: row {number} has {len(row)} fields, expected 2")
    return [Example(text=text, label=label) for text, label in rows]
