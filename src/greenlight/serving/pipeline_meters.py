"""The newest run of each task, as metrics. Workers write to the store; this reads it per scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from greenlight.core.errors import StoreError
from greenlight.core.records import SECOND

Views = Callable[[], Sequence[Mapping[str, Any]]]
"""The newest run of each task, as `lookup.run_view` shows it."""


class PipelineMeters(Collector):
    """Gauges named `greenlight_pipeline_…`."""

    def __init__(self, views: Views) -> None:
        """Read through `views` at every scrape."""
        self._views = views

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing beforehand: registering must not ask the store."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What Prometheus scrapes; nothing while the store is away, as other metrics must go on."""
        try:
            views = self._views()
        except StoreError:
            return []
        status = _gauge("run_status", "1 for the status of the task's newest run", "status")
        began = _gauge("run_began_timestamp_seconds", "When the task's newest run began")
        ended = _gauge("run_ended_timestamp_seconds", "When the task's newest run ended")
        share = _gauge("stage_share", "Share done of the stage that is under way", "stage")
        took = _gauge("stage_duration_seconds", "How long a stage of the newest run took", "stage")
        over = _gauge("stage_taken_over", "1 where an earlier run had done the stage", "stage")
        rows = _gauge("rows", "Rows of the newest run's dataset", "split")
        memory = _gauge("memory_bytes", "Resident memory of the newest run's process")
        peak = _gauge("peak_memory_bytes", "The most memory that the newest run held")
        hits = _gauge("cache_hit_ratio", "Share of predictions that the evaluation had remembered")
        for view in views:
            task = view["task"]
            status.add_metric([task, view["status"]], 1.0)
            began.add_metric([task], view["at"] / SECOND)
            if view["ended_at"] is not None:
                ended.add_metric([task], view["ended_at"] / SECOND)
            told = view["progress"]
            if told is not None:
                memory.add_metric([task], told["memory"])
                peak.add_metric([task], told["peak_memory"])
                if view["ended_at"] is None:
                    share.add_metric([task, told["stage"]], told["share"])
            for stage in view["stages"]:
                seconds = (stage["at"] - stage["started_at"]) / SECOND
                took.add_metric([task, stage["name"]], seconds)
                over.add_metric([task, stage["name"]], float(stage["reused"] is not None))
                for split, count in stage["report"].get("counts", {}).items():
                    if stage["name"] == "curate":
                        rows.add_metric([task, split], count)
                cache = stage["report"].get("cache")
                if cache and cache["hits"] + cache["misses"]:
                    hits.add_metric([task], cache["hits"] / (cache["hits"] + cache["misses"]))
        return [status, began, ended, share, took, over, rows, memory, peak, hits]


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"greenlight_pipeline_{name}", meaning, labels=("task", *labels))
