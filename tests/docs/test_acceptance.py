"""ACCEPTANCE.md is the source of what gates a release: what ships is equal to it (G6)."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenlight.adapters import signing
from greenlight.config import units
from greenlight.config.templates import FORMS, render
from greenlight.core import acceptance, load, sign_off
from greenlight.core.acceptance import FILE, SECTIONS, Acceptance, Target
from greenlight.core.alarms import DEFAULT_ALARMS
from greenlight.core.evaluation import JUDGED
from greenlight.core.metrics import METRICS
from greenlight.core.sign_off import PAPERS
from greenlight.entrypoints.demo.plan import GATES
from greenlight.stages.papers import LOG, LOG_HEAD, Desk

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / FILE).read_text(encoding="utf-8")
PAGE: Acceptance = acceptance.parse(TEXT)
TARGETS = {target.id: target for target in PAGE.targets}
DESK = Desk(ROOT, signing.verify, "9999-12-31T23:59:59Z")

MECHANICS = {"greenlight.core.errors", "greenlight.core.fingerprint", "greenlight.core.jsonl"}
"""What the protocol imports and no number depends on: messages, digests, reading of lines."""

Gate = tuple[str, str, str, float]
"""Where it stands, the data set of its task, METRIC.BOUND, and the bar."""


def gates_of(where: str, text: str) -> Iterator[Gate]:
    """Every gate of a configuration that a target could be about."""
    for task in tomllib.loads(text).get("tasks", {}).values():
        source = task.get("dataset", {}).get("source", "")
        for metric, rule in task.get("gates", {}).items():
            for bound, value in rule.items():
                if bound in ("min", "max", "warn"):
                    yield where, source, f"{metric}.{bound}", value


def shipped() -> list[Gate]:
    """Every gate that ships."""
    found: list[Gate] = []
    for name in FORMS:
        found += gates_of(f"template {name}", render(name, "acme", []))
    for path in sorted((ROOT / "examples").glob("*/greenlight.toml")):
        found += gates_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    bars = zip(("v1", "v2", "v2 without the encoder"), GATES["banking77"], strict=True)
    return [*found, *((f"demo, {name}", "banking77", "accuracy.min", bar) for name, bar in bars)]


def faults(gates: list[Gate], page: Acceptance) -> list[str]:
    """Gates with another bar than the target's, and exceptions that nothing makes use of."""
    wanted = {
        (target.data, name.removeprefix("gate ")): target.required
        for target in page.targets
        for name in target.enforced
        if name.startswith("gate ")
    }
    looser = {(one.where, one.gate): one.value for one in page.looser}
    said = []
    for where, source, gate, value in gates:
        if (source, gate) not in wanted:
            continue
        bar = looser.pop((where, gate), wanted[source, gate])
        if value != bar:
            said.append(f"{where}: {gate} is {value}, {FILE} has {bar}")
    return said + [f"{where}: no such gate as {gate}" for where, gate in looser]


def test_the_gates_that_ship_are_the_targets() -> None:
    """G6, E3"""
    assert faults(shipped(), PAGE) == []
    assert len([gate for gate in shipped() if gate[1] == "banking77"]) >= 4


def test_a_gate_that_is_not_is_found() -> None:
    gates = [
        ("a", "banking77", "accuracy.min", 0.9),
        ("b", "sample", "accuracy.min", 0.1),
        ("c", "wnut17", "token_micro_f1.min", 0.45),
        ("template banking", "banking77", "accuracy.min", 0.85),
        ("demo, v1", "banking77", "accuracy.min", 0.92),
    ]
    assert faults(gates, PAGE) == [
        "a: accuracy.min is 0.9, ACCEPTANCE.md has 0.92",
        "demo, v1: accuracy.min is 0.92, ACCEPTANCE.md has 0.85",
        "demo, v2 without the encoder: no such gate as accuracy.min",
    ]


def test_alarms_are_equal() -> None:
    """G6, O2: the declared alarms, and the targets that they enforce."""
    said = {alarm.name: alarm for alarm in PAGE.alarms}
    assert said.keys() == DEFAULT_ALARMS.keys()
    for name, rule in DEFAULT_ALARMS.items():
        alarm = said[name]
        assert (alarm.over, alarm.min_requests) == (rule.over, rule.min_requests)
        assert units.duration(alarm.duration) == rule.duration
    enforced = {
        name.removeprefix("alarm "): target.required
        for target in PAGE.targets
        for name in target.enforced
        if name.startswith("alarm ")
    }
    assert enforced == {name: alarm.over for name, alarm in said.items()}


def test_the_service_level_and_the_warnings_are_equal() -> None:
    """G6, S4, T7"""
    assert TARGETS["p95"].required == load.P95_MS
    assert TARGETS["server-errors"].required == load.ERROR_RATE
    assert TARGETS["intent-gap"].required == JUDGED["intent"].overfit
    assert TARGETS["ner-gap"].required == JUDGED["ner"].overfit


def test_the_targets_are_those_of_the_requirements() -> None:
    """E2, E3: the fixed keys, and the values that were asked for."""
    asked = {
        "intent.test.accuracy.value": (0.92, (0.94, 0.945)),
        "ner.test.token_micro_f1.value": (0.45, (0.52,)),
        "ner.test.entity_micro_f1.value": (None, ()),
        "oos.clinc.auroc.value": (0.85, (0.995,)),
        "oos.banking_like.auroc.value": (None, (0.995,)),
        "oos.near.auroc.value": (None, (0.94,)),
        "load.p95_ms": (150, ()),
        "load.error_rate": (0.005, ()),
    }
    by_metric = {target.metric: target for target in PAGE.targets}
    for metric, (required, goals) in asked.items():
        assert (by_metric[metric].required, by_metric[metric].goals) == (required, goals)
        assert by_metric[metric].level == "required"
    assert by_metric["sanity.shuffled_labels.accuracy.value"].level == "required"
    assert TARGETS["availability"].level == "information"
    assert TARGETS["alarm-to-control"].required == 120


def problem(target: Target) -> str | None:
    """What is wrong with the words that say by what a target is enforced."""
    for name in target.enforced:
        kind, _, rest = name.partition(" ")
        if kind == "gate":
            metric, _, bound = rest.partition(".")
            if metric not in METRICS or bound not in ("min", "max", "warn"):
                return f"{target.id}: there is no {name}"
            if target.metric != ".".join((*METRICS[metric].path, "value")):
                return f"{target.id}: {name} looks elsewhere"
            if (bound == "warn") != (target.level == "warning"):
                return f"{target.id}: {name} does not fit {target.level}"
        elif kind == "alarm" and rest not in DEFAULT_ALARMS:
            return f"{target.id}: there is no {name}"
        elif kind not in ("gate", "alarm") and name not in ("warning", "release check"):
            return f"{target.id}: {name}?"
    return None


def test_what_is_said_to_enforce_a_target_is_there() -> None:
    """G6"""
    assert [problem(target) for target in PAGE.targets if problem(target)] == []


def test_the_protocol_holds_all_that_numbers_depend_on() -> None:
    """E1, G6: what `eval` imports of the core is under change control, or has no number in it."""
    covered = {
        path.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".")
        for pattern in PAGE.protocol
        for path in ROOT.glob(pattern)
    }
    waiting, reached = sorted(covered), set()
    while waiting:
        path = ROOT / "src" / f"{waiting.pop().replace('.', '/')}.py"
        for name in imported(path) - reached - MECHANICS:
            reached.add(name)
            waiting.append(name)
    assert reached - covered == set()
    assert {"eval.intent_eval", "eval.ner_eval", "eval.oos_eval"} <= covered


def imported(path: Path) -> set[str]:
    """Modules of eval and of the core that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                is_module = (ROOT / "src" / f"{below.replace('.', '/')}.py").is_file()
                found.add(below if is_module else node.module)
    return {name for name in found if name.startswith(("greenlight.core.", "eval."))}


@pytest.mark.parametrize("paper", PAPERS.values(), ids=lambda paper: paper.name)
def test_a_paper_says_of_itself_what_its_signatures_amount_to(paper: sign_off.Paper) -> None:
    """G4, G6: draft, unsigned, until people sign."""
    text = (ROOT / paper.file).read_text(encoding="utf-8")
    assert sign_off.status(text, paper.file) == str(DESK.standing(paper))


def test_the_digest_in_section_7_is_that_of_targets_and_protocol() -> None:
    """G6: no change goes by unseen. If it was meant: greenlight release renew, and new sign-off."""
    assert PAGE.written == DESK.digest(PAPERS["acceptance"])


def test_the_page_is_in_eight_sections_and_names_requirements_that_exist() -> None:
    """G6, X1"""
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert headings == [f"{number}. {title}" for number, title in enumerate(SECTIONS, start=1)]
    known = set(re.findall(r"\*\*([A-Z]\d+)\*\*", (ROOT / "docs/requirements.md").read_text()))
    named = {
        number for one in PAGE.deliverables for number in re.findall(r"[A-Z]\d+", one.requirement)
    }
    assert named <= known


def test_the_log_of_sign_offs_has_its_table() -> None:
    """G4"""
    assert LOG_HEAD in (ROOT / LOG).read_text(encoding="utf-8").splitlines()


def test_ci_reports_and_does_not_require_it() -> None:
    """G6: CI says how far it is; until people sign it cannot pass."""
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("make release-check || ") for line in lines)
    makefile: Any = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\nrelease-check: setup\n" in makefile
    assert not re.search(r"^(check|test|status):.*release-check", makefile, re.MULTILINE)
