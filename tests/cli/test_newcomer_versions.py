"""What a newcomer gets wrong with versions: broken bundles, signatures, equal digests (X5)."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from greenlight import artifacts
from greenlight.adapters.trainers import TRAINERS
from greenlight.models import bundle
from greenlight.models.bundle import EncoderParts, Parts
from greenlight.models.features import WORDS, Tfidf
from greenlight.models.linear import LinearHead
from tests.cli.messages import check, told
from tests.cli.project import Project, flip
from tests.models import tiny

APPROVE = ("approve", "intent@1", "-m", "read its evaluation")
START = ("rollout", "start", "intent", "intent@1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle as it should be."""
    made = TRAINERS["tfidf-linear"]().train(
        train=tiny.examples(90, 1),
        validation=tiny.examples(30, 2),
        labels=sorted(tiny.THEMES),
        config={},
        seed=0,
        out=str(tmp_path_factory.mktemp("whole") / "bundle"),
        progress=lambda _share, _words: None,
    )
    return Path(made.folder)


@pytest.fixture
def own(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    return Path(shutil.copytree(whole, tmp_path / "own"))


def adding(project: Project, folder: Path) -> Result:
    """Bring a bundle in; nothing may come of it."""
    result = project.call("versions", "add", "intent", str(folder))
    assert project.json("versions", "list") == []
    return result


def resealed(folder: Path, **changes: object) -> None:
    """Change the manifest and seal the folder anew, as somebody who writes their own would."""
    manifest = json.loads((folder / artifacts.MANIFEST).read_text(encoding="utf-8")) | changes
    del manifest["files"]
    artifacts.seal(folder, manifest)


class TestBundle:
    def test_a_byte_is_flipped(self, project: Project, own: Path) -> None:
        flip(own / bundle.WEIGHTS)
        result = adding(project, own)
        told("broken bundle", result)
        assert bundle.WEIGHTS in result.stderr

    def test_a_file_is_missing(self, project: Project, own: Path) -> None:
        (own / bundle.VOCABULARY).unlink()
        result = adding(project, own)
        told("broken bundle", result)
        assert bundle.VOCABULARY in result.stderr

    def test_the_manifest_is_of_something_else(self, project: Project, own: Path) -> None:
        (own / artifacts.MANIFEST).write_text("{}", encoding="utf-8")
        told("broken bundle", adding(project, own))
        (own / artifacts.MANIFEST).write_text("the model of March", encoding="utf-8")
        told("no manifest", adding(project, own))

    def test_the_manifest_does_not_fit_the_model(self, project: Project, own: Path) -> None:
        resealed(own, labels=["card"])
        result = adding(project, own)
        told("parts that do not fit", result)
        assert "1 labels, 3 in the head" in result.stderr

    def test_another_kind_and_another_release(self, project: Project, own: Path) -> None:
        resealed(own, kind="magic")
        told("unreadable bundle", adding(project, own))
        resealed(own, format=2)
        told("bundle of another release", adding(project, own))

    def test_the_encoder_is_no_onnx(self, project: Project, tmp_path: Path) -> None:
        """Sealed as it should be, and what is called encoder.onnx is something else."""
        folder = tmp_path / "own"
        bundle.write(folder, with_encoder(b"a model of another framework"))
        result = adding(project, folder)
        told("unreadable bundle", result)
        assert str(folder) in result.stderr

    def test_a_file_of_another_framework(self, project: Project, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "model.onnx").write_bytes(b"weights")
        for folder in (tmp_path / "model", tmp_path / "nowhere"):
            result = adding(project, folder)
            told("no bundle", result)
            assert str(folder) in result.stderr

    def test_it_breaks_once_it_is_in(self, project: Project, own: Path) -> None:
        """What is kept is checked whenever it is opened."""
        version = project.json("versions", "add", "intent", str(own))
        [kept] = (project.folder / ".greenlight" / "bundles").iterdir()
        assert version["bundle"].endswith(kept.name)
        flip(kept / bundle.WEIGHTS)
        told("broken bundle", project.call("adopt", "intent", str(kept), "-m", "mine", by="ana"))
        result = project.call("audit", "verify")
        assert result.exit_code == 1 and "bundle of intent@1" in result.stdout

    def test_the_same_twice(self, project: Project, own: Path) -> None:
        """Equal digests are one version, under the label that it has; the second call says so."""
        project.ok("versions", "add", "intent", str(own))
        words = ["versions", "add", "intent", str(own), "--label", "intent@new"]
        result = project.call(*words)
        check("the same version again", result.exit_code, result.stdout)
        assert "keeps its label: intent@new is not taken" in result.stdout
        assert [one["label"] for one in project.json("versions", "list")] == ["intent@1"]


def with_encoder(graph: bytes) -> Parts:
    """A model of one term and two labels, behind an encoder."""
    ones = np.ones
    return Parts(
        kind="encoder-head",
        labels=["card", "pin"],
        beta=1.0,
        tfidf=Tfidf(WORDS, ["card"], ones(1, "float32")),
        head=LinearHead(ones((1, 2), "float32"), ones(2, "float32"), ones((4, 2), "float32")),
        encoder=EncoderParts(
            graph=graph, tokenizer=tiny.tokenizer().to_str().encode(), token_limit=8
        ),
    )


@pytest.mark.parametrize("url", ["api.example.com/v1", "localhost:8000", "ftp://x", "http://"])
@pytest.mark.parametrize("command", ["versions add", "adopt"])
def test_a_provider_without_http(project: Project, command: str, url: str) -> None:
    words = [*command.split(), "intent", "--url", url, "-m", "runs today"]
    told("address without http", project.call(*words, by="ana"))
    assert project.json("versions", "list") == []


def test_a_password_in_an_address(project: Project) -> None:
    url = "https://me:hunter2@api.example.com/v1"
    result = project.call("versions", "add", "intent", "--url", url)
    told("password in an address", result)
    assert "hunter2" not in result.stderr


def test_a_model_elsewhere_that_is_away(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked several times before it is given up."""
    monkeypatch.setattr("greenlight.adapters.runtimes.offline._pause", lambda *_: 0)
    project.call("run", "intent")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    label = project.json("versions", "add", "intent", "--url", url)["label"]
    result = project.call("eval", "run", label)
    told("model elsewhere away", result)
    assert url in result.stderr


class TestSignOff:
    def test_without_a_key_of_ones_own(self, evaluated: Project) -> None:
        told("no key of a person", evaluated.call(*APPROVE, GREENLIGHT_PERSON_KEY=""))

    def test_the_key_of_somebody_else(self, evaluated: Project) -> None:
        stranger = evaluated.json("keys", "person", "zoe")["secret"]
        result = evaluated.call(*APPROVE, GREENLIGHT_PERSON_KEY=stranger)
        told("somebody's key", result)
        assert stranger not in result.stderr

    def test_a_key_that_is_none(self, evaluated: Project) -> None:
        result = evaluated.call(*APPROVE, GREENLIGHT_PERSON_KEY="glp_hunter2")
        told("key that is none", result)
        assert "hunter2" not in result.stderr

    def test_the_initiator_approves(self, evaluated: Project) -> None:
        result = evaluated.call(*APPROVE, by="eve")
        told("the initiator approves", result)
        assert "eve" in result.stderr and "intent@1" in result.stderr

    def test_one_person_approves_twice(self, evaluated: Project) -> None:
        """The second word would add nothing; it is refused, with who must sign, and not kept."""
        evaluated.ok(*APPROVE, by="ana")
        result = evaluated.call(*APPROVE, by="ana")
        told("approved already", result)
        assert "lacks 1 × product_owner" in result.stderr
        assert len(evaluated.json("versions", "show", "intent@1")["approvals"]) == 1
        evaluated.ok(*APPROVE, by="ben")

    def test_a_word_taken_back_may_be_given_again(self, evaluated: Project) -> None:
        evaluated.ok(*APPROVE, by="ana")
        evaluated.ok(*APPROVE, "--revoke", by="ana")
        evaluated.ok(*APPROVE, by="ana")
        evaluated.ok("reject", "intent@1", "-m", "on second thoughts", by="ana")
        evaluated.ok(*APPROVE, by="ana")

    def test_where_nobody_is_missing_a_word_may_be_renewed(self, evaluated: Project) -> None:
        for who in ("ana", "ben", "ana"):
            evaluated.ok(*APPROVE, by=who)

    def test_gates_failed(self, project: Project) -> None:
        """Neither signatures nor users: the message leads to what failed."""
        with project.opened() as (_, office):
            office.gate(office.register(), 0.5)
        result = project.call(*APPROVE, by="ana")
        told("gates failed", result)
        told("gates failed, rolled out", project.call(*START, by="ana"))
        assert "fail" in project.ok("versions", "show", "intent@1")

    def test_rolled_out_too_early(self, evaluated: Project) -> None:
        told("not approved", evaluated.call(*START, by="eve"))
        evaluated.ok(*APPROVE, by="ana")
        result = evaluated.call(*START, by="eve")
        told("not approved", result)
        assert "lacks 1 × product_owner" in result.stderr

    def test_who_signed_starts_it(self, evaluated: Project) -> None:
        for who in ("ana", "ben"):
            evaluated.ok(*APPROVE, by=who)
        result = evaluated.call(*START, by="ben")
        told("the signer starts", result)
        evaluated.ok(*START, by="eve")

    def test_what_is_live_is_rolled_out(self, evaluated: Project) -> None:
        """Equal digests: two names for one model are no experiment, but with --aa they are."""
        for who in ("ana", "ben"):
            evaluated.ok(*APPROVE, by=who)
        evaluated.ok(*START, by="eve")
        result = evaluated.call(*START, by="eve")
        told("equal digests", result)
        assert "intent@1" in result.stderr
        evaluated.ok(*START, "--aa", by="eve")
