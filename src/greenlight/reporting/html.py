"""The report as one HTML file: no script, nothing fetched, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from greenlight.core.fingerprint import short
from greenlight.core.policy import RolloutPolicy
from greenlight.core.records import SECOND, Approval, Decision
from greenlight.core.words import power
from greenlight.reporting import style
from greenlight.reporting.figures import TEST_NAMES
from greenlight.reporting.gallery import Picture
from greenlight.reporting.history import History, Proportion
from greenlight.reporting.markup import Cell, Markup, document, escape, pictures, section, table
from greenlight.reporting.summary import RolloutSummary, Summary, VersionSummary
from greenlight.reporting.words import duration, rate

_TOLD = 3
"""Rollouts that the headline tells of: the newest ones."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a report shows."""

    summary: Summary
    histories: Sequence[History]
    """The rollouts of the summary, in the same order."""
    approvals: Sequence[Approval]
    pictures: Sequence[Picture]
    notes: Sequence[str] = ()
    """What a reader must know of this run: where the data came from, what was simulated."""
    files: Sequence[tuple[str, str]] = ()
    """(what it is, path) of everything that was written."""
    made_at: int
    """Microseconds since 1970."""


def write(path: str | Path, context: Context) -> None:
    """Write the page, making its folder if need be."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(context), encoding="utf-8")


def page(context: Context) -> str:
    """The page as text; equal contexts give equal pages."""
    task = context.summary.task
    colours = style.colours([version.digest for version in context.summary.versions])
    parts = [
        _header(context),
        _notes(context),
        section("Versions", [_versions(context.summary.versions, colours)]),
        section("Rollouts", [_rollouts(context.summary.rollouts)]),
        section("What happened", pictures(context.pictures)) if context.pictures else "",
        section("Decisions", [_decisions(context.histories)]),
        section("Approvals", [_approvals(context)]),
        section("Where it came from", [_lineage(context.summary)]),
        section("Files", [_files(context.files)]) if context.files else "",
        "<footer>Written by Greenlight. The ledger holds every decision and approval shown here; "
        "<code>greenlight audit verify</code> checks it.</footer>",
    ]
    return document(f"{task}: rollout report", parts)


def headline(summary: Summary) -> str:
    """What happened, in one sentence."""
    if not summary.rollouts:
        return f"No version of {summary.task} has met users in a rollout yet."
    told = [_clause(rollout) for rollout in summary.rollouts[-_TOLD:]]
    count = len(summary.rollouts)
    before = f"Of {count} rollouts the last {_TOLD}: " if count > _TOLD else ""
    return before + (", and ".join(told) if len(told) < 3 else "; ".join(told)) + "."


def _clause(rollout: RolloutSummary) -> str:
    took = duration(round(rollout.seconds * SECOND))
    if rollout.status == "promoted":
        return f"{rollout.candidate} was promoted after {took}"
    if rollout.status == "running":
        return f"{rollout.candidate} has been rolling out for {took}"
    if rollout.status == "inconclusive":
        return f"{rollout.candidate} ended without a decision after {took}"
    if rollout.status == "withdrawn":
        return f"{rollout.candidate} was withdrawn after {took}: its evidence could not be trusted"
    since = rollout.seconds_from_exposure
    if since is None:
        return f"{rollout.candidate} was rolled back after {took}, before any user met it"
    return (
        f"{rollout.candidate} was rolled back {duration(round(since * SECOND))} after it met its "
        f"first user ({_count(rollout.units_exposed, 'user')} met it, it answered "
        f"{_count(rollout.requests_served, 'request')})"
    )


def _header(context: Context) -> str:
    summary = context.summary
    data = f" Dataset: {summary.dataset}." if summary.dataset else ""
    agree = all(item.agrees for item in context.histories)
    replay = (
        " Every E shown was recomputed from the journal and equals what each decision recorded."
        if context.histories and agree
        else ""
    )
    wrong = (
        '<aside class="warning"><h2>The evidence does not match</h2><p>At least one E recomputed '
        "from the journal differs from what a decision recorded. Do not rely on this report before "
        "you know why.</p></aside>"
        if not agree
        else ""
    )
    made = f" Made {_stamp(context.made_at)}."
    return (
        f'<header>\n<p class="eyebrow">Greenlight · {escape(summary.task)} · rollout report</p>\n'
        f"<h1>{escape(headline(summary))}</h1>\n"
        f'<p class="lead">{escape(data + replay)}{made}</p>\n{wrong}</header>'
    )


def _notes(context: Context) -> str:
    items = [*context.notes, *standing_notes(context.histories)]
    rows = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<aside>\n<h2>How to read this</h2>\n<ul>{rows}</ul>\n</aside>"


def standing_notes(told: Sequence[History]) -> list[str]:
    """What has to be said of every report, and of the policies of these rollouts."""
    notes = []
    default = RolloutPolicy()
    rules = next((item.policy.rollout for item in told), default)
    if rules.feedback_window < default.feedback_window:
        steps = " and ".join(
            f"{step.weight:.0%} for at least {duration(step.soak)}" for step in rules.steps[:-1]
        )
        notes.append(
            f"This policy is in a hurry: {steps}, and feedback counts for "
            f"{duration(rules.feedback_window)} (a task's default is "
            f"{duration(default.feedback_window)}). Real users need longer."
        )
    if told:
        budget = told[0].policy.evidence
        notes.append(
            "E may be looked at any number of times. The chance that a harmless candidate is ever "
            f"rolled back is at most {budget.alpha_harm:.2g}, and that one no better than control "
            f"is ever promoted at most {budget.alpha_superiority:.2g}."
        )
    notes += [
        "A test that acts has shown that the candidate was worse (or better) than control at some "
        "time. It has not shown that it is so on average, or by how much.",
        "The intervals of live rates are 95% confidence sequences: they may be watched while the "
        "outcomes come in. They are here to be looked at; no decision rests on them.",
        "Live rates count one outcome per user and split, credited to the version the user was "
        "assigned to, even where control answered in its place.",
    ]
    if any(item.rollout.aa for item in told):
        notes.append(
            "An A/A rollout shows the same bundle on both sides: it should not be promoted."
        )
    return notes


def _versions(found: Sequence[VersionSummary], colours: dict[str, str]) -> str:
    rows: list[list[Cell]] = [
        [
            Markup(
                f'<span class="swatch" style="background:{colours[version.digest]}"></span>'
                f"{escape(version.label)}<small>{escape(short(version.digest))}</small>"
            ),
            version.backend,
            ("number", _share(version.accuracy)),
            ("number", _share(version.live)),
            _pill(version.status),
        ]
        for version in found
    ]
    return table(
        "Offline: accuracy on the test rows. Live: share of outcomes that are GOOD. Both with 95% "
        "intervals.",
        ["version", "backend", ("number", "offline"), ("number", "live"), "status"],
        rows,
    )


def _rollouts(found: Sequence[RolloutSummary]) -> str:
    rows: list[list[Cell]] = [
        [
            rollout.candidate + (" (A/A)" if rollout.aa else ""),
            rollout.control,
            _pill(rollout.status),
            ("number", duration(round(rollout.seconds * SECOND))),
            ("number", f"{rollout.max_weight:.0%}"),
            ("number", f"{rollout.units_exposed:,}"),
            ("number", f"{rollout.requests_served:,}"),
            ("number", f"{rollout.outcomes:,}"),
        ]
        for rollout in found
    ]
    head: list[Cell] = ["candidate", "against", "result"]
    head += [("number", name) for name in ("took", "largest share")]
    head += [("number", name) for name in ("users met", "requests answered", "outcomes tested")]
    return table("What each candidate was given, and what it cost to find out.", head, rows)


def _decisions(told: Sequence[History]) -> str:
    start = told[0].rollout.at if told else 0
    rows: list[list[Cell]] = [
        [
            ("number", Markup(f"+{(decision.at - start) / SECOND:,.2f} s")),
            item.candidate,
            _pill(decision.action.value),
            Markup(f'<code class="name">{escape(decision.code)}</code>'),
            ("wide", decision.reason),
            *(("number", _power_of(decision, test)) for test in _SHOWN),
        ]
        for item in told
        for decision in item.decisions
    ]
    since = f" Times count from {_stamp(start)}." if told else ""
    return table(
        Markup(f"Everything the controller decided; what changes nothing is not repeated.{since}"),
        [
            ("number", "time"),
            "candidate",
            "action",
            "code",
            "reason",
            *(("number", f"E: {TEST_NAMES[test]}") for test in _SHOWN),
        ],
        rows,
    )


_SHOWN = ("quality", "early_harm", "errors", "superiority")
"""The tests that a table of decisions has room for; the reason names every other one."""


def _power_of(decision: Decision, test: str) -> str:
    found = decision.evidence.get("log_e", {})
    return power(found[test]) if test in found else ""


def _approvals(context: Context) -> str:
    labels = {version.digest: version.label for version in context.summary.versions}
    rows: list[list[Cell]] = [
        [
            labels.get(word.version, word.version),
            word.person,
            ("name", word.role.replace(",", ", ")),
            _pill(word.decision),
            Markup(_stamp(word.at)),
            ("name", _digest(word.evaluation)),
            ("wide", word.why),
        ]
        for word in context.approvals
    ]
    return table(
        "Each word carries its speaker's signature and names the evaluation that they saw.",
        ["version", "who", "role", "word", "when", "evaluation", "why"],
        rows,
    )


def _lineage(summary: Summary) -> str:
    rows: list[list[Cell]] = [
        [version.label, what, Markup(f"<code>{escape(name)}</code>")]
        for version in summary.versions
        for what, name in (
            ("version", version.digest),
            ("dataset", version.dataset),
            ("run", version.run),
            ("bundle", version.bundle),
            ("evaluation", version.evaluation or "none"),
        )
    ]
    return table("Equal digests mean equal content.", ["version", "what", "digest or id"], rows)


def _files(files: Sequence[tuple[str, str]]) -> str:
    rows: list[list[Cell]] = [
        [what, Markup(f"<code>{escape(path)}</code>")] for what, path in files
    ]
    return table("Everything that was written.", ["what", "path"], rows)


_TONES = {
    "live": "go",
    "promoted": "go",
    "promote": "go",
    "approve": "go",
    "rolled_back": "stop",
    "rollback": "stop",
    "reject": "stop",
    "revoke": "stop",
    "hold": "wait",
    "inconclusive": "wait",
    "withdraw": "wait",
    "withdrawn": "wait",
    "shelved": "wait",
}


def _pill(status: str) -> Markup:
    tone = _TONES.get(status, "")
    return Markup(f'<span class="pill {tone}">{escape(status.replace("_", " "))}</span>')


def _share(share: Proportion | None) -> Markup:
    if share is None:
        return Markup("not known")
    return Markup(f"{escape(rate(share))}<small>n = {share.n:,}</small>")


def _digest(name: str) -> Markup:
    return Markup(f'<code title="{escape(name)}">{escape(short(name))}</code>')


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _stamp(at: int) -> str:
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'
