"""D6, D8: a file of one's own is checked whole before it is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Tampered
from greenlight.sources import importing
from greenlight.sources.importing import bring_in
from greenlight.sources.rows import Columns

TAGGED = "text,label\nmail jo@example.com,O O\nin Rome,O B-place\nNew York,B-place I-place\n"


def silent(share: float, words: str) -> None:
    return None


def imported(path: Path, digest: str | None = None) -> importing.Imported:
    return bring_in(path, path.parent / "kept", Columns(), silent, digest=digest)


def test_a_file_in_order_is_copied_under_the_name_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nmail jo@example.com or al@example.com,x\nb,x\nc,y\n")
    found = imported(path)
    digest = fingerprint.digest_bytes(path.read_bytes())
    kept = tmp_path / "kept" / f"{digest[7:19]}.csv"
    assert found.path == str(kept)
    assert kept.read_bytes() == path.read_bytes()
    assert (found.rows, found.labels) == (3, {"x": 2, "y": 1})
    assert found.personal_data == {"email": 2} and found.problems == []
    assert imported(path, digest).path == found.path
    assert [one.name for one in (tmp_path / "kept").iterdir()] == [kept.name]
    assert kept.stat().st_mode & 0o077 == 0, "it may hold personal data"
    with pytest.raises(Tampered, match=r"a\.csv: SHA-256 is .*, expected sha256:00"):
        imported(path, "sha256:" + "0" * 64)


def test_every_row_is_checked_and_the_first_problems_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = ["a,x", "b", "c,x,y", "caf\xe9,x", '"a" b,x', "d,jo@example.com", *["e"] * 30, "f,x"]
    path.write_bytes(("text,label\n" + "\n".join(rows) + "\n").encode("latin-1"))
    found = imported(path)
    assert found.path is None and list((tmp_path / "kept").iterdir()) == []
    assert (found.rows, found.problem_count, len(found.problems)) == (3, 35, 20)
    assert [problem.split(":")[1] for problem in found.problems[:5]] == [
        " row 2 (line 3)",
        " row 3 (line 4)",
        " row 4 (line 5)",
        " row 5 (line 6)",
        " row 6 (line 7)",
    ]
    assert "the label holds personal data" in found.problems[4]
    assert "jo@example.com" not in str(found.problems)


def test_rows_that_no_run_learns_from_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\n,x\n jo@example.com,\nb, \nc,y\n")
    found = imported(path)
    assert (found.rows, found.blank, found.labels) == (5, 3, {"x": 1, "y": 1})
    assert found.personal_data == {"email": 1} and found.path is not None


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_problems_of_other_kinds_of_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.jsonl":
        path.write_text('{"text":"a","label":"x"}\n{"text":"b"}\n[]\n{"text":"c","label":"y"}\n')
    else:
        import pyarrow
        import pyarrow.parquet

        table = {"text": ["a", None, "b", "c"], "label": ["x", "x", None, "y"]}
        pyarrow.parquet.write_table(pyarrow.table(table), path)
    found = imported(path)
    assert (found.rows, found.problem_count) == (2, 2)
    assert [" row 2" in found.problems[0], " row 3" in found.problems[1]] == [True, True]


def test_what_is_no_such_file_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("txt,label\na,x\n")
    with pytest.raises(BadInput, match="did you mean 'txt'"):
        imported(path)
    with pytest.raises(BadInput, match="no kind of file"):
        imported(tmp_path / "a.xls")
    path.write_text("text,label\n" + "".join(f"a,{n}\n" for n in range(30)))
    monkeypatch.setattr(importing, "MAX_LABELS", 20)
    with pytest.raises(BadInput, match=r"more than 20 labels in 'label'; name the column"):
        imported(path)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_file_that_changes_while_it_is_copied_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\n")
    copy = importing.shutil.copyfile

    def slow(source: Path, target: Path) -> None:
        copy(source, target)
        os.utime(source, ns=(1, 1))

    monkeypatch.setattr(importing.shutil, "copyfile", slow)
    with pytest.raises(Tampered, match="changed while it was read"):
        imported(path)
    assert list((tmp_path / "kept").iterdir()) == []


def test_tags_are_held_against_their_words(tmp_path: Path) -> None:
    """D6, D8: entities are counted by type; a row that is not tagged is a problem."""
    path = tmp_path / "a.csv"
    path.write_text(TAGGED)
    found = bring_in(path, tmp_path / "kept", Columns(), silent, kind="tag")
    assert found.path is not None
    assert (found.rows, found.labels) == (3, {"place": 2})
    assert found.personal_data == {"email": 1}
    path.write_text(TAGGED + "two words,O\na,person\nb,B-jo@example.com\n")
    found = bring_in(path, tmp_path / "kept", Columns(), silent, kind="tag")
    assert found.path is None
    assert [problem.split(": ", 2)[2] for problem in found.problems] == [
        "1 tags for 2 words; give every word a tag",
        "tag 'person': not O, B-TYPE or I-TYPE",
        "the tags hold personal data; correct them",
    ]


def test_a_file_of_words_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("in\tO\nRome\tB-place\n\t\n#ok\tO\n")
    found = bring_in(path, tmp_path / "kept", Columns(), silent, kind="tag")
    assert found.path is not None and found.path.endswith(".conll")
    assert (found.rows, found.labels) == (2, {"place": 1})
    path.write_text("in\tO\nRome B-place\n\nx\ty z\n")
    found = bring_in(path, tmp_path / "kept", Columns(), silent, kind="tag")
    assert found.problems == [
        "a.conll: row 1 (line 2): no word, tab and tag; write both, with a tab between them",
        "a.conll: row 2 (line 4): more than one tag; keep the one that is learnt",
    ]
