"""Papers of a checkout that people sign: ACCEPTANCE.md and the policy (REQUIREMENTS G4, G6)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.core import acceptance, fingerprint, sign_off
from greenlight.core.acceptance import Acceptance
from greenlight.core.approval import Person, Verify
from greenlight.core.errors import BadInput, Refused
from greenlight.core.sign_off import PAPERS, Paper, Standing, Word

LOG = "governance/sign_off_log.md"
LOG_HEAD = "| date | stakeholder | role | decision | notes |"
"""The table that tells people who decided what. What counts is the paper's own."""

RENEW = "greenlight release renew"


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A signature that was given, and what all of them amount to now."""

    file: str
    word: Word
    standing: Standing


@dataclass(frozen=True)
class Desk:
    """The papers of a checkout, at a moment."""

    root: Path
    verify: Verify
    """Checks a signature."""
    now: str
    """UTC, as in 2026-11-27T18:05:12Z."""

    def text(self, name: str) -> str:
        """A file's text.

        Raises:
            BadInput: it cannot be read.
        """
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(
                f"{self.root / name}: cannot be read ({error}); --root names the folder of a "
                "checkout"
            ) from error

    def demanded(self) -> Acceptance:
        """What ACCEPTANCE.md demands.

        Raises:
            BadInput: it is not there, or not in order.
        """
        return acceptance.parse(self.text(acceptance.FILE))

    def people(self) -> dict[str, Person]:
        """Who may sign, by name.

        Raises:
            BadInput: ACCEPTANCE.md is not there, or its block of people not in order.
        """
        return sign_off.people(self.text(acceptance.FILE))

    def digest(self, paper: Paper) -> str:
        """What is signed on a paper, as it is now.

        Raises:
            BadInput: a paper is not there, or not in order.
        """
        if paper.file != acceptance.FILE:
            return sign_off.policy_digest(self.text(paper.file))
        demanded = self.demanded()
        return acceptance.digest(demanded, protocol_of(self.root, demanded))

    def words(self, paper: Paper) -> list[Word]:
        """The lines of a paper's table.

        Raises:
            BadInput: the paper is not there, or has no such table.
        """
        return sign_off.read(self.text(paper.file), paper.file)

    def standing(self, paper: Paper, words: Sequence[Word] | None = None) -> Standing:
        """What lines of a paper amount to; by default all that it has.

        Raises:
            BadInput: a paper is not there, or not in order.
        """
        return sign_off.check(
            self.words(paper) if words is None else words,
            paper=paper,
            digest=self.digest(paper),
            people=self.people(),
            verify=self.verify,
            now=self.now,
        )


def protocol_of(root: Path, demanded: Acceptance) -> dict[str, str]:
    """The digest of each source of the protocol, by its path from the root.

    Raises:
        BadInput: a pattern names no file.
    """
    found = {}
    for pattern in demanded.protocol:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise BadInput(f"{acceptance.FILE}: protocol: {pattern} names no file in {root}")
        for path in paths:
            name = path.relative_to(root).as_posix()
            found[name] = fingerprint.digest_bytes(path.read_bytes())
    return found


def sign(
    desk: Desk,
    paper: Paper,
    person: Person,
    *,
    secret: str,
    why: str,
    sign: Callable[[str, bytes], str],
) -> Signed:
    """Add a person's signature to a paper, and a line to the log of sign-offs.

    Args:
        desk: the checkout.
        paper: what is signed.
        person: whose key the secret is.
        secret: their key.
        why: the reason, for those who read it later.
        sign: (secret, bytes) → signature.

    Raises:
        BadInput: no reason, or a paper that is not there or not in order.
        Refused: they hold no role that signs, have signed already, or section 7 has another digest
            than the checkout.
    """
    if not why.strip():
        raise BadInput("a signature needs a reason: say why with -m", "why")
    roles = [role for role in person.roles if role in paper.quorum]
    if not roles:
        raise Refused(
            f"{person.name} ({', '.join(person.roles)}) does not sign {paper.file}; these roles "
            f"do: {', '.join(sorted(paper.quorum))}"
        )
    digest = desk.digest(paper)
    if paper.file == acceptance.FILE and desk.demanded().written != digest:
        raise Refused(
            f"{paper.file}: targets or protocol have changed, for their digest is {digest}, and "
            f"section 7 has another; read what changed, then: {RENEW}"
        )
    words = desk.words(paper)
    if desk.standing(paper, [word for word in words if word.person == person.name]).counted:
        raise Refused(
            f"{person.name} has signed {paper.file} already, and a person counts once: "
            f"{desk.standing(paper)}"
        )
    draft = Word(
        date=desk.now,
        person=person.name,
        role=",".join(roles),
        digest=digest,
        why=sign_off.flat(why),
        signature="",
    )
    signature = sign(secret, sign_off.statement(paper.name, draft))
    word = msgspec.structs.replace(draft, signature=signature)
    standing = desk.standing(paper, [*words, word])
    added = sign_off.with_word(desk.text(paper.file), paper.file, word)
    logged = _logged(desk, paper, word)
    _write(desk.root / paper.file, sign_off.with_status(added, standing))
    if logged is not None:
        _write(desk.root / LOG, logged)
    return Signed(file=paper.file, word=word, standing=standing)


def renew(desk: Desk) -> str:
    """Write the digest of targets and protocol into section 7, and into each paper its status.

    Signatures of another digest stay where they are, and count no more.

    Returns:
        The digest.

    Raises:
        BadInput: a paper is not in order, or ACCEPTANCE.md is not there.
    """
    digest = desk.digest(PAPERS["acceptance"])
    for paper in PAPERS.values():
        if paper.file != acceptance.FILE and not (desk.root / paper.file).is_file():
            continue
        text = desk.text(paper.file)
        said = acceptance.with_digest(text, digest) if paper.file == acceptance.FILE else text
        said = sign_off.with_status(said, desk.standing(paper))
        if said != text:
            _write(desk.root / paper.file, said)
    return digest


def _logged(desk: Desk, paper: Paper, word: Word) -> str | None:
    """The log with one more line; None where there is no log."""
    if not (desk.root / LOG).is_file():
        return None
    lines = desk.text(LOG).splitlines()
    if LOG_HEAD not in lines:
        raise BadInput(f"{LOG}: no table with the head {LOG_HEAD}; write it")
    place = lines.index(LOG_HEAD)
    while place + 1 < len(lines) and lines[place + 1].startswith("|"):
        place += 1
    notes = f"{sign_off.plain(word.why)} ({fingerprint.short(word.digest)})"
    cells = (word.date, word.person, word.role, f"signed {paper.file}", notes)
    lines.insert(place + 1, "| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a text, whole or not at all, under the rights that the file has."""
    with artifacts.writing(path):
        mode = path.stat().st_mode
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=".", delete=False, encoding="utf-8", newline=""
        ) as file:
            file.write(text)
        os.chmod(file.name, mode)
        os.replace(file.name, path)
