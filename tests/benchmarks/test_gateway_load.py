"""The users of the gateway benchmark: they count right and wrong answers, and take the time."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from benchmarks.gateway import upstream
from benchmarks.gateway.load import UNIT, Outcome, Plan, run, times
from benchmarks.gateway.measure import drive, overhead
from benchmarks.gateway.processes import cores
from benchmarks.gateway.rounds import provider
from greenlight.entrypoints.processes import free_port
from greenlight.testing.provider import ChatProvider, Fault

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], "user": UNIT})


def carried_out(plan: Plan) -> Outcome:
    async def begin() -> None:
        """At once."""

    return asyncio.run(run(plan, begin))


def test_every_answer_is_checked_and_counted() -> None:
    with ChatProvider(lambda text: f"{text}, you") as server:
        server.faults.extend([Fault(status=429), Fault(status=500), Fault(status=500)])
        server.faults.append(Fault(status=200, body=b"something else"))
        url = f"{server.url}/chat/completions"
        plan = Plan(url=url, body=BODY, expect="hello, you", connections=3, requests=40, units=10)
        outcome = carried_out(plan)
    assert outcome.requests == 36
    statuses = {error.partition(":")[0]: count for error, count in outcome.errors.items()}
    assert statuses == {"status 429": 1, "status 500": 2, "not the answer": 1}
    assert len({seen["user"] for seen in server.seen}) == 10, "every user in turn"
    assert server.most_at_once <= 3
    assert outcome.latency is not None and outcome.first_byte is not None
    assert 0 < outcome.first_byte.p50 <= outcome.latency.p50 <= outcome.latency.max


def test_what_comes_beforehand_is_not_counted() -> None:
    with ChatProvider(str) as server:
        server.faults.append(Fault(status=500))
        url = f"{server.url}/chat/completions"
        plan = Plan(url=url, body=BODY, expect="hello", connections=2, requests=6, warm=4)
        outcome = carried_out(plan)
        assert (outcome.requests, outcome.errors) == (6, {})
        assert len(server.seen) == 2 * 4 + 6


def test_where_nobody_listens_there_are_errors_and_no_times() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    outcome = carried_out(Plan(url=url, body=BODY, expect="x", connections=2, requests=9))
    assert outcome.requests == 0 and outcome.latency is None
    assert sum(outcome.errors.values()) == 2, "a user who is not let in leaves"


def test_a_lost_connection_is_an_error_and_the_next_request_takes_a_new_one() -> None:
    async def against_a_server_that_hangs_up() -> Outcome:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Answers the first request of a connection and hangs up on the second."""
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async def begin() -> None:
            """At once."""

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            plan = Plan(url=f"http://127.0.0.1:{port}/", body=BODY, expect="ok", requests=6)
            return await run(plan, begin)

    outcome = asyncio.run(against_a_server_that_hangs_up())
    assert (outcome.requests, outcome.errors) == (3, {"the connection was lost": 3})


def test_at_a_pace_requests_go_out_at_their_times_and_straight_ones_between() -> None:
    async def paced() -> Outcome:
        async def begin() -> None:
            """At once."""

        async with await upstream.listen() as server:
            url = f"{upstream.address(server)}/chat/completions"
            plan = Plan(
                url=url,
                body=BODY,
                expect=upstream.WORDS,
                connections=2,
                requests=20,
                rate=100.0,
                straight=url,
                warm=1,
            )
            return await run(plan, begin)

    outcome = asyncio.run(paced())
    assert (outcome.requests, outcome.errors) == (20, {})
    assert outcome.seconds >= 19.5 / 100, "no request before its time"
    assert outcome.straight is not None
    assert overhead(outcome)["p50"] < 5, "nothing is between them"


def test_the_process_of_users_is_cheap_and_its_target_s_cpu_is_taken(tmp_path: Path) -> None:
    with provider(cores()[0], tmp_path) as base:
        url = f"{base}/chat/completions"
        body = json.dumps({**json.loads(BODY), "stream": True})
        plan = Plan(url=url, body=body, expect=upstream.PIECES[-1], connections=8, requests=80)
        outcome, spent = drive(plan, cores()[0], os.getpid())
    assert (outcome.requests, outcome.errors) == (80, {})
    assert outcome.first_byte is not None and outcome.latency is not None
    least_ms = upstream.GAP_S * 1000 * (len(upstream.PIECES) - 1)
    assert outcome.latency.p50 > least_ms > outcome.first_byte.p50
    assert 0 <= spent < 5


def test_quantiles() -> None:
    found = times([number / 1000 for number in range(101)])
    assert found is not None
    assert (found.p50, found.p95, found.p99, found.max) == (50.0, 95.0, 99.0, 100.0)
    assert times([]) is None
