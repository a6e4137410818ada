"""`eval`, `compare` and `card`, and what people are shown before they sign (E2, E4, E6, T7)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight import config, datasets, wiring
from greenlight.core.records import Evaluation, LedgerEntry
from greenlight.entrypoints.cli import evaluate
from greenlight.lookup import find_version
from greenlight.stages.scope import Again, Request
from greenlight.testing.provider import ChatProvider
from greenlight.wiring import scoping
from tests.cli.project import Project
from tests.docs.test_links import ROOT, broken
from tests.load.making import written


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two versions on the sample, the first of them live, the second evaluated and sealed.

    Its tests may run in any order, and leave intent@2 with the evaluation that is sealed.
    """
    project = Project(tmp_path_factory.mktemp("project"))
    text = project.file.read_text(encoding="utf-8").replace("min = 0.9 ", "min = 0.6 ")
    project.file.write_text(text, encoding="utf-8")
    project.ok("run", "intent")
    for who in ("ana", "ben"):
        project.ok("approve", "intent@1", "-m", "read it", by=who)
    project.ok("rollout", "start", "intent", "intent@1")
    project.file.write_text(
        text.replace('backend = "tfidf-linear"', 'backend = "tfidf-linear"\noptions = { C = 0.2 }'),
        encoding="utf-8",
    )
    project.ok("run", "intent")
    project.ok("eval", "run", "intent@2")
    project.ok("eval", "seal", "intent@2")
    yield project


def test_a_warning_ends_a_command_with_3_where_that_is_asked_for(made: Project) -> None:
    """E6: the exit code tells."""
    for words in (("run", "intent"), ("eval", "seal", "intent@2")):
        result = made.call(*words, "--fail-on-warn")
        assert result.exit_code == 3, result.output
        assert "  warn train_val_gap: overfit" in result.stdout
    again = made.json("run", "intent")
    assert again["ok"]
    assert again["version"]["label"] == "intent@2"
    assert [warning["metric"] for warning in again["warnings"]] == ["train_val_gap"]


def test_the_run_met_the_live_version_and_shuffled_labels(made: Project) -> None:
    """E4, T7: in the product, by the same protocol as by hand."""
    with made.opened() as (_, office):
        version = find_version(office.store, "intent@2")
        found = office.store.scan(Evaluation, {"version": version.digest})[0].document
    assert found["live"]["label"] == "intent@1"
    assert found["live"]["n"] == 500
    assert found["sanity"]["shuffled_labels"]["at_chance"]
    assert found["sanity"]["shuffled_labels"]["accuracy"]["value"] < 0.15


def test_parts_then_the_seal(made: Project) -> None:
    folder = made.folder / "artifacts" / "evaluations" / "intent@2"
    said = made.ok("eval", "run", "intent@2", "--part", "intent")
    assert said.startswith("intent  accuracy 0.")
    assert "live" not in said
    said = made.ok("eval", "run", "intent@2")
    assert "from intent@1, p =" in said
    assert "at chance" in said
    assert "intent@2 answers in this process, many texts at a time" in said, "E4: no wrong number"
    other = ("eval", "seal", "intent@1", "-o", str(folder))
    assert "not of intent@1" in made.refused(2, *other)
    assert sorted(path.name for path in (folder / "parts").iterdir()) == [
        "intent.json",
        "live.json",
        "sanity.json",
        "usage.json",
    ]
    sealed = made.json("eval", "seal", "intent@2")
    document = msgspec.json.decode((folder / "eval.json").read_bytes())
    assert document["results_digest"] == sealed["results"]
    assert sealed["ok"]
    assert {gate["metric"]: gate["outcome"] for gate in sealed["gates"]} == {
        "accuracy": "pass",
        "train_val_gap": "warn",
    }
    for key in ("intent.test.accuracy.value", "sanity.shuffled_labels.accuracy.value"):
        block = document
        for name in key.split("."):
            block = block[name]
        assert 0 <= block <= 1
    with made.opened() as (_, office):
        assert office.store.get(Evaluation, sealed["evaluation"]).document == document
        judged = office.store.scan(LedgerEntry, {"kind": "gates"})
        pipeline = office.store.scan(Evaluation, {"version": sealed["version"]["digest"]})
    assert sealed["evaluation"] in {entry.body["evaluation"] for entry in judged}
    assert len(pipeline) >= 2
    assert {it.document["results_digest"] for it in pipeline} == {sealed["results"]}


def test_what_is_sealed_stays(made: Project) -> None:
    path = made.folder / "artifacts" / "evaluations" / "intent@2" / "eval.json"
    before = path.read_bytes()
    made.ok("eval", "seal", "intent@2")
    assert path.read_bytes() == before
    other = ("eval", "run", "intent@1", "-o", str(path.parent))
    assert "another version" in made.refused(2, *other)


def test_a_load_test_goes_into_the_evaluation(made: Project, tmp_path: Path) -> None:
    """E2, S4: from the load test's file to the sealed document; a folder of its own, for what is
    sealed stays."""
    out = ("-o", str(made.folder / "loaded"))
    file = written(tmp_path / "slo.json", versions={"intent@2": 1197})
    words = ("eval", "load", "intent@2", str(file), *out)
    told = made.refused(2, *words)
    assert "no part intent, ner or chat yet; measure it: greenlight eval run" in told
    made.ok("eval", "run", "intent@2", *out)
    said = made.ok(*words)
    assert said.splitlines() == [
        "load    p95 12.5 ms, 0.25% server errors, 2.00 of 2 requests/s: service level met",
        f"next: greenlight eval seal intent@2 -o {out[1]}",
    ]
    assert made.json(*words)["part"]["result"]["version"] == {"verified": True}
    made.json("eval", "seal", "intent@2", *out)
    document = msgspec.json.decode(Path(out[1], "eval.json").read_bytes())
    assert (document["load"]["p95_ms"], document["load"]["error_rate"]) == (12.5, 0.0025)
    assert "sealed already, and what is sealed stays" in made.refused(2, *words)


def test_scope_goes_into_the_evaluation(made: Project) -> None:
    """E2, D9: of this data set nobody knows what is out of scope, and that is what stands there."""
    out = ("-o", str(made.folder / "scope"))
    words = ("eval", "oos", "intent@2", *out)
    assert "no part intent" in made.refused(2, *words)
    made.ok("eval", "run", "intent@2", *out)
    part, following = made.ok(*words).splitlines()
    assert part.startswith("oos     not measured: what is out of scope is known of the data set")
    assert following == f"next: greenlight eval seal intent@2 -o {out[1]}"
    result = made.json(*words)["part"]["result"]
    made.json("eval", "seal", "intent@2", *out)
    document = msgspec.json.decode(Path(out[1], "eval.json").read_bytes())
    assert document["oos"] == result
    assert "add what it tells of scope there" in made.refused(2, *words)


@pytest.fixture
def asked(made: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    """What the stage is asked of a version, or of one with other facts."""

    def ask(**facts: Any) -> Request:
        seen: list[Request] = []
        monkeypatch.setattr(scoping, "add_scope", lambda *given, **_: seen.append(given[3]))
        with wiring.open_app(config.load(made.file, {})) as app:
            version = msgspec.structs.replace(find_version(app.store, "intent@2"), **facts)
            wiring.measure_scope(app, version, folder=made.folder, progress=lambda *_: None)
        return seen[0]

    return ask


def test_models_for_scope_are_trained_as_the_version_was(asked: Callable[..., Request]) -> None:
    """D9: by the plan of its run; a version that was brought in has none."""
    again = asked().again
    assert isinstance(again, Again)
    assert (again.trainer.name, again.config, again.seed) == ("tfidf-linear", {"C": 0.2}, 2025)
    assert asked(lineage={}).again == "no run of the pipeline trained this version"


def test_what_was_taken_over_is_trained_and_told_as_its_maker_was(tmp_path: Path) -> None:
    """D9, G3: the plan that made the bundle, where a run took it over from another plan."""
    project = Project(tmp_path)
    text = project.file.read_text(encoding="utf-8").replace("min = 0.9 ", "min = 0.6 ")
    project.file.write_text(text, encoding="utf-8")
    project.ok("run", "intent")
    backend = 'backend = "tfidf-linear"'
    changed = text.replace(backend, 'backend = "char-ngram"\noptions = { C = 0.2 }\nseed = 7')
    project.file.write_text(changed + "[tasks.intent.capture]\nshare = 0.004\n", encoding="utf-8")
    with wiring.open_app(config.load(project.file, {})) as app:
        wiring.turn(
            app,
            "intent",
            initiator="cat",
            progress=lambda *_: None,
            runtime={"kind": "in_process", "threads": 1},
            fresh_from="register",
        )
        version = find_version(app.store, "intent@2")
        assert version.lineage["run"] == "intent#2"
        again = scoping.again(app, version)
    assert isinstance(again, Again)
    assert (again.trainer.name, again.config, again.seed) == ("tfidf-linear", {}, 2025)
    paths = project.json("card", "intent@2", "--no-page")
    text = Path(paths["markdown"]).read_text(encoding="utf-8")
    assert "| backend | tfidf-linear, seed 2025 |" in text
    assert "of 0.4% of requests" in text


@pytest.mark.needs("data")
def test_what_lies_outside_comes_from_clinc150(asked: Callable[..., Request]) -> None:
    """D9: 1,000 questions in no intent, and 450 about money; of BANKING77 alone."""
    request = asked()
    far = request.far(lambda *_: None)
    assert {name: len(texts) for name, texts in far.items()} == {"clinc": 1000, "banking_like": 450}
    banking = datasets.load("banking77")
    assert request.origin == banking.origin
    assert len(banking.test) == 3080


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (
            {
                "clinc": {"auroc": {"value": 0.9967, "low": 0.995, "high": 0.998}},
                "near": {"auroc": {"value": 0.94}},
            },
            "clinc AUROC 0.9967 (0.9950 to 0.9980); near AUROC 0.9400",
        ),
        (
            {
                "clinc": {"reason": "not measured: no CLINC150"},
                "near": {"auroc": {"reason": "draw 1: every text is in scope"}},
            },
            "clinc not measured: no CLINC150; near draw 1: every text is in scope",
        ),
    ],
)
def test_what_is_told_of_scope_in_one_line(result: dict[str, Any], says: str) -> None:
    assert evaluate._said("oos", result) == says


def test_what_a_load_test_leaves_open_is_said(made: Project, tmp_path: Path) -> None:
    """S4: a trial is none of the service level, and a version that nobody named may be another."""
    out = ("-o", str(made.folder / "doubted"))
    made.ok("eval", "run", "intent@2", "--part", "intent", *out)
    short = {"ramp_s": 30.0, "rate": 1.0, "asked": 1.05, "versions": {}}
    slow = {"p95_ms": 151.0, "p99_ms": 151.0, "met": False, "steady_s": 1200.0}
    file = written(tmp_path / "slo.json", **short, **slow)
    level, trial, doubt, _ = made.ok("eval", "load", "intent@2", str(file), *out).splitlines()
    assert level.endswith("1.00 of 1.05 requests/s: service level MISSED")
    assert trial == (
        "note: 1.05 requests/s for 1200 s after 30 s is a trial; the service level wants 2 for "
        "600 s after 60 s at the least"
    )
    assert doubt.startswith("note: version not verified: the gateway named the version of 0 of")
    wrong = ("eval", "load", "intent@1", str(file), *out)
    assert "not of intent@1" in made.refused(2, *wrong)
    right = ("eval", "load", "intent@2", str(written(file, met=False)), *out)
    assert "met: false; by its own numbers" in made.refused(2, *right)


def test_warnings_are_shown_before_a_signature(made: Project) -> None:
    """T7: shown to approvers, and no block."""
    said = made.ok("approve", "intent@2", "-m", "a known gap", by="ana")
    warning, word, *_ = said.splitlines()
    assert warning.startswith("warning: overfit: accuracy on train is 0.")
    assert word.startswith("ana (ml_lead): approve intent@2")
    (shown,) = made.json("versions", "show", "intent@2")["warnings"]
    assert shown["metric"] == "train_val_gap"
    assert "warning: overfit" in made.ok("versions", "show", "intent@2")
    assert "warning" not in made.ok("approve", "intent@2", "-m", "wait", "--revoke", by="ana")


def test_a_later_evaluation_does_not_replace_the_approved_one(made: Project) -> None:
    """G1"""
    for who in ("ana", "ben"):
        made.ok("approve", "intent@2", "-m", "a known gap", by=who)
    with made.opened() as (settings, _), wiring.open_app(settings) as app:
        version = find_version(app.store, "intent@2")
        approved = wiring.evaluation_of(app, version)
    other = str(made.folder / "later")
    made.ok("eval", "run", "intent@2", "-o", other)
    said = made.ok("eval", "seal", "intent@2", "-o", other)
    assert "intent@2 is approved" in said
    assert "it does not replace" in said
    with made.opened() as (settings, _), wiring.open_app(settings) as app:
        assert wiring.evaluation_of(app, find_version(app.store, "intent@2")) == approved


def test_two_versions_on_the_same_texts(made: Project) -> None:
    """E4"""
    said = made.ok("compare", "intent@1", "intent@2", "--show", "1")
    assert said.startswith("500 test rows of sample")
    assert "intent@2 less intent@1: " in said
    assert said.count("\n  true ") == 1
    assert "latency and cost: intent@2 was asked many texts at a time" in said
    found = made.json("compare", "intent@1", "intent@2", "--show", "2")
    told = found["comparison"]["paired"]
    assert told["both"] + told["only_a"] + told["only_b"] + told["neither"] == 500
    assert told["low"] <= told["difference"] <= told["high"]
    assert len(found["differences"]) == 2 <= found["differing"]
    assert found["a"]["accuracy"]["value"] + told["difference"] == pytest.approx(
        found["b"]["accuracy"]["value"]
    )
    dataset = made.json("versions", "show", "intent@1")["version"]["lineage"]["dataset"]
    assert made.json("compare", "intent@1", "intent@2", "--on", dataset[:15])["dataset"] == dataset
    assert "no such digest" in made.refused(
        2, "compare", "intent@1", "intent@2", "--on", "feedface"
    )


def test_two_prompts_at_a_provider_tell_what_they_take(made: Project, tmp_path: Path) -> None:
    """E4, O7: measured at the provider, item by item, for the same rows."""
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("One of {labels}:\n{input}", encoding="utf-8")
    with ChatProvider(lambda asked: asked.split("\n")[0].removeprefix("One of ")) as there:
        for name, prices in (("small", ("1", "4")), ("large", ("10", "40"))):
            made.ok(
                *("versions", "add", "intent", "--label", f"intent@{name}", "-m", "a prompt"),
                *("--prompt", str(prompt), "--model", name, "--url", there.url),
                *("--input-price", prices[0], "--output-price", prices[1]),
            )
        told = made.json("compare", "intent@small", "intent@large", "--show", "0")["usage"]
        said = made.ok("compare", "intent@2", "intent@small", "--show", "0")
        found = made.ok("eval", "run", "intent@small", "--part", "usage", "-o", str(tmp_path))
    assert told["latency_ms"]["n"] == 500 and told["latency_ms"]["p95"]["value"] > 0
    assert told["beside"]["label"] == "intent@small"
    assert told["ratio"]["cost"]["value"] == pytest.approx(10.0)
    cost = told["tokens"]["input"] * 10e-6 + told["tokens"]["output"] * 40e-6
    assert told["cost"]["total"] == pytest.approx(500 * cost)
    assert "intent@2 was not asked item by item" in said and "cost of 1,000 answers" in said
    assert "latency, p95 " in found and "tokens of an answer" in found


def test_a_card_on_paper(made: Project, tmp_path: Path) -> None:
    """G3, R1: Markdown and a page, with the words of those who signed."""
    made.ok("approve", "intent@2", "-m", "a known gap", by="ana")
    paths = made.json("card", "intent@2", "-o", str(tmp_path))
    text = Path(paths["markdown"]).read_text(encoding="utf-8")
    assert "- **Warning**: overfit" in text
    assert "ana" in text and "a known gap" in text
    assert "| rows that name their inference | 0 |" in text
    page = Path(paths["page"]).read_text(encoding="utf-8")
    assert page.count("<svg role=") == 5
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == [
        "confusion",
        "labels",
        "live",
        "reliability",
        "slices-intent",
    ]
    said = made.ok("card", "intent@1")
    assert json.dumps(said).count("model_card") == 2
    assert (made.folder / "artifacts" / "cards" / "intent@1" / "model_card.html").is_file()


def test_a_pilot_on_paper(made: Project, tmp_path: Path) -> None:
    """E7: of a run of this installation, where a card may lie already."""
    made.ok("card", "intent@2", "-o", str(tmp_path), "--no-page")
    paths = made.json("report", "pilot", "intent#2", "-o", str(tmp_path))
    text = Path(paths["markdown"]).read_text(encoding="utf-8")
    assert text.startswith("# Pilot report: intent, run 2\n\n## Decision on a broader rollout\n")
    assert "Cannot say: intent@2 " in text, "whether or not somebody has signed meanwhile"
    assert "| difference of accuracy from intent@1 |" in text
    assert "| options: C | `0.2` |" in text
    assert "the evaluation warns: overfit" in text
    assert "## Next steps\n\n- 1: run: " in text
    assert broken(Path(paths["markdown"])) == []
    assert "Broader rollout: cannot say." in Path(paths["page"]).read_text(encoding="utf-8")
    assert (tmp_path / "figures" / "live.svg").exists()
    assert (tmp_path / "figures" / "pilot-live.svg").exists()
    made.ok("report", "pilot", "intent#1", "--no-page")
    first = made.folder / "artifacts" / "pilots" / "intent-1" / "pilot_report.md"
    assert "Yes: intent@1 went live as the first of its task" in first.read_text(encoding="utf-8")
    assert "no such id; see: greenlight runs list" in made.refused(2, "report", "pilot", "intent#9")


def test_a_card_of_a_sealed_document(made: Project, tmp_path: Path) -> None:
    """G3: the card that is committed tells of the document that is, and links to it."""
    sealed = tmp_path / "an eval" / "eval.json"
    made.ok("eval", "run", "intent@2", "-o", str(sealed.parent), "--part", "intent")
    made.ok("eval", "seal", "intent@2", "-o", str(sealed.parent))
    out = ("-o", str(tmp_path / "governance"), "--evaluation", str(sealed))
    said = made.ok("card", "intent@2", *out, "--repository", str(ROOT), "--no-page")
    assert said.splitlines() == [str(tmp_path / "governance" / "model_card.md")]
    text = (tmp_path / "governance" / "model_card.md").read_text(encoding="utf-8")
    assert "[eval.json](../an%20eval/eval.json)" in text
    results = msgspec.json.decode(sealed.read_bytes())["results_digest"]
    assert f"| results | `{results}` |" in text
    assert "Not compared: this part was not measured." in text
    assert not broken(tmp_path / "governance" / "model_card.md")
    assert "not of intent@1; name that one" in made.refused(2, "card", "intent@1", *out)
    os.chmod(sealed, 0o644)
    sealed.write_text(sealed.read_text().replace('"accuracy"', '"accurate"'), encoding="utf-8")
    assert "not those that it was sealed with" in made.refused(1, "card", "intent@2", *out)
