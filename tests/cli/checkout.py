"""A checkout in miniature: a page of acceptance, a protocol, a sealed evaluation, a git history."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from greenlight.core import evaluation, fingerprint
from greenlight.entrypoints.cli import main
from greenlight.remembering import code_digest

NAMES = {
    "ana": ["ml_lead"],
    "ben": ["product_owner"],
    "cai": ["ml_lead", "product_owner"],
    "eve": ["intern"],
    "ida": ["operations"],
    "kim": ["compliance"],
}

TABLE = """\
| date | person | role | digest | why | signature |
|---|---|---|---|---|---|
"""

PAGE = f"""\
# Acceptance

Status: **draft, unsigned**

Some words.

## 1. Quality

```toml targets
evaluation = "artifacts/eval/eval.json"
protocol = ["src/eval/*.py"]

[[target]]
id = "accuracy"
section = 1
what = "accuracy"
metric = "intent.test.accuracy.value"
direction = "at_least"
required = 0.9
enforced = ["release check"]

[[target]]
id = "gap"
section = 1
what = "gap"
metric = "intent.train_val_gap.value"
direction = "at_most"
required = 0.03
level = "warning"
enforced = ["warning"]
```

## 2. Service levels and rollout

## 3. Governance

## 4. Security, observability, cost

## 5. Deliverables

```toml deliverables
[[deliverable]]
what = "read first"
requirement = "X1"
files = ["README.md", "docs/*.md"]
commands = ["release check"]
make = ["eval"]
```

## 6. Non-goals

## 7. Change control

Digest of targets and protocol: `none`

## 8. Sign-off

```toml people
```

{TABLE}"""

POLICY = f"""\
# Policy

Status: **draft, unsigned**

Nothing ships unsigned.

## Approval records

{TABLE}"""

LOG = """\
# Log

| date | stakeholder | role | decision | notes |
|---|---|---|---|---|

That is all.
"""


class Checkout:
    """Files, a git repository, and people with keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, str] = {}
        tables = []
        for name, roles in NAMES.items():
            made = self._call(["keys", "person", name, "--json"]).stdout
            person = json.loads(made)
            self.secrets[name] = person["secret"]
            tables.append(f'[people.{name}]\nroles = {json.dumps(roles)}\nkey = "{person["key"]}"')
        people = "```toml people\n" + "\n".join(tables) + "\n"
        self.write("ACCEPTANCE.md", PAGE.replace("```toml people\n", people))
        self.write("governance/policy.md", POLICY)
        self.write("governance/sign_off_log.md", LOG)
        self.write("README.md", "read me\n")
        self.write("docs/a.md", "a page\n")
        self.write("Makefile", "NAME := a\n.PHONY: eval other\neval other: setup\n\ttrue\n")
        self.write("src/eval/rules.py", "HALF = 0.5\n")
        self.write("src/greenlight/model.py", "x = 1\n")
        self.git("init", "-q")
        self.evaluated = self.commit()
        self.measure()
        self.commit()

    def git(self, *words: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", "-C", str(self.folder), *identity, *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """Commit everything; returns the commit."""
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", "work")
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        assert old in text
        self.write(name, text.replace(old, new))

    def measure(self, accuracy: float = 0.95, **beside: Any) -> None:
        """Seal an evaluation of what is there."""
        rules = (self.folder / "src/eval/rules.py").read_bytes()
        document: dict[str, Any] = {
            "intent": {"test": {"accuracy": {"value": accuracy}}, "train_val_gap": {"value": 0.01}},
            "protocol": {"module": "eval.rules", "digest": fingerprint.digest_bytes(rules)},
            "environment": {
                "code_commit": self.evaluated,
                "code": code_digest(self.folder / "src/greenlight"),
            },
            **beside,
        }
        document["results_digest"] = evaluation.results_digest(document)
        document["document_digest"] = evaluation.document_digest(document)
        self.write("artifacts/eval/eval.json", json.dumps(document))

    def release(self, *words: str, by: str | None = None) -> Result:
        """Run `greenlight release …` here as somebody."""
        return self._call(["release", *words, "--root", str(self.folder)], by)

    def check(self) -> dict[str, Any]:
        """What `release check` says, and that its exit code fits."""
        done = self.release("check", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.exit_code == (0 if found["ok"] else 1), done.output
        return found

    def open_rows(self) -> dict[str, str]:
        """What stands in the way: what → verdict."""
        return {row["what"]: row["verdict"] for row in self.check()["rows"] if not row["ok"]}

    def sign(self, name: str, *words: str) -> str:
        done = self.release("sign", *words, "-m", "as agreed", by=name)
        assert done.exit_code == 0, done.output
        return done.stdout

    def refused(self, name: str | None, *words: str) -> str:
        """Why a signature is refused; nothing is written then."""
        before = self.read("ACCEPTANCE.md"), self.read("governance/sign_off_log.md")
        done = self.release("sign", *words, by=name)
        assert done.exit_code == 2, done.output
        assert (self.read("ACCEPTANCE.md"), self.read("governance/sign_off_log.md")) == before
        return done.stderr

    def everything_signed(self) -> None:
        assert self.release("renew").exit_code == 0
        for name, paper in (
            ("ana", "acceptance"),
            ("ben", "acceptance"),
            ("ana", "policy"),
            ("ida", "policy"),
            ("kim", "policy"),
        ):
            self.sign(name, paper)

    def _call(self, words: list[str], by: str | None = None) -> Result:
        key = "" if by is None else self.secrets[by]
        return CliRunner().invoke(main, words, env={"GREENLIGHT_PERSON_KEY": key})
