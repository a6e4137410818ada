"""What `benchmarks.models` found, as text: backends, 8 bits against 32, the cost of serving."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.asked import SHORT
from benchmarks.pages import table

P99_MS, MEMORY_MIB, LOAD_S, LOSS_POINTS = 10.0, 300.0, 2.0, 0.3
"""Goals: CPU time of a short query, the process, import and load; accuracy lost in 8 bits."""

Key = tuple[str, str, bool]


def render(found: Mapping[str, Any]) -> str:
    """The section of the page."""
    rows = [
        (
            run["source"],
            run["backend"],
            _interval(run["accuracy"]),
            f"{run['ece']:.3f}",
            f"{run['training_seconds']:.1f}",
        )
        for run in found["runs"]
    ]
    cosine = found["int8_cosine"]
    text = (
        "\nTraining takes embeddings from the cache where it has them. Cosine between "
        f"int8 and float embeddings of {cosine['texts']} texts: "
        f"{cosine['mean']:.4f} on average, {cosine['least']:.4f} at the least.\n"
    )
    head = ("data", "backend", "test accuracy (95 %)", "ECE", "training s")
    return table(head, rows) + text + _forms(found.get("forms", ()))


def _interval(accuracy: Mapping[str, float]) -> str:
    return f"{accuracy['value']:.4f} ({accuracy['low']:.4f} to {accuracy['high']:.4f})"


def _forms(found: Sequence[Mapping[str, Any]]) -> str:
    """Both forms; nothing where nothing was measured."""
    if not found:
        return ""
    groups: dict[Key, list[Mapping[str, Any]]] = defaultdict(list)
    for one in found:
        groups[one["backend"], one["form"], one["tells_scope"]].append(one)
    return "\n".join(("", _accuracies(groups), _losses(groups), _costs(groups)))


def _accuracies(groups: Mapping[Key, list[Mapping[str, Any]]]) -> str:
    rows = []
    for (backend, form, tells), runs in groups.items():
        if tells:
            seeds = f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
            parts = ("validation_accuracy", "test_accuracy")
            spent = f"{_mean(runs, 'cpu_seconds'):.0f}"
            rows.append((backend, form, seeds, *(_spread(runs, part) for part in parts), spent))
    text = (
        "BANKING77 in both forms (mean ± standard deviation over seeds). Of `encoder-finetune` the "
        "encoder has learnt once for both. CPU seconds are those of a training from nothing.\n"
    )
    return text + "\n" + table(("backend", "form", "seeds", "validation", "test", "CPU s"), rows)


def _losses(groups: Mapping[Key, list[Mapping[str, Any]]]) -> str:
    lines = []
    for backend in dict.fromkeys(backend for backend, _, _ in groups):
        small, whole = (groups.get((backend, form, True), []) for form in ("int8", "fp32"))
        if small and whole:
            lost = 100 * (_mean(whole, "test_accuracy") - _mean(small, "test_accuracy"))
            lines.append(f"`{backend}` {lost:+.2f}")
    said = f"Points of test accuracy lost in 8 bits (goal: at most {LOSS_POINTS}): "
    return said + ", ".join(lines) + ".\n"


def _costs(groups: Mapping[Key, list[Mapping[str, Any]]]) -> str:
    rows = []
    for (backend, form, tells), runs in groups.items():
        serving = runs[0]["serving"]
        rows.append(
            (
                backend,
                form,
                "yes" if tells else "no",
                f"{runs[0]['bundle_bytes'] / 2**20:.0f}",
                f"{serving['load_s']:.2f}",
                f"{serving['memory_mib']:.0f}",
                *(_quantiles(serving[texts]) for texts in ("short", "all")),
            )
        )
    text = (
        "The model server's process on one core: CPU time of import and load, its memory, and the "
        f"CPU time of a text asked alone, of at most {SHORT} words (short) and of any length. "
        f"Goals for int8: at most {LOAD_S:g} s, {MEMORY_MIB:g} MiB and {P99_MS:g} ms (short, p99)."
        "\n"
    )
    head = (
        "backend",
        "form",
        "tells scope",
        "bundle MiB",
        "import and load s",
        "process MiB",
        "short p50, p99 ms",
        "all p50, p99 ms",
    )
    return text + "\n" + table(head, rows)


def _quantiles(found: Mapping[str, float]) -> str:
    return f"{found['p50_ms']:.2f}, {found['p99_ms']:.2f}"


def _mean(runs: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([run[name] for run in runs]))


def _spread(runs: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [run[name] for run in runs]
    if len(values) < 2:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
