"""A checkout, its ACCEPTANCE.md and the papers that people sign; no installation is opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from greenlight.adapters import signing
from greenlight.adapters.clock import SystemClock
from greenlight.core.sign_off import PAPERS
from greenlight.stages import acceptance, papers
from greenlight.stages.acceptance import Report
from greenlight.stages.approve import identify
from greenlight.stages.papers import Desk, Signed
from greenlight.stages.seal import sealed


def check_release(root: Path, *, known: Callable[[str], bool]) -> Report:
    """Hold a checkout against its ACCEPTANCE.md; see `stages.acceptance.check`.

    Args:
        root: of the checkout.
        known: whether there is such a command of `greenlight`.
    """
    return acceptance.check(_desk(root), known=known, sealed=sealed)


def sign_paper(root: Path, name: str, *, secret: str, why: str) -> Signed:
    """Add the signature of the person of a key to a paper; see `stages.papers.sign`.

    Args:
        root: of the checkout.
        name: of the paper, one of `core.sign_off.PAPERS`.
        secret: the person's key.
        why: the reason.

    Raises:
        Refused: nobody of ACCEPTANCE.md has the key, and as `stages.papers.sign`.
    """
    desk = _desk(root)
    person = identify(secret, desk.people(), signing.public_key)
    return papers.sign(desk, PAPERS[name], person, secret=secret, why=why, sign=signing.sign)


def renew_papers(root: Path) -> str:
    """Write digest and status into the papers of a checkout; see `stages.papers.renew`."""
    return papers.renew(_desk(root))


def _desk(root: Path) -> Desk:
    at = datetime.fromtimestamp(SystemClock().now() // 1_000_000, tz=UTC)
    return Desk(root, signing.verify, at.strftime("%Y-%m-%dT%H:%M:%SZ"))
