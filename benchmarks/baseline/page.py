"""What docs/baseline.md shows of the results: tables between two markers.

    python -m benchmarks.baseline.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

from benchmarks.harness import ROOT
from benchmarks.pages import Found, Page, made_by, table
from greenlight.core.stats.intervals import wilson

SPLITS = ("test", "validation", "train")


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    seeds = list(dict.fromkeys(run["seed"] for run in found["runs"]))
    return [
        f"{made_by(found)}. Every run is in "
        "[results/baseline.json](../benchmarks/results/baseline.json).\n",
        "### Labels: BANKING77\n",
        f"Mean and standard deviation over the seeds {', '.join(map(str, seeds))}.\n",
        _labels(found),
        _one(found, seeds[0]),
        f"`tfidf-linear`, as its weights are held smaller (small C) or larger, seed {seeds[0]}:\n",
        _penalties(found),
        "### Tags: WNUT-2017\n",
        _tags(found),
        _seen(found),
    ]


def _labels(found: Found) -> str:
    rows = [(_MAJORITY, _majority(found["majority"]), "", "", "", "", "", "")]
    for backend in dict.fromkeys(run["backend"] for run in found["runs"]):
        runs = [run for run in found["runs"] if run["backend"] == backend]
        warned = sum(bool(run["warnings"]) for run in runs)
        rows.append(
            (
                f"`{backend}`",
                _points([run["test"]["value"] for run in runs]),
                _points([run["validation"] for run in runs]),
                _points([run["train"] for run in runs]),
                _points([run["gap"] for run in runs]),
                f"{warned} of {len(runs)}",
                f"{fmean(run['ece'] for run in runs):.4f}",
                f"{fmean(run['cpu_seconds'] for run in runs):.0f}",
            )
        )
    head = (
        "what",
        "accuracy, test",
        "validation",
        "train",
        "gap",
        "warned of overfit",
        "ECE, test",
        "CPU s of a whole run",
    )
    return table(head, rows)


def _one(found: Found, seed: int) -> str:
    rows = []
    for run in found["runs"]:
        if run["seed"] == seed:
            test = run["test"]
            rows.append(
                (
                    f"`{run['backend']}`",
                    f"{test['value']:.4f} ({test['low']:.4f} to {test['high']:.4f})",
                    f"{run['macro_f1']:.4f}",
                    f"{run['gap']:+.4f}",
                    f"{run['shuffled']:.4f}",
                )
            )
    head = (
        f"seed {seed}",
        "accuracy, test (95 %)",
        "macro F1, test",
        "gap",
        "trained on shuffled labels",
    )
    return table(head, rows)


def _penalties(found: Found) -> str:
    rows = []
    for fit in found["penalties"]:
        low, high = wilson(round(fit["validation"] * fit["n"]), fit["n"])
        rows.append(
            (
                f"{fit['C']:g}",
                f"{fit['train']:.4f}",
                f"{fit['validation']:.4f} ({low:.4f} to {high:.4f})",
                f"{fit['train'] - fit['validation']:+.4f}",
            )
        )
    return table(("C", "accuracy, train", "validation (95 %)", "gap"), rows)


def _tags(found: Found) -> str:
    rows = []
    for tagger in found["tags"]["taggers"]:
        test, validation, train = (tagger[split] for split in SPLITS)
        gap = train["token_micro_f1"]["value"] - validation["token_micro_f1"]["value"]
        rows.append(
            (
                tagger["name"],
                f"{test['words_right']:.2%}",
                _f1(test["token_micro_f1"]),
                _share(test["token_precision"]),
                _share(test["token_recall"]),
                _f1(test["entity_micro_f1"]),
                f"{validation['token_micro_f1']['value']:.4f}",
                f"{train['token_micro_f1']['value']:.4f}",
                f"{gap:+.4f}",
            )
        )
    head = (
        "what",
        "words right, test",
        "token F1, test (95 %)",
        "precision",
        "recall",
        "entity F1, test (95 %)",
        "token F1, validation",
        "train",
        "gap",
    )
    return table(head, rows)


def _seen(found: Found) -> str:
    entities, test = found["tags"]["entities"], found["tags"]["taggers"][0]["test"]
    return (
        f"Of {entities['test']:,} entities of test {entities['seen']:,} stand in train with their "
        f"type, in whatever case. {test['outside']:.2%} of its {test['words']:,} words are `O`.\n"
    )


def _points(values: list[float]) -> str:
    """Mean and standard deviation in points."""
    return f"{100 * fmean(values):.2f} ± {100 * stdev(values):.2f}"


def _majority(found: dict[str, Any]) -> str:
    low, high = wilson(found["correct"], found["n"])
    return f"{100 * found['correct'] / found['n']:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def _f1(block: dict[str, float]) -> str:
    return f"{block['value']:.4f} ({block['low']:.4f} to {block['high']:.4f})"


def _share(value: float | None) -> str:
    return "nothing found" if value is None else f"{value:.4f}"


_MAJORITY = "the most frequent label, always"

PAGE = Page(path=ROOT / "docs" / "baseline.md", name="baseline", block=block, drawn=lambda _: {})


if __name__ == "__main__":
    PAGE.write()
