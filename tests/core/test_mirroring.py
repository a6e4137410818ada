"""R2, T8: what MLflow is to hold, computed from records alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from greenlight.core import fingerprint, mirroring
from greenlight.core.mirroring import APPROVED, OWN, SignOff, aliases_of, measures, run_of, touched
from greenlight.core.records import (
    Dataset,
    Epoch,
    Evaluation,
    LedgerEntry,
    Run,
    StageResult,
    Version,
)
from greenlight.core.states import RunStatus, VersionStatus

AT = 1_800_000_000_000_000


def version(**changes: Any) -> Version:
    made = Version(
        digest="sha256:v",
        task="intent",
        label="intent@1",
        bundle="sha256:b",
        runtime={"kind": "in_process"},
        lineage={"run": "intent#1", "dataset": "sha256:d", "backend": "tfidf-linear", "seed": 1},
        initiator="eve",
        status=VersionStatus.APPROVED,
        at=AT,
    )
    return msgspec.structs.replace(made, **changes)


def run(status: RunStatus = RunStatus.FINISHED, **changes: Any) -> Run:
    made = Run(
        id="intent#1",
        task="intent",
        number=1,
        trigger="schedule",
        initiator="schedule",
        plan={
            "backend": "tfidf-linear",
            "options": {"C": 0.5, "deep": {"a": [1]}, "key": "env:K", "none": None},
            "seed": 7,
        },
        environment={"code": "sha256:c", "code_commit": "ac439f3"},
        status=status,
        at=AT,
        ended_at=AT + 5_000_000,
    )
    return msgspec.structs.replace(made, **changes)


def stage(name: str, output: dict[str, str], report: dict[str, Any] | None = None) -> StageResult:
    return StageResult(
        run="intent#1",
        name=name,
        task="intent",
        inputs="sha256:i",
        output=output,
        report=report or {},
        started_at=AT,
        at=AT + 1_000_000,
    )


EVALUATION = Evaluation(
    digest="sha256:e",
    version="sha256:v",
    document={
        "schema": 1,
        "dataset": {"digest": "sha256:d"},
        "environment": {"cores": 2},
        "intent": {
            "test": {
                "accuracy": {"value": 0.94, "low": 0.93, "high": 0.95, "n": 3080},
                "confusion": [[1, 0], [0, 1]],
                "per_label": [{"label": "card", "f1": 0.5}],
                "reliability": [{"mean": 0.5, "share": 0.4}],
            },
            "slices": {"families": [{"least": 50}]},
        },
        "live": {"none": True, "reason": "no version is live"},
        "rows_per_s": 134.8,
    },
    at=AT,
)
STAGES = (
    stage("collect", {"dataset": "sha256:raw"}),
    stage("curate", {"dataset": "sha256:d"}),
    stage(
        "train",
        {"bundle": "sha256:b"},
        {
            "seconds": 2.5,
            "epochs": [{"loss": 1.5, "validation_accuracy": 0.8}, {"loss": 1.0}],
            "device": "cpu",
        },
    ),
    stage("register", {"version": "sha256:v"}),
)
DATASETS = (
    Dataset(digest="sha256:raw", task="intent", name="sample", manifest={"counts": 1}, at=AT),
    Dataset(digest="sha256:d", task="intent", name="s", manifest={"parent": "sha256:raw"}, at=AT),
)


class TestRun:
    """T8: parameters, metrics with intervals, curves, documents."""

    def test_instructions_are_named_and_not_shown(self) -> None:
        """A plan holds the words of the file; as in a bundle they may be a secret of the house."""
        plan = {"backend": "openai", "options": {"model": "m", "prompt": "Our secret: {input}"}}
        params = run_of(run(plan=plan), STAGES, datasets=DATASETS, evaluation=None).params
        assert params["options.model"] == "m"
        assert params["options.prompt"] == fingerprint.digest_bytes(b"Our secret: {input}")

    def test_what_it_was_made_of(self) -> None:
        found = run_of(run(), STAGES, datasets=DATASETS, evaluation=EVALUATION)
        assert found.params == {
            "backend": "tfidf-linear",
            "seed": "7",
            "dataset": "sha256:d",
            "code": "sha256:c",
            "code_commit": "ac439f3",
            "options.C": "0.5",
            "options.deep": '{"a":[1]}',
            "options.key": "env:K",
        }
        assert found.tags == {
            "greenlight.run": "intent#1",
            "greenlight.task": "intent",
            "greenlight.trigger": "schedule",
            "greenlight.status": "finished",
            "greenlight.evaluation": "sha256:e",
            "greenlight.version": "sha256:v",
            "greenlight.bundle": "sha256:b",
        }
        assert (found.status, found.ended) == ("FINISHED", AT + 5_000_000)

    def test_metrics_have_intervals_and_curves_have_steps(self) -> None:
        found = run_of(run(), STAGES, datasets=DATASETS, evaluation=EVALUATION)
        points = {(one.name, one.step): one.value for one in found.metrics}
        assert points == {
            ("intent.test.accuracy", 0): 0.94,
            ("intent.test.accuracy.low", 0): 0.93,
            ("intent.test.accuracy.high", 0): 0.95,
            ("intent.test.accuracy.n", 0): 3080.0,
            ("rows_per_s", 0): 134.8,
            ("train.seconds", 0): 2.5,
            ("train.epochs.loss", 1): 1.5,
            ("train.epochs.loss", 2): 1.0,
            ("train.epochs.validation_accuracy", 1): 0.8,
        }

    def test_documents(self) -> None:
        found = run_of(run(), STAGES, datasets=DATASETS, evaluation=EVALUATION)
        assert set(found.documents) == {
            "dataset_raw.json",
            "dataset_prepared.json",
            "training.json",
            "eval.json",
        }
        assert found.documents["dataset_prepared.json"]["digest"] == "sha256:d"
        assert found.documents["eval.json"] == EVALUATION.document

    def test_one_that_failed_early_has_what_it_got_to(self) -> None:
        failed = run(RunStatus.FAILED, error="no row " + "x" * 1000)
        found = run_of(failed, STAGES[:1], datasets=(), evaluation=None)
        assert (found.status, found.metrics, found.documents) == ("FAILED", (), {})
        assert found.tags["greenlight.error"].endswith("…")
        assert len(found.tags["greenlight.error"]) == mirroring.LONGEST_VALUE
        aborted = run_of(run(RunStatus.ABORTED), (), datasets=(), evaluation=None)
        assert aborted.status == "KILLED"

    def test_what_mlflow_takes_in_no_name_or_value(self) -> None:
        strange = {"a@b(c)": 1.0, "x" * 300: 2.0, "nan": float("nan"), "yes": True, "text": "no"}
        found = {one.name: one.value for one in measures(strange, at=AT)}
        assert found == {"a_b_c_": 1.0, "x" * mirroring.LONGEST: 2.0}

    def test_a_step_of_its_own_counts(self) -> None:
        told = {"curve": [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 0.5}], "plain": [3, 4]}
        found = [(one.name, one.step, one.value) for one in measures(told, at=AT, prefix="train")]
        assert found == [
            ("train.curve.loss", 10, 1.0),
            ("train.curve.loss", 20, 0.5),
            ("train.plain", 1, 3.0),
            ("train.plain", 2, 4.0),
        ]


class TestVersion:
    """R2: tags on the exact digest, `approved: true` only while the quorum stands."""

    def test_tags(self) -> None:
        sign_off = SignOff(approved=True, evaluation="sha256:e", until="2027-01-15T08:00:00Z")
        found = mirroring.version_of(version(), run(), EVALUATION, sign_off)
        assert found.approved and found.run == mirroring.named(run())
        assert found.tags == {
            APPROVED: "true",
            f"{OWN}digest": "sha256:v",
            f"{OWN}label": "intent@1",
            f"{OWN}status": "approved",
            f"{OWN}bundle": "sha256:b",
            f"{OWN}runtime": "in_process",
            f"{OWN}run": "intent#1",
            f"{OWN}dataset": "sha256:d",
            f"{OWN}backend": "tfidf-linear",
            f"{OWN}evaluation": "sha256:e",
            f"{OWN}approved_until": "2027-01-15T08:00:00Z",
            f"{OWN}metric.accuracy": "0.9400 (0.9300 to 0.9500)",
        }

    @pytest.mark.parametrize("status", VersionStatus)
    @pytest.mark.parametrize("stands", [False, True])
    def test_only_where_it_can_go_to_users_and_its_quorum_stands(
        self, status: VersionStatus, stands: bool
    ) -> None:
        found = mirroring.version_of(
            version(status=status), None, None, SignOff(approved=stands, until="2027")
        )
        there = status in ("approved", "canary", "live")
        assert found.tags[APPROVED] == ("true" if stands and there else "false")
        assert (f"{OWN}approved_until" in found.tags) == (stands and there)

    def test_a_drill_has_no_place(self) -> None:
        assert mirroring.is_mirrored(version())
        drill = {"kind": "drill", "of": {"kind": "in_process"}, "fault": "slow", "intensity": 1.0}
        assert not mirroring.is_mirrored(version(runtime=drill))


class TestAliases:
    """R2: champion is what is live, challenger the rollout's candidate."""

    EPOCH = Epoch(
        task="intent",
        number=2,
        rollout="r",
        control="sha256:c",
        candidate="sha256:v",
        weight=0.0,
        salt="",
        decision="d",
        at=AT,
        follows=1,
    )

    def test_both_also_in_the_shadow(self) -> None:
        found = aliases_of(self.EPOCH, version())
        assert found == {"champion": "sha256:c", "challenger": "sha256:v"}

    def test_without_a_rollout_and_before_anything_is_live(self) -> None:
        alone = msgspec.structs.replace(self.EPOCH, candidate=None, rollout=None)
        assert aliases_of(alone, None) == {"champion": "sha256:c", "challenger": None}
        assert aliases_of(None, None) == {"champion": None, "challenger": None}

    def test_a_drill_is_no_challenger(self) -> None:
        drill = {"kind": "drill", "of": {"kind": "in_process"}, "fault": "slow", "intensity": 1.0}
        assert aliases_of(self.EPOCH, version(runtime=drill))["challenger"] is None


def test_what_the_ledger_is_about() -> None:
    """Decisions and exposures say nothing of their own: a move has an entry of its own."""

    def entry(kind: str, **body: Any) -> LedgerEntry:
        return LedgerEntry(seq=1, prev="", digest="", kind=kind, body=body, at=AT)

    found = touched(
        [
            entry("version", digest="sha256:1", task="intent"),
            entry("gates", version="sha256:2"),
            entry("approval", version="sha256:3"),
            entry("status", version="sha256:4"),
            entry("evaluation", version="sha256:5"),
            entry("live", version="sha256:6"),
            entry("run_status", run="intent#1", ended_at=AT),
            entry("run_status", run="intent#2", ended_at=None),
            entry("run", id="intent#3"),
            entry("epoch", task="intent", number=2),
            entry("stage", run="intent#3"),
            entry("decision", rollout="r", version="sha256:7"),
            entry("configuration", digest="sha256:8"),
        ]
    )
    assert found.versions == {f"sha256:{n}" for n in range(1, 7)}
    assert found.runs == {"intent#1"} and found.tasks == {"intent"}
