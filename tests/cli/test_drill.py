"""`drill` and `drills`: what is refused and why, what people must sign, and what was held (O6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from greenlight import config, wiring
from greenlight.core import ids
from greenlight.core.drill import Findings
from greenlight.core.records import HOUR, SECOND, Replica
from greenlight.core.states import Variant
from greenlight.entrypoints import drill
from greenlight.entrypoints.cli import main
from greenlight.entrypoints.drill import Options
from greenlight.entrypoints.drill.options import Held, body
from greenlight.wiring import drilling
from tests.cli.project import Project
from tests.contracts.making import feedback, inference

CHAT = '\n[tasks.support]\nkind = "chat"\n'


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--fault", "fire"), "'fire' is not one of 'errors', 'latency', 'quality'"),
        ((), "Missing option '--fault'"),
        (("--fault", "errors", "--intensity", "5"), "intensity 5: errors takes a share"),
        (("--fault", "latency", "--intensity", "0"), "intensity 0: latency takes seconds"),
        (("--fault", "errors", "--within", "2"), "a duration with its unit"),
        (("--fault", "errors", "--within", "5ms"), "at least 1s"),
        (("--fault", "errors", "--live"), "GREENLIGHT_PERSON_KEY is not set"),
    ],
)
def test_what_is_no_drill(project: Project, words: tuple[str, ...], says: str) -> None:
    assert says in project.refused(2, "drill", "intent", *words)


def test_a_task_must_be_there(project: Project) -> None:
    assert "there are: intent" in project.refused(2, "drill", "desk", "--fault", "errors")


def test_nothing_can_be_rehearsed_on_a_chat_yet(project: Project) -> None:
    """It says where one can rehearse instead."""
    project.file.write_text(project.file.read_text() + CHAT)
    said = project.refused(2, "drill", "support", "--fault", "errors")
    assert "support is a chat" in said
    assert "greenlight drill intent --fault errors" in said
    live = project.refused(2, "drill", "support", "--fault", "errors", "--live", by="ana")
    assert "no candidate of it" in live


def test_nor_on_a_task_that_tags_words(project: Project) -> None:
    """Its users would judge whole labels."""
    tagging = (
        '[tasks.names]\nkind = "tag"\n'
        'dataset = { source = "sample-entities" }\ntrain = { backend = "token-tagger" }\n'
    )
    project.file.write_text(project.file.read_text() + tagging)
    said = project.refused(2, "drill", "names", "--fault", "errors")
    assert "names tags words" in said and "greenlight drill intent --fault errors" in said


def test_before_users_something_must_be_live(project: Project) -> None:
    said = project.refused(2, "drill", "intent", "--fault", "errors", "--live", by="ana")
    assert "nothing is live" in said


class Desk:
    """The sample's project, where desk@1 is live on the sample."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        people = ("ana:ml_lead", "ben:product_owner", "kim:operations")
        self.ok("init", *(word for person in people for word in ("--person", person)))
        self.ok("run", "desk")
        self.sign("desk@1")
        self.ok("rollout", "start", "desk", "desk@1")

    def call(self, *words: str, by: str | None = None) -> Result:
        key = None if by is None else (self.folder / "keys" / by).read_text().strip()
        return CliRunner().invoke(
            main, ["-C", str(self.folder), *words], env={"GREENLIGHT_PERSON_KEY": key}
        )

    def ok(self, *words: str, by: str | None = None) -> str:
        found = self.call(*words, by=by)
        assert found.exit_code == 0, found.output
        return found.stdout

    def heard(self, silent: int) -> None:
        """A gateway tells of itself, so many µs ago."""
        with wiring.open_app(config.load(self.folder / config.FILE, {})) as app:
            at = app.clock.now() - silent
            app.store.heartbeat(
                Replica(id="gateway-1", epochs={}, applied_at={}, flushed_through=at, at=at)
            )

    def sign(self, label: str) -> None:
        for name in ("ana", "ben"):
            self.ok("approve", label, "-m", "read it", by=name)


def test_before_users_a_drill_needs_those_who_sign(tmp_path: Path) -> None:
    """G1: who must sign is told, in commands; approved, it still needs somebody to route."""
    desk = Desk(tmp_path)
    held = ("drill", "desk", "--fault", "errors", "--live")
    first = desk.call(*held, by="kim")
    assert first.exit_code == 1
    assert "desk@drill-errors is not approved: lacks 1 × ml_lead, 1 × product_owner" in first.stdout
    for name in ("ana", "ben"):
        assert f"keys/{name}) greenlight approve desk@drill-errors" in first.stdout
    again = json.loads(desk.call(*held, "--json", by="kim").stdout)
    assert (again["version"], len(again["steps"])) == ("desk@drill-errors", 2)
    assert desk.ok("versions", "list").count("desk@drill-errors") == 1, "registered once"

    desk.sign("desk@drill-errors")
    for silent, says in ((7 * SECOND, "no gateway is alive"), (-HOUR, "no controller is running")):
        desk.heard(silent)
        said = desk.call(*held, by="kim")
        assert (said.exit_code, says in said.stderr) == (2, True), said.stderr
    said = desk.call("rollout", "start", "desk", "desk@drill-errors", by="kim")
    assert (said.exit_code, "hold it as a drill" in said.stderr) == (2, True)
    said = desk.call(*held, by="ana")
    assert said.exit_code == 1, "who signed does not hold it"
    assert "drill" not in desk.ok("status", "desk", "--json").partition('"next"')[2]


HELD = Held(
    id="01a2",
    task="intent",
    bundle="sha256:b",
    label="intent@1",
    options=Options(task="intent", fault="latency", intensity=0.25, trigger="alarm"),
    live=False,
    rollout="r",
    within=420 * SECOND,
    found=Findings(
        exposed_at=SECOND,
        alarm="p95_latency_ms",
        alarm_at=301 * SECOND,
        decided_at=302 * SECOND,
        action="rollback",
        code="alarm",
        reason="it breaches it",
        applied_at=303 * SECOND,
        requests=3000,
        units=900,
    ),
    failure=None,
    declared={},
)


def filed(project: Project, held: Held) -> dict[str, Any]:
    record = {**body(held), "at": SECOND, "folder": "evidence/drills/01a2", "evidence": "sha256:e"}
    with wiring.open_app(config.load(project.file, {})) as app:
        wiring.file_drill(app, record)
    return record


def test_drills_are_listed_from_the_ledger(project: Project) -> None:
    """The newest first, with how it went and how long it took."""
    assert project.json("drills", "list") == []
    passed = filed(project, HELD)
    failed = filed(project, msgspec.structs.replace(HELD, failure="too late", live=True))
    assert project.json("drills", "list") == [failed, passed]
    assert project.json("drills", "list", "intent", "--limit", "1") == [failed]
    assert (passed["detection_s"], passed["alarm_to_control_s"], passed["propagation_ms"]) == (
        301.0,
        2.0,
        1000.0,
    )
    _, newest, older = project.ok("drills", "list").splitlines()
    assert ("FAILED" in newest, "live" in newest) == (True, True)
    assert ("passed" in older, "made" in older, "302.0 s" in older) == (True, True, True)
    assert "there are: intent" in project.refused(2, "drills", "list", "desk")
    assert "intact" in project.ok("audit", "verify")


@pytest.mark.parametrize(("failure", "code"), [(None, 0), ("users saw 3 errors", 1)])
def test_a_drill_that_failed_says_so_to_scripts(
    project: Project, monkeypatch: pytest.MonkeyPatch, failure: str | None, code: int
) -> None:
    """Exit code 1, in words and as JSON; how a drill is held is e2e/test_drill."""
    record = filed(project, msgspec.structs.replace(HELD, failure=failure))
    seen: list[Options] = []

    def rehearse(_: wiring.App, options: Options) -> dict[str, Any]:
        seen.append(options)
        return record

    monkeypatch.setattr(drill, "rehearse", rehearse)
    words = ("drill", "intent", "--fault", "quality", "--within", "90s")
    told = project.call(*words)
    assert (told.exit_code, f"the drill {'FAILED' if code else 'passed'}" in told.stdout) == (
        code,
        True,
    )
    assert ("users saw 3 errors" in told.stdout) is (code == 1)
    silent = project.call(*words, "--json", "--intensity", "0.5", "--trigger", "alarm")
    assert (silent.exit_code, json.loads(silent.stdout)) == (code, record)
    assert [(o.intensity, o.trigger, o.within, o.quiet) for o in seen] == [
        (0.3, "evidence", 90 * SECOND, False),
        (0.5, "alarm", 90 * SECOND, True),
    ]


def test_an_alarm_on_quality_is_measured_on_control(project: Project) -> None:
    """What an earlier candidate got wrong, a drill's above all, must not raise the threshold."""
    with wiring.open_app(config.load(project.file, {})) as app:
        now = app.clock.now()
        for number in range(2 * drilling.ENOUGH_JUDGED):
            arm = (Variant.CONTROL, Variant.CANDIDATE)[number % 2]
            good = float(arm is Variant.CONTROL and number % 4 == 0)
            one = ids.uuid7(now - HOUR, number.to_bytes(10, "big"))
            app.store.ingest(
                [inference(one, variant=arm, at=now - HOUR)],
                [feedback(f"word-{number}", one, good, at=now - HOUR)],
            )
        assert drilling._bad_share(app, "intent") == 0.5
