"""`index.html`: the case by itself. No script, nothing fetched, every text escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from greenlight.core import aftermath
from greenlight.core.alarms import Reading
from greenlight.core.fingerprint import short
from greenlight.core.reasons import alarm, measured
from greenlight.core.records import SECOND
from greenlight.core.states import RolloutStatus, Variant
from greenlight.reporting.gallery import Picture
from greenlight.reporting.history import Proportion
from greenlight.reporting.incident import story
from greenlight.reporting.incident.dossier import Arm, Dossier, VersionFacts
from greenlight.reporting.incident.timeline import shorter, stamp
from greenlight.reporting.markup import Cell, Markup, document, escape, pictures, section, table
from greenlight.reporting.words import duration, rate

FILE = "index.html"
MOST = 60
"""Rows of the timeline; beyond that what changed nothing is left out."""

STYLE = """\
.numbers { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: 26px 0 0; }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 16px; }
.numbers dt { color: var(--muted); font-size: 13px; }
.numbers dd { margin: 2px 0 0; font-size: 22px; font-weight: 650; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
.numbers dd small { margin-top: 2px; letter-spacing: 0; }
.told { font-size: 17px; margin: 0; padding-left: 22px; }
.told li { margin: 6px 0; }
.plain { margin: 0; padding-left: 20px; }
.plain li { margin: 5px 0; }
pre { margin: 0 0 12px; padding: 14px 16px; overflow-x: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; font-size: 13px; }
a { color: var(--accent); }
.scroll + p, .scroll + .scroll { margin-top: 14px; }
figure { scrollbar-width: thin; }
@media (max-width: 640px) {
  .told { font-size: 16px; }
  .numbers { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .numbers dd { font-size: 19px; }
  figure { overflow-x: auto; }
  figure svg { width: 660px; }
  tbody th:not(.number) { min-width: 10.5em; }
  figcaption { position: sticky; left: 4px; width: calc(100vw - 44px); }
}
"""


def page(dossier: Dossier, drawn: Sequence[Picture], files: Sequence[tuple[str, str]]) -> str:
    """The page as text; equal arguments give equal pages.

    Args:
        dossier: the case.
        drawn: its figures.
        files: name and what it is, of every other file of the folder.
    """
    parts = [
        _header(dossier),
        section("What happened", [_story(dossier)]),
        section("When, why and for whom", _pictures(drawn)),
        section("Why it was decided", [_tests(dossier), _alarms(dossier)]),
        section("Whom it touched", [_arms(dossier)]),
        section("What was done afterwards", [_steps(dossier)]),
        _drill(dossier),
        section("Moment by moment", [_timeline(dossier)]),
        section("The versions", [_versions(dossier)]),
        section("What is not known", [_list(dossier.unknown)]),
        section("How to check it", [_verify(dossier)]),
        section("Files", [_files(files)]),
        f"<footer>Written by {escape(dossier.made_by)} at {_stamp(dossier.made_at)} from its "
        "records; it can be written again at any time.</footer>",
    ]
    title = f"{story.headline(dossier)}: evidence"
    return document(title, parts, STYLE)


def _header(dossier: Dossier) -> str:
    back = dossier.rollout.status == RolloutStatus.ROLLED_BACK
    what = (
        f"evidence of a {'drill' if dossier.rollout.drill else 'rollback' if back else 'rollout'}"
    )
    wrong = ""
    if dossier.decision is not None and not dossier.decision.recomputed:
        wrong = (
            '<aside class="warning"><h2>The evidence does not match</h2><p>At least one E '
            "recomputed from the journal differs from what a decision recorded. Do not rely on "
            "this before you know why.</p></aside>"
        )
    if dossier.steps.get(aftermath.BASELINE, {}).get("result") == "differs":
        says = escape(str(dossier.steps[aftermath.BASELINE]["says"]))
        wrong += (
            '<aside class="warning"><h2>Control is not as it was evaluated</h2>'
            f"<p>Traffic went back to it, and somebody must look: {says}.</p></aside>"
        )
    return (
        f'<header>\n<p class="eyebrow">Greenlight · {escape(dossier.rollout.task)} · {what}</p>\n'
        f"<h1>{escape(story.headline(dossier))}</h1>\n{wrong}{_numbers(dossier)}\n</header>"
    )


def _pictures(drawn: Sequence[Picture]) -> list[str]:
    """On a phone a figure is wider than the page: it scrolls, and so it takes the focus."""
    return [told.replace("<figure>", '<figure tabindex="0">') for told in pictures(drawn)]


def _numbers(dossier: Dossier) -> str:
    affected, spread = dossier.affected, dossier.propagation
    seconds = None if dossier.detection is None else dossier.detection.seconds
    base = dossier.steps.get(aftermath.BASELINE, {})
    cards = [
        ("users met it", f"{affected.units:,}", f"{affected.requests:,} of their requests"),
        (
            "from the first of them to the decision",
            "nobody met it" if seconds is None else duration(round(seconds * SECOND)),
            "",
        ),
        (
            "from the decision to every gateway",
            "not known"
            if spread is None or spread.worst_ms is None
            else f"{spread.worst_ms:,.0f} ms",
            "" if spread is None else f"{len(spread.gateways)} took it over",
        ),
        ("answers called BAD", f"{affected.bad:,}", f"{affected.good:,} called GOOD"),
        ("calls that failed", f"{affected.failed:,}", "control answers in the same call"),
    ]
    if dossier.rollout.status == RolloutStatus.ROLLED_BACK:
        words = {"confirmed": "as evaluated", "differs": "NOT as evaluated"}
        result = words.get(str(base.get("result")), "not known")
        cards.append(("what traffic went back to", result, ""))
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}"
        f"{f'<small>{escape(more)}</small>' if more else ''}</dd></div>\n"
        for name, value, more in cards
    )
    return f'<dl class="numbers">\n{rows}</dl>'


def _story(dossier: Dossier) -> str:
    rows = "".join(f"<li>{escape(line)}</li>\n" for line in dossier.story)
    return f'<ol class="told">\n{rows}</ol>'


def _tests(dossier: Dossier) -> str:
    decision = dossier.decision
    if decision is None:
        return "<p>No decision that ended it is on record.</p>"
    said = (
        f"<p>{_pill(decision.action.value)} <code>{escape(decision.code)}</code> "
        f"{escape(decision.reason)}</p>"
    )
    rows: list[list[Cell]] = [
        [
            Markup(f"{escape(test.about)}<small><code>{escape(test.test)}</code></small>"),
            ("number", test.e),
            ("number", test.threshold),
            Markup("<b>this decided</b>")
            if test.decided
            else ("reached" if test.reached else "not reached"),
        ]
        for test in sorted(decision.tests, key=lambda it: (not it.decided, not it.reached))
    ]
    rows += [
        [
            Markup(f"{escape(test)}<small>{escape(reason)}</small>"),
            ("number", "–"),
            ("number", "–"),
            "cannot be computed",
        ]
        for test, reason in decision.cannot_compute.items()
    ]
    if not rows:
        return said
    found = "was found again in the journal" if decision.recomputed else "was NOT found again"
    caption = (
        "E is what a bet on a test has won: 1 at the start, and no more than luck until it "
        f"reaches its threshold, however often one looks. Every E {found} when this was written."
    )
    head: list[Cell] = ["test", ("number", "E"), ("number", "threshold"), "at the decision"]
    return said + table(caption, head, rows)


def _alarms(dossier: Dossier) -> str:
    alarms = {} if dossier.decision is None else dossier.decision.alarms
    if not alarms:
        return "<p>No alarm was watched.</p>"
    rows: list[list[Cell]] = [
        [name, *(("number", _measured(name, it, arm)) for arm in _ARMS), ("wide", alarm(name, it))]
        for name, it in alarms.items()
    ]
    head: list[Cell] = ["alarm", *(("number", arm) for arm in _ARMS), "what it says"]
    return table("Declared alarms, as the decision saw them.", head, rows)


_ARMS = (Variant.CANDIDATE, Variant.CONTROL)


def _measured(name: str, reading: Reading, arm: Variant) -> str:
    value = None if arm not in reading.arms else reading.arms[arm].value
    return "–" if value is None else measured(name, value)


def _arms(dossier: Dossier) -> str:
    rows: list[list[Cell]] = [_arm(arm) for arm in reversed(dossier.arms)]
    head: list[Cell] = ["arm", *(("number", name) for name in _COLUMNS)]
    units = f"{dossier.affected.units:,} distinct users were assigned to the candidate."
    copies = (
        f" It got {dossier.affected.copies:,} copies of others' requests, whose answers nobody saw."
        if dossier.affected.copies
        else ""
    )
    return table(
        f"{units}{copies} GOOD and BAD count answers; the rate counts one outcome per user and "
        "split, with a 95% interval that may be watched.",
        head,
        rows,
    )


_COLUMNS = ("requests", "answered", "failed", "GOOD", "BAD", "GOOD rate", "mean latency")


def _arm(arm: Arm) -> list[Cell]:
    latency = "–" if arm.latency_ms is None else f"{arm.latency_ms:,.1f} ms"
    return [
        Markup(f"{escape(arm.label)}<small>{arm.variant}</small>"),
        *(("number", f"{n:,}") for n in (arm.requests, arm.served, arm.failed, arm.good, arm.bad)),
        ("number", _share(arm.good_rate)),
        ("number", latency),
    ]


def _steps(dossier: Dossier) -> str:
    if dossier.rollout.status != RolloutStatus.ROLLED_BACK:
        return "<p>It was not rolled back, so nothing had to be done.</p>"
    rows: list[list[Cell]] = []
    for step in aftermath.STEPS:
        known = dossier.steps.get(step, {})
        at = known.get("at")
        passed = "–" if at is None else duration(max(0, at - dossier.rollout.ended_at))
        says = "this folder" if step == aftermath.EVIDENCE else "not done when this was written"
        if at is not None:
            says = str(known.get("says", ""))
        rows.append([_DONE[step], ("number", passed), ("wide", says)])
    since = dossier.control_since
    if since is not None:
        over = duration(since.until - since.since)
        p95 = "not known" if since.p95_ms is None else f"{since.p95_ms:,.1f} ms"
        says = f"{since.requests:,} calls in {over}, {since.failed:,} failed, p95 {p95}"
        rows.append(["what the gateways saw of control", ("number", "–"), ("wide", says)])
    return table(
        "Time is counted from the decision. Each step is recorded as soon as it is done.",
        ["step", ("number", "after"), "what came of it"],
        rows,
    )


_DONE = {
    aftermath.PROPAGATED: "every gateway routes by it",
    aftermath.CACHES: "what was remembered of the candidate is dropped",
    aftermath.BASELINE: "control's evaluation is asked again",
    aftermath.EVIDENCE: "this evidence is written",
}


def _drill(dossier: Dossier) -> str:
    if not dossier.drill:
        return ""
    rows: list[list[Cell]] = [
        [_UNIT.sub(r" (\1)", name).replace("_", " "), ("wide", _value(value))]
        for name, value in dossier.drill.items()
        if name not in _ELSEWHERE and isinstance(value, str | int | float)
    ]
    caption = f"What the drill measured. It rehearsed: {dossier.rollout.drill}."
    return section("The drill", [table(caption, ["what", "value"], rows)])


_UNIT = re.compile("_(s|ms)$")
_ELSEWHERE = frozenset({"at", "bundle", "label", "result", "rollout", "says", "task"})
"""What a drill says that stands on the page anyway."""


def _value(value: str | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:,g}"


def _timeline(dossier: Dossier) -> str:
    shown = shorter(dossier.timeline, MOST)
    rows: list[list[Cell]] = [
        [
            ("number", f"{event.after_s:+,.3f} s"),
            Markup(f"<code class='name'>{escape(event.kind)}</code>"),
            ("wide", event.what),
            Markup(f"<time>{stamp(event.at)}</time>"),
        ]
        for event in shown
    ]
    left = len(dossier.timeline) - len(shown)
    more = f" {left:,} that changed nothing are in timeline.txt alone." if left else ""
    return table(
        f"Seconds count from the start, {stamp(dossier.rollout.started_at)}.{more}",
        [("number", "since the start"), "what", "in words", "UTC"],
        rows,
    )


def _versions(dossier: Dossier) -> str:
    candidate, control = (
        story.version(dossier, variant) for variant in (Variant.CANDIDATE, Variant.CONTROL)
    )

    rows: list[list[Cell]] = [
        _facts("label", candidate.label, control.label),
        _facts("stands as", candidate.status, control.status),
        _digests("version", candidate.digest, control.digest),
        _digests("bundle", candidate.bundle, control.bundle),
        _digests("dataset", candidate.dataset, control.dataset),
        _digests("evaluation", candidate.evaluation, control.evaluation),
        ["accuracy on test rows", _accuracy(candidate), _accuracy(control)],
        _facts("approved by", ", ".join(candidate.approved_by), ", ".join(control.approved_by)),
    ]
    policy = f"Judged by policy {dossier.rollout.policy_digest}, frozen at the start."
    return table(policy, ["", "candidate", "control"], rows)


def _facts(name: str, *values: str | None) -> list[Cell]:
    return [name, *(value or "–" for value in values)]


def _digests(name: str, *values: str | None) -> list[Cell]:
    cells: list[Cell] = [name]
    for value in values:
        digest = f'<code title="{escape(value)}">{escape(short(value))}</code>' if value else "–"
        cells.append(Markup(digest))
    return cells


def _accuracy(version: VersionFacts) -> Cell:
    return _share(version.accuracy) if version.accuracy else "not evaluated"


def _verify(dossier: Dossier) -> str:
    commands = "\n".join(escape(line) for line in dossier.verify)
    known = dossier.ledger
    signed = (
        f"The head of entry {known.signed_head.seq} was signed and published."
        if known.signed_head is not None
        else "No signed head was found beside the store."
    )
    return (
        f'<p>In the folder of greenlight.toml:</p>\n<pre tabindex="0">{commands}</pre>\n'
        f"<p>The first takes every decision again from the journal, the second checks the ledger "
        f"against its chain and its signed heads. <code>ledger.jsonl</code> has the "
        f"{known.entries:,} entries of this rollout, {known.first} to {known.last}, as they stand "
        "on the ledger, and the digests of those between them: each <code>digest</code> is the "
        "SHA-256 of the entry’s <code>seq</code>, <code>prev</code>, <code>kind</code>, "
        "<code>body</code> and <code>at</code> as JSON with sorted keys and no space, and each "
        f"<code>prev</code> is the digest before it. {signed} <code>manifest.json</code> has the "
        "SHA-256 of every file here.</p>"
    )


def _files(files: Sequence[tuple[str, str]]) -> str:
    rows: list[list[Cell]] = [
        [Markup(f'<a href="{escape(name)}"><code>{escape(name)}</code></a>'), what]
        for name, what in files
    ]
    return table("Beside this page.", ["file", "what it is"], rows)


def _list(items: Sequence[str]) -> str:
    rows = "".join(f"<li>{escape(item)}</li>\n" for item in items)
    return f'<ul class="plain">\n{rows}</ul>'


def _pill(action: str) -> str:
    tone = {"rollback": "stop", "promote": "go"}.get(action, "wait")
    return f'<span class="pill {tone}">{escape(action)}</span>'


def _share(share: Proportion | None) -> Markup:
    if share is None:
        return Markup("not known")
    return Markup(f"{escape(rate(share))}<small>n = {share.n:,}</small>")


def _stamp(at: int) -> str:
    return f"<time>{stamp(at)}</time>"
