"""The picture on the page about watching a rollout, drawn as `greenlight status` draws."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from greenlight.core import budget
from greenlight.core.policy import DecisionPolicy, RolloutPolicy, Step
from greenlight.core.records import MINUTE, SECOND
from greenlight.core.states import Phase, RolloutStatus, Variant
from greenlight.core.waiting import way
from greenlight.entrypoints.cli.watching import picture

WIDTH = 110
NOW = 1_772_442_847 * SECOND
STEP = 1
POLICY = DecisionPolicy(
    rollout=RolloutPolicy(
        steps=(
            Step(weight=0.10, soak=15 * MINUTE),
            Step(weight=0.50, soak=30 * MINUTE),
            Step(weight=1.0),
        ),
        shadow=15 * MINUTE,
        holdback=0.05,
    ),
    latency_bars={"p95": 81.0, "slo": 150.0},
)
E = {
    "quality": 0.4,
    "errors": 2.1,
    "latency_p95": 1.3,
    "no_worse:errors": 31.0,
    "no_worse:step": 4.2,
    "srm": 1.6,
}
"""What the tests have come to; the others have seen nothing yet."""
_DOES = {
    budget.STRONG: "promotion",
    f"{budget.NO_WORSE}:errors": "promotion",
    f"{budget.NO_WORSE}:step": "step",
    budget.SAME_SPLIT: "trust",
    budget.SAME_VOICE: "trust",
}


def blocks() -> dict[str, str]:
    """The picture, between the marks of a block of text."""
    lines = "\n".join(line.plain for line in picture(look(), WIDTH))
    return {"greenlight status --watch": f"```text\n{lines}\n```\n"}


def look() -> dict[str, Any]:
    """A rollout at its canary step, as `status` finds it."""
    rules = POLICY.rollout
    return {
        "project": "acme-support",
        "environment": "prod",
        "at": NOW,
        "gateways": 2,
        "gateway": "http://127.0.0.1:8400",
        "kill_faults": [],
        "tasks": {
            "intent": {
                "live": "intent@6",
                "epoch": 12,
                "gateways_reached": 2,
                "kill": None,
                "rollout": {
                    "id": "0199d2f8-7c1e-7b52-9d0a-5f6a1c2b3d4e",
                    "candidate": "intent@7",
                    "control": "intent@6",
                    "aa": False,
                    "drill": None,
                    "since": NOW - 40 * MINUTE,
                    "phase": Phase.CANARY,
                    "way": msgspec.to_builtins(way(RolloutStatus.RUNNING, STEP, POLICY)),
                    "step": STEP + 1,
                    "steps": len(rules.ladder) - 1,
                    "weight": rules.ladder[STEP].weight,
                    "arms": {
                        Variant.CONTROL: _arm(4210, 5032, 901, 188),
                        Variant.CANDIDATE: _arm(472, 561, 31, 6),
                    },
                    "copies": {"made": 5120, "answered": 5120, "compared": 5120, "agreed": 4711}
                    | {"latency_ms": 24.1},
                    "evidence": _evidence(),
                    "alarms": _alarms(),
                    "difference": None,
                    "cannot_compute": {},
                    "excluded": {},
                    "launch": 1,
                    "trigger": "evidence",
                    "paused": None,
                    "decision": {
                        "id": "0199d306",
                        "at": NOW - 10 * MINUTE - 50 * SECOND,
                        "action": "stay",
                        "code": "soaking",
                        "reason": "this split has not been in force long enough",
                    },
                    "window_opens_at": None,
                    "next_step": "50% of units",
                    "waits_for": [
                        {"code": "soaking", "says": "this split stays for 4 min 10 s more"},
                        {
                            "code": "collecting",
                            "says": "37 of 100 outcomes of candidate, or proof that its answers "
                            "are no worse by 10%: E = 4.2, 20 is needed",
                        },
                    ],
                    "ends": [{"code": "horizon", "says": "undecided, it ends in 13 d 23 h"}],
                },
                "ended": None,
                "waiting": [],
                "next": None,
            }
        },
    }


def _arm(units: int, requests: int, good: int, bad: int) -> dict[str, int]:
    counts = {"units": units, "requests": requests, "served": requests, "failed": 0}
    return {**counts, "good": good, "bad": bad}


def _evidence() -> dict[str, Any]:
    limits, harm = budget.thresholds(POLICY), budget.harm_tests(POLICY)
    return {
        test: {
            "log_e": math.log(E.get(test, 1.0)),
            "log_threshold": limit,
            "purpose": "harm" if test in harm else _DOES.get(test, "shown"),
            "counts": test != "intention",
        }
        for test, limit in sorted(limits.items(), key=lambda item: item[0] not in harm)
    }


def _alarms() -> dict[str, Any]:
    arms = {
        "control": {"state": "ok", "value": 78.2, "requests": 640},
        "candidate": {"state": "ok", "value": 81.9, "requests": 71},
    }
    return {"p95_latency_ms": {"judgement": "ok", "over": 150.0, "for_s": 300, "arms": arms}}
