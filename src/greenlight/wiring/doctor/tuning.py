"""The providers at which some tasks have models fine-tuned: asked for their jobs, which is free."""

from __future__ import annotations

from collections.abc import Iterator

from greenlight.core import credentials, tuning_options
from greenlight.wiring.doctor.asking import Silent, get
from greenlight.wiring.doctor.finding import Finding, Subject, ok, warning

JOBS = "/fine_tuning/jobs"


def providers(subject: Subject) -> Iterator[Finding]:
    """Each address and key once. Users do not meet them, so nothing is worse than a warning."""
    places: dict[tuple[str, str | None], list[str]] = {}
    for task in subject.settings.tasks.values():
        if task.train.backend == tuning_options.BACKEND:
            options = tuning_options.read(task.train.options)
            places.setdefault((options.url.rstrip("/"), options.key), []).append(task.name)
    for (url, reference), names in places.items():
        yield _provider(subject, url, reference, ", ".join(names))


def _provider(subject: Subject, url: str, reference: str | None, tasks: str) -> Finding:
    key = None
    if reference is not None:
        key, wrong = credentials.look_up(reference, subject.environ)
        if wrong is not None:
            return _bad(f"train.options.key: {wrong} ({tasks})", "see that the worker has it, too")
    url += JOBS
    try:
        status = get(f"{url}?limit=1", key=key, patience=subject.patience).status
    except Silent as silent:
        return _bad(f"{url}: {silent} ({tasks})", "let this machine and the worker's reach it")
    said = f"{url}: answers {status} ({tasks})"
    if status == 200:
        shown = "the key is accepted" if key is not None else "no key is needed"
        return ok("training", f"{said}; {shown}, and nothing was spent")
    if status in (401, 403):
        if reference is None:
            return _bad(f"{said}: it wants a key", 'name its variable: train.options.key = "env:…"')
        return _bad(f"{said}: the key is refused", f"put a valid key into {reference}")
    if status in (404, 405, 501):
        return _bad(f"{said}: it fine-tunes nothing there", "correct train.options.url")
    return _bad(said, "see the provider's status page, and try again in a moment")


def _bad(what: str, fix: str) -> Finding:
    return warning("training", what, fix)
