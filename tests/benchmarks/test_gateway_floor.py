"""The floor of the gateway benchmark: a real proxy before the real provider, both as processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from benchmarks.gateway import rounds, upstream
from benchmarks.gateway.load import Outcome, Plan, run
from benchmarks.gateway.processes import NotMeasured, cores
from benchmarks.gateway.servers import running, streamed


def carried_out(plan: Plan) -> Outcome:
    async def begin() -> None:
        """At once."""

    return asyncio.run(run(plan, begin))


def test_the_floor_passes_whole_and_streamed_answers_on(tmp_path: Path) -> None:
    with rounds.provider(cores()[0], tmp_path) as base:
        launch = rounds.floor(tmp_path, base)
        with running("floor", launch, cores()[1], tmp_path) as server:
            assert server.start_s > 0
            plan = Plan(url=server.url, body=launch.body, expect=launch.expect, connections=4)
            whole = carried_out(msgspec.structs.replace(plan, requests=60))
            stream = msgspec.structs.replace(
                plan, body=streamed(launch.body), expect=upstream.PIECES[-1], requests=20
            )
            pieces = carried_out(stream)
            whole_words = msgspec.structs.replace(stream, expect=upstream.WORDS, requests=1)
            assert carried_out(whole_words).requests == 0, "streamed words come apart"
        other = msgspec.structs.replace(launch, path="/v1/other")
        with (
            pytest.raises(NotMeasured, match="/v1/other answered 404"),
            running("other", other, cores()[1], tmp_path),
        ):
            pass
    assert (whole.requests, whole.errors) == (60, {})
    assert (pieces.requests, pieces.errors) == (20, {})
    assert pieces.first_byte is not None and pieces.latency is not None
    # Were the answer gathered first, its first byte would come with its last.
    least_ms = upstream.GAP_S * 1000 * (len(upstream.PIECES) - 1)
    assert pieces.latency.p50 - pieces.first_byte.p50 > 0.8 * least_ms
