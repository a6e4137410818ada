"""G5: whoever acts on a configuration puts it on the ledger, once per change."""

from __future__ import annotations

from greenlight.core.records import LedgerEntry
from greenlight.lookup import everything
from tests.cli.project import Project


def on_ledger(project: Project) -> list[dict[str, object]]:
    with project.opened() as (_, office):
        entries = everything(office.store, LedgerEntry, {"kind": "configuration"})
        return [entry.body for entry in entries]


def test_once_per_change_and_only_by_those_who_act(evaluated: Project) -> None:
    evaluated.ok("versions", "list")
    assert on_ledger(evaluated) == []
    for name in ("ana", "ben"):
        evaluated.ok("approve", "intent@1", "-m", "read it", by=name)
    (first,) = on_ledger(evaluated)
    text = evaluated.file.read_text(encoding="utf-8")
    evaluated.file.write_text(text.replace("0.9 }", "0.8 }"), encoding="utf-8")
    evaluated.ok("versions", "list")
    assert on_ledger(evaluated) == [first]
    evaluated.ok("rollout", "start", "intent", "intent@1")
    before, after = on_ledger(evaluated)
    assert before == first
    assert before["digest"] != after["digest"]
    assert '"min": 0.8' in str(after["settings"]).replace("'", '"')
    assert evaluated.json("audit", "verify", "--no-files")["ok"]


def test_no_secret_is_on_it(evaluated: Project) -> None:
    evaluated.ok("approve", "intent@1", "-m", "read it", by="ana")
    (body,) = on_ledger(evaluated)
    assert not any(secret in str(body) for secret in evaluated.secrets.values())
