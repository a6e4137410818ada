"""`greenlight init`: one command, and there is a project that works."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from greenlight import config, wiring
from greenlight.config.templates import FORMS
from greenlight.entrypoints.cli import main
from greenlight.testing.provider import ChatProvider
from tests.cli.examining import free_port
from tests.serving.harness import asynchronous, serving

TRAINED = ("sample", "file", pytest.param("banking", marks=pytest.mark.needs("data")))
PERSON = "GREENLIGHT_PERSON_KEY"


class Newcomer:
    """Types commands in a folder, as they are printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *words: str, **environ: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(main, ["-C", str(self.folder), *words], env=environ)

    def ok(self, *words: str, **environ: str) -> str:
        """What a command prints that goes well."""
        result = self.call(*words, **environ)
        assert result.exit_code == 0, result.output
        return result.stdout

    def type(self, line: str) -> str:
        """Type a line as it stands on the screen."""
        key = re.match(rf"{PERSON}=\$\(cat (\S+)\) ", line)
        environ = {PERSON: (self.folder / key[1]).read_text().strip()} if key else {}
        words = shlex.split(line[key.end() :] if key else line)
        assert words[0] == "greenlight"
        return self.ok(*words[1:], **environ)

    def next(self) -> str | None:
        """What `status` says comes next."""
        [task] = json.loads(self.ok("status", "--json"))["tasks"].values()
        return task["next"]


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path / "desk")


@pytest.mark.parametrize("template", FORMS)
def test_every_template_is_valid_and_nothing_in_it_is_a_fault(
    newcomer: Newcomer, template: str
) -> None:
    said = newcomer.ok("init", "--template", template, "--project", 'the "desk" of ü')
    assert said.startswith("wrote greenlight.toml, ")
    found = json.loads(newcomer.ok("validate", "--json"))
    assert found["tasks"] == [FORMS[template].task]
    assert found["people"] == ["ana", "ben"]
    # A chat that is only brought in has no gate, and the file says so.
    assert bool(found["warnings"]) is (template == "chat")
    assert config.load(newcomer.folder / config.FILE, {}).project.name == 'the "desk" of ü'
    newcomer.ok("doctor", GREENLIGHT_GATEWAY_PORT=str(free_port()))


@pytest.mark.parametrize("template", FORMS)
def test_what_a_template_offers_is_valid_too(newcomer: Newcomer, template: str) -> None:
    """A line `#name = …` is one that a reader may take the # away from."""
    newcomer.ok("init", "--template", template)
    file = newcomer.folder / config.FILE
    text = file.read_text(encoding="utf-8")
    offered = re.sub(r"^#(?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)
    assert offered.count("\n#") < text.count("\n#")
    file.write_text(offered, encoding="utf-8")
    newcomer.ok("validate")


@pytest.mark.parametrize("template", TRAINED)
def test_a_newcomer_types_what_is_printed_and_is_live(newcomer: Newcomer, template: str) -> None:
    """From `init` to an answer, and every command on the way was printed by the one before."""
    following = json.loads(newcomer.ok("init", "--template", template, "--json"))["next"]
    task = FORMS[template].task
    assert following == ["greenlight doctor", f"greenlight run {task}", "greenlight up"]
    typed = []
    while (line := newcomer.next()) is not None:
        typed.append(line.partition(" -m ")[0])
        said = newcomer.type(line)
        printed = said.splitlines()[-1].partition("next: ")[2]
        assert printed in (newcomer.next(), "greenlight up, if no gateway runs yet")
    assert typed == [
        f"greenlight run {task}",
        f"{PERSON}=$(cat keys/ana) greenlight approve {task}@1",
        f"{PERSON}=$(cat keys/ben) greenlight approve {task}@1",
        f"greenlight rollout start {task} {task}@1",
    ]
    answered(newcomer, f"/v1/tasks/{task}/predict", {"input": "where is it?", "unit": "u1"})


def test_a_chat_is_adopted_and_answers(newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads(newcomer.ok("init", "--template", "chat", "--json"))
    line = made["next"][1]
    assert newcomer.next() == line
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with ChatProvider(str.upper, key="sk-test") as provider:
        newcomer.type(line.replace("https://api.openai.com/v1", provider.url))
        assert newcomer.next() is None
        body = {"model": "greenlight/support", "messages": [{"role": "user", "content": "hello"}]}
        answer = answered(newcomer, "/v1/chat/completions", body)
    assert answer["choices"][0]["message"]["content"] == "HELLO"


def test_a_model_that_is_to_be_fine_tuned_is_adopted_first(
    newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed names no labels: they stand in the configuration, and the words in a file."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    line = json.loads(newcomer.ok("init", "--template", "judge", "--json"))["next"][1]
    assert newcomer.next() == line
    monkeypatch.chdir(newcomer.folder)
    with ChatProvider(lambda asked: "REJECT: two ideas", key="sk-test") as provider:
        newcomer.type(line.replace("http://127.0.0.1:8200/v1", provider.url))
        assert newcomer.next() is None
        answer = answered(newcomer, "/v1/tasks/judge/predict", {"input": "Front: and Nile?"})
    assert (answer["output"]["label"], answer["output"]["reason"]) == ("REJECT", "two ideas")
    assert "APPROVE\nREJECT\n" in provider.seen[-1]["messages"][0]["content"]


def test_what_comes_next_for_what_is_only_brought_in(newcomer: Newcomer) -> None:
    """A classifier that nobody trains here: what runs today is adopted, a candidate evaluated."""
    newcomer.ok("init")
    file = newcomer.folder / config.FILE
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"tfidf-linear"', '"none"'), encoding="utf-8")
    line = newcomer.next()
    assert line is not None and "greenlight adopt desk --url http://127.0.0.1:9000" in line
    newcomer.type(line)
    assert newcomer.next() is None
    newcomer.ok("versions", "add", "desk", "--url", "http://127.0.0.1:9001")
    assert newcomer.next() == "greenlight eval run desk@2"


def test_who_made_a_version_is_not_asked_to_sign_it(newcomer: Newcomer) -> None:
    newcomer.ok("init", "--person", "ana:ml_lead", "--person", "eve:ml_lead")
    ana = (newcomer.folder / "keys" / "ana").read_text().strip()
    newcomer.ok("run", "desk", **{PERSON: ana})
    line = newcomer.next()
    assert line is not None and line.startswith(f"{PERSON}=$(cat keys/eve) greenlight approve")


def test_up_says_what_to_open_and_what_to_do(newcomer: Newcomer) -> None:
    """The pages, the metrics, the next command; and doctor knows the gateway for its own."""
    newcomer.ok("init")
    port = free_port()
    environ = {"GREENLIGHT_GATEWAY_PORT": str(port), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "greenlight.entrypoints.cli", "-C", str(newcomer.folder), "up"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    try:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(4)]
        url = f"http://127.0.0.1:{port}"
        assert said == [
            f"gateway: listening on {url}",
            f"pages: {url}/",
            f"metrics: {url}/metrics",
            "desk: next: greenlight run desk",
        ]
        found = json.loads(newcomer.ok("doctor", "--json", GREENLIGHT_GATEWAY_PORT=str(port)))
        [line] = [one["what"] for one in found["findings"] if one["check"] == "gateway"]
        assert f":{port} of this installation answers" in line
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        process.stdout.close()


def test_keys_are_for_their_owner_alone(newcomer: Newcomer) -> None:
    newcomer.ok("init", "--person", "eve:ml_lead,operations", "--person", "kim:product_owner")
    people = config.load(newcomer.folder / config.FILE, {}).people
    assert {name: person.roles for name, person in people.items()} == {
        "eve": ("ml_lead", "operations"),
        "kim": ("product_owner",),
    }
    for name, person in people.items():
        file = newcomer.folder / "keys" / name
        assert file.stat().st_mode & 0o777 == 0o600
        assert wiring.public_key(file.read_text().strip()) == person.key
    assert not any(
        file.read_text() in (newcomer.folder / config.FILE).read_text()
        for file in (newcomer.folder / "keys").iterdir()
    )


def test_git_keeps_secrets_and_what_people_wrote_out(newcomer: Newcomer) -> None:
    newcomer.folder.mkdir()
    subprocess.run(["git", "init", "-q", newcomer.folder], check=True)
    (newcomer.folder / ".gitignore").write_text("*.log\n/keys\n!kept", encoding="utf-8")
    newcomer.ok("init", "--template", "file")
    lines = (newcomer.folder / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert lines == ["*.log", "/keys", "!kept", ".greenlight/", "data/", "artifacts/"]
    newcomer.ok("status")
    shown = subprocess.run(
        ["git", "-C", newcomer.folder, "status", "--porcelain", "-uall"],
        capture_output=True,
        text=True,
        check=True,
    )
    files = {line[3:] for line in shown.stdout.splitlines()}
    assert files == {".gitignore", "greenlight.toml", "questions.csv"}


def test_nothing_is_overwritten(newcomer: Newcomer) -> None:
    newcomer.ok("init")
    before = snapshot(newcomer.folder)
    again = newcomer.call("init", "--template", "chat")
    assert again.exit_code == 2
    assert "greenlight.toml is there already and is not overwritten; take another" in again.stderr
    (newcomer.folder / config.FILE).rename(newcomer.folder / "kept.toml")
    with_keys = newcomer.call("init")
    assert with_keys.exit_code == 2
    assert "keys/ana is there already and is somebody's key; move it away" in with_keys.stderr
    (newcomer.folder / "kept.toml").rename(newcomer.folder / config.FILE)
    assert snapshot(newcomer.folder) == before


def test_rows_of_ones_own_stay(newcomer: Newcomer) -> None:
    newcomer.folder.mkdir()
    own = newcomer.folder / "questions.csv"
    own.write_text("text,label\nhello,greeting\n", encoding="utf-8")
    newcomer.ok("init", "--template", "file")
    assert own.read_text(encoding="utf-8") == "text,label\nhello,greeting\n"


def test_what_fails_half_way_leaves_nothing(newcomer: Newcomer) -> None:
    newcomer.folder.mkdir()
    (newcomer.folder / "keys").write_text("a file where a folder should be", encoding="utf-8")
    before = snapshot(newcomer.folder)
    result = newcomer.call("init")
    assert result.exit_code == 1
    assert "keys cannot be written: " in result.stderr
    assert snapshot(newcomer.folder) == before


def test_a_folder_that_takes_nothing() -> None:
    result = Newcomer(Path("/proc/greenlight")).call("init")
    assert result.exit_code == 1
    assert "cannot be written: " in result.stderr and "greenlight -C FOLDER init" in result.stderr


@pytest.mark.parametrize(
    ("person", "says"),
    [
        ("ana", "'ana': write NAME:ROLE, such as ana:ml_lead"),
        ("ana:", "'ana:': write NAME:ROLE"),
        ("Ana:ml_lead", "a name has lower-case letters"),
        ("ana:ML Lead", "a role has lower-case letters"),
        ("schedule:ml_lead", "this name is reserved"),
        ("../eve:ml_lead", "not TOML"),
    ],
)
def test_a_person_that_cannot_be(newcomer: Newcomer, person: str, says: str) -> None:
    result = newcomer.call("init", "--person", person)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (newcomer.folder / config.FILE).exists()
    twice = newcomer.call("init", "--person", "ana:ml_lead", "--person", "ana:product_owner")
    assert twice.exit_code == 2 and "'ana' is named twice" in twice.stderr


def test_who_is_missing_is_said_at_once(newcomer: Newcomer) -> None:
    said = newcomer.ok("init", "--person", "ana:ml_lead")
    assert "no one to sign for 1 × product_owner" in said


def snapshot(folder: Path) -> dict[str, bytes]:
    """The files below a folder and what is in them."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def answered(newcomer: Newcomer, path: str, body: dict[str, Any]) -> Any:
    """What the project's own gateway answers over HTTP."""
    answers = []

    @asynchronous
    async def ask() -> None:
        settings = config.load(newcomer.folder / config.FILE, {})
        with wiring.open_app(settings) as app:
            async with serving(wiring.build_gateway(app, replica="test")) as client:
                status, answer, _ = await client.post(path, body)
                assert status == 200, answer
                answers.append(answer)

    ask()
    return answers[0]
