"""Bundles made once and shared; tests that change one work on a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenlight.adapters.trainers import TRAINERS
from greenlight.adapters.trainers.encoder_finetune import EncoderFinetuneTrainer
from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer
from greenlight.config.making import TAGGERS, TALKERS
from greenlight.ports import Trainer
from tests.models import tiny

LABELS = ["pin", "card", "money"]


def _needing(name: str) -> Any:
    """A backend, and what it needs of the machine."""
    marks = [pytest.mark.needs("torch")] if name == "encoder-finetune" else []
    return pytest.param(name, marks=marks)


CLASSIFIERS = [_needing(name) for name in TRAINERS if name not in TAGGERS | TALKERS]


@pytest.fixture(scope="session", params=CLASSIFIERS)
def made_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every kind that gives a text a label."""
    folder = tmp_path_factory.mktemp(request.param)
    trainer: Trainer = TRAINERS[request.param]()
    if request.param == "encoder-head":
        files = tiny.write_encoder(folder / "encoder")
        trainer = EncoderHeadTrainer(lambda _: files, folder / "cache")
    if request.param == "encoder-finetune":
        files = tiny.write_encoder(folder / "encoder")
        trainer = EncoderFinetuneTrainer(lambda _: files, threads=1)
    trained = trainer.train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=LABELS,
        config={},
        seed=0,
        out=str(folder / "bundle"),
        progress=lambda _share, _words: None,
    )
    return Path(trained.folder)
