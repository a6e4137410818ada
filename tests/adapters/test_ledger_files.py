"""Files of signed heads and handed-over ledgers: shared, and whole or known to be torn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from greenlight.adapters import ledger_files
from greenlight.core import fingerprint, ledger
from greenlight.core.errors import Tampered
from greenlight.core.ledger import SignedHead

HEAD = SignedHead(seq=1, digest="sha256:" + "0" * 64, at=1, key="ed25519:k", signature="s")
WRITER = """
import sys
from pathlib import Path
import msgspec
from tests.adapters.test_ledger_files import HEAD
from greenlight.adapters import ledger_files
for seq in range(100):
    head = msgspec.structs.replace(HEAD, seq=seq, key=sys.argv[2])
    ledger_files.append_head(Path(sys.argv[1]), head)
"""


def numbered(seq: int) -> SignedHead:
    return msgspec.structs.replace(HEAD, seq=seq)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heads.jsonl"


def test_heads_come_back_in_their_order(path: Path) -> None:
    assert ledger_files.last_head(path) is None
    for seq in range(500):
        ledger_files.append_head(path, numbered(seq))
    assert list(ledger_files.read_heads(path)) == [numbered(seq) for seq in range(500)]
    assert ledger_files.last_head(path) == numbered(499)


def test_several_processes_add_whole_lines(path: Path) -> None:
    """G5: each head is one write to the end of the file."""
    names = ("one", "two", "three")
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in names]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    found = list(ledger_files.read_heads(path))
    assert all(isinstance(head, SignedHead) for head in found)
    for name in names:
        own = [head.seq for head in found if isinstance(head, SignedHead) and head.key == name]
        assert own == list(range(100))


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_torn_line_spoils_no_other(path: Path, left: int) -> None:
    """G5: a process killed while it wrote."""
    for seq in range(3):
        ledger_files.append_head(path, numbered(seq))
    line = fingerprint.canonical(HEAD)
    with path.open("ab") as file:
        file.write(line[:left])
    found = list(ledger_files.read_heads(path))
    assert found[:3] == [numbered(0), numbered(1), numbered(2)]
    assert isinstance(found[3], str) and "line 4 is no signed head" in found[3]
    assert found[3].endswith("; it was cut short")
    assert ledger_files.last_head(path) == numbered(2)
    ledger_files.append_head(path, numbered(3))
    after = list(ledger_files.read_heads(path))
    assert after[4] == numbered(3) == ledger_files.last_head(path)
    assert isinstance(after[3], str) and not after[3].endswith("; it was cut short")


def test_a_whole_last_line_may_lack_its_end(path: Path) -> None:
    path.write_bytes(fingerprint.canonical(HEAD))
    ledger_files.append_head(path, numbered(2))
    assert list(ledger_files.read_heads(path)) == [HEAD, numbered(2)]


def test_a_folder_that_is_missing_is_not_made(tmp_path: Path) -> None:
    """It may be another machine's, and not mounted."""
    with pytest.raises(FileNotFoundError):
        ledger_files.append_head(tmp_path / "mnt" / "heads.jsonl", HEAD)
    assert not (tmp_path / "mnt").exists()


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError):
        ledger_files.append_head(Path("/dev/full"), HEAD)


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\n" + fingerprint.canonical(HEAD) + b"\n")
    found = list(ledger_files.read_heads(path))
    assert isinstance(found[0], str) and found[1] == HEAD


def test_an_export_is_entries_and_their_head(path: Path) -> None:
    made = ledger.chain(None, [("note", {"signature": "in a body"}), ("note", {})], at=1)
    lines = [fingerprint.canonical(it) + b"\n" for it in (*made, HEAD)]
    path.write_bytes(b"".join(lines))
    assert list(ledger_files.read_export(path)) == [*made, HEAD]
    for wrong, says in (
        (lines[:2], "ends without a signed head"),
        ([*lines, lines[0]], "line 4 follows the signed head"),
        ([lines[0], b"{}\n", lines[2]], "line 2 is no ledger entry"),
        ([lines[0], lines[1][:-9]], "line 2 is no ledger entry"),
        ([b"\xff\n"], "line 1 is no ledger entry"),
    ):
        path.write_bytes(b"".join(wrong))
        with pytest.raises(Tampered, match=says):
            list(ledger_files.read_export(path))
