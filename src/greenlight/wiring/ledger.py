"""The signed head of the ledger: the installation's own key, and publishing what it signs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from greenlight.adapters import ledger_files, signing
from greenlight.config import Document, Settings
from greenlight.core import fingerprint, ledger
from greenlight.core.errors import BadInput, Tampered
from greenlight.core.ledger import SignedHead
from greenlight.core.records import LedgerEntry
from greenlight.ports import Clock, Records
from greenlight.recording import head, record

log = logging.getLogger(__name__)

KEY_FILE, PUBLIC_FILE = "ledger.key", "ledger.pub"
"""The installation's key and its public half, beside the store."""

_PATIENCE = 5.0
"""Seconds to wait for another thread that is publishing."""

Random = Callable[[int], bytes]
"""Gives that many bytes from a cryptographic generator."""


def new_ledger_key(random: Random) -> tuple[str, str]:
    """A new secret for an installation, and the public key that belongs to it."""
    secret = signing.new_secret(random, signing.LEDGER_PREFIX)
    return secret, signing.public_key(secret)


def own_public_key(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """The installation's public key as it is known here; None where it has none yet.

    Raises:
        BadInput: the variable of `[ledger] key` holds no key.
    """
    secret = environ.get(_variable(settings) or "")
    if secret:
        return signing.public_key(secret)
    public = settings.state / PUBLIC_FILE
    return public.read_text(encoding="utf-8").strip() if public.is_file() else None


def sign_head(
    settings: Settings, records: Records, environ: Mapping[str, str], now: int, random: Random
) -> SignedHead:
    """The newest head, signed with the installation's key, which is made if it has none.

    What does not continue the head that was published last is not signed: who cut or rewrote the
    ledger must not get a signature for it.

    Raises:
        BadInput: the variable of `[ledger] key` is not set or holds no key.
        Tampered: the ledger does not continue its last published head, or the key is gone.
        OSError: the key cannot be read or made.
    """
    # First what was published, then what there is: meanwhile others only add.
    published = ledger_files.last_head(settings.heads_path)
    newest = head(records)
    _check_continues(records, newest, published, settings.heads_path)
    secret = _secret(settings, environ, random)
    draft = SignedHead(
        seq=newest.seq if newest else 0,
        digest=newest.digest if newest else ledger.GENESIS,
        at=now,
        key=signing.public_key(secret),
        signature="",
    )
    signature = signing.sign(secret, ledger.statement(draft))
    return SignedHead(
        seq=draft.seq, digest=draft.digest, at=now, key=draft.key, signature=signature
    )


def note_configuration(settings: Settings, records: Records, clock: Clock) -> None:
    """Put the configuration on the ledger if it is not the one that is there (REQUIREMENTS G5).

    Called by whoever is about to act on it. Secrets are no part of it: it only names variables.
    """
    content = {name: getattr(settings, name) for name in Document.__struct_fields__}
    last = records.scan(LedgerEntry, {"kind": "configuration"}, newest_first=True, limit=1)
    if last and last[0].body["digest"] == settings.config_digest:
        return
    body = {"digest": settings.config_digest, "settings": msgspec.to_builtins(content)}
    record(records, [("configuration", body)], now=clock.now())


class Publisher:
    """Publishes the head wherever it has moved: a line of the heads' file, and one of the log.

    A head that cannot be published is a warning; nothing else fails by it.
    """

    def __init__(self, settings: Settings, records: Records, clock: Clock, random: Random) -> None:
        """Note where the head is now; see `publish`."""
        self._settings = settings
        self._records = records
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._warned = ""
        newest = head(records)
        self._seen = newest.digest if newest else None

    def publish(self, *, missed: bool = False) -> None:
        """Publish the head if it has moved since the opening or the last time.

        With `missed` also where it has not, but its file lacks it: a process before this one may
        have been killed before it came to it.
        """
        if not self._lock.acquire(timeout=_PATIENCE):
            self._warn(f"{self._settings.heads_path} still does not answer")
            return
        try:
            if missed:
                self._seen = None
            self._publish()
            self._warned = ""
        except OSError as error:
            self._warn(f"{error.filename or self._settings.heads_path}: {error.strerror or error}")
        except Exception as error:
            self._warn(str(error))
        finally:
            self._lock.release()

    def _publish(self) -> None:
        newest = head(self._records)
        if newest is None or newest.digest == self._seen:
            return
        path = self._settings.heads_path
        known = ledger_files.last_head(path)
        if known is None or known.digest != newest.digest:
            signed = sign_head(
                self._settings, self._records, os.environ, self._clock.now(), self._random
            )
            ledger_files.append_head(path, signed)
            log.info("ledger head %s", fingerprint.canonical(signed).decode())
            self._seen = signed.digest
        else:
            self._seen = newest.digest

    def _warn(self, reason: str) -> None:
        if reason != self._warned:
            log.warning("warning: the ledger's head was not published: %s", reason)
        self._warned = reason


def _check_continues(
    records: Records, newest: LedgerEntry | None, published: SignedHead | None, path: Path
) -> None:
    if published is None or published.seq == 0:
        return
    entry = records.get(LedgerEntry, published.seq)
    if entry is None or entry.digest != published.digest:
        there = newest.seq if newest else 0
        raise Tampered(
            f"the ledger (entry {there} is the last) does not continue the head of entry "
            f"{published.seq} in {path}: it was cut or rewritten; see: greenlight audit verify "
            "(after restoring a backup on purpose, move that file away)"
        )


def _variable(settings: Settings) -> str | None:
    return settings.ledger.key.removeprefix("env:") if settings.ledger.key else None


def _secret(settings: Settings, environ: Mapping[str, str], random: Random) -> str:
    """The installation's key; its public half is put beside the store."""
    variable = _variable(settings)
    if variable is not None:
        secret, where = environ.get(variable, ""), variable
        if not secret:
            raise BadInput(f"{variable} is not set, and [ledger] key says that the key is there")
    else:
        path = settings.state / KEY_FILE
        if not path.exists():
            _make_key(path, random)
        secret, where = path.read_text(encoding="utf-8").strip(), str(path)
    if not secret.startswith(signing.LEDGER_PREFIX):
        raise BadInput(f"{where} holds no ledger's key; greenlight keys ledger makes one")
    _write_public(settings.state / PUBLIC_FILE, signing.public_key(secret))
    return secret


def _make_key(path: Path, random: Random) -> None:
    """Make a key once: whole or not at all, and of several processes the first one wins."""
    public = path.with_name(PUBLIC_FILE)
    if public.exists():
        raise Tampered(
            f"{path} is gone, and {public} says that there was one: restore it from a backup, or "
            f"move {public} away to go on with a new key"
        )
    secret, _ = new_ledger_key(random)
    draft = path.with_name(f".{KEY_FILE}-{os.getpid()}-{random(4).hex()}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, f"{secret}\n".encode())
        os.fsync(file)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.close(file)
        draft.unlink()


def _write_public(path: Path, key: str) -> None:
    text = f"{key}\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_name(f".{PUBLIC_FILE}-{os.getpid()}-{threading.get_ident()}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
