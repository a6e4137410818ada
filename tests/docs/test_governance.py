"""Papers of governance: licences of all that is used, and runbooks whose commands exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from greenlight import datasets
from greenlight.models import encoder
from tests.docs.test_reference import calls, fault

ROOT = Path(__file__).parents[2]
LICENCES = (ROOT / "DATA_LICENSES.md").read_text(encoding="utf-8")
PAPERS = [
    ROOT / "ACCEPTANCE.md",
    ROOT / "DATA_LICENSES.md",
    *sorted((ROOT / "governance").rglob("*.md")),
]
RUNBOOKS = ("start-a-run", "validate-a-version", "roll-back", "latency", "errors", "drift")
READERS = sorted(
    path.stem
    for path in (ROOT / "src/greenlight/datasets").glob("*.py")
    if re.search(r"^NAME = ", path.read_text(encoding="utf-8"), re.MULTILINE)
)
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
INLINE = re.compile(r"`(greenlight [^`]+)`")


@pytest.mark.parametrize("reader", READERS)
def test_every_data_set_stands_there_with_licence_and_digests(reader: str) -> None:
    """D10, X3"""
    module = importlib.import_module(f"greenlight.datasets.{reader}")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    [row] = [line for line in LICENCES.splitlines() if f"`greenlight.datasets.{reader}`)" in line]
    digests = DIGEST.findall(source)
    for digest in digests:
        assert f"| `{digest}` |" in LICENCES
    if digests:
        [commit] = set(re.findall(r"\b[0-9a-f]{40}\b", source))
        assert f"/tree/{commit}" in row
        licence = re.findall(r"Licence: (CC [A-Z]+ \d\.\d)", str(module.__doc__))
        assert licence and f"[{licence[0]}](https://creativecommons.org/" in row
    else:
        assert "written for this project | Apache-2.0" in row


def test_every_reader_is_known_and_nothing_that_is_read_is_left_out() -> None:
    """D10: a data set that can be asked for has a reader of that name."""
    modules = [importlib.import_module(f"greenlight.datasets.{reader}") for reader in READERS]
    assert set(datasets.NAMES) <= {module.NAME for module in modules}


def test_the_encoder_stands_there() -> None:
    """D10, X3"""
    assert f"[{encoder.REPOSITORY}]({encoder.HUB}/{encoder.REPOSITORY})" in LICENCES
    assert f"at revision {encoder.REVISION[:8]} |" in LICENCES
    for name, digest in encoder.PINS.items():
        assert f"| `{name}` of the encoder | `{digest.removeprefix('sha256:')}` |" in LICENCES


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.name)
def test_every_command_of_a_paper_is_one(path: Path) -> None:
    """G4: whoever follows a runbook at night types what works."""
    text = path.read_text(encoding="utf-8")
    flat = re.sub(r"`greenlight\n\s*", "`greenlight ", text)
    inline = [call.removeprefix("greenlight ") for call in INLINE.findall(flat)]
    assert [wrong for call in [*calls(text), *inline] if (wrong := fault(call))] == []


@pytest.mark.parametrize("name", [*RUNBOOKS, "lost-store"])
def test_every_runbook_says_when_it_is_needed_and_when_it_is_over(name: str) -> None:
    """G4: start, validate, roll back; latency, errors, drift, lost store."""
    text = (ROOT / f"governance/runbooks/{name}.md").read_text(encoding="utf-8")
    assert re.search(r"^\*\*(When|Noticed by)\*\*", text, re.MULTILINE)
    assert "\n**Over when** " in text
    index = (ROOT / "governance/runbooks/README.md").read_text(encoding="utf-8")
    assert f"({name}.md)" in index


def test_the_policy_says_what_it_must() -> None:
    """G4"""
    text = (ROOT / "governance/policy.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert headings >= {
        "Approval workflow",
        "Safety checks",
        "Rollback criteria",
        "Monitoring requirements",
        "Approval records",
    }
