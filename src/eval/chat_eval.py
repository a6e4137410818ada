"""How answers of a chat are judged. Frozen: `protocol_digest` names this file.

Alone: `python -m eval.chat_eval answers.jsonl`, with a line `{"gold": …, "predicted": …}` per
conversation. Gates set the exit code (`eval.alone`).

The wanted answer is the one that people were content with. Another may be as good, so that these
numbers say how near two models come to what was wanted, and not how good an answer is; that is for
users to say. An answer agrees where it is the wanted one but for case and white space. Overlap is
the F1 of the words that both have, each as often as it stands in both (P. Rajpurkar, J. Zhang, K.
Lopyrev, P. Liang, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016; here
without leaving articles out, which only English has).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from eval import alone
from greenlight.core import fingerprint, jsonl
from greenlight.core.errors import BadInput
from greenlight.core.stats.intervals import wilson
from greenlight.core.stats.resampling import bootstrap_interval

SEED = 2016
"""Of the bootstrap: the same answers have the same interval."""

_WORD = re.compile(r"[^\W_]+")


class _Line(msgspec.Struct, frozen=True):
    gold: str
    predicted: str


def evaluate(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    """Judge the answers to n conversations.

    Args:
        gold: the wanted answers.
        predicted: the answers given; empty where none was, which is wrong.

    Returns:
        agreement: share of answers that agree with the wanted one, with its 95 % Wilson interval,
            `correct` and `n`.
        overlap: mean overlap of words with the wanted answer, with a 95 % interval from 2,000
            draws of conversations.
        unanswered: conversations that got no answer.

    Raises:
        BadInput: no conversations, unequal lengths, or a wanted answer that is empty.
    """
    if not gold or len(gold) != len(predicted):
        raise BadInput(
            f"cannot compute: {len(gold)} answers wanted, {len(predicted)} given", "gold"
        )
    if not all(plain(text) for text in gold):
        raise BadInput("an empty answer cannot be wanted", "gold")
    correct, n = sum(agreed(gold, predicted)), len(gold)
    low, high = wilson(correct, n)
    shares = overlaps(gold, predicted)
    interval = bootstrap_interval(mean, shares, rng=np.random.default_rng(SEED))
    assert interval is not None, "there is always a mean"
    return {
        "agreement": {"value": correct / n, "low": low, "high": high, "correct": correct, "n": n},
        "overlap": {"value": mean(shares), "low": interval[0], "high": interval[1], "n": n},
        "unanswered": sum(not plain(text) for text in predicted),
    }


def plain(text: str) -> str:
    """The form under which two answers are the same answer: without case, one space between
    words."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def agreed(gold: Sequence[str], predicted: Sequence[str]) -> list[bool]:
    """For each answer, whether it is the wanted one."""
    return [plain(true) == plain(said) for true, said in zip(gold, predicted, strict=True)]


def overlaps(gold: Sequence[str], predicted: Sequence[str]) -> NDArray[np.float64]:
    """For each answer, its overlap with the wanted one in [0, 1], shape (n,).

    For comparing two versions: the mean of them is what `evaluate` reports.
    """
    return np.array([_overlap(true, said) for true, said in zip(gold, predicted, strict=True)])


def mean(values: NDArray[Any]) -> float:
    """The mean of overlaps."""
    return float(values.mean())


def protocol_digest() -> str:
    """The digest of this module's source: what change control covers."""
    return fingerprint.digest_bytes(Path(__file__).read_bytes())


def _overlap(true: str, said: str) -> float:
    """2 × shared words / all words; where the wanted answer has none, such as "…" or "👍", whether
    both are the same."""
    wanted, given = Counter(_words(true)), Counter(_words(said))
    if not wanted:
        return float(plain(true) == plain(said))
    return 2 * (wanted & given).total() / (wanted.total() + given.total())


def _words(text: str) -> list[str]:
    return _WORD.findall(plain(text))


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge what the command line names; see `eval.alone`."""
    return alone.run("eval.chat_eval", __doc__, arguments, of_file=_of_file, of_bundle=_of_bundle)


def _of_file(data: bytes, name: str) -> dict[str, Any]:
    lines = jsonl.decode(data, _Line, name)
    return evaluate([line.gold for line in lines], [line.predicted for line in lines])


def _of_bundle(asked: alone.Asked) -> dict[str, Any]:
    return evaluate([row.label for row in asked.rows], [answer.label for answer in asked.answers])


if __name__ == "__main__":
    raise SystemExit(main())
