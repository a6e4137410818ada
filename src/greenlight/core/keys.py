"""API keys: who may ask the gateway for what, and how often (REQUIREMENTS S8).

    glk_7f3a09c2d41be685_pQ8Zk0…
        id, public       secret: 32 characters, 192 random bits

The id names the key in records, lists and logs, and finds it without a search. Of the whole text
only the digest is kept.
"""

from __future__ import annotations

import base64
import hmac
import math
import re
from collections.abc import Iterable

from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, Unauthorized
from greenlight.core.nearest import suggest
from greenlight.core.records import SECOND, ApiKey

SCOPES = ("predict", "feedback", "flags", "admin")
"""What a key can be good for. None of them implies another."""

PREFIX = "glk_"
RANDOM_BYTES = 32
_ID_BYTES = 8

MOST = 1_000_000
"""The highest rate (requests per second) and burst that can be set."""

ACTIVE, EXPIRED, REVOKED = "active", "expired", "revoked"

_ID = re.compile(r"[0-9a-f]{16}")
_KEY = re.compile(rf"{PREFIX}({_ID.pattern})_[A-Za-z0-9_-]{{32}}")
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NOBODYS = fingerprint.digest_bytes(b"")
_HOW = "send the header Authorization: Bearer glk_… (greenlight keys create makes a key)"


def make(random: bytes) -> str:
    """A new key's text, of 32 bytes from a cryptographic generator."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    secret = base64.urlsafe_b64encode(random[_ID_BYTES:]).decode()
    return f"{PREFIX}{random[:_ID_BYTES].hex()}_{secret}"


def digest(secret: str) -> str:
    """What is kept of a key's text.

    SHA-256 and no slow hash (bcrypt, Argon2): those make it dear to guess what people choose.
    Nobody guesses 192 random bits, and every request pays for this.
    """
    return fingerprint.digest_bytes(secret.encode())


def id_of(text: str) -> str | None:
    """The id in a key's text; None if the text is no key."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def parse(authorization: str | None) -> tuple[str, str]:
    """The id and the whole text of the key in an `Authorization` header.

    Raises:
        Unauthorized: there is no header, or no key in it (the message does not repeat it).
    """
    if authorization is None:
        raise Unauthorized(f"no key: {_HOW}")
    scheme, _, rest = authorization.strip().partition(" ")
    secret = rest.strip()
    id = id_of(secret)
    if scheme.lower() != "bearer" or id is None:
        raise Unauthorized(f"the header Authorization holds no key of a gateway: {_HOW}")
    return id, secret


def check(key: ApiKey | None, secret: str, now: int) -> str | None:
    """Why a text does not open anything at `now`, or None if it does.

    An id that nobody has (`key` None) and a wrong secret are one and the same answer, in the same
    time; only who has the right secret hears more.
    """
    known = _NOBODYS if key is None else key.digest
    if not hmac.compare_digest(known.encode(), digest(secret).encode()) or key is None:
        return "this key opens nothing here: check that all of it was copied, or make another"
    standing = state(key, now)
    if standing == ACTIVE:
        return None
    return f"key {key.name} ({key.id}) is {standing}: make another by greenlight keys create"


def state(key: ApiKey, now: int) -> str:
    """`active`, `expired` or `revoked`. A revoked one stays so, whatever the clock says."""
    if key.revoked_at is not None:
        return REVOKED
    return EXPIRED if key.expires_at is not None and now >= key.expires_at else ACTIVE


def check_name(name: str) -> None:
    """Refuse a name that could be taken for something else.

    Raises:
        BadInput: it has another form, or is an id or the beginning of a secret.
    """
    if name.startswith(PREFIX):
        raise BadInput("name: that looks like a key itself; give a name such as shop", "name")
    if not _NAME.fullmatch(name) or _ID.fullmatch(name):
        raise BadInput(
            f"name {name!r}: use up to 63 lower-case letters, digits, ., - and _, a letter first, "
            "and not the form of an id; such as shop",
            "name",
        )


def scopes_of(given: Iterable[str]) -> str:
    """Scopes as a record has them: each once, in the order of `SCOPES`.

    Raises:
        BadInput: there is none, or one that does not exist.
    """
    wanted = set(given)
    for scope in sorted(wanted - set(SCOPES)):
        raise BadInput(
            f"scope {scope!r}: there is none of that name{suggest(scope, SCOPES)}", "scope"
        )
    if not wanted:
        raise BadInput(f"scope: give at least one of {', '.join(SCOPES)}", "scope")
    return " ".join(scope for scope in SCOPES if scope in wanted)


def granted(key: ApiKey) -> frozenset[str]:
    """The scopes of a key; a word that is none grants nothing."""
    return frozenset(key.scopes.split()) & frozenset(SCOPES)


def rate_of(text: str) -> float:
    """Requests per second from text such as "20/s" or "100/h".

    Raises:
        BadInput: no number and no unit of time behind a slash.
    """
    found = _RATE.fullmatch(text)
    if found is None:
        raise BadInput(f"rate {text!r}: write requests per s, m, h or d, such as 20/s", "rate")
    return float(found[1]) / _SECONDS[found[2]]


def rate_text(rate: float) -> str:
    """A rate as people write it, in the first unit that makes it a whole number."""
    for unit, seconds in _SECONDS.items():
        amount = rate * seconds
        if round(amount) >= 1 and math.isclose(amount, round(amount), rel_tol=1e-9):
            return f"{round(amount)}/{unit}"
    return f"{rate:.4g}/s"


def limits(rate: float | None, burst: int | None) -> tuple[float | None, int | None]:
    """A new key's rate and burst; without a burst, what a second of the rate is, or 1.

    Raises:
        BadInput: one of them is out of range, or a burst stands without a rate.
    """
    if rate is None:
        if burst is not None:
            raise BadInput(f"burst {burst}: it needs a rate, such as 20/s", "burst")
        return None, None
    if not 0 < rate <= MOST:
        raise BadInput(f"rate {rate:g}/s: use more than 0 and at most {MOST}/s", "rate")
    burst = max(1, math.ceil(rate)) if burst is None else burst
    if not 1 <= burst <= MOST:
        raise BadInput(f"burst {burst}: use a whole number from 1 to {MOST}", "burst")
    return rate, burst


class Bucket:
    """A token bucket: at most `burst` at once, and `rate` a second in the long run.

    It is told the time, and exact: whole numbers count tokens in the fraction of one that a
    microsecond brings.
    """

    def __init__(self, rate: float, burst: int) -> None:
        """Start full.

        Args:
            rate: requests per second, above 0.
            burst: requests at once, at least 1.
        """
        if not 0 < rate < math.inf or burst < 1:
            raise ValueError(f"rate {rate}, burst {burst}: nothing would ever be let through")
        self._gain, per_second = rate.as_integer_ratio()
        self._price = per_second * SECOND
        self._full = burst * self._price
        self._level = self._full
        self._at = 0

    def take(self, now: int) -> int:
        """0 if a request may pass at `now`, and is counted; else the microseconds until one may.

        A clock that was set back brings nothing and costs nothing: time goes on from there.
        """
        gained = max(0, now - self._at) * self._gain
        self._level = min(self._full, self._level + gained)
        self._at = now
        if self._level < self._price:
            return -((self._level - self._price) // self._gain)
        self._level -= self._price
        return 0
