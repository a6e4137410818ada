"""Sealing (E2): parts that agree become one document, once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core.errors import BadInput, Refused, Tampered
from greenlight.core.records import Evaluation, LedgerEntry, Version
from greenlight.stages.evaluate import add_load
from greenlight.stages.seal import seal, sealed
from tests.load.making import written
from tests.stages.judging import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def version(bench: Bench) -> Version:
    """A version whose parts are measured."""
    made = bench.version()
    bench.measure(bench.case(made))
    return made


def sealing(bench: Bench, version: Version, now: int = 9) -> Evaluation:
    return seal(bench.records, version, folder=bench.folder, now=now)


def change(bench: Bench, file: str, **changes: Any) -> None:
    """Rewrite a part by hand."""
    path = bench.folder / "parts" / f"{file}.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        told["subject" if name in told["subject"] else name] = (
            {**told["subject"], name: value} if name in told["subject"] else value
        )
    path.write_text(json.dumps(told), encoding="utf-8")


def test_parts_become_one_document_on_record(bench: Bench, version: Version) -> None:
    found = sealing(bench, version)
    path = bench.folder / "eval.json"
    assert msgspec.json.decode(path.read_bytes()) == found.document == sealed(path)
    assert path.stat().st_mode & 0o222 == 0
    assert bench.records.get(Evaluation, found.digest) == found
    entry = bench.records.scan(LedgerEntry)[-1]
    assert (entry.kind, entry.body["evaluation"]) == ("evaluation", found.digest)
    assert sorted(file.name for file in bench.folder.iterdir()) == ["eval.json", "parts"]


def test_it_says_what_the_stage_says(bench: Bench, version: Version) -> None:
    """E2: the product's evaluation and the sealed one are of one making."""
    assert (
        sealing(bench, version).document["results_digest"]
        == bench.evaluate(bench.case(version)).document["results_digest"]
    )


def test_what_is_sealed_stays(bench: Bench, version: Version, tmp_path: Path) -> None:
    """The same results again change nothing, even if measuring them took another time."""
    first = sealing(bench, version)
    entries = len(bench.records.scan(LedgerEntry))
    before = (bench.folder / "eval.json").read_bytes()
    change(bench, "intent", wall_clock_s=99.0)
    assert sealing(bench, version, now=10) == first
    assert (bench.folder / "eval.json").read_bytes() == before
    assert len(bench.records.scan(LedgerEntry)) == entries
    bench.measure(bench.case(version, training={}))
    with pytest.raises(Refused, match="other results are sealed there already"):
        sealing(bench, version)


def test_a_power_cut_leaves_no_empty_seal(
    bench: Bench, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody writes again is on the disk before it is there under its name."""
    seen: list[bool] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (seen.append((bench.folder / "eval.json").exists()), fsync(file))
    )
    sealing(bench, version)
    assert seen[:1] == [False]


def test_a_kill_before_the_record_is_mended(bench: Bench, version: Version) -> None:
    """The file is there and the record is not: sealing again puts it there."""
    first = sealing(bench, version)
    other = Bench(bench.root / "other")
    other.folder = bench.folder
    assert sealing(other, version).digest == first.digest
    assert other.records.get(Evaluation, first.digest) is not None


@pytest.mark.parametrize(
    ("part", "changes", "problem"),
    [
        ("live", {"protocol": {"module": "m", "digest": "sha256:p"}}, "another protocol than part"),
        ("live", {"bundle": "sha256:b"}, "another bundle than part intent"),
        ("sanity", {"dataset": {"digest": "sha256:d"}}, "another dataset than part intent"),
        ("sanity", {"code": "sha256:x"}, "part sanity was made with another code"),
        ("live", {"version": "sha256:v"}, "another version"),
        ("live", {"part": "sanity"}, "holds part 'sanity'"),
        ("live", {"colour": "green"}, r"live\.json: no readable part"),
    ],
)
def test_parts_that_do_not_agree_are_refused(
    bench: Bench, version: Version, part: str, changes: dict[str, Any], problem: str
) -> None:
    change(bench, part, **changes)
    with pytest.raises(BadInput, match=problem):
        sealing(bench, version)
    assert not (bench.folder / "eval.json").exists()
    assert not bench.records.scan(Evaluation)


def test_without_the_protocols_part_there_is_nothing_to_seal(
    bench: Bench, version: Version
) -> None:
    for name in ("live", "sanity"):
        (bench.folder / "parts" / f"{name}.json").unlink()
    document = sealing(bench, version).document
    assert "not measured" in document["live"]["reason"]
    assert "value" not in str(document["sanity"])
    (bench.folder / "parts" / "intent.json").unlink()
    with pytest.raises(BadInput, match="no part intent"):
        sealing(bench, version)


def test_a_strange_part_is_no_part(bench: Bench, version: Version) -> None:
    (bench.folder / "parts" / "horoscope.json").write_text("{}")
    with pytest.raises(BadInput, match=r"horoscope\.json: no such part"):
        sealing(bench, version)


def test_a_load_test_may_add_its_part(bench: Bench, version: Version, tmp_path: Path) -> None:
    """E2: `load.p95_ms` stands in the document, and not in what names the results."""
    bare = sealing(bench, version)
    (bench.folder / "eval.json").unlink()
    add_load(version, written(tmp_path / "slo.json"), folder=bench.folder)
    loaded = sealing(bench, version).document
    assert (loaded["load"]["p95_ms"], loaded["load"]["error_rate"]) == (12.5, 0.0025)
    assert loaded["load"] == sealed(bench.folder / "eval.json")["load"]
    assert loaded["results_digest"] == bare.document["results_digest"]


def test_a_load_test_after_the_seal_is_not_lost_in_silence(
    bench: Bench, version: Version, tmp_path: Path
) -> None:
    """Its numbers are no part of what names the results; the sealed document lacks them."""
    sealing(bench, version)
    (bench.folder / "eval.json").rename(tmp_path / "eval.json")
    add_load(version, written(tmp_path / "slo.json"), folder=bench.folder)
    (tmp_path / "eval.json").rename(bench.folder / "eval.json")
    with pytest.raises(Refused, match="other results are sealed there already"):
        sealing(bench, version)


def test_a_load_test_of_other_code_is_refused(
    bench: Bench, version: Version, tmp_path: Path
) -> None:
    """E2: parts that were measured anew leave the load test behind."""
    add_load(version, written(tmp_path / "slo.json"), folder=bench.folder)
    bench.measure(bench.case(version, environment={"code": "sha256:new"}))
    with pytest.raises(BadInput, match="part load was made with another code than part intent"):
        sealing(bench, version)
    add_load(version, written(tmp_path / "slo.json"), folder=bench.folder)
    assert sealing(bench, version).document["load"]["met"] is True


def test_parts_of_another_version_are_refused(bench: Bench, version: Version) -> None:
    with pytest.raises(Refused, match="not of intent@2"):
        sealing(bench, bench.version("intent@2", wrong="1"))


@pytest.mark.parametrize("harm", ["value", "machine", "cut"])
def test_a_changed_document_is_noticed(bench: Bench, version: Version, harm: str) -> None:
    sealing(bench, version)
    path = bench.folder / "eval.json"
    text = path.read_bytes()
    path.chmod(0o644)
    harmed = {
        "value": text.replace(b'"correct": 200', b'"correct": 199'),
        "machine": text.replace(b'"python": "3.11"', b'"python": "3.12"'),
        "cut": text[:500],
    }[harm]
    assert harmed != text
    path.write_bytes(harmed)
    with pytest.raises(Tampered, match=r"eval\.json"):
        sealing(bench, version)
