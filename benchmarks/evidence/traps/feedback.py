"""Traps of feedback: when it comes, from whom, and whether it comes at all."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.evidence import streams
from benchmarks.evidence.counting import Array, Crossings, reaches, rng_of
from benchmarks.evidence.null import ALPHA
from benchmarks.evidence.streams import WINDOW, Step, Stream
from benchmarks.evidence.traps.trap import Trap, trap
from greenlight.core import budget
from greenlight.core.policy import DecisionPolicy
from greenlight.core.stats.evalues import HORIZON
from greenlight.core.stats.many import AssignmentTests, MarginTests
from greenlight.core.verdict import LOUD

POLICY = DecisionPolicy()
LIMITS = budget.thresholds(POLICY)
HARM = POLICY.evidence.alpha_harm


def delayed(runs: int, length: int = 3_000) -> Trap:
    """The candidate's users take three times as long to say anything; a BAD is said sooner."""
    world = streams.delayed(rng_of("trap: delayed"), runs, length, 0.0, slower=3.0)
    by_arrival = np.argsort(world.arrives, axis=1)
    by_exposure = np.argsort(world.exposed, axis=1)
    return trap(
        "feedback of the candidate comes later",
        "take outcomes in as they arrive",
        "take them in by first exposure, all once their window is over",
        _core(streams.columns(world, by_arrival, world.arrives), runs),
        _core(streams.columns(world, by_exposure, world.exposed + WINDOW), runs),
        ALPHA,
    )


def _core(steps: Stream, runs: int) -> Array:
    test = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    found = Crossings(runs, 1 / ALPHA)
    for step in steps:
        test.take(*step)
        found.look(test, 1)
    return found.happened


SAID = 0.3
"""Share of answers on which anybody says anything."""


LOUDER = 0.6
"""The same among those who are dissatisfied with the candidate."""


def silent(runs: int, length: int = 6_000, confirmed: bool = False) -> Trap:
    """Who is dissatisfied with the candidate says so twice as often; nobody is more often so.

    Args:
        runs: rollouts to simulate.
        length: exposed units of each.
        confirmed: the stricter rule: worse answers count only with E ≥ 20 for fewer GOOD over all
            exposed units, and not only once the alarm has gone off.
    """
    rng = rng_of("trap: silent")
    quality = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    intended, presence = _Intended(runs), _Presence(runs)
    conditional, judged = Crossings(runs, 1 / ALPHA), Crossings(runs, 1 / ALPHA)
    half = np.full(runs, 0.5)
    for number in range(length):
        candidate = (rng.random(runs) < 0.5).astype(float)
        good = (rng.random(runs) < 0.8).astype(float)
        said = rng.random(runs) < np.where((good == 0) & (candidate == 1), LOUDER, SAID)
        minute = np.full(runs, 1 + number // streams.PER_MINUTE)
        quality.take(np.where(said, candidate, 1.0), good, half * said, minute)
        presence.take(Step(candidate, said.astype(float), half, minute))
        intended.take(Step(candidate, good, half, minute), said)
        worse = reaches(quality, LIMITS["quality"])
        conditional.mark(worse, number)
        if confirmed:
            worse = worse & reaches(intended.fewer_good, -math.log(ALPHA))
        judged.mark(np.where(presence.unequal, intended.worse, worse), number)
    shipped = "once feedback comes unequally, only BAD and GOOD over all exposed units count"
    name = "the dissatisfied say so more often of the candidate"
    return trap(
        f"{name} (stricter)" if confirmed else name,
        "test GOOD against BAD among those who say something",
        f"{shipped}; before, GOOD must be rarer there, too: E ≥ 20" if confirmed else shipped,
        conditional.happened,
        judged.happened,
        ALPHA if confirmed else HARM,
    )


class _Presence:
    """Does feedback come alike? Both directions, averaged; once it has been shown not to, it stays
    so."""

    def __init__(self, runs: int) -> None:
        self._more = AssignmentTests(direction="superiority", runs=runs)
        self._less = AssignmentTests(direction="harm", runs=runs)
        self.unequal = np.zeros(runs, bool)

    def take(self, step: Step) -> None:
        for test in (self._more, self._less):
            test.take(*step)
        log_e = np.logaddexp(self._more.log_e, self._less.log_e) - math.log(2)
        self.unequal |= log_e >= LIMITS[budget.SAME_VOICE]


class _Intended:
    """Both outcomes of all exposed units, whether they said anything or not."""

    def __init__(self, runs: int) -> None:
        self._more_bad = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
        self.fewer_good = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
        self._much_fewer = MarginTests(
            margin=POLICY.evidence.good_margin, reverse=True, runs=runs, horizon=HORIZON
        )

    def take(self, step: Step, said: Array) -> None:
        good = step._replace(outcome=said * step.outcome)
        self._more_bad.take(*step._replace(outcome=1 - said * (1 - step.outcome)))
        self.fewer_good.take(*good)
        self._much_fewer.take(*good)

    @property
    def worse(self) -> Array:
        log_e = np.minimum(self._more_bad.log_e, self._much_fewer.log_e)
        shown: Array = log_e >= LIMITS["intention"]
        return shown


def one_voice(runs: int, length: int = 3_000) -> Trap:
    """One reviewer gives 30 % of the outcomes, has found out who is who, and dislikes the new."""
    rng = rng_of("trap: one voice")
    test = AssignmentTests(direction="harm", runs=runs, horizon=HORIZON)
    believed, judged = Crossings(runs, 1 / ALPHA), Crossings(runs, 1 / ALPHA)
    own, half = np.zeros(runs), np.full(runs, 0.5)
    for number in range(length):
        candidate = (rng.random(runs) < 0.5).astype(float)
        reviewer = rng.random(runs) < 0.3
        against = reviewer & (candidate == 1)
        good = (rng.random(runs) < np.where(against, 0.0, 0.8)).astype(float)
        test.take(candidate, good, half, np.full(runs, 1 + number // streams.PER_MINUTE))
        own += reviewer
        outcomes = number + 1
        trusted = own / outcomes <= POLICY.evidence.max_source_share
        trusted |= own < LOUD
        worse = reaches(test, LIMITS["quality"])
        believed.mark(worse, number)
        judged.mark(worse & trusted, number)
    return trap(
        "one reviewer gives 30% of the outcomes, BAD to the candidate",
        "believe whoever says something",
        f"hold while one reviewer gave {LOUD} outcomes or more, and more than "
        f"{POLICY.evidence.max_source_share:.0%} of all",
        believed.happened,
        judged.happened,
        HARM,
    )
