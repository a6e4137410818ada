"""The section on the models: both forms of the encoder, and the cost of serving (T3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import asked, forms
from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer
from tests.models import tiny

RUN = {
    "source": "sample",
    "backend": "encoder-head",
    "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9},
    "ece": 0.03,
    "training_seconds": 1.5,
}
FOUND = {
    "runs": [RUN],
    "int8_cosine": {"mean": 0.997, "least": 0.99, "texts": 500},
}


def form(backend: str, name: str, test: float, tells: bool = True) -> dict[str, Any]:
    cost = {"p50_ms": 3.0, "p99_ms": 8.25, "texts": 10}
    serving = {"load_s": 1.25, "memory_mib": 212.4, "short": cost, "all": cost}
    return {
        "backend": backend,
        "form": name,
        "tells_scope": tells,
        "cpu_seconds": 71.4,
        "validation_accuracy": 0.93,
        "test_accuracy": test,
        "bundle_bytes": 40 * 2**20,
        "serving": serving,
    }


def test_results_without_forms_show_the_backends_alone() -> None:
    page = forms.render(FOUND)
    assert "| sample | encoder-head | 0.8000 (0.7000 to 0.9000) | 0.030 | 1.5 |" in page
    assert "8 bits" not in page


def test_what_8_bits_lose_is_the_mean_over_seeds() -> None:
    made = [
        form("encoder-head", "int8", 0.938),
        form("encoder-head", "fp32", 0.940),
        form("encoder-head", "int8", 0.1, tells=False),
        *(form("encoder-finetune", "int8", test) for test in (0.94, 0.944)),
        *(form("encoder-finetune", "fp32", test) for test in (0.94, 0.942)),
    ]
    page = forms.render({**FOUND, "forms": made})
    assert "`encoder-head` +0.20, `encoder-finetune` -0.10." in page
    assert "| encoder-head | int8 | 1 seed | 0.9300 | 0.9380 | 71 |" in page
    assert "| encoder-finetune | int8 | 2 seeds | 0.9300 ± 0.0000 | 0.9420 ± 0.0028 | 71 |" in page
    assert "| encoder-head | int8 | no | 40 | 1.25 | 212 | 3.00, 8.25 | 3.00, 8.25 |" in page


def test_a_bundle_is_opened_and_asked(tmp_path: Path) -> None:
    files = tiny.write_encoder(tmp_path / "encoder")
    trained = EncoderHeadTrainer(lambda _: files, tmp_path / "cache").train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=["card", "money", "pin"],
        config={},
        seed=0,
        out=str(tmp_path / "bundle"),
        progress=lambda _share, _words: None,
    )
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(["my card", "word " * 21]), encoding="utf-8")
    found = asked.main(trained.folder, str(texts))
    assert (found["all"]["texts"], found["short"]["texts"]) == (2, 1)
    assert 0 < found["short"]["p50_ms"] <= found["short"]["p99_ms"]
    assert found["load_s"] > 0 and found["memory_mib"] > 10
