"""A tagger's bundle: sealed, checked at load, and served without training libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenlight import artifacts
from greenlight.core import fingerprint, tagging
from greenlight.core.errors import BadInput, Tampered
from greenlight.models import bundle, tagger, tagger_graph
from greenlight.models.linear import softmax
from tests.models import tagged, tiny

TEXTS = [row.text for row in tagged.examples(70, 11)]
ODD = [
    "",
    "  \t\n ",
    "card",
    "\U0001f600 \U0001f44d\U0001f3fd \u200d é́ Ω",
    "a\u00a0b",
    "#" * 300,
    " ".join(["send", "Bob", "Lee"] * 400),
]


@pytest.fixture(scope="module")
def model() -> tagger.Tagger:
    return tagger.Tagger(tagged.parts())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tagger.write(tmp_path / "bundle", tagged.parts())
    return tmp_path / "bundle"


def reseal(folder: Path, **changes: Any) -> None:
    """Seal a folder anew, with changes to its manifest: somebody else's bundle."""
    body = json.loads((folder / artifacts.MANIFEST).read_text())
    del body["files"]
    artifacts.seal(folder, {**body, **changes})


@pytest.mark.parametrize("text", ODD)
def test_every_word_gets_a_tag(model: tagger.Tagger, text: str) -> None:
    """T3: also where there are none, in scripts that the tokenizer does not know, and without end.

    No tag breaks the rules of BIO, and the score is a probability.
    """
    (answer,) = model.predict([text])
    tagging.check(text, answer.label)
    tags = tagging.tags(answer.label)
    assert sum(tag.startswith("B-") for tag in tags) == len(tagging.spans(tags))
    assert answer.score is not None
    assert 0 < answer.score <= 1
    if not text.split():
        assert (answer.label, answer.score) == ("", 1.0)


def test_a_text_does_not_feel_the_others(model: tagger.Tagger) -> None:
    """Alone, among many, from threads, and however it is spaced: the same answer, to the bit."""
    wanted = [model.predict([text])[0] for text in TEXTS]
    assert len({answer.label for answer in wanted}) > 10
    assert len(TEXTS) >= tagger.MANY
    assert model.predict(TEXTS) == wanted
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: model.predict([text])[0], TEXTS)) == wanted
    assert model.predict([text.replace(" ", " \n ") for text in TEXTS[:5]]) == wanted[:5]
    assert model.predict([]) == []


def test_a_long_text_is_read_in_windows(model: tagger.Tagger) -> None:
    """The words of a window have the scores that they have alone."""
    # What is told of the whole text is its capitals, and there are none.
    words = " ".join(TEXTS[:8]).lower().split()
    features = tagger.WordFeatures(tiny.tokenizer().to_str().encode(), tagged.SHAPES, 16)
    whole = model.scores(words)
    first = len(features.windows(words)[0].shapes)
    assert whole.shape == (len(words), len(tagged.LABELS))
    assert first < len(words) / 2
    assert np.array_equal(whole[:first], model.scores(words[:first]))


def test_the_score_is_of_the_least_sure_word(model: tagger.Tagger) -> None:
    """Of the tag that was given, whether or not it is the likeliest."""
    for text in TEXTS[:20]:
        (answer,) = model.predict([text])
        shares = softmax(0.7 * model.scores(text.split()).astype(np.float64))
        numbers = [tagged.LABELS.index(tag) for tag in answer.label.split()]
        assert answer.score == pytest.approx(min(shares[range(len(numbers)), numbers]))


def test_bias_decides_how_much_is_a_name() -> None:
    """E2: with much of it nothing is `O` that may be something; with much less all is `O`."""
    none, all_ = (tagger.Tagger(tagged.parts(bias=bias)).predict(TEXTS) for bias in (-800, 800))
    assert {tag for answer in none for tag in answer.label.split()} == {"O"}
    assert "O" not in {tag for answer in all_ for tag in answer.label.split()}


def test_eight_bits_are_near(model: tagger.Tagger) -> None:
    """The scores move a little, and most tags stay."""
    rounded = tagger.Tagger(tagged.parts(quantised=True))
    moved, same, words = 0.0, 0, 0
    for text in TEXTS[:30]:
        exact, near = model.scores(text.split()), rounded.scores(text.split())
        moved = max(moved, float(np.abs(exact - near).max()))
        same += int((exact.argmax(axis=1) == near.argmax(axis=1)).sum())
        words += len(exact)
    assert 0 < moved < 0.5
    assert same / words > 0.95


def test_equal_parts_give_equal_bytes(tmp_path: Path) -> None:
    """A bundle goes by its digest."""
    digests = {tagger.write(tmp_path / name, tagged.parts()) for name in "ab"}
    assert len(digests) == 1
    assert tagger.write(tmp_path / "c", tagged.parts(bias=0.25)) not in digests
    with pytest.raises(BadInput, match="not empty"):
        tagger.write(tmp_path / "c", tagged.parts())


def test_one_changed_byte_is_refused(folder: Path) -> None:
    """X1: in whichever file, manifest included."""
    digest = fingerprint.digest(artifacts.unseal(folder))
    assert bundle.load(folder, digest).kind == "token-tagger"
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
        with pytest.raises(Tampered):
            bundle.load(folder, digest)
        path.write_bytes(good)
    with pytest.raises(Tampered, match="expected sha256:0"):
        bundle.load(folder, "sha256:0")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "bundle format 2; this release reads 1"),
        ({"labels": ["O", "B-x", "B-x"]}, "labels repeat"),
        ({"labels": ["B-x", "I-x"]}, "no label O"),
        ({"labels": ["O", "B-x"]}, "2 labels, 5 in the graph"),
        ({"settings": {"beta": 1.0, "token_limit": 16}}, "bias"),
        ({"settings": {"beta": 0.0, "bias": 0.0, "token_limit": 2}}, "not positive; token_limit"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_sealed_folder_need_not_be_a_tagger(
    folder: Path, changes: dict[str, Any], problem: str
) -> None:
    """What cannot be read is said in a sentence."""
    reseal(folder, **changes)
    with pytest.raises(BadInput, match=problem):
        bundle.load(folder)


@pytest.mark.parametrize("name", [tagger.GRAPH, tagger.TOKENIZER, tagger.SHAPES])
def test_a_tagger_without_a_part_is_none(folder: Path, name: str) -> None:
    """Sealed without a file, or with rubbish in its place."""
    (folder / name).write_bytes(b"\x00")
    reseal(folder)
    with pytest.raises(BadInput, match="no bundle that this release can read"):
        bundle.load(folder)
    (folder / name).unlink()
    reseal(folder)
    with pytest.raises(BadInput, match="no bundle that this release can read"):
        bundle.load(folder)


def test_weights_that_do_not_fit_are_refused() -> None:
    """Of an encoder with other layers, or of other characters."""
    for name, problem in (("mix", "to mix 2 layers"), ("characters.weight", "characters in the")):
        head = tagged.head()
        head[name] = head[name][:-1]
        with pytest.raises(BadInput, match=problem):
            tagger_graph.build(tiny.CONFIG, tiny.tensors(), head, quantised=False)


SERVE = """
import sys
from greenlight.models import bundle
print(len(bundle.load(sys.argv[1]).predict(["send Bob Lee"])[0].label.split()))
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"sklearn", "torch", "onnx", "scipy"}, loaded & {"sklearn", "torch", "onnx"}
"""


def test_serving_needs_no_training_library(folder: Path) -> None:
    """S1: a fresh process that only predicts loads neither torch nor onnx."""
    answer = subprocess.run(
        [sys.executable, "-c", SERVE, str(folder)], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "3\n"), answer.stderr
