"""A project folder with a greenlight.toml, people with keys, and a version that waits for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from greenlight import config, wiring
from greenlight.config import Settings
from greenlight.core.records import HOUR
from greenlight.entrypoints.cli import main
from tests.stages.office import Office

PEOPLE = {"ana": "ml_lead", "ben": "product_owner", "eve": "ml_lead"}


class Project:
    """Runs commands in a folder and reads what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, str] = {}
        for name in PEOPLE:
            made = self.json("keys", "person", name, "--role", PEOPLE[name])
            self.secrets[name] = made["secret"]
            self.keys = {**getattr(self, "keys", {}), name: made["key"]}
        people = "\n".join(
            f'[people.{name}]\nroles = ["{role}"]\nkey = "{self.keys[name]}"'
            for name, role in PEOPLE.items()
        )
        self.file = folder / config.FILE
        self.file.write_text(
            f"""\
[project]
name = "acme"
{people}
[tasks.intent]
kind = "classify"
[tasks.intent.dataset]
source = "sample"
[tasks.intent.train]
backend = "tfidf-linear"
[tasks.intent.gates]
accuracy = {{ min = 0.9 }}
""",
            encoding="utf-8",
        )

    def call(
        self, *words: str, by: str | None = None, typed: str | None = None, **environ: str
    ) -> Result:
        """Run a command as somebody, who types something where it asks."""
        if by is not None:
            environ["GREENLIGHT_PERSON_KEY"] = self.secrets[by]
        runner = CliRunner()
        return runner.invoke(main, ["-C", str(self.folder), *words], input=typed, env=environ)

    def ok(self, *words: str, by: str | None = None, **environ: str) -> str:
        """What a command prints that goes well."""
        result = self.call(*words, by=by, **environ)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str, by: str | None = None) -> Any:
        """What a command prints for programs."""
        return json.loads(self.ok(*words, "--json", by=by))

    def refused(self, code: int, *words: str, by: str | None = None, **environ: str) -> str:
        """The message of a command that ends with an exit code; it is one paragraph."""
        result = self.call(*words, by=by, **environ)
        assert result.exit_code == code, result.output
        assert result.stderr.startswith(("greenlight: ", "Usage: "))
        assert "Traceback" not in result.output
        return result.stderr

    @contextmanager
    def opened(self) -> Iterator[tuple[Settings, Office]]:
        """The project's store with an office on it; its clock is an hour behind."""
        settings = config.load(self.file, {})
        with wiring.open_app(settings) as app:
            yield settings, Office(app.store, app.clock.now() - HOUR)


def flip(file: Path) -> None:
    """Change one bit in the middle of a file, whoever may write it."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(bytes(data))
