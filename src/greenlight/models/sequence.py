"""The best sequence of tags by the scores of single words, under the rules of BIO.

Viterbi's algorithm (Forney, "The Viterbi Algorithm", Proceedings of the IEEE 61, 1973) with hard
constraints in place of learnt transitions: an `I-TYPE` stands behind a `B-TYPE` or another
`I-TYPE` of its type.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from greenlight.models.linear import Doubles

Integers = npt.NDArray[np.int64]


class Rules:
    """Which tag may stand where, for one set of tags."""

    def __init__(self, tags: Sequence[str]) -> None:
        """Learn the tags' order; theirs are the columns of the scores.

        A type that has no `B-` among the tags may begin with its `I-`: it could not occur at all.
        """
        known = set(tags)
        starts = np.array([not _inside(tag) or f"B-{tag[2:]}" not in known for tag in tags])
        same = np.array(
            [[_inside(tag) and before[2:] == tag[2:] for tag in tags] for before in tags]
        )
        self._start: Doubles = np.where(starts, 0.0, -np.inf)
        self._follow: Doubles = np.where(starts | same, 0.0, -np.inf)

    def best(self, scores: npt.NDArray[np.floating]) -> Integers:
        """The tags, by number, whose scores sum to the most; [words].

        Args:
            scores: finite, [words, tags]; at least one tag may begin.
        """
        words, tags = scores.shape
        if words == 0:
            return np.zeros(0, np.int64)
        total = scores[0] + self._start
        came_from = np.zeros((words, tags), np.int64)
        columns = np.arange(tags)
        for word in range(1, words):
            ways = total[:, None] + self._follow
            came_from[word] = ways.argmax(axis=0)
            total = ways[came_from[word], columns] + scores[word]
        found = np.zeros(words, np.int64)
        found[-1] = total.argmax()
        for word in range(words - 1, 0, -1):
            found[word - 1] = came_from[word, found[word]]
        return found


def _inside(tag: str) -> bool:
    return tag.startswith("I-")
