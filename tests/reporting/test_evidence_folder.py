"""The evidence folder of a rollback: it stands by itself, and every number in it is true (O3, P4).

A simulated world gives the rollout; what the folder says is counted anew here, from the events.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core import aftermath, ledger
from greenlight.core.budget import thresholds
from greenlight.core.evidence import begin, fold
from greenlight.core.incidents import Incident
from greenlight.core.policy import DecisionPolicy
from greenlight.core.records import (
    MILLISECOND,
    SECOND,
    Decision,
    Epoch,
    Feedback,
    Inference,
    JournalEntry,
    LedgerEntry,
)
from greenlight.core.states import Action, Status, Variant
from greenlight.core.stats.sequential import bernoulli_interval
from greenlight.lookup import everything, splits
from greenlight.reporting.history import TIGHTEST
from greenlight.reporting.incident import folder, story
from greenlight.reporting.incident.dossier import Dossier
from tests.reporting.rolled_back import SECRET, Told, rolled_back, told
from tests.reporting.test_html import Reader
from tests.scenarios.worlds import TASK, Quick


@pytest.fixture
def rollback() -> Told:
    """Told once; tests only read it."""
    return rolled_back()


@functools.cache
def written_once(root: Path) -> Path:
    """Its folder."""
    root.mkdir()
    folder.write(root, rolled_back().found, [("page.html", "the page of the rollout")])
    return root


@pytest.fixture
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_once(tmp_path_factory.getbasetemp() / "evidence-folder")


def of(case: Quick, kind: type[Any], **where: Any) -> list[Any]:
    return list(everything(case.store, kind, where))


# Every number


def test_counts_of_the_arms_are_those_of_the_events(rollback: Told) -> None:
    case, said = rollback
    inferences = of(case, Inference, rollout=case.rollout.id)
    last = {word.inference_id: word.value for word in sorted(of(case, Feedback), key=by_time)}
    for arm in said.dossier.arms:
        own = [i for i in inferences if i.variant == arm.variant]
        assert own and arm.requests == len(own)
        assert arm.served == sum(i.served_version == i.version for i in own)
        assert arm.failed == sum(i.status in (Status.ERROR, Status.TIMEOUT) for i in own)
        assert arm.good == sum(last.get(i.id) == 1.0 for i in own)
        assert arm.bad == sum(last.get(i.id) == 0.0 for i in own)
        assert arm.latency_ms == pytest.approx(sum(i.latency_ms for i in own) / len(own))
    assert {arm.variant for arm in said.dossier.arms} == set(Variant)


def by_time(word: Feedback) -> tuple[int, str]:
    return word.at, word.id


def test_outcomes_are_the_first_judged_answer_of_each_unit(rollback: Told) -> None:
    """Brute force over the events, by the rule of EVIDENCE."""
    case, said = rollback
    window = msgspec.convert(case.rollout.policy, DecisionPolicy).rollout.feedback_window
    inferences = sorted(of(case, Inference, rollout=case.rollout.id), key=lambda i: (i.at, i.id))
    words = sorted(of(case, Feedback), key=by_time)
    exposures: dict[tuple[str, int], Inference] = {}
    for inference in inferences:
        exposures.setdefault((inference.unit, inference.epoch), inference)
    counts = {variant: [0, 0] for variant in Variant}
    for place, first in exposures.items():
        own = {i.id for i in inferences if (i.unit, i.epoch) == place}
        heard = [w for w in words if w.inference_id in own and first.at <= w.at < first.at + window]
        if heard:
            value = [w for w in heard if w.inference_id == heard[0].inference_id][-1].value
            counts[first.variant][0] += 1
            counts[first.variant][1] += int(value)
    for arm in said.dossier.arms:
        outcomes, good = counts[arm.variant]
        assert (arm.outcomes, arm.good_outcomes) == (outcomes, good) and outcomes
        low, high = bernoulli_interval(good, outcomes, TIGHTEST, 0.05)
        rate = arm.good_rate
        assert rate is not None and (rate.value, rate.n) == (good / outcomes, outcomes)
        assert (rate.low, rate.high) == (low, high)


def test_who_met_it_and_how_long_it_took(rollback: Told) -> None:
    case, said = rollback
    own = of(case, Inference, rollout=case.rollout.id, variant="candidate")
    affected = said.dossier.affected
    assert affected.units == len({i.unit for i in own}) > 10
    assert affected.requests == len(own)
    assert affected.answered == sum(i.status == Status.OK for i in own)
    assert affected.failed == sum(i.status == Status.ERROR for i in own) > 0
    [candidate] = [arm for arm in said.dossier.arms if arm.variant == Variant.CANDIDATE]
    assert (affected.good, affected.bad) == (candidate.good, candidate.bad)
    first = min(i.at for i in own)
    detection = said.dossier.detection
    assert detection is not None and detection.first_exposure == first
    assert detection.decided_at == case.now().ended_at == case.newest().at
    assert detection.seconds == (case.newest().at - first) / SECOND


def test_the_decision_has_its_evidence(rollback: Told) -> None:
    """E of every test from the journal, against the thresholds of the frozen policy."""
    case, said = rollback
    policy = msgspec.convert(case.rollout.policy, DecisionPolicy)
    decision, ruling = case.newest(), said.dossier.decision
    assert ruling is not None and (ruling.id, ruling.code) == (decision.id, decision.code)
    seen = [e for e in of(case, JournalEntry, rollout=case.rollout.id) if e.at <= decision.at]
    evidence = fold(begin(policy), seen, policy, splits(case.store, case.rollout))
    limits = thresholds(policy)
    assert {test.test for test in ruling.tests} == limits.keys() & evidence.log_e.keys()
    for test in ruling.tests:
        assert test.log_e == pytest.approx(evidence.log_e[test.test], abs=1e-9)
        assert test.log_threshold == limits[test.test]
        assert test.reached == (test.log_e >= test.log_threshold)
        assert test.decided == (test.test == decision.code)
    [deciding] = [test for test in ruling.tests if test.decided]
    assert deciding.reached and deciding.reached_at == decision.at
    assert ruling.by == "evidence" and ruling.recomputed
    assert ruling.cannot_compute.keys() == decision.evidence["cannot_compute"].keys()


def test_splits_timeline_and_gateways_are_those_on_record(rollback: Told) -> None:
    case, said = rollback
    dossier = said.dossier
    epochs = of(case, Epoch, task=TASK, rollout=case.rollout.id)
    assert [(s.epoch, s.since, s.weight) for s in dossier.splits] == [
        (epoch.number, epoch.at, epoch.weight) for epoch in epochs
    ]
    assert dossier.splits[-1].until == case.now().ended_at
    decisions = case.decisions()
    kinds = [event.kind for event in dossier.timeline]
    assert [event.at for event in dossier.timeline] == sorted(e.at for e in dossier.timeline)
    assert sum(kinds.count(action.value) for action in Action) == len(decisions)
    assert all(e.after_s == (e.at - case.rollout.at) / SECOND for e in dossier.timeline)
    for kind in ("first_user", "threshold", "gateway", *aftermath.STEPS, "closed"):
        assert kinds.count(kind) == 1, kind
    assert kinds.index("threshold") < kinds.index("rollback") < kinds.index("gateway")
    ended = case.routing()
    spread = dossier.propagation
    assert spread is not None and spread.epoch == ended.number
    [gateway] = spread.gateways
    assert gateway.ms == (gateway.applied_at - case.newest().at) / MILLISECOND == spread.worst_ms


def test_what_was_seen_of_control_since(rollback: Told) -> None:
    case, said = rollback
    ended = case.now().ended_at
    assert ended is not None
    later = [
        i
        for i in of(case, Inference, task=TASK)
        if i.at >= ended and i.version == case.rollout.control
    ]
    since = said.dossier.control_since
    assert since is not None and since.requests == len(later) > 0
    assert since.failed == sum(i.status != Status.OK for i in later) == 0
    assert since.p95_ms == 5.0 and (since.since, since.until) == (ended, case.clock.now())


def test_the_rest_is_that_of_the_records(rollback: Told) -> None:
    case, said = rollback
    subject, rollout = said.dossier.rollout, case.now()
    assert (subject.id, subject.task, subject.status) == (rollout.id, TASK, rollout.status)
    assert subject.seconds == (rollout.ended_at or 0) / SECOND - rollout.at / SECOND
    assert subject.policy_digest == rollout.policy_digest
    candidate, control = (story.version(said.dossier, v) for v in ("candidate", "control"))
    assert (candidate.digest, control.digest) == (rollout.candidate, rollout.control)
    assert (candidate.status, control.status) == ("rolled_back", "live")
    incident = case.store.get(Incident, rollout.id)
    assert incident is not None and said.dossier.steps == incident.steps


# The ledger


def test_the_extract_checks_out_by_itself(rollback: Told, written: Path) -> None:
    """Whole entries recompute to their digests, and with the links they are one chain."""
    case, said = rollback
    data = (written / "ledger.jsonl").read_bytes()
    lines = [msgspec.json.decode(line) for line in data.splitlines()]
    before = None
    whole = []
    for line in lines:
        after = LedgerEntry(
            kind="", body={}, at=0, **{k: line[k] for k in ("seq", "prev", "digest")}
        )
        if before is not None:
            assert (line["seq"], line["prev"]) == (before.seq + 1, before.digest)
        if "body" in line:
            entry = msgspec.convert(line, LedgerEntry)
            known = before or msgspec.structs.replace(after, seq=entry.seq - 1, digest=entry.prev)
            assert ledger.problems([entry], after=known) == []
            assert entry == case.store.get(LedgerEntry, entry.seq)
            whole.append(entry)
        before = after
    kinds = [entry.kind for entry in whole]
    assert kinds[0] == "rollout" and kinds[-1] == "incident"
    assert kinds.count("decision") == len(case.decisions()) and "rollout_status" in kinds
    assert kinds.count("epoch") == len(said.dossier.splits) + 1
    assert len(lines) - len(whole) == said.dossier.ledger.links == 1, "the configuration is a link"
    known = said.dossier.ledger
    assert (known.entries, known.first, known.last) == (
        len(whole),
        lines[0]["seq"],
        lines[-1]["seq"],
    )
    newest = of(case, LedgerEntry)[-1]
    assert (known.head, known.head_digest) == (newest.seq, newest.digest)


# The files


def test_the_folder_has_what_it_should(rollback: Told, written: Path) -> None:
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    figures = {f"figures/{n}.png" for n in ("timeline", "evidence", "split", "rates")}
    assert names == figures | {
        "decisions.jsonl",
        "evidence.json",
        "index.html",
        "ledger.jsonl",
        "timeline.txt",
    }
    for name in figures:
        data = (written / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 5000
    data = (written / "evidence.json").read_bytes()
    assert msgspec.json.decode(data, type=Dossier) == rollback.dossier
    lines = (written / "decisions.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(x, type=Decision) for x in lines] == rollback.case.decisions()
    text = (written / "timeline.txt").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1 + len(rollback.dossier.timeline)


def test_the_page_makes_the_case_by_itself(rollback: Told, written: Path) -> None:
    """Nothing is fetched, nothing runs, and somebody who was not there can follow it."""
    found = Reader((written / "index.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        for name in ("href", "xlink:href"):
            place = attributes.get(name) or "#"
            assert place.startswith("#") or re.fullmatch(r"[\w./-]+", place), place
    assert "@import" not in found.source and not re.search(r"url\((?!#)", found.source)
    drawn = [a for a in found.named("svg") if a.get("role") == "img"]
    assert len(drawn) == 4 and all(a.get("aria-label") for a in drawn)
    dossier, text = rollback.dossier, found.text
    assert len(dossier.story) == 3 and all(line in text for line in dossier.story)
    assert "intent@2 was rolled back" in story.headline(dossier) in text
    assert f"{dossier.affected.units:,}" in text and rollback.case.newest().reason in text
    assert "intent@1 got 9 of 10 rows right" in text
    for line in (*dossier.verify, *dossier.unknown):
        assert line in text
    for test in dossier.decision.tests if dossier.decision else ():
        assert test.test in text
    assert "Do not rely on" not in text


def test_no_text_and_no_unit_is_in_any_file(rollback: Told, written: Path) -> None:
    """D11: ids and counts, so that a purge has nothing to look for here."""
    case, _ = rollback
    units = {i.unit for i in of(case, Inference, task=TASK)}
    reviewers = {w.reviewer for w in of(case, Feedback)}
    assert any(SECRET in unit for unit in units) and len(units) > 100
    for path in sorted(written.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes().decode("latin-1")
        assert SECRET not in data, path
        assert not re.search(r"\b(user|reviewer|unit)-\w", data), path
        assert case.rollout.salt not in data, f"{path}: whoever knows the salt chooses their arm"
    assert reviewers


def test_equal_worlds_give_equal_folders(rollback: Told, written: Path, tmp_path: Path) -> None:
    """It can be made again at any time."""
    again = told(rollback.case)
    folder.write(tmp_path, again.found, [("page.html", "the page of the rollout")])
    for path in sorted(written.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(written)).read_bytes(), path
