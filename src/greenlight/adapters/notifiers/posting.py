"""A POST that says whether it arrived, and never what was secret about it."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO

from greenlight import __version__
from greenlight.core.records import SECOND
from greenlight.ports.notifier import NotDelivered

PATIENCE = 5.0
"""Seconds without a sign of life."""

MENDED = frozenset({401, 403, 404, 407, 408, 410, 425, 429})
"""Answers of 400 to 499 that are about the address, the credentials or the moment, which somebody
can mend. Any other is about this message, and would be the same the next time."""

_WORD = re.compile(rb"[a-z_]{1,60}")
_EXCERPT = 100
_SECONDS = re.compile(r"[0-9]{1,9}")


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what is signed, or a key, is for the address that it was given."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, now: int, patience: float = PATIENCE
) -> None:
    """Hand over a document of JSON; any answer of 200 to 299 says that it arrived.

    It goes through the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`), if any.

    Args:
        url: the address, which may be a secret.
        body: the document.
        headers: what goes with it.
        now: microseconds since 1970-01-01 UTC, for a `Retry-After` that names a time.
        patience: seconds without a sign of life.

    Raises:
        NotDelivered: anything else came of it.
    """
    known = {"Content-Type": "application/json", "User-Agent": f"greenlight/{__version__}"}
    request = urllib.request.Request(url, data=body, headers={**known, **headers}, method="POST")
    opener = urllib.request.build_opener(NoRedirects())
    try:
        opener.open(request, timeout=patience).close()
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error, url, now) from None
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(_reason(error, patience), retry=True) from None


def _refused(error: urllib.error.HTTPError, url: str, now: int) -> NotDelivered:
    status = error.code
    said = f"the answer is {status}"
    if 300 <= status < 400:
        said += ", a redirect, which is not followed: name the address where it leads"
    elif (word := _word(error)) and word not in url:
        said += f": {word}"
    retry = status in MENDED or not 400 <= status < 500
    return NotDelivered(said, retry=retry, after=_after(error.headers.get("Retry-After"), now))


def _word(error: urllib.error.HTTPError) -> str | None:
    """The word that the answer consists of, as Slack's do; more than that might repeat a secret."""
    try:
        found = _WORD.fullmatch(error.read1(_EXCERPT).strip())
    except (OSError, http.client.HTTPException):
        return None
    return found[0].decode() if found else None


def _after(text: str | None, now: int) -> float | None:
    """How many seconds a `Retry-After` asks to wait."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text.strip()):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - now / SECOND)
    except (ValueError, OverflowError):
        return None


def _reason(error: OSError | http.client.HTTPException, patience: float) -> str:
    """Why there is no answer, in words that hold no address."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer within {patience:g} s"
    if isinstance(reason, OSError):
        return f"no answer: {reason.strerror or type(reason).__name__}"
    return f"no answer that is HTTP: {type(error).__name__}"
