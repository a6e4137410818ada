"""What no table can know by itself: people against each other, quorums against the environment."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from greenlight.config.locate import Path
from greenlight.config.making import CaptureSettings
from greenlight.config.reader import NAME, Reader
from greenlight.config.settings import Settings
from greenlight.core import windows
from greenlight.core.approval import Person, fill
from greenlight.core.metrics import COMPARED, METRICS
from greenlight.core.nearest import suggest
from greenlight.core.policy import ApprovalPolicy, GateRule

PUBLIC_KEY = "ed25519:"

ALWAYS_SIGN = ("ml_lead", "product_owner")
"""Roles without which nothing is approved anywhere (REQUIREMENTS G1)."""

PROD_SIGNS = (*ALWAYS_SIGN, "operations")
"""Roles without which nothing is approved in prod (REQUIREMENTS G1)."""

RESERVED = ("schedule", "feedback")
"""Initiators that are no people."""

_SECRET = re.compile(r"\b(?:glp|glk|gll)_[A-Za-z0-9_-]{8,}")


def complete(raw: dict[str, Any]) -> None:
    """Fill in the defaults that depend on the environment: in prod, operations signs too."""
    tasks = raw.get("tasks")
    if _environment(raw) != "prod" or not isinstance(tasks, dict):
        return
    for task in tasks.values():
        approval = task.setdefault("approval", {}) if isinstance(task, dict) else None
        if isinstance(approval, dict):
            approval.setdefault("quorum", dict.fromkeys(PROD_SIGNS, 1))


def inspect(raw: dict[str, Any], reader: Reader) -> None:
    """Report what is wrong between tables that are sound by themselves."""
    _refuse_secrets(raw, (), reader)
    _check_made(raw, reader)
    keys: dict[str, str] = {}
    for path, struct in list(reader.structs.items()):
        if isinstance(struct, Person):
            _check_person(struct, path, keys, reader)
        elif isinstance(struct, ApprovalPolicy):
            required = PROD_SIGNS if _environment(raw) == "prod" else ALWAYS_SIGN
            _check_quorum(struct, path, required, reader)
            _check_window(struct, path, reader)
        elif isinstance(struct, CaptureSettings) and _environment(raw) == "staging":
            _check_capture(struct, path, reader)
        elif isinstance(struct, GateRule):
            _check_gate(struct, path, reader)


def warnings(settings: Settings) -> list[str]:
    """What is valid but will stand in the way: a quorum that nobody could meet, no gate."""
    found = []
    for task in settings.tasks.values():
        where = f"tasks.{task.name}"
        offers = {person.name: person.roles for person in settings.people.values()}
        for role, count in fill(task.approval.quorum, offers)[1].items():
            found.append(
                f"{where}.approval.quorum: no one to sign for {count} × {role}: nothing can be "
                f"approved; add people with that role (each of them fills one place)"
            )
        if not task.gates:
            found.append(f"{where}.gates: there is none, so that no version can pass")
    return found


def _environment(raw: dict[str, Any]) -> object:
    project = raw.get("project")
    return project.get("environment") if isinstance(project, dict) else None


def _check_made(raw: dict[str, Any], reader: Reader) -> None:
    """What classifies or tags is made of data; a chat may be brought in without any."""
    tasks = raw.get("tasks")
    for name, task in tasks.items() if isinstance(tasks, dict) else ():
        if isinstance(task, dict) and task.get("kind") in ("classify", "tag"):
            for table in ("dataset", "train"):
                if table not in task:
                    reader.fault(("tasks", name, table), "missing")


def _check_person(person: Person, path: Path, keys: dict[str, str], reader: Reader) -> None:
    if person.name in RESERVED:
        reader.fault(path, "this name is reserved for what no person starts; take another")
    if not person.roles:
        reader.fault((*path, "roles"), 'at least one role, such as "ml_lead"')
    for index, role in enumerate(person.roles):
        if not NAME.fullmatch(role):
            reader.fault(
                (*path, "roles", index),
                f"{role!r}: a role has lower-case letters, digits, - and _, a letter first",
            )
    if _SECRET.search(person.key):
        return  # reported already, with every other secret
    if not _is_public_key(person.key):
        reader.fault(
            (*path, "key"),
            f"no public key ({PUBLIC_KEY} and 44 characters); "
            f"make one: greenlight keys person {person.name}",
        )
    elif person.key in keys:
        reader.fault(
            (*path, "key"), f"this is also the key of {keys[person.key]}; a key proves one person"
        )
    keys.setdefault(person.key, person.name)


def _check_quorum(
    policy: ApprovalPolicy, path: Path, required: Iterable[str], reader: Reader
) -> None:
    for role in required:
        if role not in policy.quorum:
            where = " in prod" if role not in ALWAYS_SIGN else ""
            reader.fault((*path, "quorum"), f"{role} always signs{where}; add {role} = 1")


def _check_window(policy: ApprovalPolicy, path: Path, reader: Reader) -> None:
    found = None if policy.release_window is None else windows.parse(policy.release_window)
    if found is not None and not _is_zone(found.zone):
        reader.fault(
            (*path, "release_window"),
            f"no time zone is called {found.zone!r}; write one such as Europe/Berlin or UTC",
        )


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _check_capture(capture: CaptureSettings, path: Path, reader: Reader) -> None:
    """Whoever looks at answers in staging must find some (REQUIREMENTS O0)."""
    if capture.share == 0:
        reader.fault(
            (*path, "share"),
            f"{capture.share}: in staging texts are kept; use more than 0, such as 1.0",
        )
    if {"input", "output"} <= set(capture.mask):
        reader.fault((*path, "mask"), "in staging texts are kept; leave out input, output or both")


def _check_gate(rule: GateRule, path: Path, reader: Reader) -> None:
    metric = str(path[-1])
    if metric not in METRICS:
        reader.fault(path, "no such metric" + suggest(metric, METRICS))
    elif rule.min_delta is not None and metric not in COMPARED:
        reader.fault(
            (*path, "min_delta"),
            f"{metric} is not compared with the live version's; these are: {', '.join(COMPARED)}",
        )


def _is_public_key(text: str) -> bool:
    if not text.startswith(PUBLIC_KEY):
        return False
    try:
        return len(base64.b64decode(text.removeprefix(PUBLIC_KEY), validate=True)) == 32
    except binascii.Error:
        return False


def _refuse_secrets(value: object, path: Path, reader: Reader) -> None:
    if isinstance(value, str) and _SECRET.search(value):
        reader.fault(
            path, "a secret in plain text; it belongs in the environment of its owner only"
        )
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        _refuse_secrets(item, (*path, key), reader)
