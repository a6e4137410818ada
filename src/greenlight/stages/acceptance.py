"""Release check: ACCEPTANCE.md against what lies in a checkout (REQUIREMENTS G6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from greenlight import release
from greenlight.core import acceptance, fingerprint, sign_off
from greenlight.core.acceptance import Acceptance, Deliverable, Row
from greenlight.core.errors import GreenlightError, Tampered
from greenlight.core.sign_off import PAPERS, Paper, Standing
from greenlight.stages.papers import RENEW, Desk, protocol_of

PACKAGE = "src/greenlight"
"""The sources whose digest an evaluation names."""

MEASURE = "make eval"
_COMMIT = "[0-9a-f]{40}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between a checkout and a release."""

    state: str
    """What the signatures on ACCEPTANCE.md amount to."""
    digest: str
    """Of targets and protocol, as they are now."""
    rows: list[Row]
    problems: list[str]
    """Signatures that do not count."""

    @property
    def ok(self) -> bool:
        """Whether it may be released."""
        return all(row.ok for row in self.rows)


def check(
    desk: Desk, *, known: Callable[[str], bool], sealed: Callable[[Path], dict[str, Any]]
) -> Report:
    """Hold a checkout against its ACCEPTANCE.md.

    Args:
        desk: the checkout.
        known: whether there is such a command of `greenlight`.
        sealed: reads a sealed evaluation; `Tampered` if it is not as it was sealed.

    Raises:
        BadInput: ACCEPTANCE.md is not there, or not in order.
    """
    root, demanded = desk.root, desk.demanded()
    protocol = protocol_of(root, demanded)
    digest = acceptance.digest(demanded, protocol)
    names = tuple(release.git(root, "ls-files", "-z").split("\0"))
    tracked = frozenset(names) - {""}
    rows = _targets(root, demanded, protocol, sealed, tracked)
    rows += [_deliverable(root, one, known, tracked) for one in demanded.deliverables]
    rows.append(_written(demanded, digest))
    problems: list[str] = []
    state = sign_off.DRAFT
    for paper in PAPERS.values():
        signed, standing = _paper(desk, paper)
        rows += signed
        problems += [f"{paper.file}: {it}" for it in (standing.problems if standing else ())]
        if paper.file == acceptance.FILE:
            state = str(standing)
    ordered = sorted(rows, key=lambda row: row.section)
    return Report(state=state, digest=digest, rows=ordered, problems=problems)


def _targets(
    root: Path,
    demanded: Acceptance,
    protocol: Mapping[str, str],
    sealed: Callable[[Path], dict[str, Any]],
    tracked: frozenset[str],
) -> list[Row]:
    documents: dict[str, tuple[Mapping[str, Any] | None, str]] = {}
    rows = []
    evaluated, row = _sealed(root, demanded, sealed, tracked)
    rows.append(row)
    documents[""] = evaluated, "no sealed evaluation" if row.verdict == "absent" else row.found
    if evaluated is not None:
        rows += [_rules(root, demanded, protocol, evaluated), *_commits(root, evaluated)]
    for target in demanded.targets:
        if target.file not in documents:
            documents[target.file] = _document(root / target.file)
        document, reason = documents[target.file]
        rows.append(acceptance.judge(target, document, reason))
    return rows


def _sealed(
    root: Path,
    demanded: Acceptance,
    sealed: Callable[[Path], dict[str, Any]],
    tracked: frozenset[str],
) -> tuple[Mapping[str, Any] | None, Row]:
    """The sealed evaluation, if it can be believed, and what is to be said of it."""
    name = demanded.evaluation
    row = Row(section=1, what=name, found="", required="sealed, committed", verdict="met")
    try:
        document = sealed(root / name)
    except Tampered:
        return None, msgspec.structs.replace(
            row, found="not as it was sealed", verdict="changed", next=f"restore it, or {MEASURE}"
        )
    except GreenlightError:
        return None, msgspec.structs.replace(row, found="not there", verdict="absent", next=MEASURE)
    results = fingerprint.short(str(document.get("results_digest", "")))
    if tracked and name not in tracked:
        return document, msgspec.structs.replace(
            row,
            found=f"{results}, not committed",
            verdict="absent",
            next=f"git add --force {name}",
        )
    return document, msgspec.structs.replace(row, found=f"results {results}")


def _rules(
    root: Path, demanded: Acceptance, protocol: Mapping[str, str], document: Mapping[str, Any]
) -> Row:
    """Was it measured by the rules that are here: those that it names, and all at its commit?"""
    used = [
        (f"src/{str(one['module']).replace('.', '/')}.py", one.get("digest"))
        for one in _having(document, "module")
        if str(one["module"]).startswith("eval.")
    ]
    other = {name for name, digest in used if protocol.get(name) != digest}
    for one in _having(document, "code_commit"):
        if re.fullmatch(_COMMIT, str(one["code_commit"])):
            other |= _changed_rules(root, demanded, protocol, str(one["code_commit"]))
    same = bool(used) and not other
    found = f"other rules: {', '.join(sorted(other))}" if used else "none named"
    return Row(
        section=1,
        what="protocol of the evaluation",
        found="as here" if same else found,
        required="as here",
        verdict="met" if same else "changed",
        next="" if same else MEASURE,
    )


def _changed_rules(
    root: Path, demanded: Acceptance, protocol: Mapping[str, str], commit: str
) -> set[str]:
    """The sources of the protocol that are not as they were at a commit.

    One that was added since is none of them where section 7 names it: nothing was judged by it, and
    what it says is signed for.
    """
    words = ("diff", "--name-status", "--no-renames", commit, "--", *demanded.protocol)
    found = [line.split("\t", 1) for line in release.git(root, *words).splitlines()]
    return {path for status, path in found if status != "A" or path not in protocol}


def _commits(root: Path, document: Mapping[str, Any]) -> Iterator[Row]:
    """Was it measured at a clean commit of this history, and is that what is here?"""
    named = {
        (str(one["code_commit"]), str(one.get("code", "")))
        for one in _having(document, "code_commit")
    }
    row = Row(
        section=1,
        what="commit evaluated",
        found="none named",
        required="in this history, clean",
        verdict="absent",
        next=MEASURE,
    )
    if not named:
        yield row
    for commit, code in sorted(named):
        short = commit[:12]
        if not re.fullmatch(_COMMIT, commit):
            yield msgspec.structs.replace(row, found=commit)
        elif release.git(root, "merge-base", commit, "HEAD") != commit:
            yield msgspec.structs.replace(row, found=f"{short}, not in this history")
        elif code != _code(root, commit):
            yield msgspec.structs.replace(
                row, found=f"{short}, with changes", next=f"commit them, then {MEASURE}"
            )
        else:
            since = release.git(root, "diff", "--name-only", commit, "--", "src").split()
            later = f", {len(since)} files of src changed since" if since else ""
            yield msgspec.structs.replace(
                row,
                found=short + later,
                verdict="warned" if since else "met",
                next=f"{MEASURE}, if they can matter" if since else "",
            )


def _code(root: Path, commit: str) -> str:
    """The digest of the sources as `remembering.code_digest` makes it, at a commit."""
    sources = release.sources(root, commit, PACKAGE)
    return fingerprint.digest(
        {name: fingerprint.digest_bytes(data) for name, data in sources.items()}
    )


def _having(value: Any, key: str) -> Iterator[Mapping[str, Any]]:
    """Every table in a document that has a key."""
    if isinstance(value, Mapping):
        if key in value:
            yield value
        for item in value.values():
            yield from _having(item, key)


def _document(path: Path) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any]), ""
    except OSError:
        return None, "not there"
    except msgspec.DecodeError:
        return None, "no readable document"


def _deliverable(
    root: Path, one: Deliverable, known: Callable[[str], bool], tracked: frozenset[str]
) -> Row:
    lacking = [name for name in one.files if not _is_there(root, name, tracked)]
    lacking += [f"greenlight {words}" for words in one.commands if not known(words)]
    made = _made(root / "Makefile") if one.make else frozenset()
    lacking += [f"make {name}" for name in one.make if name not in made]
    count = len(one.files) + len(one.commands) + len(one.make)
    return Row(
        section=5,
        what=one.what,
        found=f"lacks {', '.join(lacking)}" if lacking else f"{count} of {count}",
        required=one.requirement,
        verdict="absent" if lacking else "met",
        next="write and commit it" if lacking else "",
    )


def _made(makefile: Path) -> frozenset[str]:
    """The targets that a Makefile has rules for."""
    if not makefile.is_file():
        return frozenset()
    rules = re.findall(r"^([^\s#.:=][^#:=\n]*):(?!=)", makefile.read_text("utf-8"), re.MULTILINE)
    return frozenset(name for names in rules for name in names.split())


def _is_there(root: Path, pattern: str, tracked: frozenset[str]) -> bool:
    """Whether a pattern names a file that is not empty, and committed where there is a git."""
    return any(
        path.is_file()
        and path.stat().st_size > 0
        and (not tracked or path.relative_to(root).as_posix() in tracked)
        for path in root.glob(pattern)
    )


def _written(demanded: Acceptance, digest: str) -> Row:
    same = demanded.written == digest
    return Row(
        section=7,
        what="digest of targets and protocol",
        found=fingerprint.short(demanded.written) or "none",
        required=fingerprint.short(digest),
        verdict="met" if same else "changed",
        next="" if same else f"read what changed, {RENEW}, have it signed",
    )


def _paper(desk: Desk, paper: Paper) -> tuple[list[Row], Standing | None]:
    """What the signatures on a paper amount to, and whether it says so itself."""
    wanted = ", ".join(f"{count} × {role}" for role, count in sorted(paper.quorum.items()))
    row = Row(
        section=8 if paper.file == acceptance.FILE else 3,
        what=f"sign-off of {paper.file}",
        found="not there",
        required=wanted,
        verdict="absent",
        next="write it",
    )
    if not (desk.root / paper.file).is_file():
        return [row], None
    standing = desk.standing(paper)
    rows = [
        msgspec.structs.replace(
            row,
            found=str(standing),
            verdict="met" if standing.ok else "unsigned",
            next="" if standing.ok else f"greenlight release sign {paper.name} -m WHY",
        )
    ]
    said = sign_off.status(desk.text(paper.file), paper.file)
    if said != str(standing):
        rows.append(
            msgspec.structs.replace(
                row,
                what=f"status that {paper.file} gives itself",
                found=said,
                required=str(standing),
                verdict="changed",
                next=RENEW,
            )
        )
    return rows, standing
