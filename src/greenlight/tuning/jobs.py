"""Fine-tuning jobs: what may be asked for, and what is told of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from greenlight.core.errors import BadInput
from greenlight.tuning.catalog import Catalog
from greenlight.tuning.runner import Runner
from greenlight.tuning.state import State
from greenlight.tuning.wire import (
    OPEN,
    PURPOSE,
    FileObject,
    Hyperparameters,
    Job,
    JobRequest,
    Method,
    Page,
    Problem,
    Supervised,
    page,
)

_METADATA = "metadata["
_NUMBER = re.compile(r"[0-9]{1,6}")


def create(state: State, catalog: Catalog, runner: Runner, asked: JobRequest) -> Job:
    """Begin a job.

    Raises:
        BadInput: hyperparameters in two places.
        Problem: no such model or file.
    """
    if asked.method is not None and asked.hyperparameters is not None:
        raise BadInput("hyperparameters: give them in `method` alone", "hyperparameters")
    method = asked.method or Method(
        type="supervised",
        supervised=Supervised(hyperparameters=asked.hyperparameters or Hyperparameters()),
    )
    catalog.one(asked.model)
    for param, id in (
        ("training_file", asked.training_file),
        ("validation_file", asked.validation_file),
    ):
        if id is not None:
            _check_file(state, param, id)
    job = Job(
        id=state.fresh("ftjob-"),
        model=asked.model,
        training_file=asked.training_file,
        validation_file=asked.validation_file,
        created_at=state.seconds(),
        seed=state.seed() if asked.seed is None else asked.seed,
        hyperparameters=method.supervised.hyperparameters,
        method=method,
        metadata=asked.metadata,
        user_provided_suffix=asked.suffix,
    )
    state.add(job)
    state.tell(job.id, f"Created fine-tuning job: {job.id}")
    runner.submit(job)
    return job


def cancel(state: State, runner: Runner, id: str) -> Job:
    """End a job.

    Raises:
        Problem: there is none (404), or it is over (400).
    """
    job = state.get(Job, id)
    found = runner.cancel(id) if job.status in OPEN else None
    if found is None:
        status = state.get(Job, id).status
        raise Problem(400, "invalid_request", f"{id} is over already: it has {status}", "id")
    return found


def listed(state: State, query: Mapping[str, str]) -> Page:
    """A page of the jobs, newest first; `metadata[k]=v` takes those that carry it.

    Raises:
        BadInput: parameters that are none.
    """
    wanted = {
        name[len(_METADATA) : -1]: value
        for name, value in query.items()
        if name.startswith(_METADATA) and name.endswith("]")
    }
    rest = {name: value for name, value in query.items() if not name.startswith(_METADATA)}
    after, limit = paging(rest, 20)
    if not wanted:
        return page(state.list(Job, after=after, limit=limit + 1), limit)
    found = [
        job
        for job in state.list(Job, after=after)
        if wanted.items() <= (job.metadata or {}).items()
    ]
    return page(found, limit)


def of_job(state: State, kind: Any, id: str, query: Mapping[str, str], default: int) -> Page:
    """A page of a job's events or checkpoints, newest first.

    Raises:
        Problem: there is no such job (404).
        BadInput: parameters that are none.
    """
    state.get(Job, id)
    after, limit = paging(query, default)
    return page(state.list(kind, parent=id, after=after, limit=limit + 1), limit)


def paging(
    query: Mapping[str, str], default: int, most: int = 10_000, known: Sequence[str] = ()
) -> tuple[str | None, int]:
    """Where a page begins, and how long it is.

    Raises:
        BadInput: a limit that is none, or an unknown parameter.
    """
    unknown = sorted(query.keys() - {"after", "limit", *known})
    if unknown:
        raise BadInput(f"unknown parameter {unknown[0]!r} in the query", unknown[0])
    limit = query.get("limit", str(default))
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= most:
        raise BadInput(f"limit: {limit!r}; give 1 to {most}", "limit")
    return query.get("after"), int(limit)


def _check_file(state: State, param: str, id: str) -> None:
    file = state.find(FileObject, id)
    if file is None:
        raise Problem(400, "invalid_request", f"{param}: there is no file {id!r}", param)
    if file.purpose != PURPOSE:
        told = f"{param}: {id!r} has purpose {file.purpose!r}, and must have {PURPOSE!r}"
        raise Problem(400, "invalid_request", told, param)
