"""Evaluate (E1, E2, R3): from the bundle, on test rows alone, in parts that survive a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from eval import intent_eval
from greenlight.core import evaluation, fingerprint, gates, ledger
from greenlight.core.errors import BadInput, NotFound, Refused, Tampered
from greenlight.core.policy import GateRule
from greenlight.core.records import Evaluation, LedgerEntry
from greenlight.stages.evaluate import Case, add_load
from tests.load.making import SUMMARY, written
from tests.stages.judging import SANITY, SOURCE, TRAINING, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_document(bench: Bench) -> None:
    """E2: every key that readers rely on."""
    case = bench.case()
    found = bench.evaluate(case)
    document = found.document
    assert found.digest == fingerprint.digest(document)
    assert found.version == document["version"] == case.version.digest
    assert document["bundle"] == case.version.bundle
    assert document["dataset"] == {
        "digest": bench.dataset.digest,
        "name": "demo",
        **{name: bench.dataset.manifest[name] for name in ("source", "licence", "citation")},
        "splits": bench.dataset.manifest["files"],
    }
    assert document["dataset"]["licence"] == "CC0-1.0"
    assert document["protocol"] == {
        "module": "eval.intent_eval",
        "digest": intent_eval.protocol_digest(),
    }
    test = document["intent"]["test"]
    assert test["accuracy"]["value"] == 1.0
    assert test["accuracy"]["low"] < 1.0 == test["accuracy"]["high"]
    assert test["confusion"] == [[100, 0], [0, 100]]
    assert test["ece"]["value"] == pytest.approx(0.25)
    assert document["intent"]["train"] == {"accuracy": {"value": 0.92}}
    assert document["intent"]["train_val_gap"]["value"] == pytest.approx(0.02)
    assert document["sanity"]["shuffled_labels"] == SANITY["shuffled_labels"]
    assert document["live"] == {"none": True, "reason": "no version is live"}
    assert "not measured" in document["load"]["reason"]
    assert document["warnings"] == []
    assert document["environment"] == case.environment
    assert document["rows_per_s"] > 0
    assert document["wall_clock_s"] >= SANITY["seconds"]


def test_only_test_rows_are_shown_to_the_model(bench: Bench) -> None:
    """E3: nothing is selected here, and training rows are not predicted."""
    bench.evaluate()
    (model,) = bench.loaded
    assert model.seen == [row.text for row in SOURCE.test]
    assert bench.told == sorted(bench.told)
    assert bench.told[-1] == 1.0


def test_it_is_recorded_with_its_ledger_entry(bench: Bench) -> None:
    found = bench.evaluate()
    assert bench.records.get(Evaluation, found.digest) == found
    chain = bench.records.scan(LedgerEntry)
    (entry,) = [entry for entry in chain if entry.kind == "evaluation"]
    assert entry.body["evaluation"] == found.digest
    assert entry.body["results"] == found.document["results_digest"]
    assert not ledger.problems(chain)


def test_results_are_named_without_how_long_they_took(bench: Bench, tmp_path: Path) -> None:
    """E2, E5: on another machine, or from remembered predictions, equal results have one name."""
    first = bench.judge()
    bench.folder = tmp_path / "elsewhere"
    other = bench.case()
    environment = {**other.environment, "processor": "faster"}
    second = bench.judge(msgspec.structs.replace(other, environment=environment))
    assert first.output["results"] == second.output["results"]
    assert first.output["evaluation"] != second.output["evaluation"]
    document = bench.records.get(Evaluation, second.output["evaluation"]).document
    assert "remembered" in document["rows_per_s"]["reason"]
    assert len(bench.loaded) == 1
    evaluation.check(document)
    document["intent"]["test"]["accuracy"]["value"] = 0.999
    with pytest.raises(Tampered, match="not those"):
        evaluation.check(document)


def test_finished_parts_are_not_made_again(bench: Bench) -> None:
    """T2: whoever was killed between two parts goes on with the one that is missing."""
    case = bench.case(live=bench.version("intent@0", wrong="7"))
    bench.measure(case)
    assert len(bench.loaded) == 2
    kept = {path.name: path.read_bytes() for path in (bench.folder / "parts").iterdir()}
    assert set(kept) == {"intent.json", "live.json", "usage.json", "sanity.json"}
    (bench.folder / "parts" / "live.json").unlink()
    bench.cache.drop("")
    document = bench.evaluate(case).document
    assert len(bench.loaded) == 4  # both are asked for the comparison, the protocol is not run
    assert (bench.folder / "parts" / "intent.json").read_bytes() == kept["intent.json"]
    assert document["live"]["accuracy"]["value"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"training": {}}, {"intent"}),
        ({"sanity": {"reason": "no"}}, {"sanity"}),
        ({"environment": {"code": "sha256:other"}}, {"intent", "live", "usage", "sanity"}),
    ],
)
def test_a_part_of_other_inputs_is_made_again(
    bench: Bench, changes: dict[str, Any], anew: set[str]
) -> None:
    """E5: never a stale part."""
    case = bench.case()

    def measured(case: Case) -> dict[str, tuple[object, ...]]:
        """What depends on inputs alone: a reason is told anew each time, however long it takes."""
        return {it.part: (it.inputs, it.result, it.environment) for it in bench.measure(case)}

    before, after = measured(case), measured(msgspec.structs.replace(case, **changes))
    assert {name for name in after if after[name] != before[name]} == anew


def test_a_reason_is_no_finished_part(bench: Bench) -> None:
    """E4: who could not be asked is asked again."""
    live = bench.version("intent@0", wrong="7")
    kept = Path(bench.bundles.path(live.bundle))
    kept.rename(kept.with_name(".away"))
    case = bench.case(live=live)
    assert "cannot be asked" in bench.evaluate(case).document["live"]["reason"]
    kept.with_name(".away").rename(kept)
    assert bench.evaluate(case).document["live"]["accuracy"]["value"] == pytest.approx(0.1)


def test_half_a_part_is_no_part(bench: Bench) -> None:
    case = bench.case()
    (whole,) = bench.measure(case, wanted=["intent"])
    path = bench.folder / "parts" / "intent.json"
    path.write_bytes(path.read_bytes()[:100])
    (again,) = bench.measure(case, wanted=["intent"])
    assert again.result == whole.result


def test_the_live_version_is_met_on_the_same_rows(bench: Bench) -> None:
    """E4: a paired test, with interval and counts, per label too."""
    live = bench.version("intent@0", wrong="79")
    document = bench.evaluate(bench.case(bench.version(wrong="1"), live=live)).document
    found = document["live"]
    assert (found["version"], found["label"], found["bundle"]) == (
        live.digest,
        "intent@0",
        live.bundle,
    )
    assert found["accuracy"]["value"] == pytest.approx(0.1)
    assert 0 < found["accuracy"]["low"] < 0.1 < found["accuracy"]["high"]
    assert 0 < found["p_value"] < 0.01
    counts = [found[name] for name in ("both", "only_live", "only_candidate", "neither", "n")]
    assert counts == [140, 20, 40, 0, 200]
    assert found["per_label"][0] == {"label": "no", "n": 100, "only_live": 10, "only_candidate": 20}
    rule = {"accuracy": GateRule(min_delta=0.0, bound="lower")}
    assert gates.passed(gates.check(document, rule))


def test_a_live_version_that_cannot_be_compared_is_a_reason(bench: Bench) -> None:
    """E4, E6: and no number; a gate that asks for the difference fails."""
    version = bench.version()
    lost = msgspec.structs.replace(bench.version("intent@0"), bundle="sha256:" + "0" * 64)
    other = bench.version("intent@0", labels=("maybe", "yes"))
    for live, reason in (
        (version, "intent@1 is what is live"),
        (lost, "intent@0, which is live, cannot be asked: no folder"),
        (other, "intent@0, which is live, has other labels"),
    ):
        document = bench.evaluate(bench.case(version, live=live)).document
        assert document["live"]["reason"].startswith(reason)
        assert set(document["live"]) == {"reason"}
        assert not gates.passed(gates.check(document, {"accuracy": GateRule(min_delta=-1.0)}))


def test_a_changed_bundle_of_the_live_version_stops_it(bench: Bench) -> None:
    """R3"""
    live = bench.version("intent@0", wrong="1")
    path = Path(bench.bundles.path(live.bundle), "rule")
    path.chmod(0o644)
    path.write_bytes(b"{}")
    with pytest.raises(Tampered):
        bench.evaluate(bench.case(live=live))


def test_a_wrong_order_of_labels_shows(bench: Bench) -> None:
    document = bench.evaluate(bench.case(bench.version(labels=("yes", "no")))).document
    assert document["intent"]["test"]["accuracy"]["value"] == 0.0


def test_a_label_that_the_data_does_not_know_is_named(bench: Bench) -> None:
    with pytest.raises(BadInput, match="predicted label 'maybe'"):
        bench.evaluate(bench.case(bench.version(labels=("no", "maybe"))))


def test_a_model_without_scores_has_no_calibration(bench: Bench) -> None:
    """What cannot be computed never looks like a number."""
    test = bench.evaluate(bench.case(bench.version(score=None))).document["intent"]["test"]
    assert "200 of 200" in test["ece"]["reason"]
    assert "value" not in test["ece"]
    assert test["reliability"] == []
    assert test["accuracy"]["value"] == 1.0


def test_what_a_model_elsewhere_says_is_not_remembered(bench: Bench) -> None:
    """E5: never a stale hit."""
    version = bench.version(kind="x")
    first = bench.predictor.predict(version, ["yes 1"], lambda *_: None)
    again = bench.predictor.predict(version, ["yes 1"], lambda *_: None)
    assert first.predictions == again.predictions
    assert len(bench.loaded) == 2


def test_the_image_is_named_or_its_absence_explained(bench: Bench) -> None:
    document = bench.evaluate().document
    assert document["image_digest"] == "none"
    assert "GREENLIGHT_IMAGE_DIGEST" in document["image_digest_reason"]
    named = bench.evaluate(bench.case(environment={"image_digest": "sha256:i"})).document
    assert named["image_digest"] == "sha256:i"
    assert "image_digest_reason" not in named


@pytest.mark.parametrize(("gap", "warns"), [(0.03, False), (0.0301, True)])
def test_an_overfit_model_is_flagged_and_not_blocked(bench: Bench, gap: float, warns: bool) -> None:
    """T7, E6: more than three points between train and validation."""
    training = {"train_accuracy": 0.9 + gap, "validation_accuracy": 0.9}
    document = bench.evaluate(bench.case(training=training)).document
    assert [warning["metric"] for warning in document["warnings"]] == ["train_val_gap"] * warns
    results = gates.check(document, {"accuracy": GateRule(min=0.5)})
    assert gates.passed(results)
    assert gates.warned(results) is warns
    assert gates.exit_code(results, fail_on_warn=True) == (3 if warns else 0)


def test_labels_that_leak_are_flagged(bench: Bench) -> None:
    """T7"""
    leaking = {"shuffled_labels": {**SANITY["shuffled_labels"], "at_chance": False}}
    (warning,) = bench.evaluate(bench.case(sanity=leaking)).document["warnings"]
    assert warning["metric"] == "sanity_accuracy"
    assert "leak" in warning["reason"]


def test_a_gap_that_nobody_measured_passes_no_gate(bench: Bench) -> None:
    """E6, T7: without training accuracies there is no number for the gate to pass."""
    case = bench.case(training={"train_accuracy": TRAINING["train_accuracy"]})
    document = bench.evaluate(case).document
    assert "value" not in document["intent"]["train_val_gap"]
    (result,) = gates.check(document, {"train_val_gap": GateRule(warn=0.03)})
    assert result.outcome == "fail"


@pytest.mark.parametrize("what", ["bundle", "dataset"])
def test_a_changed_file_is_refused_before_anything_runs(bench: Bench, what: str) -> None:
    """R3: even where the answers are remembered."""
    case = bench.case()
    if what == "bundle":
        bench.predictor.predict(case.version, [row.text for row in SOURCE.test], lambda *_: None)
        path = Path(bench.bundles.path(case.version.bundle), "rule")
    else:
        path = Path(bench.processed.path(bench.dataset.digest), "test.jsonl")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    loaded = len(bench.loaded)
    with pytest.raises(Tampered):
        bench.evaluate(case)
    assert len(bench.loaded) == loaded
    assert not bench.records.scan(Evaluation)


def test_what_does_not_belong_together_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFound, match="curate it first"):
        bench.evaluate(bench.case(dataset="sha256:" + "0" * 64))
    with pytest.raises(BadInput, match="version belongs to task 'intent', not 'other'"):
        bench.evaluate(task="other")
    foreign = msgspec.structs.replace(bench.version(), task="x")
    with pytest.raises(BadInput, match="dataset belongs to task"):
        bench.evaluate(bench.case(foreign), task="x")


def test_a_load_test_becomes_a_part_beside_the_others(bench: Bench, tmp_path: Path) -> None:
    """E2: of the same subject, in a file, with the machine that it was measured from."""
    case = bench.case()
    (intent, *_) = bench.measure(case)
    file = written(tmp_path / "slo.json")
    made = add_load(case.version, file, folder=bench.folder)
    kept = evaluation.decode((bench.folder / "parts" / "load.json").read_bytes(), "load")
    assert kept == made
    assert made.subject == intent.subject
    assert made.environment == SUMMARY.provenance
    assert (made.wall_clock_s, made.rows_per_s) == (660.0, None)
    assert made.result["version"] == {"verified": True}
    assert add_load(case.version, file, folder=bench.folder) == made
    written(file, p95_ms=13.0)
    later = add_load(case.version, file, folder=bench.folder)
    assert (later.result["p95_ms"], later.inputs == made.inputs) == (13.0, False)


def test_a_level_that_was_missed_is_a_part_too(bench: Bench, tmp_path: Path) -> None:
    """S4: what came out is what is on record."""
    case = bench.case()
    bench.measure(case)
    file = written(tmp_path / "slo.json", p95_ms=200.0, p99_ms=300.0, met=False)
    made = add_load(case.version, file, folder=bench.folder)
    assert (made.result["met"], made.result["p95_ms"]) == (False, 200.0)


def test_a_load_test_that_does_not_belong_leaves_no_part(bench: Bench, tmp_path: Path) -> None:
    version = bench.version()
    file = written(tmp_path / "slo.json")
    with pytest.raises(BadInput, match="no part intent, ner or chat yet; measure it: "):
        add_load(version, file, folder=bench.folder)
    bench.measure(bench.case(version))
    with pytest.raises(BadInput, match=r"away\.json: cannot be read"):
        add_load(version, tmp_path / "away.json", folder=bench.folder)
    with pytest.raises(BadInput, match=r"slo\.json: task: 'other' was put under load"):
        add_load(version, written(file, task="other"), folder=bench.folder)
    with pytest.raises(BadInput, match=r"slo\.json: versions: intent@9 gave 1,000 of 1,197"):
        add_load(version, written(file, versions={"intent@9": 1000}), folder=bench.folder)
    with pytest.raises(Refused, match="not of intent@2; measure it: greenlight eval run intent@2"):
        add_load(bench.version("intent@2", wrong="1"), written(file), folder=bench.folder)
    (bench.folder / "eval.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Refused, match=r"eval\.json: sealed already.*eval run intent@1 -o DIR"):
        add_load(version, written(file), folder=bench.folder)
    assert not (bench.folder / "parts" / "load.json").exists()
