"""The audit of one installation, by the heads that it has signed; with its store, or without."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from greenlight.adapters import ledger_files, signing
from greenlight.config import Settings
from greenlight.core import fingerprint, ledger
from greenlight.core.errors import BadInput
from greenlight.core.ledger import SignedHead
from greenlight.core.records import LedgerEntry
from greenlight.lookup import everything
from greenlight.ports import Progress
from greenlight.stages import audit as stage
from greenlight.stages.audit import AuditReport
from greenlight.wiring.app import App
from greenlight.wiring.ledger import own_public_key, sign_head

_SHOWN = 10
"""How many forged heads are shown one by one."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found, and what it went by."""

    report: AuditReport
    heads_file: str | None
    """Where the signed heads came from; None without any."""
    beside_store: bool
    """Whether that file lies beside the store, within reach of who can rewrite it."""
    keys: tuple[str, ...]
    """The public keys that were trusted."""
    key_source: str
    """Where these came from."""
    warnings: tuple[str, ...]
    """Lines of the heads' file that prove nothing."""


def signed_head(app: App) -> SignedHead:
    """The head as it is now, signed; see `wiring.ledger.sign_head`."""
    return sign_head(app.settings, app.store, os.environ, app.clock.now(), app.random)


def export_ledger(app: App) -> Iterator[bytes]:
    """The lines of a ledger that is handed over: every entry, and the signed head at the end."""
    last = signed_head(app)
    for entry in everything(app.store, LedgerEntry):
        if entry.seq > last.seq:
            break
        yield fingerprint.canonical(entry) + b"\n"
    yield fingerprint.canonical(last) + b"\n"


def verify_ledger(
    app: App, *, heads: Path | None, keys: Sequence[str], folders: bool, progress: Progress
) -> Verification:
    """Audit the store.

    Args:
        app: the open store and settings.
        heads: a file of signed heads; by default the installation's own, if it is there.
        keys: public keys that are trusted to sign heads; by default the installation's own.
        folders: also hash the folders of bundles and datasets.
        progress: told the share done and what is being done.

    Raises:
        BadInput: the file cannot be read or holds no head, or there is no key to check it by.
    """
    own = app.settings.heads_path
    path = heads or (own if own.is_file() else None)
    known, source = _trusted(keys, app.settings)
    desk = _Desk(path, known)
    report = stage.audit(
        app.store,
        heads=desk.read(explicit=heads is not None),
        bundles=app.bundles if folders else None,
        datasets=(app.datasets, app.raw),
        progress=progress,
    )
    beside = path is not None and path.resolve().is_relative_to(app.settings.state.resolve())
    return desk.verification(report, source, beside)


def verify_export(
    path: Path,
    settings: Settings | None,
    *,
    heads: Path | None,
    keys: Sequence[str],
    progress: Progress,
) -> Verification:
    """Audit a ledger that was handed over, without the store.

    Args:
        path: what `greenlight audit export` wrote.
        settings: the configuration, where there is one; its installation's key is then trusted.
        heads: a file of signed heads that were kept elsewhere; the export's own head counts too.
        keys: public keys that are trusted to sign heads; by default the installation's own, and
            where there is no installation the one that the export itself names.
        progress: told that it goes on.

    Raises:
        BadInput: a file cannot be read, or holds no head.
        Tampered: a line of the export is no ledger entry, or its head is missing.
    """
    try:
        last = ledger_files.last_head(path)
        known, source = _trusted(keys, settings)
        if not known and last is not None:
            known, source = (last.key,), "the key that the export itself names"
        desk = _Desk(heads, known)
        wanted = chain(desk.read(explicit=True), desk.judged([last] if last else []))
        entries = (it for it in ledger_files.read_export(path) if isinstance(it, LedgerEntry))
        report = stage.audit_export(entries, wanted, progress)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}", "ledger") from error
    return desk.verification(report, source, beside_store=False)


class _Desk:
    """Reads signed heads and sorts out what proves nothing."""

    def __init__(self, path: Path | None, keys: tuple[str, ...]) -> None:
        self._path = path
        self._keys = keys
        self._forged: list[str] = []
        self._more = 0
        self._warnings: list[str] = []

    def read(self, *, explicit: bool) -> Iterator[SignedHead]:
        """The heads of the file that hold. An `explicit` file must have heads."""
        if self._path is None:
            return
        if not self._keys:
            raise BadInput(
                f"{self._path}: no key to check its heads by; give the installation's public key "
                "with --key",
                "key",
            )
        try:
            found = 0
            for line in ledger_files.read_heads(self._path):
                if isinstance(line, str):
                    self._warnings.append(line)
                else:
                    found += 1
                    yield from self.judged([line])
        except OSError as error:
            raise BadInput(f"{self._path}: cannot be read: {error.strerror}", "head") from error
        if explicit and not found:
            raise BadInput(f"{self._path}: holds no signed head", "head")

    def judged(self, heads: Sequence[SignedHead]) -> list[SignedHead]:
        """Those whose signature holds; the others become problems."""
        kept = []
        for head in heads:
            fault = ledger.fault(head, self._keys, signing.verify)
            if fault is None:
                kept.append(head)
            elif len(self._forged) < _SHOWN:
                self._forged.append(fault)
            else:
                self._more += 1
        return kept

    def verification(self, report: AuditReport, source: str, beside_store: bool) -> Verification:
        """The report with what was wrong with the heads themselves."""
        problems = [*self._forged]
        if self._more:
            problems.append(f"and {self._more} more heads that do not count")
        problems += report.problems
        return Verification(
            report=msgspec.structs.replace(report, ok=not problems, problems=problems),
            heads_file=None if self._path is None else str(self._path),
            beside_store=beside_store,
            keys=self._keys,
            key_source=source,
            warnings=tuple(self._warnings),
        )


def _trusted(keys: Sequence[str], settings: Settings | None) -> tuple[tuple[str, ...], str]:
    """The keys to check heads by, and where they come from."""
    if keys:
        return tuple(keys), "the key given" if len(keys) == 1 else "the keys given"
    own = None if settings is None else own_public_key(settings, os.environ)
    return ((own,), "this installation's own key") if own else ((), "no key")
