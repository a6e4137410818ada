"""M5: what is worth a message, and what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenlight.core import ledger, verdict
from greenlight.core.alarms import Judgement
from greenlight.core.notices import KINDS, TEST, USUAL, Notice, notice_of, plain, trial, wait
from greenlight.core.records import MINUTE, SECOND, LedgerEntry, Rollout
from greenlight.core.states import Action, RolloutStatus
from greenlight.core.telling import ENTRIES, NEXT_OF_HOLD, QUIET, Context

CORE = Path(verdict.__file__).parent
ROLLOUT = Rollout(
    id="0199d2f8",
    task="intent",
    control="sha256:v1",
    candidate="sha256:v2",
    salt="s",
    policy={},
    policy_digest="sha256:p",
    aa=False,
    initiator="eve",
    status=RolloutStatus.RUNNING,
    step=0,
    at=0,
)
KNOWN = Context(
    rollout=ROLLOUT,
    labels={"sha256:v1": "intent@1", "sha256:v2": "intent@2"},
    pages="https://pages.acme.example/",
)


def entry(kind: str, at: int = 5, **body: Any) -> LedgerEntry:
    [made] = ledger.chain(None, [(kind, body)], at=at)
    return made


def decided(action: str, code: str = "c", context: Context = KNOWN, **body: Any) -> Notice | None:
    fields = {"action": action, "code": code, "reason": "because", "rollout": ROLLOUT.id, **body}
    return notice_of(entry("decision", task="intent", **fields), context)


def told(found: Notice | None) -> Notice:
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("action", "code", "kind", "severity", "title"),
    [
        ("start", "start", "start", "info", "intent: the rollout of intent@2 has begun"),
        ("start", "pending", "start", "info", "intent: the rollout of intent@2 waits to begin"),
        ("widen", "no_harm", "widen", "info", "intent: more users meet intent@2"),
        ("pause", "order", "pause", "info", "intent: the rollout of intent@2 is paused"),
        ("resume", "order", "pause", "info", "intent: the rollout of intent@2 goes on"),
        ("promote", "quality", "promotion", "info", "intent: intent@2 is live"),
        ("rollback", "errors", "rollback", "critical", "intent: intent@2 was rolled back"),
        ("withdraw", "srm", "withdrawal", "warning", "intent: intent@2 was withdrawn"),
        (
            "inconclusive",
            "horizon",
            "inconclusive",
            "warning",
            "intent: the rollout of intent@2 has ended without a decision",
        ),
        (
            "hold",
            "srm",
            "hold",
            "warning",
            "intent: the rollout of intent@2 is held: somebody should look",
        ),
    ],
)
def test_decisions(action: str, code: str, kind: str, severity: str, title: str) -> None:
    notice = told(decided(action, code))
    assert (notice.kind, notice.severity, notice.title) == (kind, severity, title)
    assert notice.text == f"because ({code})"
    assert notice.next and "{" not in notice.next + notice.title
    assert notice.task == "intent" and notice.at == 5 and notice.seq == 1
    assert notice.link == "https://pages.acme.example/rollouts/0199d2f8"


def test_every_action_is_told_or_is_no_news() -> None:
    silent = {action for action in Action if decided(action) is None}
    assert silent == {Action.STAY}
    assert {told(decided(a)).kind for a in set(Action) - silent} <= set(KINDS)


def test_the_id_is_the_digest_of_the_entry() -> None:
    """Whoever reads the ledger can find what a message is about."""
    made = entry("decision", action="rollback")
    notice = told(notice_of(made, Context()))
    assert notice.id == made.digest and notice.body == made.body


def codes() -> set[str]:
    """Every code of a hold that the core can come to, as its source names them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(CORE.glob("*.py")))
    found = set(re.findall(r'\bhold\(\s*"([a-z_]+)"', text)) | set(verdict.UNTRUSTED)
    judgements = {j for j in Judgement.__args__ if j not in ("ok", "rollback")}
    return found | {f"alarm_{judgement}" for judgement in judgements}


def test_somebody_thought_about_every_hold() -> None:
    """Whether a hold is worth a message is decided for each: in QUIET, or with what to do next."""
    assert len(codes()) > 10
    assert codes() == QUIET | NEXT_OF_HOLD.keys()
    assert not QUIET & NEXT_OF_HOLD.keys()


@pytest.mark.parametrize("code", sorted(QUIET))
def test_what_ends_by_itself_or_was_meant_is_no_message(code: str) -> None:
    assert decided("hold", code) is None


@pytest.mark.parametrize("code", sorted(NEXT_OF_HOLD))
def test_a_hold_says_what_to_do(code: str) -> None:
    notice = told(decided("hold", code))
    assert notice.severity == ("critical" if code in ("control_down", "alarm_page") else "warning")
    assert "{" not in notice.next


def test_a_hold_that_is_not_known_is_told_all_the_same() -> None:
    assert told(decided("hold", "something_new")).next == "look at it: greenlight status intent"


def test_a_hold_that_was_told_shortly_before_is_not() -> None:
    context = Context(rollout=ROLLOUT, held={"srm"})
    assert decided("hold", "srm", context) is None
    assert decided("hold", "stale", context) is not None
    assert decided("rollback", "srm", context) is not None


def test_a_drill_says_so_and_wakes_nobody() -> None:
    held = Context(rollout=Rollout(**{**fields(ROLLOUT), "drill": "errors: 5% fail"}))
    notice = told(decided("rollback", "errors", held))
    assert notice.title.startswith("drill: intent: ") and notice.severity == "info"


def fields(record: Rollout) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


class TestOtherEntries:
    """M5: the kill switch, incidents, drills and sign-offs."""

    def test_killed_and_lifted(self) -> None:
        body = {"task": "intent", "generation": 2, "by": "ana", "why": "it insults people"}
        killed = told(notice_of(entry("kill", state="killed", **body), Context()))
        assert (killed.kind, killed.severity) == ("kill", "critical")
        assert killed.title == "intent: killed" and killed.text == "ana: it insults people"
        assert "greenlight kill intent --lift -m WHY" in killed.next
        lifted = told(notice_of(entry("kill", state="lifted", **body), Context()))
        assert lifted.title == "intent: the kill is lifted" and lifted.severity == "warning"

    def incident(self, **steps: Any) -> dict[str, Any]:
        named = {"task": "intent", "rollout": ROLLOUT.id, "candidate": "sha256:v2"}
        return {**named, "reason": "worse", "steps": steps, "closed_at": 5}

    def test_an_incident_that_is_closed(self) -> None:
        done = {"at": 4, "result": "confirmed", "says": "control answers as it was evaluated"}
        notice = told(notice_of(entry("incident", **self.incident(baseline=done)), KNOWN))
        assert (notice.kind, notice.severity) == ("incident", "info")
        assert notice.title == "intent: what follows the rollback of intent@2 is done"
        assert notice.text == "baseline: control answers as it was evaluated"

    @pytest.mark.parametrize("result", ["differs", "missing", "given_up", "failed"])
    def test_one_that_somebody_should_see_to(self, result: str) -> None:
        steps = {"baseline": {"at": 4, "result": result, "says": "look"}}
        notice = told(notice_of(entry("incident", **self.incident(**steps)), KNOWN))
        assert notice.severity == "critical" and "not as it should be" in notice.title
        assert "baseline: look" in notice.text

    def test_one_that_is_open_or_added_to_is_no_news(self) -> None:
        opened = {**self.incident(), "closed_at": None}
        assert notice_of(entry("incident", **opened), KNOWN) is None
        assert notice_of(entry("incident", at=6, **self.incident()), KNOWN) is None

    @pytest.mark.parametrize(
        ("passed", "severity", "word"),
        [(True, "info", "passed"), (False, "critical", "failed"), (None, "info", "is over")],
    )
    def test_drills(self, passed: bool | None, severity: str, word: str) -> None:
        body = {"task": "intent", "fault": "errors", "why": "rolled back after 20 s"}
        notice = told(notice_of(entry("drill", passed=passed, **body), Context()))
        assert notice.title == f"intent: the drill {word} (errors)" and notice.severity == severity
        assert notice.text == "rolled back after 20 s"

    @pytest.mark.parametrize("word", ["approve", "adopt"])
    def test_a_yes_is_no_news(self, word: str) -> None:
        assert notice_of(entry("approval", decision=word, version="sha256:v2"), KNOWN) is None

    @pytest.mark.parametrize(
        ("word", "says"), [("revoke", "took back their word on it"), ("reject", "rejected it")]
    )
    def test_a_no_is(self, word: str, says: str) -> None:
        said = entry("approval", decision=word, version="sha256:v2", person="ana", why="no")
        notice = told(notice_of(said, Context(labels=KNOWN.labels)))
        assert notice.title == f"intent@2: ana {says}" and notice.text == "no"
        assert notice.task == "intent"

    @pytest.mark.parametrize("kind", ["epoch", "status", "configuration", "moon"])
    def test_anything_else_is_not(self, kind: str) -> None:
        assert kind not in ENTRIES
        assert notice_of(entry(kind, action="rollback", closed_at=5), KNOWN) is None


def test_without_anything_else_on_record() -> None:
    notice = told(decided("rollback", context=Context(), candidate="sha256:0f1e2d3c4b5a6978"))
    assert notice.title == "intent: 0f1e2d3c4b5a was rolled back"
    assert notice.link is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = """action code reason rollout task candidate control version decision person why by state
closed_at steps fault passed"""


@given(
    st.sampled_from(sorted(ENTRIES)),
    st.dictionaries(
        st.sampled_from(NAMES.split()), JSON | st.sampled_from(["hold", "revoke", "rollback"])
    ),
)
def test_no_entry_is_a_reason_to_fail(kind: str, body: dict[str, Any]) -> None:
    """A channel that chokes on one would tell of nothing any more."""
    notice = notice_of(entry(kind, **body), KNOWN)
    if notice is not None:
        assert notice.kind in KINDS and notice.title
        assert "\n" not in notice.title and len(notice.title) <= 150


def test_what_no_terminal_should_get_is_taken_out() -> None:
    notice = told(decided("rollback", reason="a\x1b[2Jb\x00\nc" + "x" * 5000))
    assert notice.text.startswith("a [2Jb \nc") and len(notice.text) == 2000


def test_plain() -> None:
    notice = told(decided("rollback"))
    assert plain(notice).splitlines() == [notice.text, f"Next: {notice.next}", notice.link]
    assert len(plain(told(decided("rollback", context=Context()))).splitlines()) == 2


def test_a_trial() -> None:
    notice = trial("ops", "test-1", 9)
    assert (notice.id, notice.kind, notice.at) == ("test-1", TEST, 9)
    assert "notify test ops" in notice.text and TEST not in KINDS


def test_what_is_usual_ends_something_or_waits_for_somebody() -> None:
    assert set(KINDS) - set(USUAL) == {"start", "widen", "pause"}


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_half_and_all_of_its_length(attempts: int, luck: float) -> None:
    full = min(10 * MINUTE, SECOND * 2 ** (attempts - 1)) if attempts < 64 else 10 * MINUTE
    assert full // 2 <= wait(attempts, None, luck) <= full
