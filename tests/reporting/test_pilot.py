"""The pilot report (E7): inputs to next steps, of real stores, and no number that they lack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core.gates import GateResult
from greenlight.core.markdown import render
from greenlight.core.records import Dataset, Evaluation, Rollout, Run, StageResult, Version
from greenlight.core.states import RunStatus, Variant
from greenlight.reporting.history import histories
from greenlight.reporting.pilot.content import sections, title
from greenlight.reporting.pilot.facts import Facts, gather
from greenlight.reporting.pilot.page import write
from greenlight.reporting.pilot.verdict import CANNOT_SAY, decision
from tests.reporting.conftest import HOSTILE, TASK, Story, whole
from tests.reporting.test_html import Reader

GATES = [GateResult(metric="accuracy", outcome="pass", reason="0.9 clears every bar")]
FAILED = [GateResult(metric="accuracy", outcome="fail", reason="0.2 is below 0.5")]
WARNED = [*GATES, GateResult(metric="ece", outcome="warn", reason="0.2 is above 0.1")]
MANIFEST = {
    "source": "feedback on task intent",
    "licence": "our own",
    "counts": {"train": 900, "validation": 100, "test": 30},
    "exclusions": {"unjudged": 412, "relabel": 7, "empty": 0},
    "pii": {"scrubbed": {"email": 3}, "rows": 2, "unresolved": 0},
    "labels": ["card", "mail"],
    "parent": "sha256:raw",
}
HEADINGS = (
    "Decision on a broader rollout",
    "Inputs",
    "Configuration",
    "Outputs",
    "Baseline against candidate, offline",
    "Baseline against candidate, in traffic",
    "Lessons",
    "Next steps",
)


def ran(
    story: Story, label: str, gates: list[GateResult], *, manifest: Mapping[str, Any] = MANIFEST
) -> Run:
    """Put on record what the run of a version did, as the pipeline would have."""
    run = story.store.get(Run, f"{TASK}#{label}")
    found = [v for v in story.store.scan(Version) if v.label == label]
    (version,) = found
    (evaluation,) = story.store.scan(Evaluation, {"version": version.digest})
    dataset = Dataset(
        digest=f"sha256:of {label}", task=TASK, name="feedback", manifest=dict(manifest), at=1
    )
    assert run is not None

    def stage(name: str, output: dict[str, str], report: dict[str, Any]) -> StageResult:
        return StageResult(
            run=run.id,
            name=name,
            task=TASK,
            inputs="sha256:i",
            output=output,
            report=report,
            started_at=run.at,
            at=run.at + 1,
        )

    story.store.commit(
        append=[
            dataset,
            stage("curate", {"dataset": dataset.digest}, {}),
            stage("train", {"bundle": version.bundle}, {"validation_accuracy": 0.87654}),
            stage("register", {"version": version.digest}, {}),
            stage("evaluate", {"evaluation": evaluation.digest}, {}),
            stage("gate", {}, {"results": msgspec.to_builtins(gates)}),
        ]
    )
    return run


@pytest.fixture(scope="module")
def story() -> Story:
    """intent@2 was promoted, intent@3 rolled back."""
    told = whole()
    ran(told, "intent@1", GATES)
    ran(told, "intent@2", WARNED)
    ran(told, "intent@3", GATES)
    return told


def facts(story: Story, label: str, **known: Any) -> Facts:
    given = {"approved": True, "standing": "approved by ada", "next_command": None, **known}
    run = story.store.get(Run, f"{TASK}#{label}")
    assert run is not None
    return gather(story.store, run, **given)[0]


def text_of(found: Facts) -> str:
    return render(title(found), sections(found))


def test_a_promoted_version_goes_further(story: Story) -> None:
    found = facts(story, "intent@2")
    made = decision(found)
    assert made.answer == "yes" and made.why.startswith("it was promoted to all traffic: ")
    text = text_of(found)
    at = [text.index(f"## {heading}\n") for heading in HEADINGS]
    assert at == sorted(at)
    assert "- Rows: train 900, validation 100, test 30" in text
    assert "| training: validation accuracy | 0.87654 |" in text
    assert "| accuracy, test | 0.9393 |" in text
    assert "412 rows were left out for 'unjudged', beside 1,030 that were kept" in text
    assert "gate ece warned: 0.2 is above 0.1" in text
    assert "label the 7 answers that wait for a person: greenlight relabel list intent" in text
    assert "let users judge intent@2" in text
    assert "'empty'" not in text, "nothing was left out for it"


def test_a_version_that_was_rolled_back_does_not(story: Story) -> None:
    found = facts(story, "intent@3")
    made = decision(found)
    assert made.answer == "no" and made.why.startswith("it was rolled back: ")
    text = text_of(found)
    assert "rolled back (early\\_harm)" in text or "rolled back (early_harm)" in text
    assert f"greenlight incidents show {found.trials[0].rollout.id}" in text


def test_numbers_of_traffic_are_those_of_the_store(story: Story) -> None:
    """E7: what is told of an arm is what its inferences and the journal say."""
    promoted, _ = histories(story.store, TASK)
    (trial,) = facts(story, "intent@2").trials
    for arm, variant in zip(trial.arms, (Variant.CANDIDATE, Variant.CONTROL), strict=True):
        own = [one for one in promoted.arms if one.variant is variant]
        assert arm.requests == sum(one.requests for one in own) > 0
        assert arm.good == promoted.tally(variant).rate
        assert arm.cost is None, "nobody counted a token"
    assert trial.summary.status == "promoted"
    assert trial.incident is None


def test_the_first_of_its_task_had_nothing_to_beat(story: Story) -> None:
    made = decision(facts(story, "intent@1"))
    assert made.answer == "yes" and "nothing to compare" in made.why


@pytest.mark.parametrize(
    ("changes", "answer", "why"),
    [
        ({"gates": FAILED}, "no", "did not pass its gates (accuracy)"),
        ({"gates": []}, CANNOT_SAY, "no gate has judged intent@3"),
        ({"approved": False, "standing": "lacks 1 × ml_lead"}, CANNOT_SAY, "lacks 1 × ml_lead"),
        ({}, CANNOT_SAY, "no rollout of it is on record"),
        ({"version": None}, CANNOT_SAY, "the run is finished and has made no version"),
    ],
)
def test_nobody_decides_without_records(
    story: Story, changes: dict[str, Any], answer: str, why: str
) -> None:
    """E7: where nothing is there the report says so."""
    found = msgspec.structs.replace(facts(story, "intent@3"), trials=[], **changes)
    made = decision(found)
    assert made.answer == answer and why in made.why


def test_a_run_that_failed_is_told(story: Story) -> None:
    run = story.store.get(Run, f"{TASK}#intent@3")
    assert run is not None
    failed = msgspec.structs.replace(run, status=RunStatus.FAILED, error="the key has expired")
    bare = gather(
        story.store,
        msgspec.structs.replace(failed, id="intent#9"),
        approved=False,
        standing="",
        next_command=None,
    )[0]
    assert decision(bare).answer == "no"
    text = text_of(bare)
    assert text.count("the key has expired") == 2
    assert "The run has prepared no data set." in text and "The run made no version." in text
    assert "No rollout of this version is on record." in text
    told = text[text.index("## Baseline against candidate, offline") :]
    assert not re.search(r"\d\.\d", told), "no number without a record"


def test_the_next_command_goes_first(story: Story) -> None:
    found = facts(story, "intent@3", next_command="greenlight rollout start intent intent@3")
    assert "- 1: run: greenlight rollout start intent intent@3" in text_of(found)


def test_it_is_written_beside_a_model_card(story: Story, tmp_path: Path) -> None:
    """What a card has drawn stays; what an older report had does not."""
    (tmp_path / "figures").mkdir()
    for name in ("live.svg", "pilot-old.svg"):
        (tmp_path / "figures" / name).write_text("<svg/>", encoding="utf-8")
    run = story.store.get(Run, f"{TASK}#intent@2")
    assert run is not None
    found, told = gather(story.store, run, approved=True, standing="", next_command=None)
    paths = write(tmp_path, found, told)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "live.svg",
        "pilot-evidence.svg",
        "pilot-rates.svg",
        "pilot-split.svg",
    ]
    text = paths["markdown"].read_text(encoding="utf-8")
    for link in re.findall(r"\]\((.+?)\)", text):
        assert (tmp_path / link).is_file()
    page = Reader(paths["page"].read_text(encoding="utf-8"))
    assert page.named("script") == [] and len(page.named("figure")) == 3
    assert "Broader rollout: yes." in page.text
    assert write(tmp_path, found, told, page=False).keys() == {"markdown"}


def test_words_of_others_stay_words(story: Story, tmp_path: Path) -> None:
    """Labels, reasons and errors are text, whatever is in them."""
    run = story.store.get(Run, f"{TASK}#intent@2")
    assert run is not None
    found, told = gather(
        story.store,
        msgspec.structs.replace(run, error=HOSTILE[1]),
        approved=False,
        standing=HOSTILE[0],
        next_command=HOSTILE[0],
    )
    manifest = {**MANIFEST, "source": HOSTILE[0], "exclusions": {HOSTILE[0]: 3}}
    (trial,) = found.trials
    hostile = msgspec.structs.replace(
        found,
        datasets=[msgspec.structs.replace(found.datasets[0], manifest=manifest, name=HOSTILE[1])],
        trials=[
            msgspec.structs.replace(
                trial,
                holds={"srm": (2, HOSTILE[0])},
                arms=[msgspec.structs.replace(arm, label=HOSTILE[2]) for arm in trial.arms],
            )
        ],
    )
    drawn = [msgspec.structs.replace(one, candidate=HOSTILE[1]) for one in told]
    paths = write(tmp_path, hostile, drawn)
    assert Reader(paths["page"].read_text(encoding="utf-8")).named("script") == []
    assert "\n<script>" not in paths["markdown"].read_text(encoding="utf-8")


class With:
    """A store with more rollouts of a candidate."""

    def __init__(self, store: Any, more: list[Rollout]) -> None:
        self._store, self._more = store, more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def scan(self, kind: Any, where: Any = None, **more: Any) -> list[Any]:
        found = self._store.scan(kind, where, **more)
        asked = kind is Rollout and "candidate" in (where or {}) and more.get("after") is None
        return [*found, *self._more] if asked else found


def test_a_drill_and_an_a_a_test_say_nothing_of_a_version(story: Story) -> None:
    """O6: what was rehearsed, or compared nothing, is no evidence for or against it."""
    found = facts(story, "intent@3")
    rollout = found.trials[0].rollout
    held = msgspec.structs.replace(rollout, id="~drill", drill="errors", at=rollout.at + 1)
    same = msgspec.structs.replace(rollout, id="~aa", aa=True, at=rollout.at + 2)
    store: Any = With(story.store, [held, same])
    again = gather(store, found.run, approved=True, standing="", next_command=None)[0]
    assert [trial.rollout.id for trial in again.trials] == [rollout.id]
