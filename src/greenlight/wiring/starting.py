"""A project from nothing: greenlight.toml, keys of the people in it, and what git must not see."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from greenlight import config
from greenlight.config.templates import FORMS, PROMPT, Signer, prompt_of, render
from greenlight.core.errors import Refused, Unwritable
from greenlight.wiring.app import new_person
from greenlight.wiring.data import load_public
from greenlight.wiring.ledger import Random

KEYS = "keys"
"""The folder of the secret halves, for a first try on one machine."""

IGNORED = (".greenlight/", f"{KEYS}/", "data/", "artifacts/")
"""What the project's .gitignore keeps out: the store, secrets, what people wrote, what is made."""

EXAMPLE = "questions.csv"
"""The file of the template `file`, until it is replaced by rows of one's own."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    file: str
    template: str
    task: str
    written: tuple[str, ...]
    """Files that are new or were added to, the configuration first."""
    keys: dict[str, str]
    """Name → file of that person's secret key."""
    warnings: tuple[str, ...]
    """What will stand in the way, as `greenlight validate` says it."""


def start(
    file: Path,
    *,
    template: str,
    project: str,
    people: Mapping[str, Sequence[str]],
    random: Random,
) -> Started:
    """Write a greenlight.toml that is valid, and what belongs beside it. Nothing is overwritten.

    Where this fails, what it had written is removed again.

    Args:
        file: the configuration file to write.
        template: one of `config.templates.FORMS`.
        project: what the installation is called.
        people: name → roles of everybody who may sign; each gets a key.
        random: gives bytes from a cryptographic generator.

    Raises:
        Refused: the file or somebody's key is there already.
        ConfigError: a name that the configuration does not take.
        Unwritable: the folder cannot be written to.
    """
    folder = file.absolute().parent
    _refuse_existing(file, folder, people)
    with _undone_if_failed(folder) as made:
        secrets = {name: new_person(random) for name in people}
        text = render(template, project, _signers(people, secrets))
        warnings = _warnings(text, file)
        added = _ignore(folder / ".gitignore", made)
        for name, (secret, _) in secrets.items():
            _write_new(folder / KEYS / name, secret + "\n", made, mode=0o600)
        if template == "file" and not (folder / EXAMPLE).exists():
            _write_example(folder / EXAMPLE, made)
        if FORMS[template].prompted and not (folder / PROMPT).exists():
            _write_new(folder / PROMPT, prompt_of(template), made)
        # The last one, so that whoever is killed before it can begin anew.
        _write_new(file, text, made)
    return Started(
        file=str(file),
        template=template,
        task=FORMS[template].task,
        written=tuple(os.path.relpath(path, folder) for path in [*made[-1:], *made[:-1], *added]),
        keys={name: f"{KEYS}/{name}" for name in people},
        warnings=tuple(warnings),
    )


def _refuse_existing(file: Path, folder: Path, people: Mapping[str, Sequence[str]]) -> None:
    """Refuse before anything is written, so that the message can name the way out."""
    if file.exists():
        raise Refused(
            f"{file} is there already and is not overwritten; take another folder "
            "(greenlight -C FOLDER init), or move it away"
        )
    for name in people:
        if (folder / KEYS / name).exists():
            raise Refused(
                f"{folder / KEYS / name} is there already and is somebody's key; move it away, or "
                "name other people (--person NAME:ROLE)"
            )


@contextmanager
def _undone_if_failed(folder: Path) -> Iterator[list[Path]]:
    """Gives a list to note new files in; if the block fails they are removed."""
    made: list[Path] = []
    try:
        yield made
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Unwritable(
                f"{error.filename or folder} cannot be written: {error.strerror or error}; "
                "take a folder that you may write to (greenlight -C FOLDER init)"
            ) from error
        raise


def _signers(
    people: Mapping[str, Sequence[str]], secrets: Mapping[str, tuple[str, str]]
) -> list[Signer]:
    return [
        Signer(name=name, roles=tuple(people[name]), key=key) for name, (_, key) in secrets.items()
    ]


def _warnings(text: str, file: Path) -> list[str]:
    """What `greenlight validate` would warn of.

    Raises:
        ConfigError: the text is no valid configuration.
    """
    with tempfile.TemporaryDirectory(prefix="greenlight-init-") as scratch:
        draft = Path(scratch, file.name)
        draft.write_text(text, encoding="utf-8")
        return config.warnings(config.load(draft, {}))


def _write_new(path: Path, text: str, made: list[Path], mode: int = 0o644) -> None:
    """Write a file that must not be there yet.

    Raises:
        OSError: it is, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    made.append(path)
    with open(handle, "w", encoding="utf-8") as out:
        out.write(text)


def _write_example(path: Path, made: list[Path]) -> None:
    """The sample as a CSV file, so that the template runs before there are rows of one's own."""
    source = load_public("sample", _silent)
    path.touch(exist_ok=False)
    made.append(path)
    with path.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("text", "label"))
        for _, rows in source.chunks(lambda: 1000):
            table.writerows((row.text, row.label) for row in rows)


def _ignore(path: Path, made: list[Path]) -> list[Path]:
    """Have git keep out what is nobody's business; lines that are there stay as they are.

    Returns:
        The file, if lines were added to one that was there.
    """
    if not path.exists():
        _write_new(path, "".join(f"{line}\n" for line in IGNORED), made)
        return []
    text = path.read_text(encoding="utf-8")
    known = {line.strip().strip("/") for line in text.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in known]
    if not missing:
        return []
    between = "" if text.endswith("\n") or not text else "\n"
    with path.open("a", encoding="utf-8") as out:
        out.write(between + "".join(f"{line}\n" for line in missing))
    return [path]


def _silent(_share: float, _words: str) -> None:
    return None
