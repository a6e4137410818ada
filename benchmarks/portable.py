"""How far two processors' trainings of the tagger come apart, step by step.

    pip install torch==2.13.0
    python -m benchmarks.portable [--steps 120]

One machine plays both: a process of its own learns WNUT-2017 with the instructions that torch
chooses, another one without the newer ones, and with matrix products that are made for any
processor, and slow. In 32 bits, and as option `portable` has it; the batches are the same.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.harness import ROOT, provenance, save
from benchmarks.pages import Found, table
from greenlight import datasets
from greenlight.adapters.trainers.token_tagger import Making, Settings
from greenlight.core import tagging
from greenlight.models import encoded, encoder, tagger_fitting

ELSEWHERE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
}
"""What has torch compute as if on another processor."""
LOOKED_AT = 20
"""Weights are compared every so many steps."""
MOST = 500
"""Steps that the training has for certain."""
SEED = 2025


class Enough(Exception):
    """So many steps were asked for."""


def learn(portable: bool, steps: int, folder: Path) -> None:
    """Learn for so many steps; the weights go into files of the folder, by step, and the seconds of
    CPU that a step took."""
    source = datasets.load("wnut17")
    rows = [*source.train, *source.validation]
    labels = tagging.tag_set(row.label for row in rows)
    pretrained = encoded.read(encoder.find(os.environ, lambda *_: None))
    settings = Settings(portable=portable, threads=1)
    making = Making(pretrained, labels, settings, SEED)
    sentences = tagger_fitting.read(list(source.train), labels)
    net = making.fresh(sentences)
    done = 0

    def stepped(_share: float, _words: str) -> None:
        nonlocal done
        done += 1
        if done % LOOKED_AT == 0:
            weights = [value.detach().flatten().numpy() for value in net.network.learnt()]
            np.save(folder / f"{done}.npy", np.concatenate(weights))
        if done == steps:
            raise Enough

    began = time.process_time()
    try:
        for _ in tagger_fitting.fit(*net, sentences, labels, making.recipe, stepped):
            pass
    except Enough:
        (folder / "seconds").write_text(f"{(time.process_time() - began) / steps}")


def apart(here: Path, there: Path, steps: int) -> list[dict[str, Any]]:
    """How many weights differ, and by how much, at every step that was looked at."""
    found = []
    for step in range(LOOKED_AT, steps + 1, LOOKED_AT):
        one, other = (np.load(folder / f"{step}.npy") for folder in (here, there))
        found.append(
            {
                "step": step,
                "weights": len(one),
                "differ": int((one != other).sum()),
                "most": float(np.abs(one - other).max()),
            }
        )
    return found


def measured(steps: int) -> list[dict[str, Any]]:
    """Both ways of learning, each on both processors."""
    found = []
    for portable in track((False, True), "in 32 bits, and portable"):
        with tempfile.TemporaryDirectory() as made:
            folders = [Path(made, name) for name in ("here", "there")]
            for folder, changed in zip(folders, ({}, ELSEWHERE), strict=True):
                folder.mkdir()
                words = ["--into", str(folder), "--steps", str(steps)]
                command = [sys.executable, "-m", "benchmarks.portable", *words]
                if portable:
                    command.append("--portable")
                subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **changed})
            here, there = folders
            found.append(
                {
                    "portable": portable,
                    "cpu_seconds_per_step": [
                        float((each / "seconds").read_text()) for each in folders
                    ],
                    "steps": apart(here, there, steps),
                }
            )
    return found


def summary(found: Found) -> str:
    """What benchmarks/README.md shows of it."""
    rows = [
        (
            "portable" if way["portable"] else "32 bits",
            f"{at['step']}",
            f"{at['differ']:,} of {at['weights']:,}",
            f"{at['most']:.1e}" if at["differ"] else "0",
        )
        for way in found["ways"]
        for at in way["steps"]
    ]
    real, portable = (way["cpu_seconds_per_step"][0] for way in found["ways"])
    text = (
        "The same training of `token-tagger` twice, on one machine that plays two processors: with "
        "all its instructions, and with "
        f"{', '.join(f'`{name}={value}`' for name, value in found['elsewhere'].items())}. "
        f"A step takes {real:.2f} s of CPU in 32 bits and {portable:.2f} s portable, "
        f"{portable / real:.1f} times as long.\n\n"
    )
    return text + table(("way", "steps", "weights that differ", "by at most"), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6 * LOOKED_AT)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--portable", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not LOOKED_AT <= given.steps <= MOST:
        parser.error(f"--steps {given.steps}: from {LOOKED_AT} to {MOST}")
    if given.into is not None:
        learn(given.portable, given.steps, given.into)
        return
    began = provenance()
    save("portable", began, {"elsewhere": ELSEWHERE, "ways": measured(given.steps)})


if __name__ == "__main__":
    main()
