"""Where an open-weight model's files are, and which are refused before they are opened."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from greenlight.core.errors import BadInput, MissingData, Tampered
from greenlight.models import open_weights
from greenlight.models.torch_encoder import TORCH
from tests.models import tiny_language

ROOT = Path(__file__).parents[2]


def quiet(_share: float, _words: str) -> None:
    """No progress."""


def files(folder: Path, **changes: bytes | None) -> Path:
    """A folder that looks like a model's; a file that is None is left out."""
    folder.mkdir(parents=True)
    made = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": b"weights",
        "README.md": b"of no importance",
    }
    for name, content in (made | changes).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def found(name: str, **environ: str) -> open_weights.BaseFiles:
    return open_weights.find(name, None, environ, quiet)


def test_a_model_is_named_by_its_files(tmp_path: Path) -> None:
    """R3: wherever it lies and whatever else lies there; another byte is another model."""
    first = found(str(files(tmp_path / "a" / "tiny")))
    assert first.base.revision is None
    moved = found(str(files(tmp_path / "b" / "tiny", **{"README.md": None})))
    assert moved.base.digest == first.base.digest
    other = found(str(files(tmp_path / "c" / "tiny", **{"tokenizer.json": b"{ }"})))
    assert other.base.digest != first.base.digest
    assert open_weights.find_again(first.base, {}).folder == tmp_path / "a" / "tiny"
    (tmp_path / "a" / "tiny" / "config.json").write_bytes(b"[]")
    with pytest.raises(Tampered, match="bring those back, or train anew on these"):
        open_weights.find_again(first.base, {})


def test_a_machine_says_where_its_models_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, or by the last part of a folder elsewhere; before a folder of that name here."""
    monkeypatch.chdir(tmp_path)
    kept = files(tmp_path / "bases" / "owner" / "tiny")
    flat = files(tmp_path / "bases" / "small")
    files(tmp_path / "owner" / "tiny")
    environ = {"GREENLIGHT_BASES": str(tmp_path / "bases")}
    assert found("owner/tiny", **environ).folder == kept
    assert found("owner/tiny").folder == Path("owner/tiny")
    assert found("/elsewhere/small", **environ).folder == flat


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"config.json": None}, "lacks config.json;"),
        ({"tokenizer.json": None}, "lacks a tokenizer"),
        (
            {"model.safetensors": None, "pytorch_model.bin": b"a pickle"},
            r"lacks weights \(\*\.safetensors\);",
        ),
    ],
)
def test_a_folder_that_is_no_model(
    tmp_path: Path, changes: dict[str, bytes | None], lacking: str
) -> None:
    """Pickled weights are none."""
    with pytest.raises(MissingData, match=lacking):
        found(str(files(tmp_path / "tiny", **changes)))


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="an adapter, and no model; name its base"):
        found(str(files(tmp_path / "tiny", **{"adapter_config.json": b"{}"})))


def test_a_name_that_is_neither_a_folder_nor_a_repository(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no such folder, and not the name of a repository"):
        found(str(tmp_path / "nothing"))


def test_what_pip_is_told_is_what_the_extra_holds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["lora"]
    assert sorted(extra) == sorted([TORCH, open_weights.TRANSFORMERS, open_weights.PEFT])


@pytest.mark.needs("lora")
def test_a_repository_is_fetched_at_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T6: the commit is what is recorded. Nothing but the files of a model is asked for."""
    import huggingface_hub

    asked: list[Any] = []

    def snapshot(name: str, **given: Any) -> str:
        asked.append((name, given))
        return str(tmp_path / "snapshots" / "0a1b2c")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    files(tmp_path / "snapshots" / "0a1b2c")
    base = open_weights.find("owner/tiny", "main", {}, quiet).base
    assert (base.name, base.revision) == ("owner/tiny", "0a1b2c")
    assert asked == [("owner/tiny", {"revision": "main", "allow_patterns": [*open_weights.FILES]})]
    assert open_weights.find_again(base, {}).base == base
    assert asked[-1][1]["revision"] == "0a1b2c"

    def away(*_: Any, **__: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
    with pytest.raises(MissingData, match=r"the hub does not give it \(no network\); connect"):
        open_weights.find("owner/tiny", None, {}, quiet)


@pytest.mark.needs("lora")
def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """R3: no weights are made up where some are lacking, and no code that comes along is run."""
    from safetensors.numpy import load_file, save_file

    base = tiny_language.write_model(tmp_path / "base")

    def refused(folder: Path) -> str:
        files = open_weights.find(str(folder), None, {}, quiet)
        with pytest.raises(BadInput) as caught:
            open_weights.open_files(files, device="cpu", bfloat16=False)
        return str(caught.value)

    lacking = tmp_path / "lacking"
    shutil.copytree(base, lacking)
    weights = load_file(lacking / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, lacking / "model.safetensors", {"format": "pt"})
    assert "its weights lack lm_head.weight; name another" in refused(lacking)

    endless = tmp_path / "endless"
    shutil.copytree(base, endless)
    settings = (endless / "tokenizer_config.json").read_text(encoding="utf-8")
    settings = settings.replace('"eos_token": "<|end|>"', '"eos_token": null')
    (endless / "tokenizer_config.json").write_text(settings, encoding="utf-8")
    assert "its tokenizer names no end of an answer (eos_token)" in refused(endless)

    coded = files(tmp_path / "coded")
    (coded / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}', encoding="utf-8"
    )
    (coded / "own.py").write_text("raise SystemExit('was run')", encoding="utf-8")
    assert "no causal language model that transformers can open" in refused(coded)


@pytest.mark.needs("lora")
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes a GPU where there is one; `cuda` insists."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (open_weights.device_of("auto"), open_weights.device_of("cpu")) == ("cpu", "cpu")
    with pytest.raises(BadInput, match="torch finds no GPU here; set it to auto or cpu"):
        open_weights.device_of("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [open_weights.device_of(wanted) for wanted in ("auto", "cuda", "cpu")] == [
        "cuda",
        "cuda",
        "cpu",
    ]
