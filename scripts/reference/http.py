"""What the gateway speaks: endpoints and errors as its OpenAPI document has them, and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from greenlight.core.errors import GreenlightError
from greenlight.serving import http, openapi
from greenlight.serving.ledger_meter import LedgerMeter
from greenlight.serving.meters import Meters
from greenlight.serving.notify_meter import NotifyMeter
from greenlight.serving.pipeline_meters import PipelineMeters
from scripts.reference.blocks import table

Document = dict[str, Any]


def blocks() -> dict[str, str]:
    """The blocks of docs/http.md."""
    pipeline = PipelineMeters(lambda: []).collect()
    return {
        "endpoints": _endpoints(openapi.document()),
        "errors": _errors(openapi.document()),
        "metrics": table(("metric", "type", "tells"), _metrics()),
        "pipeline metrics": table(("metric", "type", "tells"), map(_family, pipeline)),
    }


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _endpoints(document: Document) -> str:
    rows = []
    for method, path, operation in _operations(document):
        scopes = [f"`{name}`" for need in operation["security"] for name in need.get("key", [])]
        rows.append((f"`{method} {path}`", operation["summary"], ", ".join(scopes) or "–"))
    return table(("endpoint", "does", "scope of the key"), rows)


def _errors(document: Document) -> str:
    """Every status and code, when it comes, and the headers that always come with it."""
    kinds: list[tuple[int, str, str]] = [(500, "internal", "A fault of ours; the log says more.")]
    kinds += [(status, code, _when(kind)) for kind, status, code in http.STATUS]
    merged: dict[tuple[int, str], list[str]] = {}
    for status, code, when in kinds:
        merged.setdefault((status, code), []).append(when)
    rows = [
        (str(status), f"`{code}`", " ".join(whens), _headers(document, status))
        for (status, code), whens in sorted(merged.items())
    ]
    return table(("status", "code", "when", "with the header"), rows)


def _when(kind: type[GreenlightError]) -> str:
    return openapi.WHEN.get(kind) or str(kind.__doc__).splitlines()[0]


def _headers(document: Document, status: int) -> str:
    """The headers that every answer of a status has, whatever was asked."""
    answers = [
        operation["responses"][str(status)]
        for _, _, operation in _operations(document)
        if str(status) in operation["responses"]
    ]
    counted = Counter(name for answer in answers for name in answer.get("headers", {}))
    required = document["components"]["headers"]
    return ", ".join(
        f"`{name}`"
        for name, times in counted.items()
        if times == len(answers) and required[name].get("required")
    )


def _metrics() -> Iterator[tuple[str, str, str]]:
    """A row for each metric of the gateway itself."""
    for found in vars(Meters()).values():
        if isinstance(found, MetricWrapperBase):
            family = next(iter(found.collect()))
            yield _row(family, found._labelnames)
    yield from map(_family, LedgerMeter(lambda: None).collect())
    yield from map(_family, NotifyMeter(lambda: []).collect())


def _family(family: Metric) -> tuple[str, str, str]:
    return _row(family, getattr(family, "_labelnames", ()))


def _row(family: Metric, labels: tuple[str, ...]) -> tuple[str, str, str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    braces = f"{{{','.join(labels)}}}" if labels else ""
    return f"`{name}{braces}`", family.type, f"{family.documentation.rstrip('.')}."
