"""What `token-tagger` reaches on WNUT-2017: seeds, mean and spread, 8 bits against 32, and cost.

    pip install torch==2.13.0
    python -m benchmarks.tagger [--seeds 3] [--teachers 0]

The official train and development files are learnt from, as the backend does by default: a first
fit on train alone, by which everything is chosen on dev, and a second on both, which is judged on
test. Dev is only ever judged on the first. Numbers are those of the protocol (`eval.ner_eval`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.progress import Progress

from benchmarks.harness import provenance, save
from eval import ner_eval
from greenlight import datasets
from greenlight.adapters.trainers.token_tagger import Making, Settings
from greenlight.core import tagging
from greenlight.datasets.source import PublicSource
from greenlight.models import encoded, encoder, tagger, tagger_fitting
from greenlight.models.linear import Doubles, softmax
from greenlight.models.tagger_fitting import Chosen
from greenlight.ports import Example

REQUIRED, GOAL = 0.45, 0.52
"""Token micro-F1 on test."""
SHORT = 20
"""Words of the longest text whose cost counts as that of a short one."""
TIMED = 1000

LOADED = """
import sys, time
began = time.perf_counter()
from greenlight.models import bundle
model = bundle.load(sys.argv[1])
print(time.perf_counter() - began)
model.predict(["Greetings from New York"])
# Not getrusage: what that says is not less than what the process had before it became this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def judged(gold: Sequence[str], said: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Both F1 with their intervals, precision and recall of tokens."""
    found = ner_eval.evaluate(gold, said, labels)
    names = ("token_micro_f1", "entity_micro_f1", "token_precision", "token_recall")
    return {name: found[name] for name in names}


class Bench:
    """The rows, and what was computed of them."""

    def __init__(self, settings: Settings) -> None:
        """Read the data and the encoder."""
        self.settings = settings
        self.source: PublicSource = datasets.load("wnut17")
        self.train = list(self.source.train)
        self.dev, self.test = list(self.source.validation), list(self.source.test)
        self.labels = tagging.tag_set(row.label for row in (*self.train, *self.dev))
        self.pretrained = encoded.read(encoder.find(os.environ, lambda *_: None))
        self.dev_shares: list[list[Doubles]] = []
        self.test_shares: list[list[Doubles]] = []
        self.chosen: list[Chosen] = []

    def seed(self, seed: int, progress: Any) -> dict[str, Any]:
        """Train with a seed; what it reaches in 8 and in 32 bits."""
        began = time.process_time()
        making = Making(self.pretrained, self.labels, self.settings, seed)
        rows = [tagger_fitting.read(each, self.labels) for each in (self.train, self.dev)]
        made = making.make(rows[0], rows[1], progress)
        seconds = time.process_time() - began
        result: dict[str, Any] = {"seed": seed, "training_cpu_seconds": seconds, **made.report}
        for bits, quantised in (("int8", True), ("float32", False)):
            first, second = (
                tagger.Tagger(making.parts(net, made.chosen, quantised=quantised))
                for net in (made.held_out, made.served)
            )
            result[bits] = {
                "dev": self._judge(first, self.dev),
                "test": self._judge(second, self.test),
                "test_without_dev": self._judge(first, self.test),
            }
            if quantised:
                self.dev_shares.append(_shares(first, self.dev, made.chosen.beta))
                self.test_shares.append(_shares(second, self.test, made.chosen.beta))
                self.chosen.append(made.chosen)
                self.parts = making.parts(made.served, made.chosen, quantised=True)
        return result

    def average(self) -> dict[str, Any]:
        """The mean of the seeds' probabilities, at a bias chosen on dev: more than is served."""
        dev, test = (
            [np.mean(each, axis=0) for each in zip(*shares, strict=True)]
            for shares in (self.dev_shares, self.test_shares)
        )
        rows = tagger_fitting.read(self.dev, self.labels)
        bias = tagger_fitting.choose([np.log(each) for each in dev], rows, self.labels).bias
        return {
            "bias": bias,
            "dev": judged([row.label for row in self.dev], self._said(dev, bias), self.labels),
            "test": judged([row.label for row in self.test], self._said(test, bias), self.labels),
        }

    def cost(self) -> dict[str, Any]:
        """CPU of one text at a time, size of the bundle, seconds and memory of a fresh process."""
        with tempfile.TemporaryDirectory() as folder:
            tagger.write(Path(folder, "bundle"), self.parts)
            size = sum(path.stat().st_size for path in Path(folder, "bundle").iterdir())
            lines = subprocess.run(
                [sys.executable, "-c", LOADED, f"{folder}/bundle"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        model = tagger.Tagger(self.parts)
        texts = [row.text for row in self.test if len(row.text.split()) <= SHORT][:TIMED]
        spent = []
        for text in [*texts[:20], *texts]:
            began = time.process_time()
            model.predict([text])
            spent.append(1e3 * (time.process_time() - began))
        middle, slowest = np.percentile(spent[20:], (50, 99))
        return {
            "texts": len(texts),
            "most_words": SHORT,
            "cpu_ms_p50": float(middle),
            "cpu_ms_p99": float(slowest),
            "bundle_bytes": size,
            "import_and_load_seconds": float(lines[0]),
            "memory_mib": int(lines[1]) / 1024,
        }

    def _judge(self, model: tagger.Tagger, rows: Sequence[Example]) -> dict[str, Any]:
        said = [answer.label for answer in model.predict([row.text for row in rows])]
        return judged([row.label for row in rows], said, self.labels)

    def _said(self, shares: Sequence[Doubles], bias: float) -> list[str]:
        choice = tagger.Choice(self.labels, bias)
        return [
            tagging.join(self.labels[number] for number in choice.tags(each)) for each in shares
        ]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, least and most, and the standard deviation between seeds."""
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        "least": min(values),
        "most": max(values),
    }


def _token_f1(run: Mapping[str, Any], part: str) -> str:
    return f"{run['int8'][part]['token_micro_f1']['value']:.4f}"


def _shares(model: tagger.Tagger, rows: Sequence[Example], beta: float) -> list[Doubles]:
    return [softmax(beta * model.scores(row.text.split()).astype(np.float64)) for row in rows]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--teachers", type=int, default=Settings().teachers)
    parser.add_argument("--bfloat16", action="store_true", help="products in 16 bits")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    began = provenance()
    settings = Settings(teachers=given.teachers, bfloat16=given.bfloat16, threads=given.threads)
    bench = Bench(settings)
    runs = []
    with Progress() as bar:
        for seed in range(given.seeds):
            task = bar.add_task(f"seed {seed}", total=1.0)
            run = bench.seed(seed, lambda share, _, task=task: bar.update(task, completed=share))
            runs.append(run)
            bar.console.print(
                f"seed {seed}: dev {_token_f1(run, 'dev')}, test {_token_f1(run, 'test')}"
            )
    summary = {
        f"{bits}_{part}_{measure}": spread(
            [run[bits][part][f"{measure}_micro_f1"]["value"] for run in runs]
        )
        for bits in ("int8", "float32")
        for part in ("dev", "test", "test_without_dev")
        for measure in ("token", "entity")
    }
    numbers = {
        "settings": msgspec.to_builtins(bench.settings),
        "required": REQUIRED,
        "goal": GOAL,
        "summary": summary,
        "average": bench.average(),
        "cost": bench.cost(),
        "runs": runs,
    }
    save("tagger", began, numbers)


if __name__ == "__main__":
    main()
