"""WNUT-2017: names of new and rare things in noisy text, six types, as BIO tags of words.

L. Derczynski, E. Nichols, M. van Erp, N. Limsopatham, "Results of the WNUT2017 Shared Task on
Novel and Emerging Entity Recognition", W-NUT at EMNLP 2017. Licence: CC BY 4.0.

`core.conll` says how its files are written. `emerging.test.annotated` is the test file of the
shared task; `emerging.test.conll`, which has several tags for a word, is not used.
"""

from __future__ import annotations

from collections.abc import Iterator

from greenlight.core import conll, tagging
from greenlight.core.errors import Tampered
from greenlight.datasets import fetch
from greenlight.datasets.source import Places, PublicSource
from greenlight.ports import Example, Progress

NAME = "wnut17"
ADDRESS = (
    "https://raw.githubusercontent.com/leondz/emerging_entities_17/"
    "e52a2d2a71ac1a051ca2d532eef28653c5c02603"
)
FILES = {
    "train": (
        "wnut17train.conll",
        "sha256:731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
    ),
    "validation": (
        "emerging.dev.conll",
        "sha256:e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
    ),
    "test": (
        "emerging.test.annotated",
        "sha256:2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
    ),
}
"""Split → file and digest. The official development set is the validation split."""

TYPES = ("corporation", "creative-work", "group", "location", "person", "product")
TAGS = frozenset(tagging.tag_set(f"B-{name} I-{name}" for name in TYPES))


def load(places: Places, progress: Progress) -> PublicSource:
    """Read WNUT-2017 from the first place that has it (`fetch.obtain`).

    Raises:
        MissingData, Tampered: as `fetch.obtain`.
    """
    address = places.base_url or ADDRESS
    rows = {}
    for index, (split, (file, digest)) in enumerate(FILES.items()):

        def part(share: float, words: str, done: int = index) -> None:
            progress((done + share) / len(FILES), words)

        path = f"{NAME}/{file}"
        rows[split] = parse(fetch.obtain(path, digest, f"{address}/{file}", places, part), path)
    progress(1.0, f"{NAME} read")
    return PublicSource(
        name=NAME,
        origin=ADDRESS,
        licence="CC BY 4.0",
        citation="Derczynski et al., Results of the WNUT2017 Shared Task on Novel and Emerging "
        "Entity Recognition, W-NUT at EMNLP 2017",
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
    )


def parse(data: bytes, where: str) -> list[Example]:
    """The sentences of a file.

    Raises:
        Tampered: a line that is no word, tab and tag (`core.conll`), or a tag that there is not.
    """
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        # Not splitlines(), which also breaks at characters that stand inside of words.
        for line in data.decode("utf-8").split("\n"):
            number += 1
            yield line

    def fault(message: str) -> None:
        raise Tampered(f"{where}: line {number}: {message}")

    found = conll.sentences(lines(), fault, TAGS)
    return [Example(*sentence) for sentence in found if sentence is not None]
