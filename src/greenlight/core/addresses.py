"""Addresses that are kept and shown, and so must hold nothing secret."""

from __future__ import annotations

import re

_ADDRESS = re.compile(
    r"https?://(?P<user>[^/?#]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/[^\s?#]*)?(?P<more>[?#].*)?"
)


def problem(url: str, example: str) -> str | None:
    """What is wrong with an address, and the remedy; None if nothing is.

    Args:
        url: the address.
        example: one that would do.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return f"no address; write it as in {example}"
    if found["user"] or found["more"]:
        return (
            "an address alone, without a user, a password or a query: it is kept and shown "
            '(key = "env:NAME" is for secrets)'
        )
    return None
