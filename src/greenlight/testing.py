"""Shipped fakes: a clock that moves when told, a world of users whose true opinion is known, and a
provider of chat completions that answers by a rule.

`WorldSimulator` stands in for users, gateways and models at once: it assigns by the real rule,
stores real events in a real store, and answers with the quality it was given. The controller that
runs on top of it is the real one.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from greenlight.core import fingerprint, ids
from greenlight.core.assignment import bucket, variant
from greenlight.core.records import MILLISECOND, SECOND, Epoch, Feedback, Inference, Replica
from greenlight.core.states import Status, Variant
from greenlight.ports import Store
from greenlight.recording import Step
from greenlight.stages.roll_out import current_epoch


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = 1_800_000_000 * SECOND) -> None:
        self._now = now

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._now

    def advance(self, duration: int) -> None:
        """Move on by a number of microseconds; time never goes back."""
        if duration < 0:
            raise ValueError(f"a clock does not go back ({duration} µs)")
        self._now += duration


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is really like: probabilities in [0, 1]."""

    good: float
    error: float = 0.0
    latency_ms: float = 5.0
    bad_heard: float = 1.0
    """How much likelier a BAD is said than a GOOD (above 1 as far as probabilities go)."""
    lost: float = 0.0
    """Share of its inferences that never reach the store."""


def step(stage: str, *, task: str = "intent", run: str | None = None) -> Step:
    """A step of a run that nothing else is known of, for calling a stage by itself."""
    return Step(
        run=run or f"{task}#1",
        task=task,
        stage=stage,
        inputs=fingerprint.digest({"stage": stage}),
        started_at=0,
    )


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Users and their habits. Rates are per second, delays in microseconds."""

    units: int = 9000
    requests_per_second: float = 150.0
    feedback_rate: float = 0.6
    mean_delay: int = SECOND
    loudest: float = 0.0
    """Share of the feedback that one reviewer gives; all others are named once."""
    drift: Callable[[float], float] | None = None
    """Added to every version's probability of GOOD, by seconds since the start."""


class WorldSimulator:
    """Users with a known opinion of every version, behind one simulated gateway."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        task: str,
        qualities: Mapping[str, Quality],
        world: World,
        rng: np.random.Generator,
    ) -> None:
        self._store = store
        self._clock = clock
        self._task = task
        self._qualities = qualities
        self._world = world
        self._rng = rng
        self._started_at = clock.now()
        self._pending: list[tuple[int, int, Feedback]] = []
        self._made = 0
        self._routing: Epoch | None = None
        self._applied_at = 0

    def tick(self, duration: int) -> None:
        """Let users live for a while; everything they did is stored at the end of it."""
        start, end = self._clock.now(), self._clock.now() + duration
        self._poll(start)
        count = int(self._rng.poisson(self._world.requests_per_second * duration / SECOND))
        moments = np.sort(self._rng.integers(start, end, count))
        units = self._rng.integers(0, self._world.units, count)
        inferences = [
            self._request(int(at), f"user-{unit}") for at, unit in zip(moments, units, strict=True)
        ]
        feedback = []
        while self._pending and self._pending[0][0] < end:
            feedback.append(heapq.heappop(self._pending)[2])
        kept = [one for one in inferences if self._rng.random() >= self._of(one.version).lost]
        self._store.ingest(kept, feedback)
        self._clock.advance(duration)
        self._store.heartbeat(
            Replica(
                id="simulated",
                epochs={self._task: self._epoch.number},
                applied_at={self._task: self._applied_at},
                flushed_through=end - 1,
                at=end,
            )
        )

    @property
    def _epoch(self) -> Epoch:
        if self._routing is None:
            raise ValueError(f"{self._task}: no version is live, so nobody can be answered")
        return self._routing

    def _poll(self, now: int) -> None:
        newest = current_epoch(self._store, self._task)
        if newest != self._routing:
            self._routing, self._applied_at = newest, now

    def _request(self, at: int, unit: str) -> Inference:
        epoch = self._epoch
        place = bucket(epoch.salt, unit) if epoch.salt else 0.0
        arm = variant(place, epoch.weight) if epoch.candidate else Variant.CONTROL
        meets = arm == Variant.CANDIDATE
        assigned = epoch.candidate if epoch.candidate and meets else epoch.control
        failed = bool(self._rng.random() < self._of(assigned).error)
        served = epoch.control if failed else assigned
        inference = Inference(
            id=self._id(at),
            task=self._task,
            version=assigned,
            served_version=served,
            variant=arm,
            rollout=epoch.rollout,
            epoch=epoch.number,
            weight=epoch.weight,
            bucket=place,
            unit=unit,
            unit_source="body",
            input="",
            output="",
            score=None,
            oos=None,
            latency_ms=self._of(assigned).latency_ms,
            status=Status.ERROR if failed else Status.OK,
            fallback_from=assigned if failed else None,
            config_digest="",
            at=at,
        )
        self._judge(inference, self._of(served))
        return inference

    def _judge(self, inference: Inference, quality: Quality) -> None:
        good = quality.good
        if self._world.drift is not None:
            good += self._world.drift((inference.at - self._started_at) / SECOND)
        value = float(self._rng.random() < good)
        heard = self._world.feedback_rate * (1.0 if value else quality.bad_heard)
        if self._rng.random() >= heard:
            return
        loud = self._rng.random() < self._world.loudest
        at = inference.at + MILLISECOND + int(self._rng.exponential(self._world.mean_delay))
        feedback = Feedback(
            id=self._id(at),
            inference_id=inference.id,
            metric="quality",
            value=value,
            reviewer="loud" if loud else f"reviewer-{self._made}",
            at=at,
        )
        heapq.heappush(self._pending, (at, self._made, feedback))

    def _of(self, version: str) -> Quality:
        return self._qualities[version]

    def _id(self, at: int) -> str:
        self._made += 1
        return ids.fresh(at, self._rng.bytes)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answers instead of a completion."""

    status: int
    retry_after: int | None = None
    """Seconds."""
    body: bytes | None = None
    """Sent as it is; by default an error in the provider's form."""


class ChatProvider:
    """A provider of chat completions on a port of this machine, in OpenAI's wire format.

    Use it as a context manager: it listens at `url` until the end of the block.
    """

    def __init__(
        self, rule: Callable[[str], str], *, key: str | None = None, logprob: float | None = None
    ) -> None:
        """Prepare; nothing listens before the block begins.

        Args:
            rule: the last message's text → the answer.
            key: what opens it; without one it is open to all.
            logprob: of every token; without one, log-probabilities are not sent even when asked
                for, as by some providers.
        """
        self.rule = rule
        self.key = key
        self.logprob = logprob
        self.faults: deque[Fault] = deque()
        """Each meets one request, before the rule is asked."""
        self.free = threading.Event()
        """While it is not set, requests wait."""
        self.free.set()
        self.seen: list[dict[str, Any]] = []
        """The body of every request."""
        self.most_at_once = 0
        """The most requests that were under way together."""
        self._under_way = 0
        self._counting = threading.Lock()

    def __enter__(self) -> ChatProvider:
        """Begin to listen."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                status, body, headers = provider._serve(
                    self.path,
                    self.headers.get("authorization"),
                    self.rfile.read(int(self.headers["content-length"])),
                )
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                try:
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:  # the caller did not wait
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.free.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(
        self, path: str, authorization: str | None, body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        with self._counting:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            self.free.wait()
            return self._answer(path, authorization, body)
        finally:
            with self._counting:
                self._under_way -= 1

    def _answer(
        self, path: str, authorization: str | None, body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if path != "/v1/chat/completions":
            return _error(404, f"nothing at {path}")
        if self.key is not None and authorization != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided", "invalid_api_key")
        try:
            request = msgspec.json.decode(body, type=dict[str, Any])
            model, text = str(request["model"]), str(request["messages"][-1]["content"])
        except (msgspec.DecodeError, LookupError, TypeError) as error:
            return _error(400, f"malformed request: {error!r}")
        self.seen.append(request)
        try:
            fault = self.faults.popleft()
        except IndexError:
            return 200, self._completion(request, model, self.rule(text)), _JSON
        status, said, headers = _error(fault.status, "a fault that was asked for")
        if fault.retry_after is not None:
            headers = {**headers, "retry-after": str(fault.retry_after)}
        return status, said if fault.body is None else fault.body, headers

    def _completion(self, request: Mapping[str, Any], model: str, answer: str) -> bytes:
        tokens = [answer[at : at + 4] for at in range(0, len(answer), 4)]
        logprobs = None
        if request.get("logprobs") and self.logprob is not None:
            sent = [
                {
                    "token": token,
                    "logprob": self.logprob,
                    "bytes": list(token.encode()),
                    "top_logprobs": [],
                }
                for token in tokens
            ]
            logprobs = {"content": sent, "refusal": None}
        asked = len(str(request["messages"][-1]["content"]).split())
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{len(self.seen)}",
                "object": "chat.completion",
                "created": 1_800_000_000,
                "model": model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": answer, "refusal": None},
                        "logprobs": logprobs,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": asked,
                    "completion_tokens": len(tokens),
                    "total_tokens": asked + len(tokens),
                },
                "system_fingerprint": None,
            }
        )


_JSON = {"content-type": "application/json"}


def _error(status: int, message: str, code: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return status, msgspec.json.encode({"error": error}), _JSON
