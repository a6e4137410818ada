"""Which tests there are, and at which E each of them acts: the error budget of one rollout.

All of it follows from the policy that is frozen at the start, so that nobody can add a test, move
a threshold or try again for free while the evidence comes in.

- The K tests that can roll back share α_harm: each acts at E ≥ 1/(w_k·α_harm), Σw = 1. The chance
  that any of them is ever wrong is at most α_harm, whatever they have to do with each other. E is
  never averaged over tests: they look at different things at different times.
- Promotion needs one proof and all proofs of being no worse, each at 1/α_superiority: the chance to
  pass all of them is at most that to pass the one that should fail (intersection-union).
- A pair of versions that is launched again pays: launch j > 1 has α/(j·(j+1)). Over any number of
  launches a test then errs with a chance of at most 1.5·α (docs/adr/0014).
"""

from __future__ import annotations

import math

import msgspec

from greenlight.core.policy import DecisionPolicy

LATENCY = ("p95", "p99", "slo")
ERROR = "error"
SHADOW = "shadow"
"""The test of copies, and the kind of its events: requests that one of both versions failed."""

STRONG = "superiority"
NO_WORSE = "no_worse"
SAME_SPLIT = "srm"
SAME_VOICE = "presence"


class CannotCompute(msgspec.Struct, frozen=True, kw_only=True):
    """What a test has instead of a number."""

    test: str
    reason: str


def event_kinds(policy: DecisionPolicy) -> tuple[str, ...]:
    """Kinds of first events that are tested: failures, and answers over each latency bar."""
    return (ERROR, *(f"latency_{name}" for name in LATENCY if name in policy.latency_bars))


def harm_tests(policy: DecisionPolicy) -> tuple[str, ...]:
    """The tests that can roll back.

    `quality`: judged answers were worse. `early_harm`: more BAD soon after answering. `intention`:
    more BAD and fewer GOOD over all exposed units, which counts where feedback itself differs.
    `errors`, `latency_…`: more units met a failure, a slow answer. `metric:NAME`: a secondary
    metric is worse by more than its margin. `shadow`: of the requests that one version failed and
    the other answered, more were failed by the candidate.
    """
    kinds = ("errors", *event_kinds(policy)[1:])
    metrics = (f"metric:{name}" for name, m in policy.secondaries.items() if m.bounds is not None)
    shadow = (SHADOW,) if policy.rollout.shadow else ()
    return ("quality", "early_harm", "intention", *shadow, *kinds, *metrics)


def proofs(policy: DecisionPolicy) -> tuple[str, ...]:
    """What promotion needs besides being better: proof of being no worse, for each of these."""
    return (f"{NO_WORSE}:errors", *(f"{NO_WORSE}:{name}" for name in policy.secondaries))


def main_proof(policy: DecisionPolicy) -> str:
    """The test that carries a promotion."""
    if policy.evidence.promote_on == "superiority":
        return STRONG
    return f"{NO_WORSE}:quality"


def missing(policy: DecisionPolicy) -> list[CannotCompute]:
    """The tests that this rollout cannot have, and why."""
    found = [
        CannotCompute(
            test=f"latency_{name}",
            reason="control had answered too few requests before the start to know its percentiles",
        )
        for name in ("p95", "p99")
        if name not in policy.latency_bars
    ]
    if "slo" not in policy.latency_bars:
        found.append(CannotCompute(test="latency_slo", reason="evidence.latency_slo_ms is not set"))
    for name, metric in policy.secondaries.items():
        if metric.bounds is None:
            reason = f"metrics.{name} is a number without bounds; declare low and high"
            found.append(CannotCompute(test=f"{NO_WORSE}:{name}", reason=reason))
    return found


def penalty(launch: int) -> float:
    """What is left of α for this launch of the same pair, in (0, 1]."""
    return 1.0 if launch <= 1 else 1 / (launch * (launch + 1))


def thresholds(policy: DecisionPolicy) -> dict[str, float]:
    """log E at which each test acts, by name."""
    rules, left = policy.evidence, penalty(policy.launch)
    tests = harm_tests(policy)
    shares = {test: rules.weights.get(test, 1.0) for test in tests}
    total = sum(shares.values())
    found = {
        test: math.log(total) - math.log(share * rules.alpha_harm * left)
        for test, share in shares.items()
    }
    win = -math.log(rules.alpha_superiority * left)
    names = (STRONG, *proofs(policy), f"{NO_WORSE}:quality", f"{NO_WORSE}:step")
    found |= dict.fromkeys(names, win)
    found |= dict.fromkeys((SAME_SPLIT, SAME_VOICE), -math.log(rules.alpha_trust))
    return found
