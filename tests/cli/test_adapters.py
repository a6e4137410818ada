"""Versions that are adapters of language models: brought in, planned and opened, without torch."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from greenlight import artifacts, config, wiring
from greenlight.adapters.runtimes.http import HttpRuntime
from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
from greenlight.core.errors import BadInput, ConfigError
from greenlight.core.records import Version
from greenlight.models import bundle, lora, open_weights
from greenlight.models.open_weights import Base
from greenlight.models.speaker import Window
from greenlight.testing import FakeClock
from greenlight.wiring.doctor import CHECKS, language, providers
from greenlight.wiring.doctor.finding import Subject
from greenlight.wiring.model_server import build_bundle_server
from greenlight.wiring.models import open_runtime
from greenlight.wiring.pipeline import plan_of
from tests.cli.project import Project
from tests.models import tiny, tiny_language
from tests.serving.harness import serving

LABELS = ["card", "money", "pin"]
CHAT = {"kind": "chat", "model": "elsewhere", "system": "Be brief."}
ASKED = "pin secret code reset"
URL = "http://models.test:9000"


def written(folder: Path, labels: list[str]) -> Path:
    """An adapter that nothing was taught to, of a base that is nowhere."""
    parts = lora.Parts(
        labels=labels,
        base=Base(name="owner/tiny", revision="0a1b2c", digest="sha256:" + "1" * 64),
        adapter=lora.Adapter(r=1, lora_alpha=1, lora_dropout=0, target_modules=("q",)),
        tensors={"q.lora_A.weight": np.zeros((1, 2), np.float32)},
        asked="p1",
        instructions=tiny_language.prompts(LABELS)["p1"] if labels else CHAT,
        window=Window(64, 16),
        beta=1.0,
        reasons=False,
        bfloat16=False,
    )
    lora.write(folder, parts)
    return folder


def version_of(project: Project, name: str = "intent@1") -> Version:
    return msgspec.convert(project.json("versions", "show", name)["version"], Version)


def opened(project: Project, version: Version) -> Any:
    """Its runtime; whatever torch there is, is not looked at."""
    before = "torch" in sys.modules

    async def open_it() -> Any:
        with wiring.open_app(config.load(project.file, {})) as app:
            runtime = open_runtime(app, version)
            await runtime.close()
            return runtime

    runtime = asyncio.run(open_it())
    assert ("torch" in sys.modules) == before
    return runtime


def test_an_adapter_is_brought_in_with_its_address(project: Project, tmp_path: Path) -> None:
    """S1, R3: it is asked at its model server, by its digest."""
    folder = str(written(tmp_path / "made", LABELS))
    assert "answers from a model server" in project.refused(2, "versions", "add", "intent", folder)
    project.ok("versions", "add", "intent", folder, "--url", URL + "/{bundle}")
    version = version_of(project)
    assert version.runtime == {"kind": "http", "url": URL + "/{bundle}", "names_bundle": True}
    assert version.lineage["backend"] == "hf-lora"
    runtime = opened(project, version)
    assert isinstance(runtime, HttpRuntime)
    digits = version.bundle.removeprefix("sha256:")
    assert runtime._calls.url == f"{URL}/{digits}/predict"
    assert runtime._body == {"bundle": version.bundle}
    talker = str(written(tmp_path / "talker", []))
    said = project.refused(2, "versions", "add", "intent", talker, "--url", URL)
    assert "it answers chats" in said


def test_the_doctor_asks_where_the_bundle_answers(project: Project, tmp_path: Path) -> None:
    """Below its digest, as the gateway does."""
    project.ok(
        "versions",
        "add",
        "intent",
        str(written(tmp_path / "made", LABELS)),
        "--url",
        "http://127.0.0.1:9/{bundle}",
    )
    digits = version_of(project).bundle.removeprefix("sha256:")
    with wiring.open_app(config.load(project.file, {})) as app:
        subject = Subject(settings=app.settings, environ={}, clock=app.clock, store=app.store)
        [found] = providers.providers(subject)
    assert found.what.startswith(f"http://127.0.0.1:9/{digits}/healthz: ")


def test_no_gateway_opens_an_adapter_by_itself(project: Project, tmp_path: Path) -> None:
    """It would have to import torch."""
    project.ok("versions", "add", "intent", str(written(tmp_path / "made", LABELS)), "--url", URL)
    version = version_of(project)
    here = msgspec.structs.replace(version, runtime={"kind": "in_process"})
    with wiring.open_app(config.load(project.file, {})) as app:
        from greenlight.lookup import version_digest

        digest = version_digest("intent", here.bundle, here.runtime)
        with pytest.raises(BadInput, match="answers from a model server, and not in the gateway"):
            open_runtime(app, msgspec.structs.replace(here, digest=digest))


def test_an_adapter_that_talks_is_asked_as_a_provider_is(project: Project, tmp_path: Path) -> None:
    """S1: with its instructions, and its digest as the model's name."""
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(
        text + '[tasks.desk]\nkind = "chat"\n[tasks.desk.runtime]\ntimeout = "9s"\n',
        encoding="utf-8",
    )
    folder = written(tmp_path / "talker", [])
    from greenlight.core import fingerprint
    from greenlight.lookup import version_digest

    with wiring.open_app(config.load(project.file, {})) as app:
        bundle = app.bundles.add(str(folder))
    assert bundle == fingerprint.digest(artifacts.unseal(folder))
    runtime = {"kind": "openai", "url": URL + "/{bundle}/v1"}
    version = Version(
        digest=version_digest("desk", bundle, runtime),
        task="desk",
        label="desk@1",
        bundle=bundle,
        runtime=runtime,
        lineage={},
        initiator="ana",
        status="registered",
        at=0,
    )
    found = opened(project, version)
    assert isinstance(found, OpenAIProxyRuntime)
    digits = bundle.removeprefix("sha256:")
    assert found._calls.url == f"{URL}/{digits}/v1/chat/completions"
    assert (found._model.model, found._model.system) == (digits, "Be brief.")


def examined(project: Project, **environ: str) -> list[tuple[str, str]]:
    """What the doctor says of bases."""
    settings = config.load(project.file, environ)
    subject = Subject(settings=settings, environ=environ, clock=FakeClock())
    return [(one.outcome, one.what) for one in language.bases(subject)]


def test_the_doctor_looks_for_the_base(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And for what opens it; it fetches nothing."""
    assert ("base", language.bases) in CHECKS
    text = project.file.read_text(encoding="utf-8")
    assert examined(project) == []
    given = OPTIONS.replace("models/tiny", "owner/tiny")
    text = text.replace("tfidf-linear", "hf-lora")
    project.file.write_text(f'{text}{given}serve = "{URL}"\n', encoding="utf-8")
    monkeypatch.setattr(open_weights, "missing", lambda: ["peft"])
    assert examined(project) == [
        ("warning", "peft is not installed, and intent cannot be trained without it"),
        ("ok", "owner/tiny: the first run fetches it from the hub (taught by intent)"),
    ]
    monkeypatch.setattr(open_weights, "missing", lambda: [])
    folder = project.folder / "bases" / "owner" / "tiny"
    folder.mkdir(parents=True)
    places = {"GREENLIGHT_BASES": str(project.folder / "bases")}
    [(outcome, what)] = examined(project, **places)
    assert outcome == "fault" and "no language model, for it lacks config.json" in what
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).touch()
    assert examined(project, **places) == [("ok", f"owner/tiny: in {folder} (taught by intent)")]


OPTIONS = '\n[tasks.intent.train.options]\nbase = "models/tiny"\nprompt = "ask.txt"\n'


def test_a_plan_holds_the_words_of_the_template_and_where_it_is_served(project: Project) -> None:
    """T2: a run that is resumed goes on with what it began with."""
    text = project.file.read_text(encoding="utf-8").replace("tfidf-linear", "hf-lora")
    project.file.write_text(f'{text}{OPTIONS}serve = "{URL}"\n', encoding="utf-8")
    (project.folder / "ask.txt").write_text("{labels}? {input}", encoding="utf-8")
    task = config.load(project.file, {}).task("intent")
    plan = plan_of(task, root=project.folder)
    assert plan.options["prompt"] == "{labels}? {input}"
    assert plan.runtime == {"kind": "http", "url": URL, "names_bundle": True}
    project.file.write_text(text + OPTIONS, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"train\.options\.serve: missing; write it as in"):
        config.load(project.file, {})


@pytest.mark.needs("lora")
def test_from_rows_to_answers_by_a_model_server(project: Project) -> None:
    """T3, T7, S1: one run teaches, checks itself on shuffled labels and judges; then the gateway
    answers with what was taught."""
    base = tiny_language.write_model(project.folder / "models" / "tiny")
    rows = {row.text: row.label for row in tiny.examples(110, 1)}
    lines = "".join(f"{text},{label}\n" for text, label in rows.items())
    (project.folder / "own.csv").write_text("text,label\n" + lines, encoding="utf-8")
    (project.folder / "ask.txt").write_text("{labels}? {input}", encoding="utf-8")
    blobs = project.folder / ".greenlight" / "bundles"

    async def answered() -> tuple[int, Any]:
        async with serving(build_bundle_server(blobs, keep=1)) as models:
            text = project.file.read_text(encoding="utf-8")
            text = text.replace('source = "sample"', 'source = "file"\npath = "own.csv"')
            text = text.replace("tfidf-linear", "hf-lora").replace("min = 0.9", "min = 0.05")
            taught = OPTIONS.replace("models/tiny", str(base)) + (
                f'serve = "{models.session._base_url}/{{bundle}}"\n'
                "epochs = 2\nrate = 5e-3\nthreads = 1\nanswer_tokens = 16\n"
                '[tasks.intent.runtime]\ntimeout = "60s"\n'
            )
            project.file.write_text(text + taught, encoding="utf-8")
            await asyncio.to_thread(project.ok, "run", "intent")
            for name in ("ana", "ben"):
                words = ("approve", "intent@1", "-m", "it is good")
                await asyncio.to_thread(lambda by=name, words=words: project.ok(*words, by=by))
            start = ("rollout", "start", "intent", "intent@1")
            await asyncio.to_thread(lambda: project.ok(*start, by="eve"))
            with wiring.open_app(config.load(project.file, {})) as app:
                async with serving(wiring.build_gateway(app, "gateway-1")) as gateway:
                    status, answer, _ = await gateway.predict("user-1", ASKED)
            return status, answer

    status, answer = asyncio.run(answered())
    version = version_of(project)
    own = bundle.load(blobs / version.bundle.removeprefix("sha256:"), version.bundle)
    [expected] = own.predict([ASKED])
    assert (status, answer["output"]["label"]) == (200, expected.label)
    assert answer["output"]["score"] == pytest.approx(expected.score, abs=1e-4)
    assert version.lineage["backend"] == "hf-lora"
