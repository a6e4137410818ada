"""Filing the evidence of a rollout: a folder that stands by itself (REQUIREMENTS O3)."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from greenlight import artifacts, release
from greenlight.adapters import ledger_files, screenshots
from greenlight.core.errors import Refused, Tampered
from greenlight.core.records import MINUTE, SECOND, Decision, Rollout
from greenlight.wiring import logs
from greenlight.wiring.app import App

FOLDER = "evidence"
"""Beside greenlight.toml; a folder for each rollout."""
KIND = "evidence"
"""What the manifest of such a folder says it is."""
PAGE, PICTURE, LOG = "page.html", "page.png", "log.txt"

_BEFORE = MINUTE
"""The log begins so long before the rollout."""
_LEFT_BEHIND = 10 * MINUTE
"""A half-made folder that is older is that of a process which was killed."""
_ROUNDS = 5


def write_evidence(
    app: App,
    rollout: Rollout,
    folder: Path | None = None,
    *,
    drill: Mapping[str, Any] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Path:
    """Write the evidence folder of a rollout that has ended, from the store alone.

    It may be written again at any time; nobody ever sees half of it.

    Args:
        app: the open store and settings.
        rollout: the rollout.
        folder: where; by default `evidence/ID` beside greenlight.toml.
        drill: what a drill measured; by default what the incident has of it.
        check: called between the parts; what it raises ends the writing, and leaves nothing.

    Returns:
        Where it is.

    Raises:
        Refused: the rollout has not ended, or something else is in the place of the folder.
        Unwritable: the place takes no folder.
    """
    rollout = app.store.get(Rollout, rollout.id) or rollout
    if rollout.ended_at is None:
        raise Refused(
            f"rollout {rollout.id} has not ended; see how it stands: greenlight status "
            f"{rollout.task}"
        )
    target = folder or Path(app.settings.root, FOLDER, rollout.id)
    _check_place(target, rollout)
    with artifacts.writing(target.parent), _half_made(app, target) as half:
        _write(app, rollout, half, target, drill, check)
        _put(half, target, app)
    return target


def _write(
    app: App,
    rollout: Rollout,
    half: Path,
    target: Path,
    drill: Mapping[str, Any] | None,
    check: Callable[[], None],
) -> None:
    from greenlight.reporting.incident import folder
    from greenlight.reporting.incident.gather import gather
    from greenlight.wiring.pages import rollout_page

    page = rollout_page(app, rollout)
    (half / PAGE).write_bytes(page)
    files = [(PAGE, "the page of the rollout, as the dashboard shows it")]
    notes = []
    fault = screenshots.take(page, half / PICTURE, check=check)
    if fault is None:
        files.append((PICTURE, "a picture of it"))
    else:
        notes.append(f"There is no picture of the rollout’s page: {fault}.")
    said, note = _log(app, rollout, target)
    (half / LOG).write_text(said, encoding="utf-8")
    files.append((LOG, "the log of the process that decided, around the rollout"))
    now = app.clock.now()
    found = gather(
        app.store,
        rollout,
        now=now,
        made_by=str(release.build()),
        signed_head=ledger_files.last_head(app.settings.heads_path),
        drill=drill,
        notes=[*notes, *note],
    )
    check()
    folder.write(half, found, files)
    artifacts.seal(
        half, {"kind": KIND, "rollout": rollout.id, "task": rollout.task, "made_at": now}
    )


# The log


def _log(app: App, rollout: Rollout, target: Path) -> tuple[str, list[str]]:
    """The lines of the deciding process around the rollout, and what is not known if they are not
    to be had: they are in that process alone, and in the folder that it has written."""
    tail = logs.newest()
    if tail is not None:
        lines = tail.between(rollout.at - _BEFORE, app.clock.now())
        if any(reason in line for reason in _reasons(app, rollout) for _, line in lines):
            head = f"# the log of {tail.process}, which decided; requests are left out\n"
            return head + "".join(f"{_stamp(at)} {line}\n" for at, line in lines), []
    kept = _kept_log(target)
    if kept is not None:
        return kept, []
    none = "The log of the process that decided is not here: it was written elsewhere, or is gone."
    return f"# {none}\n", [none]


def _reasons(app: App, rollout: Rollout) -> list[str]:
    """What the deciding process has logged of the end."""
    found = app.store.scan(Decision, {"rollout": rollout.id}, newest_first=True, limit=1)
    return [" ".join(decision.reason.split()) for decision in found]


def _kept_log(target: Path) -> str | None:
    """The log in the folder as it was written before, if nobody has changed that."""
    try:
        artifacts.unseal(target)
        kept = (target / LOG).read_text(encoding="utf-8")
    except (OSError, Tampered):
        return None
    return kept if kept.startswith("# the log of ") else None


def _stamp(at: int) -> str:
    from greenlight.reporting.incident.timeline import stamp

    return stamp(at)


# The place


def _check_place(target: Path, rollout: Rollout) -> None:
    """Refuse to put the folder where something else is."""
    if not target.exists():
        return
    try:
        manifest = artifacts.unseal(target)
    except Tampered:
        manifest = {}
    own = manifest.get("kind") == KIND and manifest.get("rollout") == rollout.id
    if not own and (not target.is_dir() or any(target.iterdir())):
        raise Refused(
            f"{target}: it holds something else than the evidence of rollout {rollout.id}, or that "
            "was changed; choose another folder, or move it away"
        )


@contextmanager
def _half_made(app: App, target: Path) -> Iterator[Path]:
    """A folder beside the target for what is half made; what others left behind goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}-"
    oldest = (app.clock.now() - _LEFT_BEHIND) / SECOND
    for left in target.parent.glob(f"{prefix}*"):
        if left.stat().st_mtime < oldest:
            shutil.rmtree(left, ignore_errors=True)
    half = target.with_name(prefix + app.random(4).hex())
    half.mkdir()
    try:
        yield half
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _put(half: Path, target: Path, app: App) -> None:
    """Put the folder in its place, and what was there away."""
    for attempt in range(_ROUNDS):
        old = target.with_name(f".{target.name}-{app.random(4).hex()}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(target, old)
        try:
            os.rename(half, target)
        except OSError:  # somebody else has put one there just now
            if attempt == _ROUNDS - 1:
                raise
        else:
            return
        finally:
            shutil.rmtree(old, ignore_errors=True)
