"""What to do next with a task, as the command to type: nobody has to look it up."""

from __future__ import annotations

from pathlib import Path

from greenlight.config.settings import TaskSettings
from greenlight.config.templates import PROMPT
from greenlight.core import drill, tuning_options
from greenlight.core.records import Version
from greenlight.core.states import VersionStatus
from greenlight.lookup import everything
from greenlight.stages.roll_out import active, current_epoch
from greenlight.wiring.app import App, standing
from greenlight.wiring.starting import KEYS

ADOPT = (
    "greenlight adopt {task} --url https://api.openai.com/v1 --model gpt-5-mini "
    '--key env:OPENAI_API_KEY -m "runs today"'
)
_ADOPT_SERVER = 'greenlight adopt {task} --url http://127.0.0.1:9000 -m "runs today"'
"""A model server of one's own (docs/http.md)."""
_ADOPT_PROMPT = (
    'greenlight adopt {task} --prompt {prompt} --url {url} --model {model}{key} -m "runs today"'
)
"""A model that is to be fine-tuned, and what it is asked as long as it is not."""
_SIGN = 'greenlight approve {version} -m "read its evaluation"'
_SIGNED = "GREENLIGHT_PERSON_KEY"


def next_step(app: App, task: str) -> str | None:
    """The command that brings a task nearer to a version before users.

    None where a version is live and none waits, or where a rollout is under way: then the
    evidence decides.

    Args:
        app: the open store and settings.
        task: a task of the configuration.
    """
    if active(app.store, task) is not None:
        return None
    versions = everything(app.store, Version, {"task": task})
    # A drill is nobody's next step: it is held when people want one.
    earnest = (version for version in versions if not drill.is_drill(version.runtime))
    made = sorted(earnest, key=lambda version: version.at)
    step = step_of(app, made[-1]) if made else None
    if step is not None or current_epoch(app.store, task) is not None:
        return step
    settings = app.settings.task(task)
    if settings.train.backend == tuning_options.BACKEND and settings.dataset.source == "feedback":
        return _by(app, _anybody(app, task)) + adopt_prompt(settings)
    if settings.train.backend != "none":
        return f"greenlight run {task}"
    adopt = ADOPT if settings.kind == "chat" else _ADOPT_SERVER
    return _by(app, _anybody(app, task)) + adopt.format(task=task)


def adopt_prompt(settings: TaskSettings) -> str:
    """How the model that is to be fine-tuned goes live as it is: without answers there is nothing
    to learn from."""
    found = tuning_options.read(settings.train.options)
    return _ADOPT_PROMPT.format(
        task=settings.name,
        prompt=found.prompt or PROMPT,
        url=found.url,
        model=found.model,
        key=f" --key {found.key}" if found.key else "",
    )


def step_of(app: App, version: Version) -> str | None:
    """What the newest version waits for; None where it is live or has come to its end."""
    if version.status is VersionStatus.REGISTERED:
        return f"greenlight eval run {version.label}"
    if version.status is VersionStatus.EVALUATED:
        return _by(app, _missing(app, version)) + _SIGN.format(version=version.label)
    if version.status is VersionStatus.APPROVED:
        return f"greenlight rollout start {version.task} {version.label}"
    return None


def _missing(app: App, version: Version) -> str | None:
    """Somebody whose signature the quorum still lacks; who made it cannot sign for it."""
    quorum = standing(app, version)
    done = {version.initiator, *(person for _, person in quorum.counted)}
    for role, _ in quorum.missing:
        for person in app.settings.people.values():
            if role in person.roles and person.name not in done:
                return person.name
    return None


def signatures(app: App, version: Version, why: str, *, but: str) -> list[str]:
    """The commands by which those sign whose word a version lacks, one for each role.

    Args:
        app: the open store and settings.
        version: what is to be signed.
        why: the reason to give.
        but: who cannot sign.
    """
    quorum = standing(app, version, initiator=but)
    done = {version.initiator, but, *(person for _, person in quorum.counted)}
    found = []
    for role, _ in quorum.missing:
        able = (one.name for one in app.settings.people.values() if role in one.roles)
        who = next((name for name in able if name not in done), None)
        done.add(who or "")
        said = "" if who else f"      # nobody else is {role}: add somebody in [people]"
        found.append(f'{_by(app, who)}greenlight approve {version.label} -m "{why}"{said}')
    return found


def _anybody(app: App, task: str) -> str | None:
    """Somebody who signs for a task."""
    roles = set(app.settings.task(task).approval.quorum)
    for person in app.settings.people.values():
        if roles & set(person.roles):
            return person.name
    return None


def _by(app: App, person: str | None) -> str:
    """The variable with a person's key, before a command that takes it.

    Their own file of it, where `greenlight init` put one; else a word for what only they know.
    """
    if person is None:
        return ""
    own = Path(app.settings.root, KEYS, person)
    return f"{_SIGNED}=$(cat {KEYS}/{person}) " if own.is_file() else f"{_SIGNED}=glp_… "
