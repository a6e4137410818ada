"""The ledger's head, as a metric: what Prometheus has seen, nobody takes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from greenlight.core.errors import StoreError
from greenlight.core.records import LedgerEntry

Newest = Callable[[], LedgerEntry | None]
"""The newest entry of the ledger; None while there is none."""


class LedgerMeter(Collector):
    """One gauge, `greenlight_ledger_head`: the newest entry's number, labelled with its digest."""

    def __init__(self, newest: Newest) -> None:
        """Read through `newest` at every scrape."""
        self._newest = newest

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing beforehand: registering must not ask the store."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What Prometheus scrapes; without a value while the store is away."""
        gauge = GaugeMetricFamily(
            "greenlight_ledger_head",
            "Number of the ledger's newest entry, labelled with its digest",
            labels=("digest",),
        )
        try:
            entry = self._newest()
        except StoreError:
            entry = None
        if entry is not None:
            gauge.add_metric([entry.digest], entry.seq)
        return [gauge]
