"""Adapters for language models: taught, sealed, opened again. On a tiny random model."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import artifacts
from greenlight.adapters.trainers.hf_lora import HfLoraTrainer
from greenlight.core import fingerprint, messages
from greenlight.core.errors import Aborted, BadInput, MissingData, Tampered
from greenlight.core.messages import Message
from greenlight.models import bundle, lora, lora_fitting, open_weights
from greenlight.models.conversation import Conversations, contents
from greenlight.models.open_weights import Opened
from greenlight.models.speaker import Speaker, Window
from greenlight.ports import Example, Progress, Trained
from greenlight.ports.source import Prompts
from tests.models import tiny, tiny_language

ROOT = Path(__file__).parents[2]
LABELS = ["card", "money", "pin"]
ROWS = [Example(row.text, row.label, "p1") for row in tiny.examples(20, 1)]
OPTIONS = {"serve": "http://models.test:9", "r": 16, "rate": 5e-3, "dropout": 0.0, "threads": 1}
needs_lora = pytest.mark.needs("lora")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language.write_model(tmp_path_factory.mktemp("bases") / "tiny")


def quiet(_share: float, _words: str) -> None:
    """No progress."""


def fit(
    base: Path,
    out: Path,
    *,
    train: Sequence[Example] = ROWS,
    validation: Sequence[Example] | None = None,
    labels: Sequence[str] = LABELS,
    seed: int = 0,
    prompts: Prompts | None = None,
    progress: Progress = quiet,
    **options: Any,
) -> Trained:
    """A training that is over soon."""
    defaults = {"base": str(base), "epochs": 1, "batch": 10, "answer_tokens": 24}
    return HfLoraTrainer({}).train(
        train=train,
        validation=train if validation is None else validation,
        labels=labels,
        config=OPTIONS | defaults | options,
        seed=seed,
        out=str(out),
        progress=progress,
        prompts=tiny_language.prompts(LABELS) if prompts is None else prompts,
    )


def digest(trained: Trained) -> str:
    return fingerprint.digest(artifacts.unseal(trained.folder))


@pytest.fixture(scope="module")
def taught(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Twenty rows, learnt by heart."""
    return fit(base, tmp_path_factory.mktemp("taught") / "out", epochs=30, patience=30, batch=5)


def conversation(question: str) -> str:
    """The text of a chat's row."""
    return messages.write([Message("system", "Be brief."), Message("user", question)])


CHATS = [
    Example(conversation("my card"), "wait"),
    Example(conversation("the pin"), "reset it"),
    Example(conversation("send money"), "to which bank"),
]


@needs_lora
def test_it_learns_twenty_rows_by_heart(base: Path, taught: Trained) -> None:
    """T3: a random model answers by chance; with the adapter it answers what it was taught."""
    before = fit(base, Path(taught.folder).with_name("before"), rate=1e-9).report
    assert before["train_accuracy"] < 0.6
    assert taught.report["train_accuracy"] == 1.0
    losses = [epoch["validation_loss"] for epoch in taught.report["epochs"]]
    assert losses[-1] < 0.3 and losses[0] > 2


@needs_lora
def test_what_was_taught_is_what_is_opened(taught: Trained) -> None:
    """T3, R3: from the sealed folder, each text by itself, with a probability among the labels."""
    model = bundle.load(taught.folder, digest(taught))
    assert (model.kind, list(model.labels)) == ("lora", LABELS)
    answers = model.predict([row.text for row in ROWS])
    assert [answer.label for answer in answers] == [row.label for row in ROWS]
    assert all(1 / 3 < answer.score <= 1 for answer in answers if answer.score is not None)
    assert model.predict([ROWS[7].text]) == [answers[7]]
    assert {answer.reason for answer in answers} == {None}


@needs_lora
def test_the_report_can_be_recorded(taught: Trained, base: Path) -> None:
    """T6: what was taught, on what, where, and how it went."""
    report = taught.report
    fingerprint.canonical(report)
    assert report["train_val_gap"] == report["train_accuracy"] - report["validation_accuracy"]
    assert (report["train_texts"], report["validation_texts"], report["cut_texts"]) == (20, 20, 0)
    assert report["base"]["name"] == str(base)
    assert report["base"]["revision"] is None
    assert (report["device"], report["device_name"]) == ("cpu", "cpu")
    assert report["packages"]["torch"].startswith("2.13.0") and len(report["packages"]) == 3
    assert report["beta"] > 0 and report["seconds"] > 0 and report["weights"] > 0


@needs_lora
def test_same_arguments_same_bytes(base: Path, tmp_path: Path) -> None:
    """T6: to the byte, dropout and all; another seed and other rows give others."""
    given: dict[str, Any] = {"dropout": 0.1}
    first = digest(fit(base, tmp_path / "1", **given))
    assert digest(fit(base, tmp_path / "2", **given)) == first
    assert digest(fit(base, tmp_path / "3", seed=1, **given)) != first
    assert digest(fit(base, tmp_path / "4", train=ROWS[:-1], **given)) != first


@needs_lora
def test_the_best_epoch_is_kept_and_patience_ends_it(base: Path, tmp_path: Path) -> None:
    """T3: validation whose labels are turned gets worse as training gets better."""
    turned = [Example(row.text, LABELS[(LABELS.index(row.label) + 1) % 3], "p1") for row in ROWS]
    made = fit(base, tmp_path / "out", validation=turned, epochs=24, patience=2, batch=5)
    losses = [epoch["validation_loss"] for epoch in made.report["epochs"]]
    best = losses.index(min(losses)) + 1
    assert made.report["best_epoch"] == best
    assert len(losses) == best + 2 < 24
    assert made.report["validation_loss"] == min(losses)
    model = bundle.load(made.folder)
    kept = Opened(model._speaker.network, model._speaker._tokenizer, "cpu")
    recipe = lora_fitting.Recipe(epochs=1, patience=1, batch=5, rate=1.0, seed=0)
    learner = lora_fitting._Learner(kept, recipe, 1)
    rows = lora_fitting.in_tokens(
        model._speaker, Conversations(tiny_language.prompts(LABELS)), turned
    ).rows
    assert learner.measure(rows) == pytest.approx(min(losses), abs=1e-4)


@needs_lora
def test_what_is_ended_leaves_nothing(base: Path, tmp_path: Path) -> None:
    """T4: neither a bundle nor half of one."""

    def ended(_share: float, words: str) -> None:
        if "loss" in words:
            raise Aborted("on request")

    with pytest.raises(Aborted):
        fit(base, tmp_path / "out", progress=ended)
    assert list(tmp_path.iterdir()) == []


@needs_lora
def test_what_is_killed_leaves_nothing(base: Path, tmp_path: Path) -> None:
    """T2: not even what it could not clear away; whoever trains again starts from nothing."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.models.test_lora import fit\n"
        "def dies(share, words):\n"
        "    if 'loss' in words:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "fit(Path(sys.argv[1]), Path(sys.argv[2]), progress=dies)\n"
    )
    arguments = [sys.executable, "-c", script, str(base), str(tmp_path / "out")]
    path = os.pathsep.join(place for place in sys.path if place)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), path))}
    ended = subprocess.run(arguments, env=environ, cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@needs_lora
def test_another_base_is_refused(base: Path, taught: Trained, tmp_path: Path) -> None:
    """R3: one byte of its settings is enough; so is one of the adapter."""
    moved = tmp_path / base.name
    shutil.copytree(base, moved)
    made = fit(moved, tmp_path / "out", rate=1e-9)
    settings = (moved / "generation_config.json").read_bytes()
    (moved / "generation_config.json").write_bytes(settings + b" ")
    with pytest.raises(Tampered, match="the adapter was trained on sha256:"):
        bundle.load(made.folder)
    shutil.rmtree(moved)
    with pytest.raises(MissingData, match="no such folder, and not the name of a repository"):
        bundle.load(made.folder)
    torn = tmp_path / "torn"
    shutil.copytree(taught.folder, torn)
    weights = bytearray((torn / lora.WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (torn / lora.WEIGHTS).write_bytes(weights)
    with pytest.raises(Tampered, match=r"adapter_model\.safetensors"):
        bundle.load(torn)


@needs_lora
def test_a_base_that_moved_is_found_where_the_machine_keeps_them(
    base: Path, taught: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the last part of its name; it is the same by its digest."""
    places = tmp_path / "bases"
    shutil.copytree(base, places / base.name)
    monkeypatch.setenv("GREENLIGHT_BASES", str(places))
    text = ROWS[0].text
    assert bundle.load(taught.folder).predict([text])[0].label == ROWS[0].label
    (places / base.name / "generation_config.json").write_text("{}")
    with pytest.raises(Tampered, match=str(places)):
        bundle.load(taught.folder)


@needs_lora
def test_peft_reads_the_bundle_as_its_own(base: Path, taught: Trained) -> None:
    """Whoever serves with other tools takes the folder as it is."""
    import peft
    import torch
    import transformers

    model = bundle.load(taught.folder)
    network = transformers.AutoModelForCausalLM.from_pretrained(base)
    with pytest.warns(FutureWarning, match="deprecated"):
        read = peft.PeftModel.from_pretrained(network, taught.folder)
    ids = torch.tensor([[3, 5, 8, 13, 21]])
    with torch.inference_mode():
        own = model._speaker.network(input_ids=ids).logits
        assert torch.equal(read.eval()(input_ids=ids).logits, own)


@needs_lora
@pytest.mark.parametrize("chat", [False, True])
def test_a_chat_is_learnt_word_by_word(tmp_path: Path, chat: bool) -> None:
    """T3: without labels; by a chat template of the model, or by the plain one."""
    base = tiny_language.write_model(tmp_path / "base", chat=chat)
    made = fit(base, tmp_path / "out", train=CHATS, labels=[], epochs=40, patience=40, batch=3)
    model = bundle.load(made.folder)
    assert isinstance(model, lora.LoraModel)
    assert list(model.labels) == []
    answers = model.predict([row.text for row in CHATS])
    assert [answer.label for answer in answers] == [row.label for row in CHATS]
    assert all(answer.score is not None and 0.5 < answer.score <= 1 for answer in answers)
    said = model.says(messages.read(CHATS[1].text))
    assert (said.words, said.ended) == ("reset it", True)
    with pytest.raises(BadInput, match="messages"):
        model.predict(["no messages"])


@needs_lora
def test_a_template_that_takes_no_such_messages_is_told(tmp_path: Path) -> None:
    """As that of Gemma takes no system message. In service it is the request that is at fault."""
    base = tiny_language.write_model(tmp_path / "base", chat=True)
    template = base / "chat_template.jinja"
    refusal = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system, please') }}"
        "{% endif %}"
    )
    template.write_text(refusal + template.read_text(encoding="utf-8"), encoding="utf-8")
    refused = "messages: the model's chat template does not take them: no system, please"
    with pytest.raises(BadInput, match=refused):
        fit(base, tmp_path / "out", train=CHATS, labels=[])


@needs_lora
def test_rows_are_taught_as_they_were_served(base: Path, tmp_path: Path) -> None:
    """D4: each with its own instructions; the result is asked with those of most of the rows."""
    prompts = {
        **tiny_language.prompts(LABELS),
        "p2": {**tiny_language.prompts(LABELS)["p1"], "template": "{input}! {labels}"},
    }
    rows = [
        msgspec.structs.replace(row, prompt="p2" if n < 3 else "p1") for n, row in enumerate(ROWS)
    ]
    read: list[str] = []
    opened = open_weights.open_files(
        open_weights.find(str(base), None, {}, quiet), device="cpu", bfloat16=False
    )
    speaker = Speaker(opened, Window(192, 24))
    for row in lora_fitting.in_tokens(speaker, Conversations(prompts), rows).rows:
        read.append(opened.tokenizer.decode(row.question))
    listed = "\n".join(LABELS)
    for row, words in zip(rows, read, strict=True):
        served = (
            f"{row.text}! {listed}"
            if row.prompt == "p2"
            else f"What is it about: {listed}?\n{row.text}"
        )
        assert words == f"### user\n{served}\n\n### assistant\n"
    made = fit(base, tmp_path / "out", train=rows, prompts=prompts)
    assert lora.look(made.folder).asked == "p1"
    kept = contents(made.folder, digest(made))
    assert kept == lora.look(made.folder).instructions


@needs_lora
def test_a_reason_is_said_after_the_label(base: Path, tmp_path: Path) -> None:
    """T3: rows with whole answers teach it; the label is still one of the list."""
    why = {"card": "it is lost", "money": "to send", "pin": "it is secret"}
    rows = [
        Example(row.text, row.label, "p1", f"{row.label}: {why[row.label]}") for row in ROWS[:6]
    ]
    labels = sorted({row.label for row in rows})
    made = fit(base, tmp_path / "out", train=rows, labels=labels, epochs=40, patience=40, batch=3)
    answers = bundle.load(made.folder).predict([row.text for row in rows])
    assert [(a.label, a.reason) for a in answers] == [(r.label, why[r.label]) for r in rows]


@needs_lora
def test_layers_may_be_named(tmp_path: Path) -> None:
    """Of another architecture; names that it has not are refused."""
    base = tiny_language.write_model(tmp_path / "base", gpt2=True)
    made = fit(base, tmp_path / "out", target_modules=["c_attn"], bfloat16=True)
    parts = lora.look(made.folder)
    assert (parts.adapter.target_modules, parts.adapter.fan_in_fan_out) == (("c_attn",), True)
    assert all("c_attn" in name for name in parts.tensors)
    assert bundle.load(made.folder).predict([ROWS[0].text])[0].label in LABELS
    with pytest.raises(BadInput, match="target_modules"):
        fit(base, tmp_path / "other", target_modules=["q_proj"])


@needs_lora
def test_rows_that_cannot_be_taught_are_refused(base: Path, tmp_path: Path) -> None:
    """Before anything is learnt; the message says what to do."""
    bare = [Example(row.text, row.label) for row in ROWS]
    for match, changes in (
        (r"answer_tokens is 1: raise it", {"answer_tokens": 1}),
        (r"name a template \(train\.options\.prompt\)", {"train": bare, "prompts": {}}),
        (r"answer_tokens: 200, and base .* reads 192", {"answer_tokens": 200}),
        ("train: no rows", {"train": [], "labels": []}),
        ("at least two different labels", {"labels": ["card"]}),
    ):
        with pytest.raises(BadInput, match=match):
            fit(base, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
    made = fit(base, tmp_path / "out", train=bare, prompts={}, prompt="{labels}? {input}")
    assert lora.look(made.folder).instructions["template"] == "{labels}? {input}"


def test_what_is_missing_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T3: an environment without transformers."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name)
    )
    with pytest.raises(
        MissingData, match=r"transformers.* is not here: pip install 'torch==.*' 'transformers>="
    ):
        fit(tmp_path, tmp_path / "out")


def test_options_are_checked_before_anything_is_looked_for(tmp_path: Path) -> None:
    """An unknown name; the message says which there are."""
    with pytest.raises(BadInput, match=r"train\.options\.epoch: no such option; did you mean"):
        fit(tmp_path, tmp_path / "out", epoch=3)
