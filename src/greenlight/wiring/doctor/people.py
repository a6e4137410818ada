"""Keys: of people who sign, and of the installation that signs the ledger's head."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from greenlight.adapters.signing import LEDGER_PREFIX
from greenlight.core.errors import GreenlightError, UserError
from greenlight.wiring.app import person_of, public_key
from greenlight.wiring.doctor.finding import Finding, Subject, fault, ok, warning
from greenlight.wiring.doctor.store import folder
from greenlight.wiring.ledger import KEY_FILE, PUBLIC_FILE, own_public_key
from greenlight.wiring.starting import KEYS

PERSON = "GREENLIGHT_PERSON_KEY"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def people(subject: Subject) -> Iterator[Finding]:
    """The key at hand, and the keys that `greenlight init` put into files."""
    named = subject.settings.people
    if not named:
        yield warning(
            "people",
            "nobody may sign: nothing can be approved or adopted",
            "add people: greenlight keys person NAME --role ROLE",
        )
    secret = subject.environ.get(PERSON)
    if secret:
        try:
            signer = person_of(subject.settings, secret)
        except UserError as error:
            yield fault("people", f"{PERSON}: {error}", "put your own key there, or unset it")
        else:
            yield ok("people", f"{PERSON} is {signer.name}'s ({', '.join(signer.roles)})")
    for person in named.values():
        file = Path(subject.settings.root, KEYS, person.name)
        if file.is_file():
            yield _kept(file, person.key)
    if named:
        yield ok("people", f"{len(named)} may sign: {', '.join(sorted(named))}")


def _kept(file: Path, expected: str) -> Finding:
    """A secret in a file: whether it is theirs, and nobody else's to read."""
    try:
        found = public_key(file.read_text(encoding="utf-8").strip())
    except (OSError, ValueError, GreenlightError) as error:
        return fault("people", f"{file}: {error}", "replace it, or delete it")
    if found != expected:
        return fault(
            "people",
            f"{file}: not the key that greenlight.toml names for {file.name}",
            f"put the public half of that key there, or a new pair: greenlight keys person "
            f"{file.name}",
        )
    if file.stat().st_mode & _OTHERS:
        return warning("people", f"{file}: others can read it", f"chmod 600 {file}")
    return ok("people", f"{file}: belongs to its public key, and only its owner can read it")


def ledger(subject: Subject) -> Iterator[Finding]:
    """The key that signs the ledger's head, and the file that heads are added to."""
    settings = subject.settings
    yield _installation(subject)
    heads = settings.heads_path
    if not heads.exists():
        if heads.parent.is_dir():
            yield folder(heads.parent)
        elif settings.ledger.heads is not None:
            yield fault(
                "ledger",
                f"{heads.parent}: not there, so that no head can be published",
                "mount or make it, or correct ledger.heads",
            )
        return
    try:
        os.close(os.open(heads, os.O_WRONLY | os.O_APPEND))
    except OSError as error:
        yield fault(
            "ledger",
            f"{heads}: heads cannot be added: {error.strerror}",
            f"let this user write to it: {heads}",
        )
    else:
        yield ok("ledger", f"{heads}: heads can be added")


def _installation(subject: Subject) -> Finding:
    settings = subject.settings
    if settings.ledger.key is not None:
        return _in_variable(subject, settings.ledger.key.removeprefix("env:"))
    file, public = settings.state / KEY_FILE, settings.state / PUBLIC_FILE
    if not file.exists():
        if public.exists():
            return fault(
                "ledger",
                f"{file} is gone, and {public} says that there was one",
                f"restore it from a backup, or move {public} away to go on with a new key",
            )
        return ok("ledger", "no key yet; one is made with the first entry")
    try:
        found = public_key(file.read_text(encoding="utf-8").strip())
    except (OSError, ValueError, GreenlightError) as error:
        return fault("ledger", f"{file}: {error}", "restore it from a backup")
    if found != own_public_key(settings, subject.environ):
        return fault(
            "ledger", f"{public}: not the public half of {file}", f"delete {public}; it comes again"
        )
    if file.stat().st_mode & _OTHERS:
        return warning("ledger", f"{file}: others can read it", f"chmod 600 {file}")
    return ok("ledger", f"{file}: signs as {found}")


def _in_variable(subject: Subject, variable: str) -> Finding:
    if not subject.environ.get(variable):
        return fault(
            "ledger",
            f"{variable} is not set, and ledger.key says that the key is there",
            f"export {variable}=gll_… (greenlight keys ledger makes one)",
        )
    try:
        found = own_public_key(subject.settings, subject.environ)
    except GreenlightError as error:
        return fault("ledger", f"{variable}: {error}", "put the installation's own key there")
    if not subject.environ[variable].startswith(LEDGER_PREFIX):
        return fault(
            "ledger",
            f"{variable}: a person's key, not a ledger's",
            f"export {variable}={LEDGER_PREFIX}… (greenlight keys ledger makes one)",
        )
    return ok("ledger", f"{variable}: signs as {found}")
