"""Sign-off of a paper in the repository: lines of a table that people add with their own keys (G6).

A signature covers the paper's name, its digest, and the other cells of its line. So it is void for
any other digest, and nobody can change a line or speak for somebody. Who may sign stands in a block
of ACCEPTANCE.md, `toml people`, as `greenlight keys person` prints it. Whoever can write to the
branch can put somebody into that block: reviews of it are what guards it (docs/release.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from greenlight.core import acceptance, fingerprint
from greenlight.core.approval import Person, Verify, fill
from greenlight.core.errors import BadInput

DOMAIN = b"greenlight-paper-v1\n"
"""Goes before what is signed, so that a signature made for anything else is never one of these."""

HEAD = "| date | person | role | digest | why | signature |"
_RULE = "|---|---|---|---|---|---|"

DRAFT = "draft, unsigned"

_STATUS = re.compile(r"^Status: \*\*(.*)\*\*$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")
_MARKUP = ("\\", "|", "`", "<", "[", "*")


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people sign, and who has to."""

    name: str
    file: str
    quorum: dict[str, int]
    """Role → how many distinct people."""


PAPERS: Mapping[str, Paper] = {
    paper.name: paper
    for paper in (
        Paper(
            name="acceptance",
            file=acceptance.FILE,
            quorum={"ml_lead": 1, "product_owner": 1},
        ),
        Paper(
            name="policy",
            file="governance/policy.md",
            quorum={"ml_lead": 1, "operations": 1, "compliance": 1},
        ),
    )
}
"""Name → paper; the first one gates releases."""

RECORDS = "## Approval records"
"""The heading of the section of the policy in which people sign."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table."""

    date: str
    """UTC, as in 2026-11-27T18:05:12Z."""
    person: str
    role: str
    """The roles in which they sign, joined by commas."""
    digest: str
    why: str
    signature: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines amount to."""

    ok: bool
    counted: tuple[tuple[str, str], ...]
    """(role, person) of every signature that fills a place."""
    missing: tuple[tuple[str, int], ...]
    """(role, how many more people)."""
    problems: tuple[str, ...]
    """Lines that do not count, each with its reason."""

    def __str__(self) -> str:
        signed = ", ".join(f"{person} ({role})" for role, person in self.counted)
        if self.ok:
            return f"signed by {signed}"
        lacks = ", ".join(f"{count} × {role}" for role, count in self.missing)
        return f"draft; signed by {signed}; lacks {lacks}" if signed else DRAFT


def people(text: str) -> dict[str, Person]:
    """Who may sign, by name, from the page that ACCEPTANCE.md is.

    Raises:
        BadInput: the block is missing or not what it should be, or one key is two people's.
    """
    tables = acceptance.block(text, "people").get("people", {})
    if not isinstance(tables, dict):
        raise BadInput(f"{acceptance.FILE}: people: expected tables [people.NAME]")
    found: dict[str, Person] = {}
    owners: dict[str, str] = {}
    for name, table in tables.items():
        try:
            person = msgspec.convert({**dict(table), "name": name}, Person)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise BadInput(f"{acceptance.FILE}: people.{name}: {error}") from error
        if person.key in owners:
            raise BadInput(
                f"{acceptance.FILE}: people.{name}: this is also the key of {owners[person.key]}; "
                "a key proves one person"
            )
        owners[person.key] = name
        found[name] = person
    return found


def policy_digest(text: str) -> str:
    """Names the policy: all that stands in it, but for its status and the lines of its table.

    Raises:
        BadInput: it has no section of approval records, or not one table.
    """
    where = PAPERS["policy"].file
    if f"\n{RECORDS}\n" not in text:
        raise BadInput(f"{where}: no section {RECORDS!r}; people sign there")
    rows, lines = _rows(text, where), text.splitlines()
    first = lines.index(HEAD) + 2
    del lines[first : first + len(rows)]
    return fingerprint.digest_bytes(_STATUS.sub("", "\n".join(lines)).encode())


def statement(paper: str, word: Word) -> bytes:
    """What a person signs: the paper and every cell but the signature, in canonical form."""
    body: dict[str, Any] = {**msgspec.structs.asdict(word), "paper": paper}
    del body["signature"]
    return DOMAIN + fingerprint.canonical(body)


def read(text: str, where: str) -> list[Word]:
    """The lines of a paper's table, from the first to the last.

    Raises:
        BadInput: there is no such table, there are two, or a line has not six cells.
    """
    words = []
    for line in _rows(text, where):
        cells = [cell.strip() for cell in _CELL.split(line)][1:-1]
        if len(cells) != len(Word.__struct_fields__):
            raise BadInput(
                f"{where}: a line of the sign-off has {len(cells)} cells, expected "
                f"{len(Word.__struct_fields__)}: {line}"
            )
        date, person, role, digest, why, signature = cells
        words.append(
            Word(
                date=date,
                person=person,
                role=role,
                digest=digest.strip("`"),
                why=re.sub(r"\\(.)", r"\1", why),
                signature=signature.strip("`"),
            )
        )
    return words


def check(
    words: Iterable[Word],
    *,
    paper: Paper,
    digest: str,
    people: Mapping[str, Person],
    verify: Verify,
    now: str,
) -> Standing:
    """What the lines of a paper amount to. A person fills one place, whatever their roles.

    Args:
        words: the lines.
        paper: what is signed.
        digest: of what is to be signed, as it is now.
        people: who may sign, by name.
        verify: checks a signature.
        now: the time, written as in the lines.
    """
    problems, offers = [], {}
    for word in words:
        fault = _fault(word, paper, digest, people, verify, now)
        if fault is None:
            offers[word.person] = _places(word, paper, people[word.person])
        else:
            problems.append(f"{word.person or 'nobody'}, {word.date}: does not count: {fault}")
    counted, lacking = fill(paper.quorum, offers)
    return Standing(
        ok=not lacking,
        counted=tuple(counted),
        missing=tuple(sorted(lacking.items())),
        problems=tuple(problems),
    )


def status(text: str, where: str) -> str:
    """What a paper says of itself.

    Raises:
        BadInput: it has not exactly one line `Status: **…**`.
    """
    found = _STATUS.findall(text)
    if len(found) != 1:
        raise BadInput(f"{where}: one line `Status: **…**` is needed, there are {len(found)}")
    return str(found[0])


def with_status(text: str, standing: Standing) -> str:
    """A paper that says of itself what its signatures amount to."""
    return _STATUS.sub(lambda _: f"Status: **{standing}**", text)


def with_word(text: str, where: str, word: Word) -> str:
    """A paper with one more line in its table.

    Raises:
        BadInput: it has no such table, or two.
    """
    rows = _rows(text, where)
    cells = (
        word.date,
        word.person,
        word.role,
        f"`{word.digest}`",
        plain(word.why),
        f"`{word.signature}`",
    )
    line = "| " + " | ".join(cells) + " |"
    head = "\n".join([HEAD, _RULE, *rows])
    return text.replace(head, f"{head}\n{line}")


def flat(why: str) -> str:
    """A reason as it is signed: one line, single spaces."""
    return " ".join(why.split())


def plain(why: str) -> str:
    """A reason as a cell of a table: no cell and no markup of its own."""
    for sign in _MARKUP:
        why = why.replace(sign, "\\" + sign)
    return why


def _rows(text: str, where: str) -> Sequence[str]:
    lines = text.splitlines()
    if lines.count(HEAD) != 1:
        raise BadInput(
            f"{where}: one table with the head {HEAD} is needed, there are {lines.count(HEAD)}"
        )
    start = lines.index(HEAD) + 1
    if lines[start : start + 1] != [_RULE]:
        raise BadInput(f"{where}: {_RULE} belongs under the head of the sign-off's table")
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows


def _fault(
    word: Word,
    paper: Paper,
    digest: str,
    people: Mapping[str, Person],
    verify: Verify,
    now: str,
) -> str | None:
    """Why a line carries no weight."""
    person = people.get(word.person)
    if person is None:
        return "nobody of that name may sign"
    if word.digest != digest:
        return f"it is of {fingerprint.short(word.digest)}, not of {fingerprint.short(digest)}"
    if not verify(person.key, statement(paper.name, word), word.signature):
        return "the signature does not verify"
    if word.date > now:
        return "it is dated in the future"
    if not _places(word, paper, person):
        return f"{word.person} holds no role that signs ({', '.join(sorted(paper.quorum))})"
    return None


def _places(word: Word, paper: Paper, person: Person) -> list[str]:
    """The roles of the quorum in which it was signed and which the person still holds."""
    return [r for r in word.role.split(",") if r in person.roles and r in paper.quorum]
