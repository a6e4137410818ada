"""What `greenlight init` writes: a greenlight.toml that works as it is and says what to change.

The texts lie beside this file. A template is the head, a body of its own, and the tail, with names
in the places of `$…`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template

import msgspec

PROMPT = "prompt.txt"
"""The file of a prompt in a new project."""


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One template."""

    task: str
    """The name of its task."""
    line: str
    """What it is for."""
    accuracy: float | None = None
    """The gate of the first version; None where the template itself says how one is made."""
    prompted: bool = False
    """Whether a prompt lies beside it, for a language model; written as `PROMPT`."""


FORMS: Mapping[str, Form] = {
    "sample": Form(task="desk", line="a small data set that comes with Greenlight", accuracy=0.65),
    "file": Form(task="questions", line="rows of your own in a CSV file", accuracy=0.65),
    "banking": Form(task="intent", line="BANKING77: questions to a bank", accuracy=0.85),
    "entities": Form(task="entities", line="WNUT-2017: names in posts, as tags of words"),
    "judge": Form(task="judge", line="a language model that judges, and why", prompted=True),
    "posts": Form(task="posts", line="a language model that writes for readers", prompted=True),
    "chat": Form(task="support", line="in front of an OpenAI-compatible provider"),
}
"""Name → template; the first one is the default."""


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the file: name, roles, and public key."""

    name: str
    roles: tuple[str, ...]
    key: str


def render(name: str, project: str, people: Sequence[Signer]) -> str:
    """The text of a greenlight.toml.

    Args:
        name: one of `FORMS`.
        project: what the installation is called.
        people: who may sign.
    """
    form = FORMS[name]
    parts = ["head", name, *(["making"] if form.accuracy is not None else []), "tail"]
    text = "".join(_part(part) for part in parts)
    return Template(text).substitute(
        template=name,
        task=form.task,
        accuracy=form.accuracy,
        # A JSON string is a TOML string.
        project=json.dumps(project, ensure_ascii=False)[1:-1],
        people="\n\n".join(_table(person) for person in people),
    )


def prompt_of(name: str) -> str:
    """What a template's model is asked, or told before every chat.

    Args:
        name: one of `FORMS` that is prompted.
    """
    return _text(f"{name}.txt")


def _part(name: str) -> str:
    return _text(f"{name}.toml")


def _text(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")


def _table(person: Signer) -> str:
    roles = ", ".join(f'"{role}"' for role in person.roles)
    return f'[people.{person.name}]\nroles = [{roles}]\nkey = "{person.key}"'
