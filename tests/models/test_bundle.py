"""Bundles: sealed, checked at load, and served without training libraries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Tampered
from greenlight.models import bundle
from greenlight.models.features import WORDS, Tfidf
from greenlight.models.linear import LinearHead
from tests.models import tiny
from tests.models.conftest import LABELS

TEXTS = [example.text for example in tiny.examples(40, 11)]


@pytest.fixture
def copied(made_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_bundle, tmp_path / "bundle"))


def reseal(folder: Path, **changes: Any) -> None:
    """Seal a folder anew, with changes to its manifest: somebody else's bundle."""
    body = json.loads((folder / artifacts.MANIFEST).read_text())
    del body["files"]
    artifacts.seal(folder, {**body, **changes})


def test_predictions_are_labels_with_probabilities(made_bundle: Path) -> None:
    """T3: most made-up texts are told apart; one text alone gets the answer it gets in a batch."""
    model = bundle.load(made_bundle)
    assert list(model.labels) == LABELS
    answers = model.predict(TEXTS)
    wanted = [example.label for example in tiny.examples(40, 11)]
    right = sum(answer.label == label for answer, label in zip(answers, wanted, strict=True))
    assert right >= 36
    assert all(1 / len(LABELS) <= answer.score <= 1 for answer in answers)
    tells = model.kind in bundle.ENCODED
    assert all((answer.oos is not None) is tells for answer in answers)
    assert all((answer.oos_score is not None) is tells for answer in answers)
    assert [model.predict([text])[0] for text in TEXTS] == answers
    assert model.predict([]) == []
    assert len(model.predict(["", "nothing known: zzz"])) == 2


def test_threads_may_share_a_model(made_bundle: Path) -> None:
    """Eight threads at once get what one gets."""
    model = bundle.load(made_bundle)
    wanted = [model.predict([text]) for text in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(lambda text: model.predict([text]), TEXTS)) == wanted


def test_one_changed_byte_is_refused(copied: Path) -> None:
    """In whichever file, manifest included."""
    digest = bundle_digest(copied)
    bundle.load(copied, digest)
    for path in sorted(copied.iterdir()):
        good = path.read_bytes()
        middle = len(good) // 2
        path.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        with pytest.raises(Tampered):
            bundle.load(copied, digest)
        path.write_bytes(good)
    (copied / "extra.pkl").write_bytes(b"")
    with pytest.raises(Tampered, match=r"extra\.pkl"):
        bundle.load(copied)


def test_another_bundle_is_refused(copied: Path) -> None:
    """Sealed properly, but not the one that was asked for."""
    digest = bundle_digest(copied)
    reseal(copied, labels=[*LABELS[1:], LABELS[0]])
    assert list(bundle.load(copied).labels) == [*LABELS[1:], LABELS[0]]
    with pytest.raises(Tampered, match=f"expected {digest}"):
        bundle.load(copied, digest)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "bundle format 2; this release reads 1"),
        ({"kind": "oracle"}, "oracle"),
        ({"labels": ["a", "a", "b"]}, "labels repeat"),
        ({"labels": ["a", "b"]}, "2 labels, 3 in the head"),
        ({"settings": {"beta": 1.0}}, "terms"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_sealed_folder_need_not_be_a_bundle(
    copied: Path, changes: dict[str, Any], problem: str
) -> None:
    """What cannot be read is said in a sentence."""
    reseal(copied, **changes)
    with pytest.raises(BadInput, match=problem):
        bundle.load(copied)


def test_a_bundle_without_its_weights_is_none(copied: Path) -> None:
    """Sealed without a file that its kind needs."""
    (copied / bundle.WEIGHTS).unlink()
    reseal(copied)
    with pytest.raises(BadInput, match="no bundle that this release can read"):
        bundle.load(copied)


def parts(**changes: Any) -> bundle.Parts:
    given: dict[str, Any] = {
        "kind": "tfidf-linear",
        "labels": ["a", "b"],
        "beta": 2.0,
        "tfidf": Tfidf(WORDS, ["one", "two", "three"], np.ones(3, np.float32)),
        "head": LinearHead(np.ones((3, 2), np.float32), np.zeros(2, np.float32)),
    }
    return bundle.Parts(**(given | changes))


def test_equal_parts_give_equal_digests(tmp_path: Path) -> None:
    """And other parts another."""
    first = bundle.write(tmp_path / "1", parts())
    assert bundle.write(tmp_path / "2", parts()) == first
    assert bundle.write(tmp_path / "3", parts(beta=2.5)) != first


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"beta": 0.0}, "beta is 0.0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"kind": "encoder-head"}, "an encoder where none belongs, or none"),
        ({"tfidf": Tfidf(WORDS, ["one"], np.ones(1, np.float32))}, "1 terms, 3 in the head"),
        (
            {"head": LinearHead(np.full((3, 2), np.nan, np.float32), np.zeros(2, np.float32))},
            "not finite",
        ),
    ],
)
def test_parts_that_do_not_fit_are_not_written(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    """A bundle that could not be loaded is not made."""
    with pytest.raises(BadInput, match=problem):
        bundle.write(tmp_path / "bundle", parts(**changes))
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    """Other files would be sealed with it."""
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        bundle.write(tmp_path, parts())


SERVE = """
import sys
from greenlight.models import bundle
print(bundle.load(sys.argv[1]).predict(["please reset my pin code"])[0].label)
heavy = {"sklearn", "torch", "onnx", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_serving_needs_no_training_library(made_bundle: Path) -> None:
    """S1: a fresh process that only predicts loads neither scikit-learn nor torch."""
    answer = subprocess.run(
        [sys.executable, "-c", SERVE, str(made_bundle)], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "pin\n"), answer.stderr


def bundle_digest(folder: Path) -> str:
    """The digest by which a bundle goes."""
    return fingerprint.digest(artifacts.unseal(folder))
