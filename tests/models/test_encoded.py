"""What stands on a sentence encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer
from greenlight.models.encoded import ENOUGH
from tests.models import tiny


@pytest.mark.parametrize(
    ("kept", "validation", "told"),
    [(0, 40, False), (2, 40, False), (3, 40, True), (80, ENOUGH, False), (80, ENOUGH + 1, True)],
)
def test_scope_is_told_where_there_is_enough_to_compare_with(
    tmp_path: Path, kept: int, validation: int, told: bool
) -> None:
    """Where too few texts are kept of two labels, a version is made that tells nothing."""
    rows = [row for row in tiny.examples(200, 1) if row.label != "pin"]
    files = tiny.write_encoder(tmp_path / "encoder")
    trained = EncoderHeadTrainer(lambda _: files, tmp_path / "cache").train(
        train=rows[:60],
        validation=rows[60 : 60 + validation],
        labels=["card", "money"],
        config={"oos_texts": kept},
        seed=0,
        out=str(tmp_path / "bundle"),
        progress=lambda _share, _words: None,
    )
    assert ("threshold" in trained.report["oos"]) is told
