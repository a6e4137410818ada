"""Who hands in study cards, what the old rulebook says of them, and what reviewers say today.

The base model learnt an old rulebook, and that was wrong twice: it turned away cards with a gap
(`no question on the front`), and it let in questions that a coin could answer. In the second season
authors hand in two kinds of cards that nobody knew before, one good and one flawed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from examples import users
from examples.judge.cards import APPROVE, KINDS, REJECT, card
from examples.worlds import Conversation, Visit, Word
from greenlight.core.reasoned import whole
from greenlight.models.prompt import Prompt

PROMPT = Path(__file__).parent / "prompt.txt"
LABELS = (APPROVE, REJECT)

SEASONS: Mapping[int, Mapping[str, float]] = {
    0: {"plain": 30, "two": 16, "vague": 16, "told": 14, "long": 14, "cloze": 6, "coin": 4},
    1: {"plain": 26, "two": 9, "vague": 9, "told": 8, "long": 8, "cloze": 24, "coin": 16},
    2: {
        **{"plain": 16, "two": 5, "vague": 5, "told": 5, "long": 5, "cloze": 14, "coin": 8},
        **{"word": 26, "taste": 16},
    },
}
"""How often each kind of card is handed in, by season (in per cent); 0 was the old rulebook's."""

OLD = {"cloze": (REJECT, "no question on the front"), "coin": (APPROVE, KINDS["plain"].reason)}
"""Where the old rulebook says otherwise."""

BASE_ROWS = 400
"""Judgements by the old rulebook that the base model is fitted from."""
CODES = {REJECT: "wrong_reject", APPROVE: "wrong_approve"}

JUDGED, SLIPS = 0.6, 0.02
"""The share of answers that a reviewer looks at, and how often they press the wrong button."""
GIVES_CODE, COMMENTS = 0.9, 0.8
"""How often a BAD comes with its reason code, and how often that with a comment."""
WATCHED = 0.9
"""The share of authors of whom it is known what they then do."""
DELAY_S = 0.5


class Judge:
    """The world of the gatekeeper of study cards; see `examples.worlds.World`."""

    name = "judge"
    task = "judge"
    base = "judge-base"
    hurry: Mapping[str, str] = {
        '{ weight = 0.10, soak = "15m" }': '{ weight = 0.25, soak = "5s" }',
        '{ weight = 0.50, soak = "30m" }': '{ weight = 0.50, soak = "5s" }',
        'horizon = "14d" ': 'horizon = "5m" ',
        "max_rows = 10000": "max_rows = 700",
        'feedback_window = "1d" ': (
            'fast_window = "2s"\ngrace = "500ms"\nmin_outcomes = 60\nstale_after = "5s"\n'
            'feedback_window = "4s" '
        ),
        # All of them share a machine: what is slow here says little of a model.
        "#[tasks.judge.evidence]": (
            "[tasks.judge.evidence]\nerror_margin = 0.05\nlatency_floor_ms = 1000\n"
            "latency_slo_ms = 2000"
        ),
        "[gateway]\n": '[controller]\ninterval = "250ms"\n\n[gateway]\n',
    }

    def conversations(self, rng: np.random.Generator) -> Iterator[Conversation]:
        """Cards with the answers of the old rulebook."""
        prompt = Prompt(PROMPT.read_text(encoding="utf-8"), model=self.base, labels=LABELS)
        for _ in range(BASE_ROWS):
            kind = _draw(SEASONS[0], rng)
            known = KINDS[kind]
            label, reason = OLD.get(kind, (known.label, known.reason))
            yield [
                {"role": "user", "content": prompt.render(card(kind, rng))},
                {"role": "assistant", "content": whole(label, reason)},
            ]

    def visit(self, season: int, rng: np.random.Generator) -> Visit:
        """An author hands in a card."""
        kind = _draw(SEASONS[season], rng)
        return Visit(card(kind, rng), kind)

    def hear(self, visit: Visit, answer: str, rng: np.random.Generator) -> Sequence[Word]:
        """Some answers are judged by a reviewer, who reads the card and the label; of most cards it
        is known whether they were created, and how often they were practised then."""
        known = KINDS[visit.about]
        label = answer.partition(":")[0]
        said = list(_judged(known.label, known.reason, label, rng))
        if rng.random() < WATCHED:
            said += _then(known.label == APPROVE, label == APPROVE, rng)
        return said


def _judged(right: str, reason: str, label: str, rng: np.random.Generator) -> Iterator[Word]:
    if rng.random() >= JUDGED:
        return
    delay = float(rng.exponential(DELAY_S))
    agrees = (label == right) != (rng.random() < SLIPS)
    if agrees:
        yield Word("quality", "GOOD", delay)
        return
    code = CODES.get(label) if rng.random() < GIVES_CODE else None
    comment = reason if code and label != right and rng.random() < COMMENTS else None
    yield Word("quality", "BAD", delay, code, comment)


def _then(good: bool, let_in: bool, rng: np.random.Generator) -> Iterator[Word]:
    """A card that is let in is created, if its author has not thought better of it; one that is
    turned away hardly ever is. A good card is practised twice as often as a flawed one."""
    delay = float(rng.exponential(DELAY_S))
    created = rng.random() < ((0.95 if good else 0.75) if let_in else 0.05)
    yield Word("card_created", float(created), delay)
    if created:
        practised = min(10, int(rng.poisson(6.0 if good else 3.0)))
        yield Word("engagement", float(practised), delay + float(rng.exponential(DELAY_S)))


def _draw(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    kinds = list(shares)
    weights = np.array([shares[kind] for kind in kinds], dtype=float)
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


WORLD = Judge()

if __name__ == "__main__":
    users.main(WORLD)
