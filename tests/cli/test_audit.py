"""`greenlight audit`: every attack on the record, made with an SQL prompt and a text editor."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.adapters.stores.sql import SqlStore
from greenlight.core import ledger
from greenlight.core.ledger import SignedHead
from greenlight.core.records import LedgerEntry
from greenlight.wiring.ledger import new_ledger_key
from tests.cli.project import Project

Words = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """intent@1 is approved by two people and live. Its bundle is a word, so there is no folder."""
    project = Project(tmp_path_factory.mktemp("untouched"))
    with project.opened() as (_, office):
        office.evaluated()
    for name in ("ana", "ben"):
        project.ok("approve", "intent@1", "-m", "looked at it", by=name)
    project.ok("rollout", "start", "intent", "intent@1", by="eve")
    return project


@pytest.fixture
def live(untouched: Project, tmp_path: Path) -> Project:
    """A copy of it, to be attacked."""
    project = copy.copy(untouched)
    project.folder = tmp_path / "live"
    shutil.copytree(untouched.folder, project.folder)
    project.file = project.folder / untouched.file.name
    return project


def state(project: Project) -> Path:
    return project.folder / ".greenlight"


def entries(project: Project) -> list[LedgerEntry]:
    store = SqlStore(f"sqlite:///{state(project)}/greenlight.db")
    try:
        return store.scan(LedgerEntry)
    finally:
        store.close()


def attack(project: Project, *statements: str) -> None:
    """Change the store behind Greenlight's back."""
    database = sqlite3.connect(state(project) / "greenlight.db")
    with database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert database.execute(statement).rowcount, f"nothing changed by {statement}"
    database.close()


def rewrite(project: Project, change: Callable[[Words], Words]) -> None:
    """Write the whole ledger anew, with a chain that fits."""
    words = change([(entry.kind, entry.body) for entry in entries(project)])
    attack(project, "DELETE FROM ledger")
    store = SqlStore(f"sqlite:///{state(project)}/greenlight.db")
    store.commit(append=ledger.chain(None, words, at=1))
    store.close()


def found(project: Project, *options: str) -> str:
    """What `audit verify` says where it finds something."""
    result = project.call("audit", "verify", "--no-files", *options)
    assert result.exit_code == 1, result.output
    assert not json.loads(project.call("audit", "verify", "--json", *options).stdout)["ok"]
    return result.stdout


def intact(project: Project, *options: str) -> str:
    text = project.ok("audit", "verify", "--no-files", *options)
    assert text.rstrip().endswith(": intact")
    return text


def keep(project: Project, place: Path) -> Path:
    """The installation's heads as they are now, kept elsewhere."""
    return shutil.copy(state(project) / "heads.jsonl", place)


class TestIntact:
    def test_everything_agrees(self, live: Project) -> None:
        """G5: verifiable from the shell, against every head that was published."""
        text = intact(live)
        report = live.json("audit", "verify", "--no-files")
        published = (state(live) / "heads.jsonl").read_text().splitlines()
        assert report["ok"] and report["heads"] == len(published) >= 4
        assert report["agreed"] == report["entries"]
        assert "lie beside the store" in text

    def test_without_heads_it_says_what_it_cannot_find(self, live: Project) -> None:
        """G5"""
        (state(live) / "heads.jsonl").unlink()
        assert "a tail that was cut off, or a ledger written anew, cannot be found" in intact(live)

    def test_what_no_head_vouches_for_is_said(self, live: Project) -> None:
        heads = state(live) / "heads.jsonl"
        first = heads.read_text().splitlines()[0]
        heads.write_text(first + "\n")
        seq = json.loads(first)["seq"]
        assert f"no head vouches for what comes after entry {seq}" in intact(live)

    def test_epochs_and_their_salts(self, live: Project) -> None:
        """G5: what is live is on the ledger; a salt is only by its digest."""
        body = next(entry.body for entry in entries(live) if entry.kind == "epoch")
        assert body["number"] == 1 and "salt" not in body and "salt_digest" in body


class TestAttacks:
    @pytest.mark.parametrize(
        ("statement", "says"),
        [
            ("UPDATE ledger SET at = at + 1 WHERE seq = 2", "entry 2 (run_status) was changed"),
            ("DELETE FROM ledger WHERE seq = 2", "entries are missing"),
            ("UPDATE approvals SET why = 'paid to'", "was changed: it is not as the ledger has"),
            ("DELETE FROM approvals", "was taken out of the store"),
            ("UPDATE epochs SET weight = 1.0", "epoch intent/1 was changed"),
            ("DELETE FROM epochs", "epoch intent/1 is on the ledger and was taken out"),
            ("UPDATE versions SET status = 'retired'", "its status is retired, by the ledger live"),
            ("UPDATE runs SET initiator = 'nobody'", "run intent#1 was changed"),
        ],
    )
    def test_something_changed_or_taken_out(self, live: Project, statement: str, says: str) -> None:
        """G5: a changed or removed entry, a changed or removed record."""
        attack(live, statement)
        assert says in found(live)

    def test_a_record_put_in(self, live: Project) -> None:
        """G5"""
        attack(
            live,
            "INSERT INTO approvals SELECT 'forged', version, evaluation, role, 'eve', decision, "
            "why, at, signature FROM approvals LIMIT 1",
        )
        assert "approval forged is not on the ledger: it was put in from outside" in found(live)

    def test_an_entry_put_in_and_chained_anew(self, live: Project) -> None:
        """G5: the chain fits; the heads do not."""
        rewrite(live, lambda words: [*words[:3], ("note", {"eve": "was here"}), *words[3:]])
        text = found(live)
        assert "the ledger was rewritten" in text
        assert "was changed: its digest does not fit" not in text

    def test_a_tail_cut_off(self, live: Project) -> None:
        """G5"""
        count = len(entries(live))
        attack(live, f"DELETE FROM ledger WHERE seq > {count - 3}", "DELETE FROM epochs")
        attack(live, "UPDATE versions SET status = 'approved'")
        assert f"the head of entry {count} was signed: its tail was cut off" in found(live)

    def test_a_full_rewrite_that_the_records_agree_with(
        self, live: Project, tmp_path: Path
    ) -> None:
        """G5: whoever holds the store and the key makes it intact here, but not elsewhere."""
        kept = keep(live, tmp_path / "kept.jsonl")

        def paid(words: Words) -> Words:
            return [
                (kind, body | {"why": "paid to"}) if kind == "approval" else (kind, body)
                for kind, body in words
            ]

        rewrite(live, paid)
        attack(live, "UPDATE approvals SET why = 'paid to'")
        (state(live) / "heads.jsonl").unlink()
        live.ok("audit", "head", "-o", str(state(live) / "heads.jsonl"))
        intact(live)
        assert "the ledger was rewritten" in found(live, "--head", str(kept))

    def test_what_was_cut_gets_no_new_signature(self, live: Project) -> None:
        """G5: a published head is only followed by one that continues it."""
        attack(live, f"DELETE FROM ledger WHERE seq = {len(entries(live))}")
        assert "it was cut or rewritten" in live.refused(1, "audit", "head")

    def test_another_installations_heads(self, live: Project, tmp_path: Path) -> None:
        """G5"""
        (tmp_path / "other").mkdir()
        other = Project(tmp_path / "other")
        with other.opened() as (_, office):
            office.evaluated()
        kept = keep(other, tmp_path / "kept.jsonl")
        assert "signed by ed25519:" in found(live, "--head", str(kept))
        key = (state(other) / "ledger.pub").read_text().strip()
        assert "the ledger was rewritten" in found(live, "--head", str(kept), "--key", key)

    def test_a_forged_signature(self, live: Project, tmp_path: Path) -> None:
        """G5"""
        head = live.json("audit", "head")
        forged = tmp_path / "forged.json"
        forged.write_text(json.dumps(head | {"at": head["at"] + 1}))
        assert "the signature does not verify" in found(live, "--head", str(forged))

    def test_a_torn_last_line(self, live: Project) -> None:
        """G5: whoever was killed while writing it forged nothing."""
        heads = state(live) / "heads.jsonl"
        whole = heads.read_bytes()
        heads.write_bytes(whole[:-40])
        assert "is no signed head" in intact(live)
        assert "cut short" in intact(live)
        live.ok("reject", "intent@1", "-m", "second thoughts", by="ana")
        report = live.json("audit", "verify", "--no-files")
        assert len(report["warnings"]) == 1 and report["agreed"] == report["entries"]


class TestHeads:
    def test_a_head_is_kept_and_checked_by_a_key_that_was_kept(
        self, live: Project, tmp_path: Path
    ) -> None:
        """G5: head and key from elsewhere; neither the store's folder nor its files are asked."""
        key = (state(live) / "ledger.pub").read_text().strip()
        live.ok("audit", "head", "-o", str(tmp_path / "head.json"))
        for name in ("heads.jsonl", "ledger.key", "ledger.pub"):
            (state(live) / name).unlink()
        options = ("--head", str(tmp_path / "head.json"), "--key", key)
        assert f"signed by {key} (the key given)" in intact(live, *options)
        assert "give the installation's public key" in live.refused(
            2, "audit", "verify", "--head", str(tmp_path / "head.json")
        )

    def test_as_printed(self, live: Project, tmp_path: Path) -> None:
        """What `--json` prints is a head that can be kept."""
        kept = tmp_path / "head.json"
        kept.write_text(live.ok("audit", "head", "--json"))
        assert "heads: 1 signed" in intact(live, "--head", str(kept))
        assert f"seq        {len(entries(live))}\n" in live.ok("audit", "head")

    def test_a_file_without_heads_is_refused(self, live: Project, tmp_path: Path) -> None:
        nothing = tmp_path / "nothing.jsonl"
        nothing.write_text("{}\n")
        assert "holds no signed head" in live.refused(2, "audit", "verify", "--head", str(nothing))

    def test_a_place_that_cannot_be_written(self, live: Project, tmp_path: Path) -> None:
        place = str(tmp_path / "gone" / "head.json")
        assert "cannot be written" in live.refused(2, "audit", "head", "-o", place)


class TestExport:
    @pytest.fixture
    def export(self, live: Project, tmp_path: Path) -> Path:
        place = tmp_path / "ledger.jsonl"
        live.ok("audit", "export", "-o", str(place))
        return place

    def test_it_is_verified_without_the_store(self, live: Project, export: Path) -> None:
        """G5: offline; nothing but the file and a key."""
        key = (state(live) / "ledger.pub").read_text().strip()
        kept = keep(live, export.with_name("kept.jsonl"))
        shutil.rmtree(state(live))
        live.file.unlink()
        text = intact(live, "--ledger", str(export), "--head", str(kept), "--key", key)
        assert "the key given" in text
        assert "the key that the export itself names" in intact(live, "--ledger", str(export))

    def test_it_goes_to_standard_output_too(self, live: Project, export: Path) -> None:
        printed = live.ok("audit", "export").splitlines()
        assert printed[:-1] == export.read_text().splitlines()[:-1]
        head = msgspec.json.decode(printed[-1], type=SignedHead)
        assert head.seq == len(printed) - 1 == live.json("audit", "verify", "--no-files")["entries"]

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda lines: [*lines[:2], *lines[3:]], "entries are missing"),
            (lambda lines: [line.replace("looked at it", "paid to") for line in lines], "changed"),
            (lambda lines: [*lines[:-4], lines[-1]], "its tail was cut off"),
        ],
        ids=["removed", "changed", "cut"],
    )
    def test_what_was_done_to_it_is_found(
        self, live: Project, export: Path, change: Callable[[list[str]], list[str]], says: str
    ) -> None:
        """G5"""
        export.write_text("\n".join(change(export.read_text().splitlines())) + "\n")
        assert says in found(live, "--ledger", str(export))

    def test_one_that_was_cut_short(self, live: Project, export: Path) -> None:
        whole = export.read_text()
        export.write_text(whole[: whole.rindex("{")])
        message = live.refused(1, "audit", "verify", "--ledger", str(export))
        assert "ends without a signed head" in message
        export.write_text(whole[: whole.rindex("{") - 9])
        message = live.refused(1, "audit", "verify", "--ledger", str(export))
        assert "is no ledger entry" in message

    def test_one_that_was_signed_with_another_key(self, live: Project, export: Path) -> None:
        """G5: with a key of one's own, any export can be made; the kept key tells."""
        secret, _ = new_ledger_key(lambda count: b"e" * count)
        (state(live) / "ledger.key").write_text(secret)
        (state(live) / "heads.jsonl").unlink()
        key = (state(live) / "ledger.pub").read_text().strip()
        live.ok("audit", "export", "-o", str(export))
        assert f"which is not {key}" in found(live, "--ledger", str(export), "--key", key)
