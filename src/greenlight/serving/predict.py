"""One prediction: route → assign → call → on failure answer from control → record → respond.

No database is read here, and no request is rewritten.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from greenlight.core import ids
from greenlight.core.assignment import bucket, variant
from greenlight.core.errors import ModelFailed
from greenlight.core.records import Inference
from greenlight.core.states import Status, Variant
from greenlight.ports import Prediction
from greenlight.serving.arrivals import Arrivals
from greenlight.serving.http import Header, Response, error_response, json_response
from greenlight.serving.meters import Meters
from greenlight.serving.routing import Route, RoutingTable, Served
from greenlight.serving.spool import Spool, SpoolFull
from greenlight.serving.wire import (
    Output,
    PredictRequest,
    PredictResult,
    PredictResults,
    check_unit,
    decode,
    texts,
)

log = logging.getLogger(__name__)

UNIT_HEADER = b"x-greenlight-unit"
ID_HEADER = b"x-greenlight-inference-id"
OVERHEAD_HEADER = b"x-greenlight-overhead-ms"
_DECODER = msgspec.json.Decoder(PredictRequest)


class Recent:
    """The latest ids that were handed out, a bounded number of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, id: str) -> None:
        """Remember an id, and forget the oldest if there are too many."""
        self._ids[id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def __contains__(self, id: str) -> bool:
        return id in self._ids


class Answer(msgspec.Struct):
    """What became of a call to the assigned version, and who answered in the end."""

    variant: Variant
    assigned: Served
    status: Status
    own_ms: float
    """How long the assigned version took to answer or to fail: its own time, not control's."""
    model_s: float
    """Time spent waiting for models, in seconds."""
    predictions: list[Prediction] | None
    served_by: str
    """Digest of the version that answered; empty if none did."""
    alone: bool
    """Whether the other arm's breaker was open when the call was made."""


class Predictor:
    """Answers predictions."""

    def __init__(
        self,
        table: RoutingTable,
        spool: Spool,
        arrivals: Arrivals,
        recent: Recent,
        meters: Meters,
        *,
        random: Callable[[int], bytes],
        config_digest: str,
        max_batch: int,
    ) -> None:
        self._table = table
        self._spool = spool
        self._arrivals = arrivals
        self._recent = recent
        self._meters = meters
        self._random = random
        self._config_digest = config_digest
        self._max_batch = max_batch

    async def answer(
        self, task: str, body: bytes, header_unit: str | None, began: float
    ) -> Response:
        """Answer a request.

        Args:
            task: the task's name.
            body: the request's JSON.
            header_unit: the value of the unit header, which goes before the body's.
            began: `time.perf_counter()` when the request began.

        Raises:
            BadInput, NotFound, NotReady: the request cannot be answered.
        """
        route = self._table.route(task)
        request = decode(_DECODER, body)
        inputs = texts(request, self._max_batch)
        with self._arrivals.arrive() as at, route.held():
            made = [ids.fresh(at, self._random) for _ in inputs]
            unit, source = _unit(request, header_unit, made[0])
            place = bucket(route.salt, unit)
            answer = await self._ask(route, place, inputs)
            recorded = await self._record(route, answer, made, inputs, (unit, source, place), at)
            if not recorded and answer.variant is Variant.CANDIDATE:
                # What is not recorded is no exposure, so nobody may be exposed to the candidate.
                answer = await self._ask(route, 1.0, inputs)
        self._meters.inference(
            task, answer.assigned.label, answer.variant, answer.status.value, len(inputs)
        )
        duration = time.perf_counter() - began
        overhead = duration - answer.model_s
        self._meters.times(task, duration, overhead)
        headers = [(OVERHEAD_HEADER, b"%.3f" % (overhead * 1000))]
        if recorded and len(made) == 1:
            headers.append((ID_HEADER, made[0].encode()))
        return _respond(task, request, made if recorded else None, answer, headers)

    async def _ask(self, route: Route, place: float, inputs: Sequence[str]) -> Answer:
        arm, assigned, other = Variant.CONTROL, route.control, route.candidate
        if route.candidate is not None and variant(place, route.weight) is Variant.CANDIDATE:
            arm, assigned, other = Variant.CANDIDATE, route.candidate, route.control
        alone = other is not None and other.runtime.open_since is not None
        status, predictions, seconds = await _call(assigned, inputs)
        answer = Answer(
            arm, assigned, status, seconds * 1000, seconds, predictions, assigned.version, alone
        )
        if predictions is None and arm is Variant.CANDIDATE:
            _, answer.predictions, more = await _call(route.control, inputs)
            answer.model_s += more
            answer.served_by = route.control.version
        if answer.predictions is None:
            answer.served_by = ""
        return answer

    async def _record(
        self,
        route: Route,
        answer: Answer,
        made: Sequence[str],
        inputs: Sequence[str],
        who: tuple[str, str, float],
        at: int,
    ) -> bool:
        """Write the inferences to the spool; False if it takes no more."""
        unit, source, place = who
        predictions: Sequence[Prediction | None] = answer.predictions or [None] * len(inputs)
        inferences = [
            Inference(
                id=id,
                task=route.task,
                version=answer.assigned.version,
                served_version=answer.served_by,
                variant=answer.variant,
                rollout=route.rollout,
                epoch=route.epoch,
                weight=route.weight,
                bucket=place,
                unit=unit,
                unit_source=source,
                input=text,
                output=prediction.label if prediction is not None else "",
                score=prediction.score if prediction is not None else None,
                oos=prediction.oos if prediction is not None else None,
                latency_ms=answer.own_ms,
                status=answer.status,
                fallback_from=(
                    answer.assigned.version
                    if answer.served_by not in ("", answer.assigned.version)
                    else None
                ),
                config_digest=self._config_digest,
                at=at,
                alone=answer.alone,
            )
            for id, text, prediction in zip(made, inputs, predictions, strict=True)
        ]
        try:
            await self._spool.record(inferences, at, synced=False)
        except SpoolFull:
            self._meters.unrecorded.inc(len(inferences))
            return False
        for id in made:
            self._recent.add(id)
        return True


async def _call(
    served: Served, inputs: Sequence[str]
) -> tuple[Status, list[Prediction] | None, float]:
    """Status, predictions and seconds of one call."""
    began = time.perf_counter()
    predictions: list[Prediction] | None = None
    try:
        predictions = await served.runtime.predict(inputs)
        status = Status.OK
        if len(predictions) != len(inputs):
            log.error("%s gave %d answers to %d", served.label, len(predictions), len(inputs))
            predictions, status = None, Status.ERROR
    except ModelFailed as error:
        status = Status(error.status)
    except Exception:
        # Whatever a model raises is the model's failure; the user still gets an answer.
        log.exception("%s failed", served.label)
        status = Status.ERROR
    return status, predictions, time.perf_counter() - began


def _unit(request: PredictRequest, from_header: str | None, fresh: str) -> tuple[str, str]:
    """The unit and where it comes from: header, then body, then one made for this request."""
    if from_header is not None:
        check_unit(UNIT_HEADER.decode(), from_header)
        return from_header, "header"
    if request.unit is not None:
        check_unit("unit", request.unit)
        return request.unit, "body"
    return fresh, "request"


def _respond(
    task: str,
    request: PredictRequest,
    made: Sequence[str] | None,
    answer: Answer,
    headers: Sequence[Header],
) -> Response:
    if answer.predictions is None:
        # Not even the message says which version it was: clients stay blind.
        failure = ModelFailed(f"task {task!r}: no model answered; try again")
        return error_response(failure, headers)
    results = [
        PredictResult(made[number] if made else None, task, Output(p.label, p.score, p.oos))
        for number, p in enumerate(answer.predictions)
    ]
    body = results[0] if request.input is not None else PredictResults(results)
    return json_response(body, headers=headers)
