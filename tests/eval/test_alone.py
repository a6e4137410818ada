"""The protocol run by itself (E1), on a file or on a bundle: the exit code says how gates stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval import intent_eval, oos_eval
from eval.alone import MET, MISSED, UNKNOWN, value_of
from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer
from greenlight.adapters.trainers.sparse import SparseTrainer
from greenlight.core.errors import BadInput
from greenlight.models import bundle
from greenlight.models.features import WORDS
from tests.models import tiny

ROWS = tiny.examples(40, 5)
ALIEN = "the when can i you help now today"
Said = Callable[..., tuple[int, Any, str]]


def silent(_share: float, _words: str) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle that tells what is out of scope."""
    root = tmp_path_factory.mktemp("alone")
    files = tiny.write_encoder(root / "encoder")
    EncoderHeadTrainer(lambda _: files, root / "cache").train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=["pin", "card", "money"],
        config={},
        seed=0,
        out=str(root / "bundle"),
        progress=silent,
    )
    return root / "bundle"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Exit code, judgement and what was said beside it."""

    def run(module: Any, *arguments: object) -> tuple[int, Any, str]:
        code = module.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Three of four right; the last without a score."""
    file = tmp_path / "predictions.jsonl"
    lines = [("a", "a", 0.9), ("b", "b", 0.8), ("a", "b", 0.7), ("b", "b", None)]
    file.write_text(
        "".join(json.dumps({"gold": g, "predicted": p, "score": s}) + "\n" for g, p, s in lines)
    )
    return file


def written(file: Path, rows: list[tuple[str, str]]) -> Path:
    """Labelled rows in a file."""
    file.write_text("".join(json.dumps({"text": t, "label": la}) + "\n" for t, la in rows))
    return file


@pytest.mark.parametrize(
    ("gates", "code", "says"),
    [
        ([], MET, ""),
        (["--min", "accuracy=0.75", "--min", "macro_f1.value=0.7"], MET, "met: accuracy 0.7500"),
        (["--min", "accuracy=0.76"], MISSED, "MISSED: accuracy 0.7500, wanted ≥ 0.76"),
        (["--max", "accuracy=0.74"], MISSED, "wanted ≤ 0.74"),
        (["--min", "accuracy=0.1", "--min", "accuracy.low=0.9"], MISSED, "MISSED: accuracy.low"),
        (["--max", "ece=0.5"], UNKNOWN, "unknown: ece: cannot compute: 1 of 4 predictions"),
        (["--min", "accuracy=0.9", "--max", "ece=0.5"], UNKNOWN, "MISSED: accuracy"),
        (["--min", "acuracy=0.1"], UNKNOWN, "no number of this judgement; there are accuracy"),
        (["--min", "labels=0.1"], UNKNOWN, "labels: no number of this judgement"),
    ],
)
def test_the_exit_code_says_how_the_gates_stand(
    predictions: Path, said: Said, gates: list[str], code: int, says: str
) -> None:
    """E1: met 0, missed 1, and 2 for what cannot be judged, which is never taken for met."""
    found, document, err = said(intent_eval, predictions, *gates)
    assert found == code
    assert says in err
    assert document["accuracy"]["value"] == 0.75


def test_intents_of_a_bundle(made: Path, tmp_path: Path, said: Said) -> None:
    """E1: the same rules, on what the bundle answers now."""
    file = written(tmp_path / "rows.jsonl", [(row.text, row.label) for row in ROWS])
    answers = bundle.load(made).predict([row.text for row in ROWS])
    expected = intent_eval.evaluate(
        [row.label for row in ROWS],
        [answer.label for answer in answers],
        [answer.score for answer in answers],
        ["pin", "card", "money"],
    )
    code, document, err = said(
        intent_eval, "--bundle", made, "--rows", file, "--min", "accuracy=0.8"
    )
    assert (code, document) == (MET, expected)
    assert err.startswith("met: accuracy")
    written(file, [("my card", "card"), ("a soup", "soup")])
    code, document, err = said(intent_eval, "--bundle", made, "--rows", file)
    assert (code, document) == (UNKNOWN, None)
    assert "gold label 'soup'" in err


def test_scope_of_a_bundle(made: Path, tmp_path: Path, said: Said) -> None:
    """D9: what has a label that the bundle does not have is out of its scope."""
    rows = [(row.text, row.label) for row in ROWS]
    file = written(tmp_path / "rows.jsonl", [*rows, *[(ALIEN, "oos")] * 10])
    code, document, _ = said(oos_eval, "--bundle", made, "--rows", file, "--min", "auroc=0.5")
    assert code == MET
    assert document["counts"] == {"in": 40, "out": 10, "share_out": 0.2}
    assert "value" in document["own_threshold"]["found"]
    written(file, rows)
    code, document, err = said(oos_eval, "--bundle", made, "--rows", file, "--min", "auroc=0.5")
    assert code == UNKNOWN, "a slice without any text out of scope passes nothing"
    assert "every text is in scope" in document["auroc"]["reason"]
    assert "every text is in scope" in err


def test_a_bundle_that_tells_no_scope(tmp_path: Path, said: Said) -> None:
    out = tmp_path / "bundle"
    SparseTrainer("tfidf-linear", WORDS).train(
        train=tiny.examples(60, 1),
        validation=tiny.examples(20, 2),
        labels=["pin", "card", "money"],
        config={},
        seed=0,
        out=str(out),
        progress=silent,
    )
    file = written(tmp_path / "rows.jsonl", [("my card", "card"), ("a soup", "oos")])
    code, document, err = said(oos_eval, "--bundle", out, "--rows", file)
    assert (code, document) == (UNKNOWN, None)
    assert "does not tell what is out of scope" in err


def test_a_changed_bundle_is_not_asked(made: Path, tmp_path: Path, said: Said) -> None:
    """R3."""
    copy = tmp_path / "bundle"
    copy.mkdir()
    for part in made.iterdir():
        (copy / part.name).write_bytes(part.read_bytes() + b" " * (part.name == "vocabulary.json"))
    file = written(tmp_path / "rows.jsonl", [("my card", "card")])
    code, document, err = said(intent_eval, "--bundle", copy, "--rows", file)
    assert (code, document) == (UNKNOWN, None)
    assert "not as sealed: vocabulary.json" in err
    code, _, err = said(intent_eval, "--bundle", made, "--rows", tmp_path / "away.jsonl")
    assert code == UNKNOWN
    assert "away.jsonl" in err


@pytest.mark.parametrize(
    "arguments",
    [[], ["--bundle", "b"], ["--rows", "r"], ["p", "--bundle", "b"], ["p", "--min", "accuracy"]],
)
def test_what_does_not_say_what_to_judge(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        oos_eval.main(arguments)
    assert ended.value.code == UNKNOWN
    assert "--bundle" in capsys.readouterr().err


def test_a_metric_is_a_number_and_nothing_else() -> None:
    document = {"a": {"b": {"value": 1, "low": 0.5}}, "sure": True, "none": {"reason": "no rows"}}
    assert value_of(document, "a.b") == 1.0
    assert value_of(document, "a.b.low") == 0.5
    for metric in ("a", "sure", "none", "a.b.value.c", ""):
        with pytest.raises(BadInput):
            value_of(document, metric)
