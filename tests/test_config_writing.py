"""What is written reads back as it was: a drill's installation has the policy of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight import config
from greenlight.config import Document, Settings, templates
from greenlight.config.templates import Signer
from greenlight.config.writing import write

KEYS = ("ed25519:" + "A" * 42 + "E=", "ed25519:" + "A" * 42 + "I=")
PEOPLE = (
    Signer(name="ana", roles=("ml_lead",), key=KEYS[0]),
    Signer(name="ben", roles=("product_owner", "operations"), key=KEYS[1]),
)

FULL = f"""
[project]
name = "Zoë's \\"desk\\" \\\\ more"
environment = "prod"
[people.ana]
roles = ["ml_lead", "operations"]
key = "{KEYS[0]}"
[gateway]
port = 8123
poll = "125.5ms"
[gateway.spool]
fsync = "always"
bound = "3MiB"
[controller]
interval = "1500ms"
[tasks.desk]
kind = "classify"
[tasks.desk.dataset]
source = "file"
path = "rows.csv"
label = "topic"
max_rows = 500
[tasks.desk.train]
backend = "tfidf-linear"
options = {{ C = 0.5, deep = {{ on = true, "odd key" = ["a", 1, 2.5] }}, empty = {{}} }}
[tasks.desk.gates]
accuracy = {{ min = 0.65, bound = "lower" }}
[tasks.desk.approval]
quorum = {{ ml_lead = 2, product_owner = 1, operations = 1 }}
release_window = "Mon-Thu 09:00-16:00 Europe/Berlin"
[tasks.desk.rollout]
steps = [{{ weight = 0.05, soak = "90m" }}, {{ weight = 0.5 }}, {{ weight = 1.0 }}]
shadow = "15m"
grace = "0s"
horizon = "36h"
[tasks.desk.evidence]
alpha_harm = 0.00005
weights = {{ errors = 3.0, quality = 2.0 }}
[tasks.desk.metrics.clicked]
margin = 0.05
[tasks.desk.capture]
mask = ["input"]
pii = true
[[tasks.desk.segments]]
when = {{ plan = "free", "of" = "x" }}
variant = "control"
"""


def again(folder: Path, text: str) -> tuple[Settings, Settings]:
    """Settings read from a text, and read once more from what they are written as."""
    file = folder / config.FILE
    file.write_text(text, encoding="utf-8")
    first = config.load(file, {})
    file.write_text(write(first), encoding="utf-8")
    return first, config.load(file, {})


@pytest.mark.parametrize("template", templates.FORMS)
def test_every_template_reads_back(tmp_path: Path, template: str) -> None:
    first, second = again(tmp_path, templates.render(template, "acme", PEOPLE))
    assert second == first


def test_every_kind_of_value_reads_back(tmp_path: Path) -> None:
    """O6: durations, sizes, tables in arrays, odd keys, and text that needs quoting."""
    first, second = again(tmp_path, FULL)
    assert second == first
    assert first.tasks["desk"].rollout.steps[0].soak == 90 * 60 * 1_000_000
    assert first.gateway.poll == 125_500


def test_what_has_its_default_is_left_out(tmp_path: Path) -> None:
    text = '[project]\nname = "acme"\n'
    first, _ = again(tmp_path, text)
    assert write(Document(project=first.project)) == text
