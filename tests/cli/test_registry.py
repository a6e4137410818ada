"""`greenlight adopt` and `versions add`, and how what they bring in is opened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import artifacts, config, wiring
from greenlight.adapters.trainers import TRAINERS
from greenlight.core.errors import ConfigError, Tampered
from greenlight.core.records import Dataset, Epoch, Version
from greenlight.lookup import find_version
from greenlight.models import prompt
from greenlight.recording import record
from greenlight.testing.provider import ChatProvider
from greenlight.wiring.model_server import build_model_server
from greenlight.wiring.models import load_model, open_runtime
from tests.cli.project import Project, flip
from tests.models import tiny
from tests.serving.harness import serving

LABELS = ["card", "money", "pin"]
ADOPTED = ("-m", "it has run for a year")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle, made elsewhere."""
    made = TRAINERS["tfidf-linear"]().train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=LABELS,
        config={},
        seed=0,
        out=str(tmp_path_factory.mktemp("elsewhere") / "bundle"),
        progress=lambda _share, _words: None,
    )
    return Path(made.folder)


@pytest.fixture
def provider() -> Iterator[ChatProvider]:
    """Answers with the last word of the text."""
    with ChatProvider(lambda asked: asked.split()[-1], key="sk-secret", logprob=-0.1) as there:
        yield there


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A prompt and its labels."""
    (tmp_path / "prompt.txt").write_text("One of {labels}:\n{input}", encoding="utf-8")
    (tmp_path / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    return str(tmp_path / "prompt.txt"), str(tmp_path / "labels.json")


def of_prompt(files: tuple[str, str], url: str) -> list[str]:
    return [
        *("--prompt", files[0], "--labels", files[1]),
        *("--model", "small", "--url", url, "--key", "env:ACME_KEY"),
    ]


def version_of(project: Project, name: str = "intent@1") -> Version:
    found = project.json("versions", "show", name)["version"]
    return msgspec.convert(found, Version)


def opening(project: Project, use: Callable[[wiring.App], Any]) -> Any:
    """Do something with the open installation."""
    with wiring.open_app(config.load(project.file, {})) as app:
        return use(app)


def answers(project: Project, text: str, **environ: str) -> tuple[int, Any]:
    """What the project's gateway says, started for this one question."""

    async def ask(app: wiring.App) -> tuple[int, Any]:
        async with serving(wiring.build_gateway(app, "gateway-1")) as client:
            status, answer, _ = await client.predict("user-1", text)
            return status, answer

    return opening(project, lambda app: asyncio.run(ask(app)))


class TestAdopt:
    def test_a_bundle_serves_at_once_until_somebody_objects(
        self, project: Project, trained: Path
    ) -> None:
        """G1, G2: an adoption is enough for the gateway, and a rejection closes the task."""
        said = project.ok("adopt", "intent", str(trained), *ADOPTED, by="ana")
        assert said.startswith("intent@1 (") and "adopted by ana (ml_lead)" in said
        assert "intent: live intent@1, epoch 1" in project.ok("status")
        assert "sign-off    adopted by ana" in project.ok("versions", "show", "intent@1")
        assert answers(project, "reset my secret pin code")[1]["output"]["label"] == "pin"
        assert "intent@1 is live: rejected by ben" in project.ok(
            "reject", "intent@1", "-m", "it was retired", by="ben"
        )
        assert answers(project, "pin")[0] == 503
        project.ok("approve", "intent@1", "--revoke", "-m", "it was not", by="ben")
        assert answers(project, "pin")[0] == 200
        project.ok("approve", "intent@1", "--revoke", "-m", "I had no right", by="ana")
        assert answers(project, "pin")[0] == 503
        assert project.ok("audit", "verify")

    def test_a_prompt(
        self,
        project: Project,
        files: tuple[str, str],
        provider: ChatProvider,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """S1, S8: the key is in the environment, and nowhere else."""
        monkeypatch.setenv("ACME_KEY", "sk-secret")
        made = project.json("adopt", "intent", *of_prompt(files, provider.url), *ADOPTED, by="ana")
        runtime = {"kind": "openai", "url": provider.url, "key": "env:ACME_KEY"}
        assert made["version"]["runtime"] == runtime
        status, answer = answers(project, "where is my Card")
        assert (status, answer["output"]["label"]) == (200, "card")
        assert answer["output"]["score"] == pytest.approx(0.9048, abs=1e-4)
        assert answers(project, "what is this")[0] == 503
        for file in project.folder.rglob("*"):
            assert not file.is_file() or b"sk-secret" not in file.read_bytes()

    def test_versions_at_one_provider_share_its_connections(
        self,
        project: Project,
        files: tuple[str, str],
        provider: ChatProvider,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """N1, S1: a candidate is asked over what control has opened."""
        monkeypatch.setenv("ACME_KEY", "sk-secret")
        for name in ("small", "large"):
            words = ["versions", "add", "intent", *of_prompt(files, provider.url), "-m", name]
            project.ok(*words, "--model", name)
        opened: list[tuple[str, int]] = []
        connect = asyncio.BaseEventLoop.create_connection

        async def counted(loop: Any, factory: Any, host: str, port: int, **more: Any) -> Any:
            opened.append((host, port))
            return await connect(loop, factory, host, port, **more)

        monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", counted)

        async def ask(app: wiring.App) -> None:
            async with contextlib.AsyncExitStack() as stack:
                open_runtime = wiring.build_gateway(app, "gateway-1")._follower._open_runtime
                for name in ("intent@1", "intent@2"):
                    runtime = open_runtime(find_version(app.store, name))
                    stack.push_async_callback(runtime.close)
                    await runtime.predict(["my card"])

        opening(project, lambda app: asyncio.run(ask(app)))
        assert len(opened) == 1
        assert [asked["model"] for asked in provider.seen] == ["small", "large"]

    def test_a_model_behind_an_address(self, project: Project, trained: Path) -> None:
        async def ask() -> Any:
            async with serving(build_model_server(trained, None)) as client:
                url = str(client.session._base_url)
                await asyncio.to_thread(
                    project.ok, "adopt", "intent", "--url", url, *ADOPTED, by="ana"
                )
                version = await asyncio.to_thread(version_of, project)
                judged = await asyncio.to_thread(
                    opening, project, lambda app: load_model(app, version).predict(["pin code"])
                )
                return version, judged

        version, judged = asyncio.run(ask())
        assert version.runtime["kind"] == "http"
        assert [made.label for made in judged] == ["pin"]

    @pytest.mark.parametrize(
        ("by", "more", "says"),
        [
            (None, [*ADOPTED], "GREENLIGHT_PERSON_KEY is not set"),
            ("ana", ["-m", " "], "an adoption needs a reason"),
            ("ana", [*ADOPTED, "--label", "seven"], "write NAME@SOMETHING"),
            ("ana", [*ADOPTED, "--url", "ftp://x"], "no address"),
            ("ana", [*ADOPTED, "--model", "small"], "belong to a prompt"),
        ],
    )
    def test_refusals(
        self, project: Project, trained: Path, by: str | None, more: list[str], says: str
    ) -> None:
        environ = {} if by else {"GREENLIGHT_PERSON_KEY": ""}
        words = ["adopt", "intent", str(trained), *more]
        assert says in project.refused(2, *words, by=by, **environ)
        assert project.json("versions", "list") == []

    def test_only_where_nothing_is_live(self, project: Project, trained: Path) -> None:
        project.ok("adopt", "intent", str(trained), *ADOPTED, by="ana")
        words = ["adopt", "intent", "--url", "http://old.example", *ADOPTED]
        assert "greenlight versions add intent" in project.refused(2, *words, by="ben")

    def test_it_is_no_candidate(self, project: Project, trained: Path) -> None:
        """G1: not even against itself, as an A/A test."""
        project.ok("adopt", "intent", str(trained), *ADOPTED, by="ana")
        words = ["rollout", "start", "intent", "intent@1", "--aa"]
        assert "intent@1 is not approved: lacks" in project.refused(2, *words, by="eve")

    def test_a_candidate_can_be_rolled_out_against_it(
        self, project: Project, trained: Path
    ) -> None:
        project.ok("adopt", "intent", str(trained), *ADOPTED, by="ana")
        with project.opened() as (_, office):
            office.evaluated()
        for who in ("ana", "ben"):
            project.ok("approve", "intent@2", "-m", "better", by=who)
        begun = project.json("rollout", "start", "intent", "intent@2", by="eve")
        assert begun["control"] == version_of(project).digest


class TestAdd:
    def test_a_bundle_of_ones_own(self, project: Project, trained: Path) -> None:
        """R1: no run, and a lineage all the same."""
        words = ["versions", "add", "intent", str(trained), "--label", "intent@ours", "-m", "ours"]
        told = project.ok(*words, by="eve")
        assert "intent@ours (" in told and "next: greenlight eval run intent@ours" in told
        version = version_of(project, "intent@ours")
        assert version.lineage == {
            "source": "added",
            "by": "eve",
            "why": "ours",
            "backend": "tfidf-linear",
        }
        assert (version.initiator, version.runtime) == ("eve", {"kind": "in_process"})
        assert project.json(*words[:4])["digest"] == version.digest

    def test_a_prompt_takes_its_labels_from_the_newest_dataset(
        self, project: Project, files: tuple[str, str]
    ) -> None:
        words = ["versions", "add", "intent", *of_prompt(files, "https://api.example/v1/")]
        del words[5:7]
        assert "no dataset has been prepared" in project.refused(1, *words)
        with project.opened() as (_, office):
            for at, labels in ((1, ["old"]), (2, LABELS)):
                manifest = {"labels": labels, "files": {}, "parent": "sha256:raw"}
                made = Dataset(
                    digest=f"sha256:{at}", task="intent", name="d", manifest=manifest, at=at
                )
                record(office.store, [], append=[made], now=at)
        version = msgspec.convert(project.json(*words), Version)
        assert version.lineage["labels_of"] == "sha256:2"
        assert version.runtime["url"] == "https://api.example/v1"
        found = opening(project, lambda app: prompt.load(app.bundles.path(version.bundle)))
        assert found.labels == tuple(LABELS)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (["--key", "sk-live-1234"], "name the variable that holds it"),
            (["--url", "https://me:pass@api.example/v1"], "without a user, a password"),
            (["--url", "https://api.example/v1?key=1"], "without a user, a password"),
            (["--url", "api.example"], "no address"),
            (["--model", ""], "a prompt needs a model at a provider"),
            (["--labels", "absent.json"], "no JSON list of labels"),
            (["--prompt", "absent.txt"], "no readable text"),
            (["--max-tokens", "0"], "max_tokens 0 leaves no answer"),
        ],
    )
    def test_prompts_that_are_none(
        self, project: Project, files: tuple[str, str], change: list[str], says: str
    ) -> None:
        words = ["versions", "add", "intent", *of_prompt(files, "https://api.example/v1")]
        message = project.refused(2, *words, *change)
        assert says in message and "sk-live" not in message and "pass@" not in message
        assert project.json("versions", "list") == []

    def test_one_thing_at_a_time(
        self, project: Project, trained: Path, files: tuple[str, str]
    ) -> None:
        more = of_prompt(files, "https://api.example/v1")
        for words in ([], [str(trained), *more]):
            assert "name one thing" in project.refused(2, "versions", "add", "intent", *words)

    def test_a_folder_that_is_not_sealed(self, project: Project, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"onnx")
        message = project.refused(2, "versions", "add", "intent", str(folder))
        assert "no sealed bundle" in message and "--url" in message

    def test_a_bundle_that_was_changed(
        self, project: Project, trained: Path, tmp_path: Path
    ) -> None:
        """R3."""
        copy = tmp_path / "copy"
        shutil.copytree(trained, copy)
        flip(copy / "weights.safetensors")
        assert "not as sealed" in project.refused(1, "versions", "add", "intent", str(copy))


class TestOpening:
    """R3: whatever is opened is held against its digest first."""

    @pytest.fixture
    def added(self, project: Project, trained: Path) -> tuple[Project, Version, Path]:
        project.ok("adopt", "intent", str(trained), *ADOPTED, by="ana")
        version = version_of(project)
        folder = opening(project, lambda app: app.bundles.path(version.bundle))
        return project, version, Path(folder)

    @pytest.mark.parametrize("name", ["vocabulary.json", "weights.safetensors", "manifest.json"])
    def test_a_flipped_bit_in_any_file(
        self, added: tuple[Project, Version, Path], name: str
    ) -> None:
        """By the gateway, the evaluation and the model server."""
        project, version, folder = added
        assert {path.name for path in folder.iterdir()} == {
            "vocabulary.json",
            "weights.safetensors",
            "manifest.json",
        }
        flip(folder / name)
        for attempt in (open_runtime, load_model):
            with pytest.raises(Tampered):
                opening(project, lambda app, use=attempt: use(app, version))
        with pytest.raises(Tampered):
            build_model_server(folder, None, version.bundle)
        assert answers(project, "pin")[0] == 503

    def test_another_bundle_under_the_same_name(self, added: tuple[Project, Version, Path]) -> None:
        """Sealed as it should be, but not what was signed."""
        project, version, folder = added
        body = artifacts.unseal(folder, version.bundle)
        body["labels"] = body["labels"][::-1]
        del body["files"]
        artifacts.seal(folder, body)
        for attempt in (open_runtime, load_model):
            with pytest.raises(Tampered, match="expected sha256:"):
                opening(project, lambda app, use=attempt: use(app, version))
        with pytest.raises(Tampered, match="expected sha256:"):
            build_model_server(folder, None, version.bundle)
        assert answers(project, "pin")[0] == 503

    def test_a_record_that_names_another_bundle(self, added: tuple[Project, Version, Path]) -> None:
        """Signed is the digest of the version, and the gateway works it out anew."""
        project, version, _ = added
        other = msgspec.structs.replace(version, runtime={"kind": "http", "url": "http://evil"})
        opening(project, lambda app: app.store.commit(swap=[(version, other)]))
        for attempt in (open_runtime, load_model):
            with pytest.raises(Tampered, match="the record is not what its digest"):
                opening(project, lambda app, use=attempt: use(app, other))
        assert answers(project, "pin")[0] == 503

    def test_a_prompt_without_its_key(
        self, project: Project, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ACME_KEY", raising=False)
        project.ok("versions", "add", "intent", *of_prompt(files, "https://api.example/v1"))
        version = version_of(project)
        for attempt in (open_runtime, load_model):
            with pytest.raises(
                ConfigError, match="intent@1: the variable ACME_KEY is not set; set it to the key"
            ):
                opening(project, lambda app, use=attempt: use(app, version))


def test_the_first_epoch_names_the_adoption(project: Project, trained: Path) -> None:
    project.ok("adopt", "intent", str(trained), *ADOPTED, by="ana")
    [word] = project.json("versions", "show", "intent@1")["approvals"]
    epochs = opening(project, lambda app: app.store.scan(Epoch))
    assert [epoch.decision for epoch in epochs] == [word["id"]]
