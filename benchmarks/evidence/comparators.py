"""What people do otherwise: z tests read off a dashboard, and an asymptotic confidence sequence.

All are two-sided, as a dashboard is.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from benchmarks.evidence.counting import Array, Crossings
from benchmarks.evidence.streams import Step
from greenlight.core.stats.sequential import EDGE, EVENTS, V_OPT

LOOKS = 20
LEAST = 30
"""Outcomes that each arm must have before a z test is read."""

NAIVE = "z test at every outcome"
SPACED = f"z test at {LOOKS} looks"
ASYMPTOTIC = "asymptotic sequence"


def z_size(control: float, candidate: float, alpha: float, power: float, weight: float) -> float:
    """Outcomes of both arms that a one-sided z test at one look takes, at some power."""
    normal = NormalDist()
    rejects, detects = normal.inv_cdf(1 - alpha), normal.inv_cdf(power)
    pooled = weight * candidate + (1 - weight) * control
    null = math.sqrt(pooled * (1 - pooled) * (1 / weight + 1 / (1 - weight)))
    spread = candidate * (1 - candidate) / weight + control * (1 - control) / (1 - weight)
    return ((rejects * null + detects * math.sqrt(spread)) / (candidate - control)) ** 2


class Dashboard:
    """Pooled counts of both arms, and who would have called a difference by looking at them."""

    def __init__(self, runs: int, length: int, alpha: float = 0.05) -> None:
        """`length`: outcomes in all, over which the spaced looks are spread."""
        self._n = np.zeros((2, runs))
        self._good = np.zeros((2, runs))
        self._seen = 0
        self._every = max(1, length // LOOKS)
        self.limit = NormalDist().inv_cdf(1 - alpha / 2)
        """Of |z|."""
        self._sequence = Differences(runs)
        self._alpha = alpha
        self.crossings = {name: Crossings(runs, 1 / alpha) for name in (NAIVE, SPACED, ASYMPTOTIC)}

    def take(self, step: Step) -> None:
        """Count one outcome of each run, then look."""
        self._seen += 1
        for arm, met in enumerate((1 - step.candidate, step.candidate)):
            self._n[arm] += met
            self._good[arm] += met * step.outcome
        beyond = (np.abs(self.z()) > self.limit) & (self._n.min(axis=0) >= LEAST)
        self.crossings[NAIVE].mark(beyond, self._seen)
        if self._seen % self._every == 0:
            self.crossings[SPACED].mark(beyond, self._seen)
        self._sequence.take(step)
        self.crossings[ASYMPTOTIC].mark(self._sequence.differs(self._alpha), self._seen)

    def z(self) -> Array:
        """The pooled z statistic of each run now."""
        n = np.maximum(self._n, 1)
        rates, pooled = self._good / n, self._good.sum(axis=0) / n.sum(axis=0)
        variance = np.maximum(pooled * (1 - pooled) * (1 / n).sum(axis=0), 1e-12)
        z: Array = (rates[1] - rates[0]) / np.sqrt(variance)
        return z


class Differences:
    """`core.stats.sequential.Difference`, the sequence that is displayed, of many runs."""

    def __init__(self, runs: int) -> None:
        self.n = np.zeros(runs)
        self.mean = np.zeros(runs)
        self.m2 = np.zeros(runs)
        self._total = np.zeros(runs)
        self._events = np.zeros((4, runs))

    def take(self, step: Step) -> None:
        """Take one outcome of each run; where π is 0 or 1 it is ignored."""
        taken = ((step.pi > 0) & (step.pi < 1)).astype(float)
        pi = np.where(taken > 0, step.pi, 0.5)
        base = np.clip((self._total + 0.5) / (self.n + 1), EDGE, 1 - EDGE)
        x = (step.candidate - pi) / (pi * (1 - pi)) * (step.outcome - base)
        self.n += taken
        off = x - self.mean
        self.mean += taken * off / np.maximum(self.n, 1)
        self.m2 += taken * off * (x - self.mean)
        self._total += taken * step.outcome
        for arm, met in enumerate((1 - step.candidate, step.candidate)):
            self._events[2 * arm] += taken * met * step.outcome
            self._events[2 * arm + 1] += taken * met * (1 - step.outcome)

    def half_width(self, alpha: float) -> Array:
        """What the two-sided sequence at 1 - α allows to each side of the mean."""
        doubt = -2 * math.log(alpha)
        rho = V_OPT / (doubt + math.log1p(doubt))
        scale = self.m2 + rho
        half: Array = np.sqrt(scale * (np.log(scale / rho) + doubt)) / np.maximum(self.n, 1)
        return half

    def differs(self, alpha: float) -> Array:
        """Whether 0 lies outside, once each arm has shown enough events of each kind."""
        enough = self._events.min(axis=0) >= EVENTS
        outside: Array = enough & (np.abs(self.mean) > self.half_width(alpha))
        return outside
