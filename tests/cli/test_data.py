"""`import`, `export`, `relabel`, and runs that collect from what they name."""

from __future__ import annotations

import http.server
import json
import sqlite3
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenlight import config, wiring
from greenlight.core import fingerprint, ids
from greenlight.core.messages import Message
from greenlight.core.records import MILLISECOND, MINUTE, Inference, Run, Version
from greenlight.core.states import RunStatus
from greenlight.models import chat, prompt
from greenlight.models.chat import ChatModel
from greenlight.models.conversation import Conversations
from greenlight.models.prompt import Prompt
from greenlight.wiring.data import load_source
from tests.cli.project import Project
from tests.contracts.making import feedback, inference, version

ROWS = b"question,intent\nwhere is my card?,card\nwrite to jo@example.com,mail\n"


SERVED = version("sha256:v1")
"""What gave the answers: a model that reads the text alone."""


def silent(share: float, words: str) -> None:
    return None


def dataset(project: Project, table: str) -> None:
    """Put another data set into greenlight.toml."""
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace('source = "sample"', table), encoding="utf-8")


@contextmanager
def installed(project: Project) -> Iterator[wiring.App]:
    with wiring.open_app(config.load(project.file, {})) as app:
        yield app


def answers(project: Project, *judged: tuple[str, str, dict[str, Any]]) -> list[Inference]:
    """Store answers (text, label) with what was said of them, the last minute."""
    with installed(project) as app:
        if app.store.get(Version, SERVED.digest) is None:
            app.store.commit(append=[SERVED])
        made, now = [], app.clock.now() - MINUTE
        for n, (text, label, word) in enumerate(judged):
            at = now + n * MILLISECOND
            one = inference(ids.fresh(at, app.random), input=text, output=label, at=at)
            said = [feedback(one.id, one.id, **{"at": at + 1} | word)] if word else []
            app.store.ingest([one], said)
            made.append(one)
    return made


def run_of(app: wiring.App) -> Run:
    """A run that began just now."""
    return Run(
        id="intent#1",
        task="intent",
        number=1,
        trigger="manual",
        initiator="ana",
        plan={},
        environment={},
        status=RunStatus.RUNNING,
        at=app.clock.now(),
    )


def collected(project: Project) -> list[tuple[str, str, str]]:
    """(split, text, label) of what a run would collect now."""
    with installed(project) as app:
        plan = wiring.pipeline.plan_of(app.settings.task("intent"))
        source = load_source(app, run_of(app), plan.dataset, silent)
        return [
            (split, row.text, row.label)
            for split, rows in source.chunks(lambda: 100)
            for row in rows
        ]


# import


def test_an_imported_file_is_what_a_run_collects(project: Project) -> None:
    """What is printed for greenlight.toml is valid and leads to the copy."""
    path = project.folder / "my rows.csv"
    path.write_bytes(ROWS)
    words = ("import", str(path), "--task", "intent", "--text", "question", "--label", "intent")
    told = project.ok(*words)
    assert "2: card 1, mail 1" in told and "email 1 (scrubbed when" in told
    table = told[told.index("[tasks.intent.dataset]") :]
    assert tomllib.loads(table)["tasks"]["intent"]["dataset"]["source"] == "file"
    dataset(project, table.split("\n", 1)[1])
    path.unlink()
    assert "left out" not in told
    assert collected(project) == [
        ("rows", "where is my card?", "card"),
        ("rows", "write to jo@example.com", "mail"),
    ]


def test_a_file_with_problems_is_not_imported(project: Project) -> None:
    path = project.folder / "a.csv"
    path.write_text("text,label\na,x\nb\n")
    result = project.call("import", str(path), "--task", "intent")
    assert result.exit_code == 1 and "a.csv: row 2 (line 3): 1 fields" in result.stdout
    assert "1 rows are not in order" in result.stderr
    found = project.call("import", str(path), "--task", "intent", "--json")
    assert json.loads(found.stdout)["path"] is None
    assert "did you mean 'text'" in project.refused(
        2, "import", str(path), "--task", "intent", "--text", "txt"
    )
    assert "no such file" in project.refused(1, "import", "absent.csv", "--task", "intent")
    assert "there are: intent" in project.refused(2, "import", str(path), "--task", "intend")
    assert "64 hex digits" in project.refused(
        2, "import", str(path), "--task", "intent", "--sha256", "abc"
    )


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[str]:
    """A server with files."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.send_header("content-length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_file_at_an_address_is_fetched(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    digest = fingerprint.digest_bytes(ROWS)[7:]
    columns = ("--task", "intent", "--text", "question", "--label", "intent")
    with serving({"/rows.csv": ROWS}) as base:
        found = project.json("import", f"{base}/rows.csv", *columns, "--sha256", digest)
        assert found["path"] == f"data/imported/{digest[:12]}.csv"
        assert (project.folder / found["path"]).read_bytes() == ROWS
        assert project.json("import", f"{base}/rows.csv", *columns)["digest"] == f"sha256:{digest}"
        wrong = project.refused(1, "import", f"{base}/rows.csv", *columns, "--sha256", "0" * 64)
        assert "expected sha256:0000" in wrong
        assert "check the address" in project.refused(1, "import", f"{base}/no.csv", *columns)
    kept = project.folder / "data" / "imported"
    assert [one.name for one in kept.iterdir()] == [f"{digest[:12]}.csv"]


# feedback: relabel, collect, export


def test_from_the_queue_into_the_next_data_set_and_out(project: Project) -> None:
    """D1, D3, D11: what feedback cannot label is labelled by a person and learnt from."""
    dataset(project, 'source = "feedback"\nlabels = ["card", "mail"]\nmin_rows = 1')
    good, bad, odd = answers(
        project,
        ("call +44 20 7946 0958", "card", {"value": 1.0}),
        ("what is\nthis, please?", "card", {"value": 0.0}),
        ("no word", "mail", {}),
    )
    more = [(f"text {n}", "card", {"value": 1.0}) for n in range(8)]
    [waiting] = project.json("relabel", "list", "intent")
    assert (waiting["inference"], waiting["reason"]) == (bad.id, "relabel")
    assert "what is this, please?" in project.ok("relabel", "list", "intent", "--limit", "1")
    assert "did you mean 'mail'" in project.refused(2, "relabel", "label", bad.id, "male")
    assert "no such answer" in project.refused(2, "relabel", "label", "nothing", "mail")
    told = project.ok("relabel", "label", bad.id, "mail", "-m", "read it", by="ana")
    assert told == f"mail on {bad.id} by ana\n"
    assert project.json("relabel", "list", "intent") == []
    assert collected(project) == [
        ("rows", bad.input, "mail"),
        ("rows", good.input, "card"),
    ]
    refused = project.refused(2, "export", "intent", "--format", "openai-chat")
    assert "export: 2 rows, and a provider trains on 10 or more" in refused
    answers(project, *more)
    made = project.json("export", "intent", "--format", "openai-chat")
    assert made["exclusions"] == {"no_feedback": 1} and made["labelled"]["relabelled"] == 1
    assert made["written"]["personal_data"] == {"phone": 1}
    path = project.folder / "data" / "exported" / "intent-openai-chat.jsonl"
    lines = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    assert lines[-1] == [
        {"role": "user", "content": "call [PHONE]"},
        {"role": "assistant", "content": "card"},
    ]
    out = project.folder / "rows.csv"
    told = project.ok("export", "intent", "--format", "csv", "--window", "1h", "-o", str(out))
    assert told.startswith(str(out)) and "without no_feedback" in told
    assert "about " in told
    assert project.json("import", str(out), "--task", "intent")["labels"] == {"card": 9, "mail": 1}
    assert odd.id not in told


def test_an_export_keeps_the_bounds_of_its_task(project: Project) -> None:
    """D2: at least so many rows, at most so many."""
    answers(project, *((f"text {n}", "card", {"value": 1.0}) for n in range(4)))
    refused = project.refused(1, "export", "intent", "--format", "csv")
    assert "feedback-intent: 4 rows, min_rows asks for 100" in refused
    made = project.json("export", "intent", "--format", "csv", "--min-rows", "1", "--max-rows", "3")
    assert made["written"]["rows"] == 3 and made["exclusions"] == {"over_max_rows": 1}
    assert "a duration with its unit" in project.refused(
        2, "export", "intent", "--format", "csv", "--window", "7"
    )


def test_feedback_goes_along_with_a_base(project: Project) -> None:
    """The base's test rows stay the benchmark; a base file has none."""
    answers(project, ("ours", "card", {"value": 1.0}))
    dataset(project, 'source = "feedback"\nbase = "sample"\nmin_rows = 1')
    found = collected(project)
    assert [split for split, *_ in found].count("test") == 500
    assert found[-1] == ("train", "ours", "card")
    project.file.write_text(
        project.file.read_text().replace('base = "sample"', 'base = "a.jsonl"\ntext = "q"')
    )
    (project.folder / "a.jsonl").write_text('{"q": "theirs", "label": "mail"}\n')
    assert collected(project) == [("rows", "theirs", "mail"), ("rows", "ours", "card")]


def test_what_served_an_answer_is_what_is_learnt(project: Project) -> None:
    """D4: by the bundle of the version that answered, not of the one that is live; who cannot say
    what was asked teaches nothing."""
    dataset(project, 'source = "feedback"\nmin_rows = 1')
    with installed(project) as app, tempfile.TemporaryDirectory() as folder:
        asked = Prompt("{labels}\n{input}", model="m", labels=["card", "mail"])
        prompt.write(Path(folder, "a"), asked)
        bundle = app.bundles.add(str(Path(folder, "a")))
        places = ChatModel(model="m", system="You are {name}.")
        Path(folder, "b").mkdir()
        chat.write(Path(folder, "b"), places)
        filled = app.bundles.add(str(Path(folder, "b")))
        runtime = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
        app.store.commit(
            append=[
                version("sha256:p", bundle=bundle, runtime=runtime, label="intent@2"),
                version("sha256:filled", bundle=filled, runtime=runtime, label="intent@3"),
                version("sha256:gone", bundle="sha256:x", runtime=runtime, label="intent@4"),
            ]
        )
        at = app.clock.now() - MINUTE
        for n, served in enumerate(("sha256:p", "sha256:filled", "sha256:gone", "sha256:alien")):
            one = inference(
                ids.fresh(at + n, app.random),
                input=" as served ",
                output="card",
                at=at,
                served_version=served,
            )
            app.store.ingest([one], [feedback(one.id, one.id, value=1.0, at=at + 1)])
        source = load_source(
            app, run_of(app), wiring.pipeline.plan_of(app.settings.task("intent")).dataset, silent
        )
        rows = [row for _, some in source.chunks(lambda: 100) for row in some]
        assert [(row.text, row.prompt) for row in rows] == [(" as served ", bundle)]
        assert source.exclusions == {"prompt_unknown": 3}
        assert Conversations(source.prompts).asked("hi", bundle) == [
            Message("user", "card\nmail\nhi")
        ]


def test_a_query_is_collected(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(project.folder / "desk.db")) as database:
        database.execute("CREATE TABLE tickets AS SELECT 'a' AS body, 'x' AS label")
        database.commit()
    table = (
        'source = "sql"\nurl = "sqlite:///desk.db"\npassword = "env:DESK_PASSWORD"\n'
        'query = "SELECT body AS text, label FROM tickets"'
    )
    dataset(project, table)
    with pytest.raises(Exception, match="the variable DESK_PASSWORD is not set"):
        collected(project)
    monkeypatch.setenv("DESK_PASSWORD", "hush")
    assert collected(project) == [("rows", "a", "x")]


# --- where words have tags ------------------------------------------------------------------------


def tagging(project: Project) -> None:
    """Make the task one of kind `tag`."""
    text = project.file.read_text(encoding="utf-8").replace('"classify"', '"tag"')
    text = text.replace('"tfidf-linear"', '"token-tagger"')
    project.file.write_text(text, encoding="utf-8")


def test_an_imported_file_of_tagged_words(project: Project) -> None:
    """D8: what is printed for greenlight.toml leads to the copy; a run knows the kind."""
    tagging(project)
    dataset(project, 'source = "sample-entities"')
    path = project.folder / "a.conll"
    path.write_text("in\tO\nRome\tB-place\n\t\ncall\tO\n07700\tO\n900123\tO\n")
    told = project.ok("import", str(path), "--task", "intent")
    assert "entities       1: place 1" in told and "phone 1 (scrubbed when" in told
    table = told[told.index("[tasks.intent.dataset]") :]
    text = project.file.read_text(encoding="utf-8")
    table = table.split("\n", 1)[1]
    project.file.write_text(text.replace('source = "sample-entities"', table), encoding="utf-8")
    assert collected(project) == [
        ("rows", "in Rome", "O B-place"),
        ("rows", "call 07700 900123", "O O O"),
    ]
    with installed(project) as app:
        assert wiring.pipeline.plan_of(app.settings.task("intent")).kind == "tag"
    path.write_text("in\tO\n")
    assert "no entities leave nothing to learn" in project.ok(
        "import", str(path), "--task", "intent"
    )


def test_answers_of_tagged_words_are_relabelled_and_exported(project: Project) -> None:
    """D1, D3: the reason is told; the export keeps a tag for each word."""
    tagging(project)
    dataset(project, 'source = "feedback"')
    [odd, _] = answers(
        project,
        ("call 07700 900123 Ana", "O O O O", {"value": 0.0, "correction": "B-person"}),
        ("in Rome", "O B-place", {"value": 1.0}),
    )
    assert "misfit" in project.ok("relabel", "list", "intent")
    refused = project.refused(2, "relabel", "label", odd.id, "O O")
    assert "2 tags for 4 words" in refused
    project.ok("relabel", "label", odd.id, "O O O B-person")
    out = project.folder / "rows.csv"
    words = ("export", "intent", "--format", "csv", "--min-rows", "1", "--out", str(out))
    project.ok(*words)
    assert sorted(out.read_text(encoding="utf-8").splitlines()) == [
        "call [PHONE] [PHONE] Ana,O O O B-person",
        "in Rome,O B-place",
        "text,label",
    ]


def test_what_is_kept_of_a_request_has_its_words(project: Project) -> None:
    """D6: with capture.pii, the recorded text still has a word for each tag of the answer."""
    tagging(project)
    dataset(project, 'source = "sample-entities"')
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(f"{text}\n[tasks.intent.capture]\npii = true\n", encoding="utf-8")
    with installed(project) as app:
        capture = wiring.serving.plan_of(app, "intent").capture
    assert capture.mask is not None
    assert capture.mask("call +44 7700 900123 Ana") == "call [PHONE] [PHONE] [PHONE] Ana"
    assert capture.mask("O O O O B-person") == "O O O O B-person"
