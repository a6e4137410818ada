"""What the pages of people ask of one installation: signing in and off, versions, relabelling."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from greenlight.core import chat, reasoned
from greenlight.core import evaluation as documents
from greenlight.core.errors import Tampered
from greenlight.core.records import Approval, Evaluation, Inference, Rollout, Version
from greenlight.dashboard import approvals, people, relabel, versions
from greenlight.dashboard import judging as judge
from greenlight.dashboard.approvals import Approvals, Case, Decided, SignOff
from greenlight.dashboard.http import Around, Request
from greenlight.dashboard.judging import Judging, Panel
from greenlight.dashboard.people import Door, Session
from greenlight.dashboard.relabel import Desk, Given, Relabelling, Waiting
from greenlight.dashboard.site import Route
from greenlight.dashboard.versions import Archive, Source, Told, Versions
from greenlight.lookup import (
    everything,
    find_version,
    initiators,
    passed_evaluations,
    unjudged_answers,
)
from greenlight.reporting import lineage
from greenlight.reporting.lineage import Lineage
from greenlight.serving.wire import FeedbackItem
from greenlight.stages.relabel import known_labels
from greenlight.wiring.app import App, person_of, sign_off, standing
from greenlight.wiring.data import label_answer, relabel_queue
from greenlight.wiring.evaluating import evaluation_of
from greenlight.wiring.papers import facts_of, gates_of

Hear = Callable[[FeedbackItem], None]
"""Takes feedback from a thread, durably."""

_REMEMBERED = 64
"""Versions whose rows have been counted, for a data set is read through for it."""


class PeoplePages(NamedTuple):
    """What `dashboard.site.Site` is to be given of these pages."""

    routes: tuple[Route, ...]
    around: Around
    shared: Callable[[Request], dict[str, Any]]
    """`person`, `csrf` and `notice`."""
    nav: tuple[tuple[str, str], ...]
    """Path and text of those that every page leads to."""


def build_people_pages(app: App, hear: Hear, *, alone: bool = True) -> PeoplePages:
    """The pages of people over the installation's store.

    Args:
        app: the open store and settings.
        hear: takes feedback from a thread, durably.
        alone: False where other processes answer at the same address, which would not know who
            has signed in here.
    """
    door = Door(
        functools.partial(person_of, app.settings),
        now=app.clock.now,
        random=app.random,
        alone=alone,
    )
    signing = Approvals(_sign_off(app), door)
    shown = Versions(_archive(app))
    labelling = Relabelling(_desk(app), door)
    judging = Judging(_panel(app, hear), door)
    routes: tuple[Route, ...] = (
        ("GET", people.SIGN_IN, door.ask),
        ("POST", people.SIGN_IN, door.sign_in),
        ("POST", people.SIGN_OUT, door.sign_out),
        ("GET", approvals.PATH, signing.all),
        ("GET", f"{approvals.PATH}/{{label}}", signing.one),
        ("POST", f"{approvals.PATH}/{{label}}", signing.decide),
        ("GET", versions.PATH, shown.all),
        ("GET", f"{versions.PATH}/{{label}}", shown.one),
        ("GET", judge.PATH, judging.tasks),
        ("GET", f"{judge.PATH}/{{task}}", judging.queue),
        ("POST", f"{judge.PATH}/{{task}}", judging.judge),
        ("GET", relabel.PATH, labelling.tasks),
        ("GET", f"{relabel.PATH}/{{task}}", labelling.queue),
        ("POST", f"{relabel.PATH}/{{task}}", labelling.label),
    )
    nav = (
        (versions.PATH, "Versions"),
        (approvals.PATH, "Approvals"),
        (judge.PATH, "Judge"),
        (relabel.PATH, "Relabel"),
    )
    return PeoplePages(routes, door.around, door.shared, nav)


def _sign_off(app: App) -> SignOff:
    return SignOff(
        versions=lambda: [v for v in _newest(app) if v.task in app.settings.tasks],
        standing=lambda version: standing(app, version, as_control=True),
        case=functools.partial(_case, app),
        decide=functools.partial(_decide, app),
    )


def _case(app: App, label: str) -> Case:
    version = find_version(app.store, label)
    name = evaluation_of(app, version)
    if name not in passed_evaluations(app.store, version):
        name = None
    found = None if name is None else app.store.get(Evaluation, name)
    warned = [] if found is None else documents.warnings(found.document)
    return Case(
        version=version,
        evaluation=name,
        gates=[] if found is None else gates_of(app, found),
        warnings=[str(warning["reason"]) for warning in warned],
        quorum=standing(app, version, as_control=True),
        words=_words(app, version),
        initiators=sorted(initiators(app.store, version)),
    )


def _decide(app: App, session: Session, version: Version, given: Decided) -> Approval:
    """Sign and record somebody's word, and publish what the ledger has become."""
    word = sign_off(
        app,
        version,
        secret=session.secret,
        decision=given.decision,
        why=given.why,
        evaluation=given.evaluation,
    )
    app.publisher.publish()
    return word


def _archive(app: App) -> Archive:
    trace = functools.lru_cache(_REMEMBERED)(functools.partial(_trace, app))
    return Archive(versions=lambda: _newest(app), told=lambda label: _told(app, label, trace))


def _trace(app: App, digest: str, gone: tuple[str | None, ...]) -> Lineage:
    """Where a version comes from; what is remembered of it holds while the same rows are there."""
    return lineage.trace(app.store, app.raw, app.datasets, find_version(app.store, digest))


def _told(app: App, label: str, trace: Callable[[str, tuple[str | None, ...]], Lineage]) -> Told:
    store = app.store
    version = find_version(store, label)
    links = lineage.links(store, app.raw, app.datasets, version)
    traced, stages, problem = None, lineage.stages(store, version), ""
    try:
        traced = trace(version.digest, tuple(link.gone for link in links)).count
    except Tampered as error:
        problem = str(error)
    passed = set(passed_evaluations(store, version))
    made = everything(store, Evaluation, {"version": version.digest})
    rollouts = _rollouts(app, version)
    return Told(
        facts=facts_of(app, version, traced),
        quorum=(
            standing(app, version, as_control=True) if version.task in app.settings.tasks else None
        ),
        evaluations=[(one, one.digest in passed) for one in sorted(made, key=lambda one: -one.at)],
        stages=stages,
        sources=[
            Source(digest=link.digest, name=link.name, gone=link.gone, facts=link.facts)
            for link in links
        ],
        rollouts=rollouts,
        labels={v.digest: v.label for v in everything(store, Version)},
        problem=problem,
    )


def _rollouts(app: App, version: Version) -> list[Rollout]:
    """The rollouts that a version was in, the newest first."""
    found = {
        rollout.id: rollout
        for arm in ("candidate", "control")
        for rollout in everything(app.store, Rollout, {arm: version.digest})
    }
    return sorted(found.values(), key=lambda rollout: -rollout.at)


def _desk(app: App) -> Desk:
    def label(task: str, given: Given, reviewer: str) -> None:
        app.settings.task(task)
        label_answer(
            app,
            given.inference,
            given.label,
            task=task,
            reviewer=reviewer,
            why=given.why.strip() or None,
        )

    return Desk(
        tasks=lambda: [t.name for t in app.settings.tasks.values() if t.kind != "chat"],
        queue=functools.partial(_queue, app),
        label=label,
    )


def _queue(app: App, task: str, most: int) -> list[Waiting]:
    found = relabel_queue(app, task, most)
    if app.settings.task(task).kind == "tag":  # mended word by word, not chosen from a list
        return [
            Waiting(**msgspec.structs.asdict(one), labels=(), draft=one.answer) for one in found
        ]
    configured = app.settings.task(task).dataset.labels
    return [
        Waiting(**msgspec.structs.asdict(one), labels=configured or _labels(app, one.inference))
        for one in found
    ]


def _panel(app: App, hear: Hear) -> Panel:
    def take(given: judge.Verdict, reviewer: str) -> None:
        hear(
            FeedbackItem(
                inference_id=given.inference,
                value=given.value,
                reason_code=given.reason_code.strip() or None,
                comment=given.comment.strip() or None,
                reviewer=reviewer,
            )
        )

    def unjudged(task: str, most: int) -> list[judge.Unjudged]:
        kind = app.settings.task(task).kind
        return [
            judge.Unjudged(
                inference=one.id,
                asked=chat.spoken(one.input) if kind == "chat" else [("", one.input)],
                answer=reasoned.whole(one.output, one.reason),
                at=one.at,
            )
            for one in unjudged_answers(app.store, task, most)
        ]

    return Panel(tasks=lambda: sorted(app.settings.tasks), unjudged=unjudged, hear=take)


def _labels(app: App, inference: str) -> Sequence[str]:
    """What the version that gave an answer knows."""
    found = app.store.get(Inference, inference)
    return () if found is None else known_labels(app.store, found)


def _newest(app: App) -> list[Version]:
    return sorted(everything(app.store, Version), key=lambda version: -version.at)


def _words(app: App, version: Version) -> list[Approval]:
    found = everything(app.store, Approval, {"version": version.digest})
    return sorted(found, key=lambda word: (word.at, word.id))
