"""One prediction: route → assign → call → on failure answer from control → record → respond.

No database is read here, and no request is rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from greenlight.core import ids, tagging
from greenlight.core.assignment import bucket
from greenlight.core.entities import entities
from greenlight.core.errors import BadInput, ModelFailed
from greenlight.ports import Prediction
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.asking import (
    ID_HEADER,
    OVERHEAD_HEADER,
    Headers,
    no_answer,
    told,
    unit_of,
)
from greenlight.serving.assigning import weight_for
from greenlight.serving.attempt import ask
from greenlight.serving.gatekeeper import Caller
from greenlight.serving.http import NotUsable, Response, error_response, json_response
from greenlight.serving.recorder import Asked, Recorder, Said
from greenlight.serving.routing import Route, RoutingTable, Served
from greenlight.serving.shadow import Copy, Heard, Shadows
from greenlight.serving.wire import (
    EntityFound,
    Output,
    PredictRequest,
    PredictResult,
    PredictResults,
    check_words,
    decode,
    texts,
)

_DECODER = msgspec.json.Decoder(PredictRequest)


class Predictor:
    """Answers predictions."""

    def __init__(
        self,
        table: RoutingTable,
        recorder: Recorder,
        arrivals: Arrivals,
        shadows: Shadows,
        *,
        random: Callable[[int], bytes],
        max_batch: int,
    ) -> None:
        self._table = table
        self._recorder = recorder
        self._arrivals = arrivals
        self._shadows = shadows
        self._random = random
        self._max_batch = max_batch

    async def answer(
        self, task: str, body: bytes, headers: Headers, caller: Caller, began: float
    ) -> Response:
        """Answer a request.

        Args:
            task: the task's name.
            body: the request's JSON.
            headers: of the request; one may name the unit, and goes before the body.
            caller: who asks.
            began: `time.perf_counter()` when the request began.

        Raises:
            BadInput, NotFound, NotReady: the request cannot be answered.
        """
        route = self._table.route(task)
        _check_kind(route)
        request = decode(_DECODER, body)
        inputs = texts(request, self._max_batch)
        if route.plan.tags:
            for number, text in enumerate(inputs):
                check_words(f"text {number + 1}", text)
        with self._arrivals.arrive() as at, route.held():
            made = [ids.fresh(at, self._random) for _ in inputs]
            unit, source = unit_of(headers, request.unit, "unit", made[0])
            place, kept = bucket(route.salt, unit), self._recorder.draw(route)
            asked = Asked(unit, source, place, at, caller.id, kept)

            async def call(served: Served, within: float | None) -> list[Prediction]:
                return await predictions(served, route, inputs, within)

            weight = weight_for(route, request.metadata)
            attempt = await ask(route, asked.place, weight, call)
            said = _said(made, inputs, attempt.value)
            recorded = await self._recorder.keep(route, attempt, asked, said)
            if recorded and route.in_shadow:
                self._shadows.offer(Copy(route, asked, said, attempt.status, call, _heard))
            if not recorded and attempt.assigned is not route.control:
                # What is not recorded is no exposure, so nobody may be exposed to the candidate.
                attempt = await ask(route, 1.0, weight, call)
        overhead = self._recorder.count(route, attempt, len(inputs), time.perf_counter() - began)
        out = [(OVERHEAD_HEADER, b"%.3f" % (overhead * 1000)), *told(route, attempt, caller)]
        if recorded and len(made) == 1:
            out.append((ID_HEADER, made[0].encode()))
        if attempt.value is None:
            return error_response(no_answer(task, attempt.failure), out)
        results = [
            PredictResult(made[number] if recorded else None, task, _output(route, text, p))
            for number, (text, p) in enumerate(zip(inputs, attempt.value, strict=True))
        ]
        answer = results[0] if request.input is not None else PredictResults(results)
        return json_response(answer, headers=out)


async def predictions(
    served: Served, route: Route, inputs: Sequence[str], within: float | None
) -> list[Prediction]:
    """What a version that classifies or tags says of some texts.

    Raises:
        ModelFailed: no answer to each of them, or tags that are not those of its words.
    """
    assert served.model is not None
    found = await served.model.predict(inputs, within)
    if len(found) != len(inputs):
        raise ModelFailed(f"{served.label} gave {len(found)} answers to {len(inputs)}")
    if route.plan.tags:
        _check_tags(served, inputs, found)
    return found


async def _heard(found: Sequence[Prediction]) -> Heard:
    return Heard([prediction.label for prediction in found])


def _check_kind(route: Route) -> None:
    if route.control.chat is not None:
        raise NotUsable(
            f"task {route.task!r} is a chat: use POST /v1/chat/completions with the model "
            f"greenlight/{route.task}"
        )


def _check_tags(served: Served, inputs: Sequence[str], found: Sequence[Prediction]) -> None:
    for text, prediction in zip(inputs, found, strict=True):
        try:
            tagging.check(text, prediction.label)
        except BadInput as error:
            raise ModelFailed(f"{served.label}: {error}") from error


def _said(
    made: Sequence[str], inputs: Sequence[str], found: Sequence[Prediction] | None
) -> list[Said]:
    if found is None:
        return [Said(id, text, "") for id, text in zip(made, inputs, strict=True)]
    return [
        Said(id, text, p.label, p.score, p.oos, p.reason)
        for id, text, p in zip(made, inputs, found, strict=True)
    ]


def _output(route: Route, text: str, said: Prediction) -> Output:
    found: list[EntityFound] | msgspec.UnsetType = msgspec.UNSET
    if route.plan.tags:
        found = [EntityFound(*entity) for entity in entities(text, said.label)]
    reason = msgspec.UNSET if said.reason is None else said.reason
    return Output(said.label, said.score, said.oos, said.oos_score, found, reason)
