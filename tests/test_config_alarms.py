"""[tasks.NAME.alarms]: what may be declared; what could never see anything may not be (O2)."""

from __future__ import annotations

from pathlib import Path

from greenlight import config
from greenlight.core.alarms import AlarmRule
from greenlight.core.records import HOUR, MINUTE
from tests.test_config import VALID, faults, write

ALARMS = """\
[tasks.intent.alarms]
p95_latency_ms = { over = 150, for = "5m" }
server_error_rate = { over = 0.005, for = "1h", min_requests = 40 }
"""


def test_alarms_are_part_of_the_policy(tmp_path: Path) -> None:
    """O2: as INTERFACES writes them; nothing is declared unless it stands there."""
    task = config.load(write(tmp_path, VALID + ALARMS), {}).task("intent")
    assert task.policy.alarms == {
        "p95_latency_ms": AlarmRule(name="p95_latency_ms", over=150.0, duration=5 * MINUTE),
        "server_error_rate": AlarmRule(
            name="server_error_rate", over=0.005, duration=HOUR, min_requests=40
        ),
    }
    assert config.load(write(tmp_path, VALID), {}).task("intent").policy.alarms == {}


def test_every_fault_at_once(tmp_path: Path) -> None:
    """O2: an unknown alarm, key or value is an error, each with its line and what to write."""
    text = """\
[tasks.intent.alarms]
p95_latency = { over = 150 }
server_error_rate = { over = 5, for = "90s", min_requests = 0 }
bad_feedback_rate = { over = 0.1, four = "5m", duration = "5m" }
class_shift = { for = 5 }
"""
    first = VALID.count("\n") + 2
    where = [f"greenlight.toml:{first + n}: tasks.intent.alarms" for n in range(4)]
    assert faults(tmp_path, VALID + text) == [
        f"{where[0]}.p95_latency: no such alarm; did you mean 'p95_latency_ms'?",
        f'{where[1]}.server_error_rate.for: must be whole minutes, at most 1h, such as "5m"',
        f"{where[1]}.server_error_rate.min_requests: 0 would take no data for health; "
        "use 1 or more",
        f"{where[1]}.server_error_rate.over: 5.0 is outside [0, 1); 0.005 is half a percent",
        f"{where[2]}.bad_feedback_rate.duration: unknown key; there are: for, min_requests, over",
        f"{where[2]}.bad_feedback_rate.four: unknown key; did you mean 'for'?",
        f'{where[3]}.class_shift.for: expected a duration with its unit, such as "15m" '
        "(units: ms, s, m, h, d), got 5",
        f"{where[3]}.class_shift.over: missing",
    ]


def test_what_could_never_see_anything_is_refused(tmp_path: Path) -> None:
    """O2: it would hold every rollout for ever."""
    labels = "[tasks.intent.alarms]\nclass_shift = { over = 0.1 }\n"
    assert "class_shift: the labels are not kept (capture.mask)" in " ".join(
        faults(tmp_path, VALID + labels + '[tasks.intent.capture]\nmask = ["output"]\n')
    )
    chat = '[tasks.reply]\nkind = "chat"\n[tasks.reply.alarms]\nclass_shift = { over = 0.1 }\n'
    assert "class_shift: a task of kind chat gives no classes" in " ".join(
        faults(tmp_path, VALID + chat)
    )
    copies = "[tasks.intent.alarms]\nshadow_disagreement_rate = { over = 0.1 }\n"
    (found,) = faults(tmp_path, VALID + copies)
    assert found.endswith('give the candidate a time in the shadow, as in rollout.shadow = "15m"')
    shadowed = VALID.replace('horizon = "14d"', 'horizon = "14d"\nshadow = "15m"')
    assert config.load(write(tmp_path, shadowed + copies + labels.splitlines()[1] + "\n"), {})
