"""What the gateway counts, in Prometheus's terms; each gateway has its own registry."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from greenlight.core.chat import Tokens
from greenlight.core.metrics import GOOD
from greenlight.core.routing import Standing
from greenlight.core.states import Variant
from greenlight.serving.ledger_meter import LedgerMeter, Newest
from greenlight.serving.pipeline_meters import PipelineMeters, Views

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)


class Meters:
    """Every counter, gauge and histogram of a gateway.

    `labels()` of the client library takes a lock and builds a tuple on every call, so the children
    that a prediction needs are kept after their first use.
    """

    def __init__(
        self,
        pipeline: Views | None = None,
        newest: Newest = lambda: None,
        *,
        shared: bool = False,
    ) -> None:
        """Set them up.

        Args:
            pipeline: tells of the newest run of each task.
            newest: tells of the ledger.
            shared: several processes are scraped as one, whichever of them is asked.
        """
        self.registry = CollectorRegistry()
        self._shown = self.registry
        """What is scraped: of several processes, the files that all of them write."""
        if shared:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=self.registry)
        if pipeline is not None:
            self._shown.register(PipelineMeters(pipeline))
        self._shown.register(LedgerMeter(newest))
        self._requests = Counter(
            "greenlight_requests",
            "Inferences by the version they were assigned to and what became of its call (ok, "
            "error, timeout, short_circuit, refused, cancelled), also where control answered",
            ("task", "version", "variant", "outcome"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "greenlight_request_duration_seconds",
            "From the arrival of a request to its answer",
            ("task",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._overhead = Histogram(
            "greenlight_overhead_seconds",
            "The part of a request that was not spent waiting for a model",
            ("task",),
            buckets=_OVERHEAD,
            registry=self.registry,
        )
        self._tokens = Counter(
            "greenlight_tokens",
            "Tokens of chats as the provider counted them, by the version that answered and the "
            "direction (input, output)",
            ("task", "version", "direction"),
            registry=self.registry,
        )
        self._cost = Counter(
            "greenlight_cost",
            "What the tokens of chats cost, in the currency of the version's prices",
            ("task", "version"),
            registry=self.registry,
        )
        self._copies = Counter(
            "greenlight_shadow_copies",
            "Copies for candidates in the shadow, by what became of them: outcomes as of requests, "
            "or dropped where none was made or recorded",
            ("task", "version", "outcome"),
            registry=self.registry,
        )
        self._responses = Counter(
            "greenlight_responses",
            "Responses by endpoint and HTTP status",
            ("endpoint", "status"),
            registry=self.registry,
        )
        self._feedback = Counter(
            "greenlight_feedback",
            "Feedback kept: quality with GOOD and BAD, everything else as other",
            ("metric", "value"),
            registry=self.registry,
        )
        self.spool_pending = Gauge(
            "greenlight_spool_pending_bytes",
            "Written to disk and not in the store yet",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.spool_written = Counter(
            "greenlight_spool_written", "Events written to disk", registry=self.registry
        )
        self.spool_stored = Counter(
            "greenlight_spool_stored", "Events moved to the store", registry=self.registry
        )
        self.spool_retries = Counter(
            "greenlight_spool_retries", "Batches that the store refused", registry=self.registry
        )
        self.spool_torn = Counter(
            "greenlight_spool_torn",
            "Last lines cut short by a kill; they were never acknowledged",
            registry=self.registry,
        )
        self.spool_rejected = Counter(
            "greenlight_spool_rejected",
            "Lines that are no event, set aside in rejected.jsonl",
            registry=self.registry,
        )
        self.unrecorded = Counter(
            "greenlight_unrecorded",
            "Answers by control that could not be recorded because the spool was full",
            registry=self.registry,
        )
        self._refused = Gauge(
            "greenlight_version_refused",
            "1 while this gateway gives a version no traffic: not approved, changed on disk, or "
            "unable to start",
            ("task", "version"),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._killed = Gauge(
            "greenlight_killed",
            "1 while the kill switch keeps a task's candidates out of traffic here, 0 once lifted",
            ("task",),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._kill_generation = Gauge(
            "greenlight_kill_generation",
            "Generation of the kill switch that is in force here; of several processes the lowest",
            ("task",),
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.kills_refused = Counter(
            "greenlight_kill_refused",
            "Faults of the kill file: entries that were not taken, or no file that can be read",
            registry=self.registry,
        )
        self.sync_errors = Counter(
            "greenlight_sync_errors",
            "Failed looks for new routing; the old routes stay",
            registry=self.registry,
        )
        self._kept: dict[tuple[str, str, Variant, str], Counter] = {}
        self._times: dict[str, tuple[Histogram, Histogram]] = {}
        self._codes: dict[tuple[str, int], Counter] = {}
        self._spent: dict[tuple[str, str], tuple[Counter, Counter, Counter]] = {}

    def show(self, collector: Collector) -> None:
        """Show what another part of the installation tells as well."""
        self._shown.register(collector)

    def inference(self, task: str, version: str, variant: Variant, outcome: str, n: int) -> None:
        """Count `n` inferences of one request."""
        key = (task, version, variant, outcome)
        child = self._kept.get(key)
        if child is None:
            child = self._kept[key] = self._requests.labels(task, version, variant.value, outcome)
        child.inc(n)

    def times(self, task: str, duration: float, overhead: float) -> None:
        """Note how long a request took and how much of it was our own doing, in seconds."""
        pair = self._times.get(task)
        if pair is None:
            pair = self._times[task] = (self._duration.labels(task), self._overhead.labels(task))
        pair[0].observe(duration)
        pair[1].observe(overhead)

    def spent(self, task: str, version: str, tokens: Tokens, cost: float | None) -> None:
        """Count the tokens of one answer, and what they cost."""
        kept = self._spent.get((task, version))
        if kept is None:
            made = (
                self._tokens.labels(task, version, "input"),
                self._tokens.labels(task, version, "output"),
                self._cost.labels(task, version),
            )
            kept = self._spent[task, version] = made
        for child, amount in zip(kept, (tokens.input, tokens.output, cost), strict=True):
            if amount:
                child.inc(amount)

    def response(self, endpoint: str, status: int) -> None:
        """Count a response."""
        key = (endpoint, status)
        child = self._codes.get(key)
        if child is None:
            child = self._codes[key] = self._responses.labels(endpoint, str(status))
        child.inc()

    def feedback(self, metric: str, value: float) -> None:
        """Count feedback. Names and numbers are the client's and could be anything, so only the
        words that are known become labels."""
        if metric == "quality":
            self._feedback.labels(metric, "GOOD" if value == GOOD else "BAD").inc()
        else:
            self._feedback.labels("other", "number").inc()

    def refused(self, task: str, version: str, refused: bool) -> None:
        """Note whether a version is kept out of traffic here."""
        self._refused.labels(task, version).set(float(refused))

    def killed(self, task: str, standing: Standing) -> None:
        """Note what the kill switch says of a task."""
        self._killed.labels(task).set(float(standing.killed))
        self._kill_generation.labels(task).set(standing.generation)

    def copied(self, task: str, version: str, outcome: str, n: int) -> None:
        """Count what became of `n` copies for a candidate in the shadow."""
        self._copies.labels(task, version, outcome).inc(n)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._shown)
