"""The channels of notifications, as metrics. A controller delivers; this reads the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from greenlight.core.errors import StoreError
from greenlight.core.notices import Backlog

Backlogs = Callable[[], Sequence[Backlog]]
"""How far every channel is behind the ledger."""


class NotifyMeter(Collector):
    """Gauges and counters named `greenlight_notify_…`, by channel."""

    def __init__(self, backlogs: Backlogs) -> None:
        """Read through `backlogs` at every scrape."""
        self._backlogs = backlogs

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering must not ask the store."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What Prometheus scrapes; without values while the store is away."""
        behind = GaugeMetricFamily(
            "greenlight_notify_behind_seconds",
            "How old the first entry of the ledger is that the channel has not come to",
            labels=("channel",),
        )
        attempts = GaugeMetricFamily(
            "greenlight_notify_attempts",
            "How often in a row a delivery on the channel has failed",
            labels=("channel",),
        )
        delivered = CounterMetricFamily(
            "greenlight_notify_delivered",
            "Messages that were delivered on the channel",
            labels=("channel",),
        )
        given_up = CounterMetricFamily(
            "greenlight_notify_given_up",
            "Messages that were refused, or tried in vain for too long",
            labels=("channel",),
        )
        try:
            found = [one for one in self._backlogs() if one.begun]
        except StoreError:
            found = []
        for one in found:
            behind.add_metric([one.channel], one.seconds)
            attempts.add_metric([one.channel], one.attempts)
            delivered.add_metric([one.channel], one.delivered)
            given_up.add_metric([one.channel], one.given_up)
        return [behind, attempts, delivered, given_up]
