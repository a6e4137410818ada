"""Asking an address a question that costs nothing."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import NamedTuple

from greenlight.adapters.notifiers.posting import NoRedirects

_EXCERPT = 4096


class Answer(NamedTuple):
    """What an address answered."""

    status: int
    excerpt: bytes
    """The beginning of the body."""


class Silent(Exception):
    """No answer; the text says why."""


def get(url: str, *, key: str | None = None, patience: float) -> Answer:
    """What a GET is answered by, directly and without a proxy, as the gateway asks.

    Args:
        url: the address.
        key: a secret to show; it is sent and never shown.
        patience: seconds without a sign of life.

    Raises:
        Silent: no answer in time, or none that is HTTP.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects())
    try:
        request = urllib.request.Request(url)
        if key is not None:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        with opener.open(request, timeout=patience) as response:
            return Answer(response.status, response.read1(_EXCERPT))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, b"")
    except TimeoutError as error:
        raise Silent(f"no answer within {patience:g} s") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        late = isinstance(reason, TimeoutError)
        raise Silent(f"no answer within {patience:g} s" if late else str(reason)) from error
