"""What backend `token-tagger` does, on a tiny encoder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenlight.adapters.trainers import TRAINERS
from greenlight.adapters.trainers.token_tagger import TokenTaggerTrainer
from greenlight.core import fingerprint, tagging
from greenlight.core.errors import BadInput, MissingData
from greenlight.models import bundle, tagger, tagger_graph
from greenlight.models.encoder import EncoderFiles
from greenlight.models.word_features import WordFeatures
from greenlight.ports import Example, Progress, Trained
from tests.models import tagged, tiny

TRAIN, VALIDATION, TEST = (
    tagged.examples(count, seed) for count, seed in ((60, 1), (30, 2), (60, 3))
)
CONFIG = {
    "epochs": 4,
    "batch": 4,
    "rate": 1e-4,
    "head_rate": 3e-2,
    "lstm": 8,
    "dropout": 0.0,
    "nameless": 1.0,
    "swap": 0.0,
    "hide": 0.0,
    "refit": False,
    "token_limit": 16,
    "threads": 1,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> EncoderFiles:
    return tiny.write_encoder(tmp_path_factory.mktemp("encoder"))


def quiet(_share: float, _words: str) -> None:
    """No progress."""


def fit(files: EncoderFiles, out: Path, progress: Progress = quiet, **changes: Any) -> Trained:
    given: dict[str, Any] = {
        "train": TRAIN,
        "validation": VALIDATION,
        "labels": tagged.LABELS,
        "config": CONFIG,
        "seed": 3,
    }
    trainer = TokenTaggerTrainer(lambda _: files)
    return trainer.train(**(given | changes), out=str(out), progress=progress)


def digest(trained: Trained) -> str:
    return fingerprint.digest_bytes(Path(trained.folder, "manifest.json").read_bytes())


def tagger_of(trained: Trained) -> tagger.Tagger:
    loaded = bundle.load(trained.folder)
    assert isinstance(loaded, tagger.Tagger)
    return loaded


def f1(folder: str, examples: Sequence[Example]) -> float:
    """Of the words of names that are tagged right, as T3 counts them."""
    truth, given = (
        np.array(tagging.of_words(labels))
        for labels in (
            [row.label for row in examples],
            [row.label for row in bundle.load(folder).predict([row.text for row in examples])],
        )
    )
    hits = ((truth == given) & (truth != "O")).sum()
    return float(2 * hits / ((truth != "O").sum() + (given != "O").sum()))


@pytest.mark.needs("torch")
def test_it_learns_and_can_be_recorded(files: EncoderFiles, tmp_path: Path) -> None:
    """T3: unseen texts are tagged; the report is plain JSON; progress only goes forward."""
    shown: list[tuple[float, str]] = []
    trained = fit(files, tmp_path / "out", lambda share, words: shown.append((share, words)))
    assert f1(trained.folder, TEST) > 0.6
    assert bundle.load(trained.folder).kind == TRAINERS["token-tagger"]().name == "token-tagger"
    report = trained.report
    fingerprint.canonical(report)
    assert (
        report["train_val_gap"]
        == report["train_token_micro_f1"] - report["validation_token_micro_f1"]
    )
    assert report["validation_token_micro_f1"] == pytest.approx(f1(trained.folder, VALIDATION))
    assert report["train_token_micro_f1"] == pytest.approx(f1(trained.folder, TRAIN))
    assert report["best_epoch"] == 1 + int(np.argmax(report["epochs"]))
    shares = [share for share, _ in shown]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] == pytest.approx(1.0)
    assert all(words for _, words in shown)


@pytest.mark.needs("torch")
def test_same_arguments_same_bytes(files: EncoderFiles, tmp_path: Path) -> None:
    """T3: and another seed, other data or another setting gives others."""
    config = {**CONFIG, "epochs": 1, "swap": 0.5, "hide": 0.1, "nameless": 0.5}
    settings = [{"swap": 0.0}, {"hide": 0.0}, {"nameless": 1.0}, {"refit": True}, {"teachers": 1}]
    first, second, *others = (
        digest(fit(files, tmp_path / str(number), **({"config": config} | changes)))
        for number, changes in enumerate(
            [{}, {}, {"seed": 4}, *({"config": {**config, **other}} for other in settings)]
        )
    )
    assert first == second
    assert len({first, *others}) == 1 + len(others)


ELSEWHERE = """
import hashlib, sys
from pathlib import Path
import torch
from greenlight.adapters.trainers.token_tagger import Making, Settings
from greenlight.models import encoded, tagger_fitting, torch_tagger
from tests.models import tagged, test_token_tagger as here, tiny
folder, threads, form = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if form == "unsettled":
    torch_tagger.TorchTagger.settle = lambda self: None
config = {**here.CONFIG, "dropout": 0.3, "threads": threads, "portable": form != "real"}
making = Making(encoded.read(tiny.write_encoder(folder)), tagged.LABELS, Settings(**config), 3)
sentences = tagger_fitting.read(here.TRAIN, tagged.LABELS)
net = making.fresh(sentences)
for _ in tagger_fitting.fit(*net, sentences, tagged.LABELS, making.recipe, here.quiet):
    pass
learnt = torch.cat([value.detach().flatten() for value in net.network.learnt()])
print(learnt.dtype, hashlib.sha256(learnt.numpy().tobytes()).hexdigest())
"""
"""A training in a process of its own: where; with how many threads; settled, unsettled, or real."""


def weights(folder: Path, instructions: str, threads: int, form: str) -> str:
    """What a processor with such instructions learns, to the last bit."""
    command = [sys.executable, "-c", ELSEWHERE, str(folder), str(threads), form]
    environ = {
        **os.environ,
        "ATEN_CPU_CAPABILITY": instructions,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    return ran.stdout


@pytest.mark.needs("torch")
def test_portable_weights_are_the_same_on_another_processor(tmp_path: Path) -> None:
    """E1: every bit, with other instructions and with another number of threads. Without rounding
    64 bits come apart as 32 do, so what is compared can tell."""
    old, new = (
        {form: weights(tmp_path / f"{form}-{name}", name, 1, form) for form in FORMS}
        for name in ("default", "avx2")
    )
    assert {form: old[form] == new[form] for form in FORMS} == FORMS
    assert weights(tmp_path / "threads", "avx2", 2, "settled") == new["settled"]


FORMS = {"settled": True, "unsettled": False, "real": False}
"""Whether two processors learn the same."""


@pytest.mark.needs("torch")
def test_weights_settle_on_whole_steps() -> None:
    """What differs by less than their edges lets it differ is the same then; and stays as it is."""
    import torch

    from greenlight.models.torch_encoder import GRID, settle

    drawn = torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one, other = drawn.clone(), drawn + 1e-13
    settle([one])
    settle([other])
    assert torch.equal(one, other)
    assert torch.equal(one * GRID, (one * GRID).round())
    assert float((one - drawn).abs().max()) <= 0.5 / GRID
    before = one.clone()
    settle([one])
    assert torch.equal(one, before)


@pytest.mark.needs("torch")
def test_the_refit_learns_from_validation(files: EncoderFiles, tmp_path: Path) -> None:
    """A name that stands there alone; what is reported, and chosen, is of the fit without it."""
    new = [Example("please my card now", "O O B-place O")] * 40
    plain, refit = (
        fit(
            files,
            tmp_path / str(again),
            validation=[*VALIDATION, *new],
            config={**CONFIG, "epochs": 2, "refit": again},
        )
        for again in (False, True)
    )
    told = (
        "validation_token_micro_f1",
        "train_token_micro_f1",
        "beta",
        "bias",
        "epochs",
        "best_epoch",
    )
    assert [plain.report[name] for name in told] == [refit.report[name] for name in told]
    before, after = (
        tagger_of(trained).scores(new[0].text.split())[2] for trained in (plain, refit)
    )
    place, outside = tagged.LABELS.index("B-place"), tagged.LABELS.index("O")
    assert after[place] - after[outside] > before[place] - before[outside] + 1


@pytest.mark.needs("torch")
def test_torch_and_the_served_graph_agree(files: EncoderFiles) -> None:
    """The scores of every word, padded in a batch or read from several windows, to rounding."""
    from greenlight.models import encoded
    from greenlight.models.torch_encoder import deterministic
    from greenlight.models.torch_tagger import Sizes, TorchTagger

    deterministic(5, 1)
    pretrained = encoded.read(files)
    sizes = Sizes(tags=len(tagged.LABELS), shapes=len(tagged.SHAPES), lstm=8, dropout=0.3)
    network = TorchTagger(pretrained.config, pretrained.tensors, sizes, bfloat16=False)
    for value in network.head.values():  # zeros would hide what they multiply
        value.data += 0.1
    features = WordFeatures(pretrained.tokenizer, tagged.SHAPES, 16)
    graph = tagger_graph.build(
        pretrained.config, network.encoder.tensors(), network.tensors(), quantised=False
    )
    served = tagger.Tagger(tagged.parts(graph=graph))
    texts = [*(row.text.split() for row in TEST[:20]), ["card\u200d", "\U0001f600"] * 20]
    for words in texts:
        assert served.scores(words) == pytest.approx(
            network.scores(features.windows(words)), abs=2e-5
        )
    windows = [features.windows(words)[0] for words in texts]
    together = network.emissions(windows).detach().numpy()
    for row, window in enumerate(windows):
        words = len(window.shapes)
        assert together[row, :words] == pytest.approx(network.scores([window]), abs=2e-5)


@pytest.mark.needs("torch")
def test_nothing_to_find_on_validation(files: EncoderFiles, tmp_path: Path) -> None:
    """E2: F1 is then 0 whatever is chosen, and the training ends as any other."""
    nothing = [Example(row.text, " ".join("O" for _ in row.text.split())) for row in VALIDATION]
    config = {**CONFIG, "epochs": 1}
    trained = fit(files, tmp_path / "out", validation=nothing, config=config)
    assert (trained.report["validation_token_micro_f1"], trained.report["bias"]) == (0.0, 0.0)


def test_torch_is_asked_for(
    files: EncoderFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T3: where it is missing the message says how to get it, and nothing is written."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(MissingData, match=r"pip install torch==2\.13\.0"):
        fit(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"config": {"epoch": 1}}, "unknown epoch; known: epochs"),
        ({"config": {"swap": 1.5}}, "swap"),
        ({"config": {"bfloat16": True, "portable": True}}, "leave bfloat16 out"),
        ({"config": {"teachers": 1, "portable": True}}, "leave teachers out"),
        ({"labels": tagged.LABELS[:-1]}, "O is not listed"),
        ({"labels": ["O", "B-place"]}, "not listed: B-person, I-person"),
        ({"labels": ["O", *tagged.LABELS]}, "labels repeat"),
        ({"validation": []}, "no validation examples"),
        ({"train": [Example("my card", "O O")]}, "no training example has a name"),
        ({"train": [Example("my card", "O")]}, "1 tags for 2 words"),
    ],
)
def test_what_does_not_fit_is_refused(
    files: EncoderFiles, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    """Before anything is looked for or written."""
    with pytest.raises(BadInput, match=problem):
        fit(files, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
