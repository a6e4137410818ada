"""[tasks.NAME.train.options]: a table whose fields a backend declares, and what is wrong in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from greenlight.core.errors import BadInput
from greenlight.core.nearest import suggest

S = TypeVar("S", bound=msgspec.Struct)


def shaped(
    kind: type[S], config: Mapping[str, Any], examples: Mapping[str, str]
) -> tuple[S | None, list[str]]:
    """Options by their form alone.

    Args:
        kind: declares the fields.
        config: the table.
        examples: field that is needed → what may stand there.

    Returns:
        The options, None where they have not the form; and what is wrong, each as
        `field: what, and the remedy`. Values are not shown: one may be a secret.
    """
    known = tuple(field.encode_name for field in msgspec.structs.fields(kind))
    wrong = [
        f"{name}: no such option{suggest(name, known)}; there are {', '.join(known)}"
        for name in sorted(config.keys() - set(known))
    ]
    missing = [name for name in examples if name not in config]
    wrong += [f'{name}: missing; write it as in {name} = "{examples[name]}"' for name in missing]
    if missing:
        return None, wrong
    try:
        return msgspec.convert({n: config[n] for n in config if n in known}, kind), wrong
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`") or "options"
        return None, [*wrong, f"{field}: {what[:1].lower()}{what[1:]}"]


def checked(kind: type[S], config: Mapping[str, Any], problems: Iterable[str]) -> S:
    """The options of a table in which nothing is wrong.

    Raises:
        BadInput: the first of the problems.
    """
    for problem in problems:
        raise BadInput(f"train.options.{problem}", problem.partition(":")[0])
    return msgspec.convert(dict(config), kind)
