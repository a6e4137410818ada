"""Drills (REQUIREMENTS O6): a fault in a real canary, rehearsed, that must end in rollback.

The faulty candidate is the live version's bundle behind a runtime that spoils what it answers:

    {"kind": "drill", "of": <runtime of the live version>, "fault": "errors", "intensity": 0.05}

| fault     | what happens to the candidate            | intensity           | by default |
|-----------|------------------------------------------|---------------------|------------|
| `errors`  | calls fail                               | share of the calls  | 0.05       |
| `latency` | every call takes longer                  | seconds             | 0.25       |
| `quality` | an answer is another one of the labels   | share of the answers| 0.3        |

A version with such a runtime never serves as control, and its rollout never grows
(`core.growth`): at best it ends as inconclusive, which is a drill that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from greenlight.core.alarms import DEFAULT_ALARMS, AlarmRule
from greenlight.core.errors import BadInput
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import MILLISECOND, MINUTE, SECOND, Version
from greenlight.core.states import Action

KIND = "drill"
"""The kind of a runtime that rehearses a fault."""

ENTRY = "drill"
"""The kind of the ledger's entries on what drills came to."""

AFTER_ALARM = 2 * MINUTE
"""By then after an alarm everybody must be answered by control again (REQUIREMENTS O3)."""

Trigger = Literal["evidence", "alarm"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can go wrong with a candidate."""

    name: str
    intensity: float
    """Where nothing is said."""
    most: float
    words: str
    """What it does, with the intensity in the place of {}."""
    share: bool
    """Whether the intensity is a share, or seconds."""
    codes: tuple[str, ...]
    """Codes of decisions that see it by evidence; one that ends with a colon or an underscore
    stands for all that begin so."""
    alarm: str
    """The declared alarm that sees it."""

    def check(self, intensity: float) -> float:
        """The intensity, if it is one.

        Raises:
            BadInput: it is outside what this fault can have.
        """
        if not 0 < intensity <= self.most:
            what = "a share of the calls" if self.share else "seconds that every call takes longer"
            raise BadInput(
                f"intensity {intensity:g}: {self.name} takes {what}, above 0 and at most "
                f"{self.most:g}; {self.intensity:g} is the default",
                "intensity",
            )
        return intensity

    def sees(self, code: str) -> bool:
        """Whether a decision with this code by evidence is about this fault."""
        return any(code.startswith(c) if c[-1] in "_:" else code == c for c in self.codes)


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            name="errors",
            intensity=0.05,
            most=1.0,
            words="{:.3g}% of its calls fail",
            share=True,
            codes=("errors", "breaker"),
            alarm="server_error_rate",
        ),
        Fault(
            name="latency",
            intensity=0.25,
            most=60.0,
            words="every call takes {:g} s longer",
            share=False,
            # An answer that takes too long is a timeout, which is an error.
            codes=("latency_", "errors"),
            alarm="p95_latency_ms",
        ),
        Fault(
            name="quality",
            intensity=0.3,
            most=1.0,
            words="{:.3g}% of its answers are another label",
            share=True,
            codes=("quality", "early_harm", "intention", "metric:"),
            alarm="bad_feedback_rate",
        ),
    )
}
"""Name → fault."""


def is_drill(runtime: Mapping[str, Any]) -> bool:
    """Whether a version that is run like this rehearses a fault."""
    return runtime.get("kind") == KIND


def runtime_of(live: Mapping[str, Any], fault: str, intensity: float) -> dict[str, Any]:
    """How the faulty candidate is run.

    Args:
        live: the runtime of the live version.
        fault: one of `FAULTS`.
        intensity: see there.

    Raises:
        BadInput: no such fault, an intensity that it cannot have, or a drill of a drill.
    """
    if is_drill(live):
        raise BadInput("a drill rehearses on a version in earnest, not on another drill")
    if fault not in FAULTS:
        raise BadInput(f"fault {fault!r}: there are {', '.join(FAULTS)}", "fault")
    return {
        "kind": KIND,
        "of": dict(live),
        "fault": fault,
        "intensity": float(FAULTS[fault].check(intensity)),
    }


def in_earnest(runtime: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a version is run, without the fault that is rehearsed on it."""
    found: Mapping[str, Any] = runtime["of"] if is_drill(runtime) else runtime
    return found


def told(runtime: Mapping[str, Any], trigger: str = "evidence") -> str:
    """The fault of a drill's runtime in words, as `Rollout.drill` holds it.

    Args:
        runtime: the drill's.
        trigger: what may roll it back; whatever the evidence shows does not, if that is `alarm`.
    """
    fault = FAULTS[runtime["fault"]]
    intensity = runtime["intensity"]
    words = f"{fault.name}: {fault.words.format(intensity * 100 if fault.share else intensity)}"
    return words if trigger == "evidence" else f"{words}; only an alarm may roll it back"


def unfit(live: Version, candidate: Version, policy: DecisionPolicy, *, held: bool) -> str | None:
    """Why a rollout may not start; None where nothing that has to do with drills forbids it.

    Args:
        live: what it would be compared with.
        candidate: the version to roll out.
        policy: the one that it would be judged by.
        held: whether it would be a drill.
    """
    rehearses = is_drill(candidate.runtime)
    if not held and rehearses:
        return (
            f"{candidate.label} rehearses a fault ({told(candidate.runtime)}): hold it as a drill: "
            f"greenlight drill {candidate.task} --fault {candidate.runtime['fault']} --live"
        )
    if not held and policy.trigger != "evidence":
        return "only in a drill may the alarms alone decide"
    if held and not rehearses:
        return f"{candidate.label} rehearses no fault, so its rollout is no drill"
    same = live.bundle == candidate.bundle and in_earnest(candidate.runtime) == live.runtime
    if held and not same:
        return (
            f"{candidate.label} rehearses on a version that is not live; {live.label} is: "
            f"greenlight drill {candidate.task} makes one of it"
        )
    return None


def alarms(
    fault: Fault, declared: Mapping[str, AlarmRule], intensity: float, bad_share: float | None
) -> tuple[dict[str, AlarmRule], AlarmRule | None]:
    """The alarms of a drill that rehearses them: those declared, with one that sees the fault.

    Args:
        fault: what is rehearsed.
        declared: those of the task.
        intensity: of the fault.
        bad_share: the share of BAD among what is said of control; None: nobody knows.

    Returns:
        The alarms by name, and the one that was added, if any. Alarms on BAD lie half-way between
        control's share and the one that the fault makes of it.

    Raises:
        BadInput: an alarm on BAD is needed, and control's share is not known.
    """
    if fault.alarm in declared:
        return dict(declared), None
    added = DEFAULT_ALARMS.get(fault.alarm)
    if added is None:
        if bad_share is None:
            raise BadInput(
                f"no alarm {fault.alarm} is declared, and too few answers were judged lately to "
                "tell what it should be; declare it, see docs/configuration.md"
            )
        over = round(bad_share + (1 - bad_share) * intensity / 2, 3)
        added = AlarmRule(name=fault.alarm, over=over)
    return {**declared, added.name: added}, added


QUICK, SLOW, LIVE = 2 * MINUTE, 30 * MINUTE, 15 * MINUTE
"""How long evidence may take to show a fault: under steady traffic that is made for the drill; for
what users say, where traffic is what it is; for errors and latency there."""


def limit(fault: Fault, policy: DecisionPolicy, *, live: bool) -> int:
    """By when after the first exposure all traffic must be back at control, unless somebody says
    otherwise (µs).

    | trigger    | fault             | made traffic        | live traffic         |
    |------------|-------------------|---------------------|----------------------|
    | `evidence` | errors, latency   | 2 min               | 15 min               |
    | `evidence` | quality           | fast window + 2 min | fast window + 30 min |
    | `alarm`    | any               | `for` + 2 min       | `for` + 2 min        |

    Args:
        fault: what is rehearsed.
        policy: of the drill.
        live: whether real users bring the traffic.
    """
    if policy.trigger == "alarm":
        return policy.alarms[fault.alarm].duration + AFTER_ALARM
    if fault.name == "quality":
        return policy.rollout.fast_window + (SLOW if live else QUICK)
    return LIVE if live else QUICK


def before_users(policy: DecisionPolicy) -> DecisionPolicy:
    """The policy of a drill: users meet the candidate at once, for copies in the shadow harm
    nobody and are rolled back by a rule of their own."""
    rules = msgspec.structs.replace(policy.rollout, shadow=0)
    return msgspec.structs.replace(policy, rollout=rules)


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of a drill. Times are µs since 1970-01-01 UTC."""

    exposed_at: int | None
    """When the first unit met the candidate; None: nobody has."""
    alarm: str | None = None
    """The alarm that rolled it back; None: none did."""
    alarm_at: int | None = None
    """The end of the last minute that it took."""
    decided_at: int | None = None
    """When the rollout ended; None: it has not."""
    action: str | None = None
    code: str | None = None
    reason: str | None = None
    """Of the decision that ended it."""
    before: str | None = None
    """The verdict before that one, where a person ended it: what kept it from being rolled back."""
    applied_at: int | None = None
    """When the last gateway took over the routing after it; None: not all have."""
    requests: int = 0
    """Requests that were assigned to the candidate."""
    served: int = 0
    """Those that it answered itself."""
    units: int = 0
    """Units that met it."""
    failed: int = 0
    """Its calls that ended in an error or a timeout."""
    bad: int = 0
    """Answers of its units that were called BAD."""
    user_errors: int | None = None
    """Requests that nobody answered, as the clients saw them; None: nobody counted."""

    @property
    def detection(self) -> int | None:
        """From the first exposure to the rollback (µs)."""
        seen = self.action == Action.ROLLBACK
        return _between(self.exposed_at, self.decided_at) if seen else None

    @property
    def after_alarm(self) -> int | None:
        """From the alarm to the decision (µs)."""
        return _between(self.alarm_at, self.decided_at)

    @property
    def alarm_to_control(self) -> int | None:
        """From the alarm until every gateway had taken the decision over (µs)."""
        return _between(self.alarm_at, self.applied_at)

    @property
    def whole(self) -> int | None:
        """From the first exposure until every gateway had taken the decision over (µs)."""
        return _between(self.exposed_at, self.applied_at)

    @property
    def propagation(self) -> int | None:
        """From the decision until every gateway had taken it over (µs)."""
        return _between(self.decided_at, self.applied_at)


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start


def failure(found: Findings, fault: Fault, trigger: Trigger, within: int) -> str | None:
    """Why a drill failed; None: it passed.

    Args:
        found: what was seen.
        fault: what was rehearsed.
        trigger: what should have rolled it back.
        within: how long after the first exposure all traffic must be back at control (µs).
    """
    if found.exposed_at is None:
        return "no unit met the candidate: there was no traffic, or no gateway let it in"
    if found.decided_at is None or found.action is None:
        return f"nothing was decided within {_span(within)}"
    if found.action == Action.WITHDRAW and found.code == "order":
        last = "" if found.before is None else f"; the last verdict was {found.before}"
        return f"nothing rolled it back, and it was called off by {found.reason}{last}"
    if found.action != Action.ROLLBACK:
        return f"it ended as {found.action} ({found.code}), not by a rollback: {found.reason}"
    wanted = f"alarm {fault.alarm}" if trigger == "alarm" else f"evidence of {fault.name}"
    seen = found.alarm == fault.alarm if trigger == "alarm" else fault.sees(found.code or "")
    if not seen:
        return f"it was rolled back by {found.code} and not by {wanted}: {found.reason}"
    if found.applied_at is None:
        return "not every gateway took the rollback over"
    return _too_late(found, within) or (
        f"users saw {found.user_errors} errors; control must answer for the candidate"
        if found.user_errors
        else None
    )


def _too_late(found: Findings, within: int) -> str | None:
    took = found.whole or 0
    if took > within:
        return f"all traffic was back at control after {_span(took)}; {_span(within)} is the most"
    late = found.alarm_to_control or 0
    if late > AFTER_ALARM:
        return (
            f"all traffic was back at control {_span(late)} after the alarm; "
            f"{_span(AFTER_ALARM)} is the most (O3)"
        )
    return None


def _span(duration: int) -> str:
    """A duration for people."""
    if duration < SECOND:
        return f"{duration / MILLISECOND:.0f} ms"
    return f"{duration / SECOND:.1f} s" if duration < MINUTE else f"{duration / MINUTE:.1f} min"
