"""Who asks for posts, how many followers they engage, and what the authors say of them.

The base model has read what the page wrote so far: every manner of hook on every subject, whatever
came of it. Which manner the followers of a subject like it does not know, and nobody tells it; a
post is out there for a while, and then the platform says what share of followers it engaged. In the
second season the page writes on three more subjects, of which nothing was learnt in the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from examples import users
from examples.posts.writing import MANNERS, SUBJECTS, brief, engages, pick, post
from examples.worlds import Conversation, Visit, Word

PROMPT = Path(__file__).parent / "prompt.txt"

OLD, NEW = tuple(SUBJECTS)[:6], tuple(SUBJECTS)[6:]
SEASONS: Mapping[int, Sequence[str]] = {1: OLD, 2: (*OLD, *NEW, *NEW)}
"""What is asked for in a season; subjects that stand there twice are asked for twice as often."""

BASE_ROWS = 225
"""Posts of the past that the base model is fitted from."""
BAR = 0.06
"""The share of followers from which on an author is content, as the filter of the data set."""
FOLLOWERS = (250, 600)
"""How many see a post: at least, and fewer than."""
JUDGED, SLIPS = 0.6, 0.02
"""The share of posts that an author judges, and how often they press the wrong button."""
MEASURED = 0.95
"""The share of posts of which the platform says what they engaged."""
DELAY_S = 0.5


class Posts:
    """The world of the page; see `examples.worlds.World`."""

    name = "posts"
    task = "posts"
    base = "posts-base"
    hurry: Mapping[str, str] = {
        '{ weight = 0.10, soak = "15m" }': '{ weight = 0.20, soak = "5s" }',
        '{ weight = 0.50, soak = "30m" }': '{ weight = 0.50, soak = "5s" }',
        'horizon = "14d" ': 'horizon = "3m" ',
        'feedback_window = "1d" ': (
            'fast_window = "2s"\ngrace = "500ms"\nmin_outcomes = 60\nstale_after = "5s"\n'
            'feedback_window = "4s" '
        ),
    }

    def conversations(self, rng: np.random.Generator) -> Iterator[Conversation]:
        """What the page wrote so far: any manner, whatever came of it."""
        told = PROMPT.read_text(encoding="utf-8")
        for _ in range(BASE_ROWS):
            subject = pick(rng, tuple(SUBJECTS))
            yield [
                {"role": "system", "content": told},
                {"role": "user", "content": brief(subject, rng)},
                {"role": "assistant", "content": post(subject, pick(rng, MANNERS))},
            ]

    def visit(self, season: int, rng: np.random.Generator) -> Visit:
        """An author asks for a post."""
        subject = pick(rng, SEASONS[season])
        return Visit(brief(subject, rng), subject)

    def hear(self, visit: Visit, answer: str, rng: np.random.Generator) -> Sequence[Word]:
        """The platform says what share of those who saw the post it engaged. Some authors look at
        that, and are content or not."""
        seen = int(rng.integers(*FOLLOWERS))
        share = int(rng.binomial(seen, engages(visit.about, answer))) / seen
        said = list(_measured(share, rng))
        return [*said, *_judged(share, rng)]


def _measured(share: float, rng: np.random.Generator) -> Iterator[Word]:
    if rng.random() < MEASURED:
        yield Word("engagement_rate", share, float(rng.exponential(DELAY_S)))


def _judged(share: float, rng: np.random.Generator) -> Iterator[Word]:
    if rng.random() >= JUDGED:
        return
    content = (share > BAR) != (rng.random() < SLIPS)
    yield Word("quality", "GOOD" if content else "BAD", float(rng.exponential(DELAY_S)))


WORLD = Posts()

if __name__ == "__main__":
    users.main(WORLD)
