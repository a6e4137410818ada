"""The pure parts of the rollback benchmark: percentiles, the log, alarms on a stream, the page."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import pytest
from aiohttp import web

from benchmarks.rollback import figures, page, results
from benchmarks.rollback.killing import obeyed
from benchmarks.rollback.measure import PARTS, QUICK, Effort, tries
from benchmarks.rollback.measures import fires, met, minutes, percentile, spread, twice, violations
from benchmarks.rollback.model import Behaviour, Model
from benchmarks.rollback.users import Plan, Seen, Users, read
from greenlight.core.alarms import DEFAULT_ALARMS, AlarmRule
from greenlight.core.records import MINUTE, SECOND, Epoch, Inference
from greenlight.core.states import Action, Status, Variant

CONTROL, CANDIDATE = "sha256:1", "sha256:2"
START = 1_800_000_000 * SECOND


def inference(at: int, *, candidate: bool = True, **fields: Any) -> Inference:
    """An answer, at so many microseconds after the start."""
    version = CANDIDATE if candidate else CONTROL
    plain = Inference(
        id=f"{at:012}{candidate}",
        task="intent",
        version=version,
        served_version=version,
        variant=Variant.CANDIDATE if candidate else Variant.CONTROL,
        rollout="r",
        epoch=2,
        weight=0.1,
        bucket=0.05,
        unit=f"user-{at}",
        unit_source="body",
        input="",
        output="",
        score=None,
        oos=None,
        latency_ms=80.0,
        status=Status.OK,
        fallback_from=None,
        config_digest="",
        at=START + at,
    )
    return msgspec.structs.replace(plain, **fields)


def epoch(number: int, follows: int) -> Epoch:
    """A routing without a candidate."""
    return Epoch(
        task="intent",
        number=number,
        follows=follows,
        rollout=None,
        control=CONTROL,
        candidate=None,
        weight=0.0,
        salt="",
        decision="d",
        at=START,
    )


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.99) == 7.0
    found = spread([3.0, 1.0, 2.0])
    assert found is not None
    assert (found.median, found.p99, found.max, found.all) == (2.0, 3.0, 3.0, [3.0, 1.0, 2.0])
    assert spread([]) is None
    with pytest.raises(ValueError, match="no percentile"):
        percentile([], 0.5)


def test_a_candidate_that_is_used_after_it_went_is_found() -> None:
    """O3: nothing is assigned to it in the new epoch, and nothing comes to it once all have it."""
    applied = {"one": START + 300, "two": START + 500}
    before = [inference(100), inference(450), inference(900, candidate=False, epoch=3)]
    assert violations(before, CANDIDATE, epoch(3, 2), applied) == []
    wrong_epoch = violations([inference(400, epoch=3)], CANDIDATE, epoch(3, 2), applied)
    assert len(wrong_epoch) == 1 and "assigned to it in epoch 3" in wrong_epoch[0]
    late = violations([inference(2500)], CANDIDATE, epoch(3, 2), applied)
    assert len(late) == 1 and "received 2 ms after the last replica" in late[0]


def test_what_is_decided_twice_is_found() -> None:
    line = [epoch(1, 0), epoch(2, 1), epoch(3, 2)]
    assert twice(line, [Action.START, Action.STAY, Action.STAY, Action.ROLLBACK]) == []
    fork = twice([*line, epoch(4, 2)], [Action.ROLLBACK, Action.ROLLBACK])
    assert fork == ["rollback: decided 2 times", "epoch 2 is followed 2 times"]


def test_what_a_candidate_had_to_do_with_users() -> None:
    own = inference(200, unit="ann")
    fell_back = inference(300, unit="ann", served_version=CONTROL, fallback_from=CANDIDATE)
    found = met([inference(100, candidate=False), fell_back, own], CANDIDATE)
    assert (found.assigned, found.answered, found.users) == (2, 1, 1)
    assert found.first_at == START + 200
    assert met([], CANDIDATE).first_at is None


def stream(length: int, *, slow: bool = False, every: int = 0) -> list[Inference]:
    """Whole minutes of two requests a second in each arm; of the candidate's every so manieth
    fails, or all are slow."""
    found = []
    for number in range(length * 120 + 1):
        at = number * SECOND // 2
        failed = every and number % every == 0
        status = Status.ERROR if failed else Status.OK
        found += [
            inference(at, latency_ms=200.0 if slow else 80.0, status=status),
            inference(at, candidate=False),
        ]
    return found


@pytest.mark.parametrize(
    ("made", "after"),
    [
        ({"every": 20}, {"server_error_rate": 5, "p95_latency_ms": None}),
        ({"slow": True}, {"server_error_rate": None, "p95_latency_ms": 5}),
        ({}, {"server_error_rate": None, "p95_latency_ms": None}),
    ],
)
def test_an_alarm_fires_after_its_five_minutes(
    made: dict[str, Any], after: dict[str, int | None]
) -> None:
    """O2, on a stream: the alarm that fits, five whole minutes after the first exposure."""
    log = [inference(-MINUTE, candidate=False), *stream(6, **made)]
    seen = minutes(log, "r", {})
    assert sorted(seen) == [0, 1, 2, 3, 4, 5], "a minute that is not over counts for nothing"
    assert seen[0][Variant.CONTROL].requests == 120, "what was before the first exposure counts"
    assert {name: fires(seen, rule) for name, rule in DEFAULT_ALARMS.items()} == after


def test_an_alarm_that_is_interrupted_begins_anew() -> None:
    log = stream(9, every=20)
    healed = [
        msgspec.structs.replace(one, status=Status.OK) if one.at // MINUTE % 30 == 2 else one
        for one in log
    ]
    assert fires(minutes(log, "r", {}), DEFAULT_ALARMS["server_error_rate"]) == 5
    assert fires(minutes(healed, "r", {}), DEFAULT_ALARMS["server_error_rate"]) == 8
    assert fires({}, DEFAULT_ALARMS["server_error_rate"]) is None


def test_nobody_is_blamed_for_what_both_arms_do() -> None:
    both = [msgspec.structs.replace(one, latency_ms=200.0) for one in stream(6)]
    assert fires(minutes(both, "r", {}), DEFAULT_ALARMS["p95_latency_ms"]) is None


def test_an_alarm_on_what_people_say() -> None:
    log = stream(3)
    words = {
        one.id: float(one.variant == Variant.CONTROL or number % 4 != 0)
        for number, one in enumerate(log)
    }
    seen = minutes(log, "r", words)
    assert (seen[0][Variant.CANDIDATE].judged, seen[0][Variant.CANDIDATE].bad) == (120, 60)
    rule = AlarmRule(name="bad_feedback_rate", over=0.1, duration=2 * MINUTE)
    assert fires(seen, rule) == 2


def test_a_model_is_as_it_was_told_to_be() -> None:
    truth = {f"text {n}": f"label {n % 3}" for n in range(9)}
    model = Model(truth, np.random.default_rng(1))
    body = msgspec.json.encode({"inputs": list(truth)})

    def right() -> float:
        answers = [json.loads(model.answer(body)[1])["predictions"] for _ in range(200)]
        labels = list(truth.values())
        return float(np.mean([[p["label"] for p in a] == labels for a in answers]))

    model.behaviour = Behaviour(accuracy=1.0)
    assert right() == 1.0
    model.behaviour = Behaviour(accuracy=0.0)
    assert right() == 0.0
    usual = np.median([model.latency() for _ in range(500)])
    model.behaviour = Behaviour(errors=1.0, slower=1.5)
    assert model.answer(body)[0] == 500
    assert np.median([model.latency() for _ in range(500)]) / usual == pytest.approx(1.5, abs=0.1)


def test_users_note_what_they_saw(tmp_path: Path) -> None:
    """Every request is on record with its status, and both gateways are asked in turn."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text":"hello","label":"card"}\n')
    asked: dict[str, int] = {}

    async def predict(request: web.Request) -> web.Response:
        asked[request.host] = asked.get(request.host, 0) + 1
        if sum(asked.values()) == 4:
            return web.json_response({}, status=503)
        return web.json_response({"id": "i", "output": {"label": "card"}})

    async def feedback(request: web.Request) -> web.Response:
        assert await request.json() == {"inference_id": "i", "metric": "quality", "value": "GOOD"}
        return web.json_response({"id": "f"}, status=202)

    async def use(book: io.StringIO) -> None:
        runners = []
        for _ in range(2):
            app = web.Application()
            app.router.add_post("/v1/tasks/intent/predict", predict)
            app.router.add_post("/v1/feedback", feedback)
            runners.append(web.AppRunner(app))
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        plan = Plan(
            gateways=["http://{}:{}".format(*runner.addresses[0]) for runner in runners],
            task="intent",
            rows=str(rows),
            seed=1,
            rate=1000.0,
            feedback_rate=1.0,
            mean_delay=0.001,
        )
        stop = asyncio.Event()
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(Users(session, plan, book).run(stop))
            while sum(asked.values()) < 8:
                await asyncio.sleep(0)
            stop.set()
            await asking
        for runner in runners:
            await runner.cleanup()

    book = io.StringIO()
    asyncio.run(use(book))
    file = tmp_path / "book.jsonl"
    file.write_text(book.getvalue() + '{"kind":"pre')
    seen = read(file)
    predicted = [one for one in seen if one.kind == "predict"]
    assert len(predicted) == sum(asked.values()) and sorted(asked.values())[0] >= 4
    assert [one.status for one in predicted if one.failed] == [503]
    words = [one for one in seen if one.kind == "feedback"]
    assert len(words) == len(predicted) - 1 and not any(one.failed for one in words)
    assert Seen(kind="predict", at=0, status=0, ms=1.0).failed


LOG = """\
2026-11-27 14:37:16,438 INFO greenlight.serving.follow: routing: intent is in epoch 2
2026-11-27 14:37:17,020 WARNING greenlight.serving.kill_watch: kill switch: intent is killed by \
ben (generation 7): it must go
2026-11-27 14:37:17,181 WARNING greenlight.serving.kill_watch: kill switch: intent is killed by \
ben (generation 7): it must go
2026-11-27 14:37:18,000 WARNING greenlight.serving.kill_watch: kill switch: other is killed by \
ben (generation 7): so must it
2026-11-27 14:38:00,000 WARNING greenlight.serving.kill_watch: kill switch: intent is killed by \
ben (generation 9): again
"""


def test_when_a_kill_was_obeyed_is_in_the_logs() -> None:
    first, second = obeyed(LOG, "intent", 7)
    assert second - first == 161_000
    assert obeyed(LOG, "intent", 8) == []


def test_no_pair_of_versions_is_launched_twice() -> None:
    """A second launch of the same pair would have less α, and take longer."""
    planned = list(tries(PARTS, Effort()))
    assert len({one.name for one in planned}) == len(planned) == 9 + 5 + 4
    assert [one.part for one in tries(PARTS, QUICK)] == [
        *("errors", "slow", "worse", "takeover", "kill", "kill")
    ]


def row(fault: str, seconds: float | None, applied: float = 200.0, **fields: Any) -> dict[str, Any]:
    """What was told of one rollout."""
    return {
        "fault": fault,
        "decided": seconds is not None,
        "code": "order" if seconds is None else fault,
        "detection_s": seconds,
        "first_exposure_at": START,
        "decided_at": START + int((seconds or 360) * SECOND),
        "propagation_ms": {"a": applied - 100, "b": applied},
        "requests": 1000,
        "errors_seen": 0,
        "assigned": 100,
        "answered": 95,
        "users": 90,
        "violations": [],
        "twice": [],
        **fields,
    }


def found(**more: Any) -> dict[str, Any]:
    """Results as they are saved and read again."""
    minutes_of = {"p95_latency_ms": None, "server_error_rate": 5}
    took = {"killed": "controller-1", "decided_before": False, "first_look_s": 3.0}
    rows = {
        "runs": [
            *(row("errors", value) for value in (18.0, 20.0, 25.0)),
            row("slow", 7.0),
            row("worse", None),
        ],
        "alarms": [
            row("errors", 301.0, by_arithmetic_min=minutes_of, answered=1500),
            row("worse", None, by_arithmetic_min=minutes_of, answered=1800),
        ],
        "takeovers": [row("takeover", 8.0, takeover_s=3.5, **took)],
        "kills": [
            {
                "fault": "kill",
                "outage": "its file is locked",
                "word_ms": 400.0,
                "obeyed_ms": [100.0, 240.0],
                "last_s": 0.64,
                "on_record_s": 1.5,
                "errors_seen": 0,
                "violations": [],
            }
        ],
        **more,
    }
    setting = {
        **{"gateways": 2, "workers": 2, "controllers": 2, "requests_per_s": 50.0, "users": 5000},
        **{"feedback_rate": 0.6, "feedback_delay_s": 0.7, "canary": 0.1, "alpha_harm": 0.01},
        "windows": {"fast_window": "5s"},
    }
    came = {"command": "python -m benchmarks.rollback", "cores": 2, "cpu": "x", "at": "2026-01-01T"}
    made = {"provenance": {**came, "commit": "0" * 40}, **results.results(setting, rows)}
    return dict(json.loads(json.dumps(made)))


def met_goals(numbers: dict[str, Any]) -> list[bool | None]:
    """Of each goal whether it is met, in order."""
    return [goal["met"] for goal in numbers["goals"]]


def test_goals_are_held_against_every_rollout() -> None:
    """O3: one replica that is late, one error, one request too many or a second decision counts."""
    numbers = found()
    assert met_goals(numbers) == [True] * 6
    assert numbers["faults"]["errors"]["detection_s"]["median"] == 20.0
    assert (numbers["faults"]["worse"]["not_seen"], numbers["faults"]["slow"]["alarm"]) == (1, None)
    wrong = row("errors", 20.0, 1001.0, errors_seen=1, violations=["v"], twice=["t"])
    assert met_goals(found(runs=[wrong]))[:4] == [False] * 4
    late = row("takeover", 8.0, takeover_s=5.1, killed="c", decided_before=False, first_look_s=5.1)
    assert met_goals(found(takeovers=[late]))[4] is False
    early = {**late, "decided_before": True}
    assert met_goals(found(takeovers=[early]))[4] is None, "it was decided before the kill"
    assert met_goals(found(kills=[]))[5] is None


def test_the_page_shows_what_was_measured() -> None:
    """Same results, same bytes; what was not seen is not left out."""
    numbers = found()
    empty = f"before\n{page.PAGE.begin}\nold\n{page.PAGE.end}\nafter"
    shown = page.PAGE.written(empty, numbers)
    assert shown.startswith("before") and shown.endswith("after") and "old" not in shown
    assert shown == page.PAGE.written(shown, numbers)
    assert "6 of 6 goals are met" in shown
    assert "| **20** s (18, 20, 25) |" in shown
    assert "not seen; 1 not seen" not in shown and "| none in 1 run |" in shown
    assert "| 20 s | 301 s | 95 | 1,500 |" in shown
    assert "| none | 95 | 1,800, and it went on |" in shown
    assert "| controller-1 | 3.0 s | 3.5 s | `takeover` | no | 0 |" in shown
    assert "| its file is locked | 400 ms | 100, 240 | 0.6 s | 0 | 0 | 1.5 s |" in shown
    drawn = figures.drawn(numbers)
    assert drawn.keys() == figures.SAYS.keys() and drawn == figures.drawn(numbers)
    assert all(f"![{says}](images/{name}.svg)" in shown for name, says in figures.SAYS.items())
    assert results.report(numbers).count("\n| --- |") == 5


def test_a_part_makes_a_page_too() -> None:
    numbers = found(alarms=[], takeovers=[], kills=[], runs=[row("slow", 7.0)])
    shown = page.PAGE.written(f"{page.PAGE.begin}\n{page.PAGE.end}", numbers)
    assert "By alarms alone" not in shown and "kill switch, while" not in shown
    assert "not measured" in shown and figures.drawn(numbers).keys() == figures.SAYS.keys()
    none = found(alarms=[], takeovers=[], kills=[], runs=[])
    assert figures.drawn(none) == {}
