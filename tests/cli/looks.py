"""Looks at tasks in every state, as `greenlight status` gives them."""

from __future__ import annotations

import copy
from typing import Any

from greenlight.core.records import HOUR, MINUTE, SECOND

NOW = 1_800_000_000 * SECOND
LOUD = "\x1b[2J\x07 ответ 卡片 " * 9


def evidence(log_e: float | None, limit: float, purpose: str, counts: bool = True) -> Any:
    return {"log_e": log_e, "log_threshold": limit, "purpose": purpose, "counts": counts}


def rung(phase: str, weight: float | None, place: str) -> Any:
    return {"phase": phase, "weight": weight, "soak": 0, "place": place}


ROLLOUT: dict[str, Any] = {
    "id": "01a3185d-6940-7232-aa10-fb8ea6e1a19c",
    "candidate": "intent@2",
    "control": "intent@1",
    "aa": False,
    "drill": None,
    "since": NOW - HOUR,
    "phase": "canary",
    "way": [
        rung("shadow", 0.0, "passed"),
        rung("canary", 0.1, "here"),
        rung("last_step", 0.5, "ahead"),
        rung("holdback", 0.95, "ahead"),
        rung("promoted", 1.0, "ahead"),
    ],
    "step": 2,
    "steps": 4,
    "weight": 0.1,
    "arms": {
        "control": {"units": 1479, "requests": 1556, "served": 1556, "good": 670, "bad": 175},
        "candidate": {"units": 104, "requests": 111, "served": 111, "good": 51, "bad": 8},
    },
    "copies": {"made": 611, "answered": 611, "latency_ms": 24.0},
    "evidence": {
        "quality": evidence(-0.53, 6.68, "harm"),
        "intention": evidence(3.1, 6.68, "harm", counts=False),
        "errors": evidence(0.0, 6.68, "harm"),
        "superiority": evidence(0.0, 3.0, "promotion"),
        "no_worse:errors": evidence(17.3, 3.0, "promotion"),
        "no_worse:resolved_by_the_first_answer": evidence(1.5, 3.0, "promotion"),
        "no_worse:step": evidence(1.59, 3.0, "step"),
        "no_worse:quality": evidence(1.59, 3.0, "shown", counts=False),
        "srm": evidence(0.55, 6.9, "trust"),
    },
    "difference": (-0.016, 0.151),
    "cannot_compute": {
        "latency_p95": "control had answered too few requests",
        "latency_p99": "control had answered too few requests",
    },
    "excluded": {"late": 3},
    "launch": 1,
    "trigger": "evidence",
    "paused": None,
    "decision": {
        "id": "d1",
        "at": NOW - 7 * SECOND,
        "action": "stay",
        "code": "soaking",
        "reason": "this split has not been in force long enough",
    },
    "window_opens_at": None,
    "next_step": "50% of units",
    "waits_for": [
        {"code": "soaking", "says": "this split stays for 4 min 10 s more"},
        {"code": "collecting", "says": "37 of 100 outcomes of candidate"},
    ],
    "ends": [{"code": "horizon", "says": "undecided, it ends in 13 d 4 h"}],
}
ENDED = {
    "id": ROLLOUT["id"],
    "candidate": "intent@2",
    "status": "rolled_back",
    "at": NOW - MINUTE,
    "decision": {"id": "d2", "code": "quality", "reason": "its answers were worse: E = 812 ≥ 800"},
    "incident": {"standing": "open: baseline is next", "closed_at": None},
}
ALARMS = {
    "p95_latency_ms": {
        "judgement": "rollback",
        "over": 150.0,
        "for_s": 300,
        "arms": {
            "control": {"state": "ok", "value": 81.24, "minutes_over": 0, "requests": 412},
            "candidate": {"state": "breached", "value": 240.0, "minutes_over": 5, "requests": 44},
        },
    },
    "server_error_rate": {
        "judgement": "no_data",
        "over": 0.005,
        "for_s": 300,
        "arms": {
            "control": {"state": "no_data", "value": None, "minutes_over": 0, "requests": 0},
            "candidate": {"state": "no_data", "value": None, "minutes_over": 0, "requests": 0},
        },
    },
    "class_shift": {
        "judgement": "ok",
        "over": 0.2,
        "for_s": 300,
        "arms": {"candidate": {"state": "ok", "value": 0.01, "minutes_over": 0, "requests": 44}},
    },
}
KILL = {
    "task": "intent",
    "generation": 3,
    "state": "killed",
    "by": "ana",
    "why": "support is flooded",
    "since": NOW - 12 * SECOND,
    "at": NOW - 12 * SECOND,
    "gateways_reached": 1,
}

FAULT = "/srv/acme/.greenlight/kill.json: no kill file; what was read before stays in force"


def found(rollout: Any = None, *, gateways: int = 2, **task: Any) -> dict[str, Any]:
    """What a look gives."""
    return {
        "project": "acme",
        "environment": "prod",
        "at": NOW,
        "gateways": gateways,
        "gateway": "http://127.0.0.1:8400",
        "kill_faults": [],
        "tasks": {
            "intent": {
                "live": "intent@1",
                "epoch": 7,
                "gateways_reached": 1,
                "rollout": copy.deepcopy(rollout),
                "kill": None,
                "ended": None,
                "waiting": [],
                "next": None,
                **task,
            }
        },
    }


def running(**changes: Any) -> dict[str, Any]:
    return found({**ROLLOUT, **changes})


def pending() -> dict[str, Any]:
    way = [rung("pending", None, "here"), *({**r, "place": "ahead"} for r in ROLLOUT["way"])]
    return running(
        phase="pending",
        weight=0.0,
        step=1,
        way=way,
        arms={},
        copies={},
        decision=None,
        window_opens_at=NOW + 20 * HOUR,
        waits_for=[{"code": "window", "says": "the release window is Mon-Thu 09:00-16:00 UTC"}],
    )


STATES: dict[str, dict[str, Any]] = {
    "nothing": found(live=None, epoch=None, next="greenlight run intent", gateways=0),
    "no rollout": found(),
    "waiting": found(waiting=[{"version": "intent@3", "status": "evaluated", "sign_off": "none"}]),
    "running": running(),
    "alarms": running(alarms=ALARMS),
    "killed": found(kill=KILL),
    "kill file": {**found(), "kill_faults": [FAULT]},
    "paused": running(paused="ben (product_owner): a holiday"),
    "no gateway": found({**ROLLOUT}, gateways=0, gateways_reached=0),
    "pending": pending(),
    "drill": running(drill="sleeps for 400 ms", trigger="alarm", launch=3),
    "huge": running(
        arms={v: dict.fromkeys(("units", "requests", "good"), 10**9) for v in ROLLOUT["arms"]}
    ),
    "chat": running(
        arms={
            v: {"requests": 9, "input_tokens": 12345, "output_tokens": 99, "cost": 0.25}
            for v in ROLLOUT["arms"]
        }
    ),
    "ended": found(ended=ENDED),
    "closed": found(ended={**ENDED, "incident": {"standing": "closed", "closed_at": NOW}}),
    "hostile": running(candidate=LOUD, paused=LOUD, next_step=LOUD, excluded={LOUD: 1}),
}
