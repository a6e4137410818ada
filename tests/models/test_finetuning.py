"""Fine-tuning in torch, on a tiny encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight.adapters.trainers.encoder_finetune import EncoderFinetuneTrainer
from greenlight.core.errors import BadInput, MissingData
from greenlight.models import encoded, finetuning
from greenlight.models.embedding import Embedder
from greenlight.models.torch_encoder import TorchEncoder, need_torch
from greenlight.ports import Example, Progress
from tests.models import tiny

LABELS = ["card", "money", "pin"]
TRAIN, VALIDATION = tiny.examples(90, 1), tiny.examples(30, 2)
RECIPE = finetuning.Recipe(
    epochs=6,
    patience=6,
    batch=6,
    rate=3e-3,
    head_rate=3e-2,
    smoothing=0.1,
    bfloat16=False,
    threads=1,
    device="cpu",
    seed=0,
)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> encoded.Pretrained:
    return encoded.read(tiny.write_encoder(tmp_path_factory.mktemp("encoder") / "files"))


def quiet(_share: float, _words: str) -> None:
    """No progress."""


def texts(pretrained: encoded.Pretrained, rows: list[Example]) -> finetuning.Texts:
    targets = np.array([LABELS.index(row.label) for row in rows], np.int64)
    return finetuning.tokens(pretrained, [row.text for row in rows], targets)


def tune(
    pretrained: encoded.Pretrained,
    validation: list[Example] = VALIDATION,
    progress: Progress = quiet,
    **changes: Any,
) -> finetuning.Tuned:
    recipe = msgspec.structs.replace(RECIPE, **changes)
    train = texts(pretrained, TRAIN)
    return finetuning.tune(
        pretrained, train, texts(pretrained, validation), len(LABELS), recipe, progress
    )


def weights(tuned: finetuning.Tuned) -> bytes:
    return b"".join(value.tobytes() for value in tuned.encoder.tensors.values())


@pytest.mark.needs("torch")
def test_it_learns_to_tell_the_labels_apart(pretrained: encoded.Pretrained) -> None:
    """T3: from chance to nearly all of the unseen texts; a step at a time, to the end."""
    shown: list[tuple[float, str]] = []
    tuned = finetuning.tune(
        pretrained,
        texts(pretrained, tiny.examples(300, 1)),
        texts(pretrained, VALIDATION),
        len(LABELS),
        msgspec.structs.replace(RECIPE, epochs=18, patience=18, batch=30, head_rate=0.1),
        lambda share, words: shown.append((share, words)),
    )
    assert tuned.epochs[0].validation_accuracy < 0.6
    assert tuned.epochs[tuned.best].validation_accuracy > 0.8
    shares = [share for share, _ in shown]
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (18 * 10 + 18, 1.0)
    assert shown[0][1] == "epoch 1 of at most 18: 1 of 10 steps"


@pytest.mark.needs("torch")
def test_what_was_learnt_is_what_serves(pretrained: encoded.Pretrained) -> None:
    """T3: the graph of the tuned weights embeds as torch does, and not as before."""
    torch = need_torch()
    tuned = tune(pretrained, epochs=1)
    rows = texts(pretrained, VALIDATION)
    network = TorchEncoder(tuned.encoder.config, tuned.encoder.tensors)
    wanted = []
    for tokens in rows.tokens:
        ids = torch.tensor([tokens])
        mask = torch.ones_like(ids)
        mean = network.mean(network.hidden_states(ids, mask)[-1], mask)[0].detach().numpy()
        wanted.append(mean / np.linalg.norm(mean))

    def embed(source: encoded.Pretrained) -> Any:
        parts = source.parts(quantised=False)
        embedder = Embedder(parts.graph, parts.tokenizer, parts.token_limit)
        return embedder.embed([row.text for row in VALIDATION])

    assert embed(tuned.encoder) == pytest.approx(np.stack(wanted), abs=1e-5)
    assert np.abs(embed(pretrained) - np.stack(wanted)).max() > 1e-3


def test_half_way_between_two_encoders(pretrained: encoded.Pretrained) -> None:
    """Weight by weight: `blend` is how far it goes."""
    other = msgspec.structs.replace(pretrained, tensors=tiny.tensors(seed=8))
    between = pretrained.towards(other, 0.25).tensors
    for name, value in pretrained.tensors.items():
        assert between[name] == pytest.approx(0.75 * value + 0.25 * other.tensors[name], abs=1e-6)
        assert between[name].dtype == np.float32


@pytest.mark.needs("torch")
def test_the_best_epoch_is_kept_and_patience_ends_it(pretrained: encoded.Pretrained) -> None:
    """Validation whose labels are turned gets worse as training gets better."""
    turned = [
        Example(row.text, LABELS[(LABELS.index(row.label) + 1) % len(LABELS)]) for row in VALIDATION
    ]
    short, long = (tune(pretrained, turned, epochs=5, patience=patience) for patience in (1, 5))
    assert (len(short.epochs), len(long.epochs)) == (short.best + 2, 5)
    assert long.best == short.best < 4
    ranks = [(it.validation_accuracy, -it.validation_loss) for it in long.epochs]
    assert ranks.index(max(ranks)) == long.best
    assert weights(long) == weights(short)
    assert weights(tune(pretrained, epochs=5, patience=5)) != weights(long)


@pytest.mark.needs("torch")
def test_the_seed_decides(pretrained: encoded.Pretrained) -> None:
    """T3: the same arguments give the same weights, another seed others."""
    first = weights(tune(pretrained, epochs=1))
    assert weights(tune(pretrained, epochs=1)) == first
    assert weights(tune(pretrained, epochs=1, seed=1)) != first


def train(folder: Path, **config: Any) -> None:
    files = tiny.write_encoder(folder / "encoder")
    EncoderFinetuneTrainer(lambda _: files, threads=1).train(
        train=TRAIN,
        validation=VALIDATION,
        labels=LABELS,
        config=config,
        seed=0,
        out=str(folder / "out"),
        progress=quiet,
    )


@pytest.mark.needs("torch")
def test_how_far_it_goes_and_in_how_many_bits(tmp_path: Path) -> None:
    """`blend`, `quantised` and `bfloat16` are settings, and each makes another graph."""
    made = []
    for number, config in enumerate(({}, {"blend": 1.0}, {"quantised": False}, {"bfloat16": True})):
        train(tmp_path / str(number), device="cpu", epochs=1, **config)
        made.append((tmp_path / str(number) / "out" / "encoder.onnx").read_bytes())
    assert len(set(made)) == 4


def test_without_torch_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is done or written."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingData, match="pip install torch=="):
        train(tmp_path, device="cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"epochs": 0}, r"\$\.epochs"),
        ({"rate": -1.0}, r"\$\.rate"),
        ({"smoothing": 1.0}, r"\$\.smoothing"),
        ({"device": "tpu"}, r"\$\.device"),
        ({"layers": 3}, "unknown layers; known: C, embedding_weight, quantised"),
    ],
)
def test_settings_that_cannot_be_are_named(
    tmp_path: Path, config: dict[str, Any], field: str
) -> None:
    """T3: the message names the setting, and needs no torch."""
    with pytest.raises(BadInput, match=field):
        train(tmp_path, **config)
